//! What songs are like, in figures: spectrum, loudness, crest factor and level of each stem.

mod chart;

use std::path::Path;

use anyhow::Context;
use ebur128::{EbuR128, Mode};
use engine::audio::AudioBuffer;
use engine::files::write_atomically;
use engine::{STEMS, Stem};
use realfft::RealFftPlanner;
use serde::Serialize;

use super::dsp::RATE;
use super::reference::{BANDS_HZ, LEVELS_DB};

const BANDS: usize = BANDS_HZ.len();

/// Frames in one transform: bins of 5 Hz.
const WINDOW: usize = 8_192;

/// What counts as the whole of a stem, Hz.
const AUDIBLE_HZ: std::ops::RangeInclusive<f32> = 20.0..=20_000.0;

/// One stem of one song.
#[derive(Clone, Copy)]
struct Measured {
    /// Energy in each octave over that of the whole stem.
    bands: [f64; BANDS],
    /// Integrated loudness (ITU-R BS.1770), LUFS; -infinity below the gate.
    loudness: f64,
    /// Peak over root mean square, dB.
    crest: f64,
    /// Energy over that of all other stems together, dB; infinity where it is alone.
    input_sdr: f64,
}

/// The figures of a song; none for stems that are silent throughout.
pub struct Figures([Option<Measured>; STEMS]);

impl Figures {
    /// Measures a song.
    pub fn of(stems: &[AudioBuffer; STEMS]) -> Self {
        let energies = std::array::from_fn::<f64, STEMS, _>(|s| energy(stems[s].iter().flatten().copied()));
        Self(std::array::from_fn(|index| {
            let stem = &stems[index];
            if energies[index] < 1e-9 {
                return None;
            }
            let rest = (0..stem.channels()).map(|c| {
                let others = stems.iter().enumerate().filter(|(i, _)| *i != index);
                let others: Vec<&[f32]> = others.map(|(_, s)| s.channel(c)).collect();
                energy((0..stem.frames()).map(|n| others.iter().map(|o| o[n]).sum::<f32>()))
            });
            let peak = stem.iter().flatten().fold(0f32, |p, x| p.max(x.abs()));
            let count = (stem.channels() * stem.frames()) as f64;
            Some(Measured {
                bands: bands(stem),
                loudness: loudness(stem),
                crest: 20.0 * (f64::from(peak) / (energies[index] / count).sqrt()).log10(),
                input_sdr: match rest.sum::<f64>() {
                    rest if rest < 1e-9 => f64::INFINITY,
                    rest => 10.0 * (energies[index] / rest).log10(),
                },
            })
        }))
    }
}

fn energy(samples: impl Iterator<Item = f32>) -> f64 {
    samples.map(|x| f64::from(x) * f64::from(x)).sum()
}

fn loudness(stem: &AudioBuffer) -> f64 {
    let channels: Vec<&[f32]> = stem.iter().collect();
    let meter = EbuR128::new(stem.channels() as u32, RATE as u32, Mode::I).and_then(|mut meter| {
        meter.add_frames_planar_f32(&channels)?;
        meter.loudness_global()
    });
    // It refuses impossible numbers of channels only.
    meter.unwrap_or(f64::NEG_INFINITY)
}

/// The long-term spectrum in octaves, over the energy of everything audible.
fn bands(stem: &AudioBuffer) -> [f64; BANDS] {
    let transform = RealFftPlanner::<f32>::new().plan_fft_forward(WINDOW);
    let window: Vec<f32> =
        (0..WINDOW).map(|i| 0.5 - 0.5 * (std::f32::consts::TAU * i as f32 / WINDOW as f32).cos()).collect();
    let (mut frames, mut spectrum) = (transform.make_input_vec(), transform.make_output_vec());
    let mut power = vec![0f64; spectrum.len()];
    for channel in stem.iter() {
        // The first and last frames count as much as the others: windows hang over at both ends.
        for start in (0..channel.len() + WINDOW / 2).step_by(WINDOW / 2) {
            for (i, (to, weight)) in frames.iter_mut().zip(&window).enumerate() {
                let at = (start + i).checked_sub(WINDOW / 2);
                *to = at.and_then(|at| channel.get(at)).map_or(0.0, |sample| sample * weight);
            }
            // The lengths are right, and nothing else can be wrong.
            if transform.process(&mut frames, &mut spectrum).is_ok() {
                power.iter_mut().zip(&spectrum).for_each(|(sum, bin)| *sum += f64::from(bin.norm_sqr()));
            }
        }
    }
    let hertz = |bin: usize| bin as f32 * RATE / WINDOW as f32;
    let within = |low: f32, high: f32| -> f64 {
        power.iter().enumerate().filter(|(bin, _)| (low..high).contains(&hertz(*bin))).map(|(_, p)| p).sum()
    };
    let whole = within(*AUDIBLE_HZ.start(), *AUDIBLE_HZ.end()).max(1e-30);
    let half = std::f32::consts::SQRT_2;
    BANDS_HZ.map(|centre| within(centre / half, centre * half) / whole)
}

/// Averages and spreads over songs.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Songs measured.
    songs: usize,
    /// Centres of the octaves.
    bands_hz: [f32; BANDS],
    /// In the order of [`Stem::ALL`].
    stems: Vec<StemReport>,
}

/// One stem over all songs in which it sounds.
#[derive(Debug, Serialize)]
struct StemReport {
    name: &'static str,
    /// Mean energy of each octave against the whole stem, dB, each song scaled to the same energy.
    bands_db: [f64; BANDS],
    /// What real music has.
    target_db: [f32; BANDS],
    /// The difference of the two.
    deviation_db: [f64; BANDS],
    loudness_lufs: Spread,
    crest_db: Spread,
    input_sdr_db: Spread,
    /// Songs in which it is silent.
    silent_songs: usize,
}

/// How a figure is spread over songs; null where there are none.
#[derive(Debug, Clone, Copy, Serialize)]
struct Spread {
    p10: Option<f64>,
    median: Option<f64>,
    p90: Option<f64>,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.filter(|x| x.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let at =
            |part: f64| sorted.get((part * sorted.len().saturating_sub(1) as f64).round() as usize).copied();
        Self { p10: at(0.1), median: at(0.5), p90: at(0.9) }
    }
}

impl Report {
    /// Sums up the figures of all songs.
    pub fn new(songs: &[Figures]) -> Self {
        let stems = Stem::ALL.map(|stem| {
            let sounding: Vec<Measured> = songs.iter().filter_map(|song| song.0[stem as usize]).collect();
            let mean = |band: usize| {
                let sum: f64 = sounding.iter().map(|m| m.bands[band]).sum();
                10.0 * (sum / sounding.len().max(1) as f64).max(1e-12).log10()
            };
            let bands_db = std::array::from_fn(mean);
            let target_db = LEVELS_DB[stem as usize];
            StemReport {
                name: stem.name(),
                bands_db,
                target_db,
                deviation_db: std::array::from_fn(|band| bands_db[band] - f64::from(target_db[band])),
                loudness_lufs: Spread::of(sounding.iter().map(|m| m.loudness)),
                crest_db: Spread::of(sounding.iter().map(|m| m.crest)),
                input_sdr_db: Spread::of(sounding.iter().map(|m| m.input_sdr)),
                silent_songs: songs.len() - sounding.len(),
            }
        });
        Self { songs: songs.len(), bands_hz: BANDS_HZ, stems: stems.into() }
    }

    /// Writes `report.json` and `report.png` into a folder.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let json = serde_json::to_vec_pretty(self).context("the report cannot be told as JSON")?;
        write_atomically(&folder.join("report.json"), |file| file.write_all(&json))?;
        let picture = folder.join("report.png");
        chart::draw(&picture, self).with_context(|| format!("cannot write {}", picture.display()))
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "octave bands of {} songs, dB of the stem, and how far that is from real music",
            self.songs
        )?;
        write!(f, "{:8}", "Hz")?;
        BANDS_HZ.iter().try_for_each(|hz| write!(f, "{hz:>14.0}"))?;
        writeln!(f)?;
        for stem in &self.stems {
            write!(f, "{:8}", stem.name)?;
            let pairs = stem.bands_db.iter().zip(&stem.deviation_db);
            pairs
                .into_iter()
                .try_for_each(|(db, off)| write!(f, "{db:7.1} {:>6}", format!("({off:+.1})")))?;
            writeln!(f)?;
        }
        writeln!(f, "over songs: 10%, median, 90%")?;
        writeln!(
            f,
            "{:8}{:>24}{:>24}{:>24}{:>9}",
            "", "loudness LUFS", "crest dB", "input SDR dB", "silent"
        )?;
        for stem in &self.stems {
            write!(f, "{:8}", stem.name)?;
            for spread in [stem.loudness_lufs, stem.crest_db, stem.input_sdr_db] {
                for value in [spread.p10, spread.median, spread.p90] {
                    write!(f, "{:>8}", value.map_or("-".into(), |value| format!("{value:.1}")))?;
                }
            }
            writeln!(f, "{:9}", stem.silent_songs)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f32, level: f32) -> AudioBuffer {
        let wave: Vec<f32> =
            (0..88_200).map(|n| level * (std::f32::consts::TAU * hz * n as f32 / RATE).sin()).collect();
        AudioBuffer::from_channels(vec![wave.clone(), wave]).unwrap()
    }

    #[test]
    fn a_tone_has_the_figures_that_theory_gives_it() {
        let song = [tone(1_000.0, 0.5), tone(100.0, 0.05), AudioBuffer::new(2, 88_200), tone(4_000.0, 0.05)];
        let figures = Figures::of(&song);
        assert!(figures.0[2].is_none());
        let drums = figures.0[0].unwrap();
        // All of it in one octave, a sine's crest, and 17 dB above two stems of -20 dB each.
        assert!(drums.bands[3] > 0.999 && drums.bands[4] < 1e-3, "{:?}", drums.bands);
        assert!((drums.crest - 3.01).abs() < 0.05, "{}", drums.crest);
        assert!((drums.input_sdr - 16.99).abs() < 0.1, "{}", drums.input_sdr);
        // Full-scale stereo 1 kHz is 0 LUFS (one channel: -3.01), so half of it is -6.
        assert!((drums.loudness + 6.0).abs() < 0.2, "{}", drums.loudness);
        assert!(figures.0[1].unwrap().bands[0] > 0.99, "100 Hz lies in the octave around 125 Hz");
    }

    #[test]
    fn a_report_says_how_far_songs_are_from_real_music() {
        let song = [tone(125.0, 0.5), tone(125.0, 0.5), tone(125.0, 0.5), AudioBuffer::new(2, 88_200)];
        let report = Report::new(&[Figures::of(&song)]);
        assert!((report.stems[0].deviation_db[0] + f64::from(LEVELS_DB[0][0])).abs() < 0.1);
        assert_eq!((report.stems[3].silent_songs, report.stems[3].crest_db.median), (1, None));
        let folder = tempfile::tempdir().unwrap();
        report.write(folder.path()).unwrap();
        let json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.path().join("report.json")).unwrap()).unwrap();
        assert_eq!(json["stems"][2]["name"], "other");
        assert!(std::fs::read(folder.path().join("report.png")).unwrap().starts_with(b"\x89PNG"));
    }
}
