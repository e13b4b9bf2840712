//! What songs are like, in figures: spectrum, crest factor and level of each stem.

use engine::audio::AudioBuffer;
use engine::{STEMS, Stem};

use super::dsp::{INAUDIBLE, Svf};

/// Centres of the octave bands, Hz.
const BANDS: [f32; 9] = [62.5, 125.0, 250.0, 500.0, 1_000.0, 2_000.0, 4_000.0, 8_000.0, 16_000.0];

/// Sums over songs, from which averages are printed.
#[derive(Default)]
pub struct Report {
    /// Energy per stem and band.
    bands: [[f64; BANDS.len()]; STEMS],
    /// Per stem and song: energy of the stem over that of all others, dB. Silent stems are left out.
    input_sdr: [Vec<f64>; STEMS],
    crest: [Vec<f64>; STEMS],
    songs: usize,
}

impl Report {
    /// Counts a song in, each stem scaled to the same energy.
    pub fn add(&mut self, stems: &[AudioBuffer; STEMS]) {
        self.songs += 1;
        let energies: Vec<f64> = stems.iter().map(|s| energy(s.iter().flatten().copied())).collect();
        for (index, stem) in stems.iter().enumerate() {
            if energies[index] < 1e-9 {
                continue;
            }
            for (band, &hz) in BANDS.iter().enumerate() {
                let mut filters = [Svf::new(hz, 1.414), Svf::new(hz, 1.414)];
                let filtered = stem.channel(0).iter().map(|&x| {
                    let once = filters[0].next(x + INAUDIBLE).band;
                    filters[1].next(once).band
                });
                self.bands[index][band] += energy(filtered) / energies[index];
            }
            let rest = (0..stem.channels()).map(|c| {
                let others = stems.iter().enumerate().filter(|(i, _)| *i != index);
                let others: Vec<&[f32]> = others.map(|(_, s)| s.channel(c)).collect();
                energy((0..stem.frames()).map(|n| others.iter().map(|o| o[n]).sum::<f32>()))
            });
            self.input_sdr[index].push(10.0 * (energies[index] / rest.sum::<f64>().max(1e-12)).log10());
            let peak = stem.iter().flatten().fold(0f32, |p, x| p.max(x.abs()));
            let count = (stem.channels() * stem.frames()) as f64;
            self.crest[index].push(20.0 * (f64::from(peak) / (energies[index] / count).sqrt()).log10());
        }
    }
}

fn energy(samples: impl Iterator<Item = f32>) -> f64 {
    samples.map(|x| f64::from(x) * f64::from(x)).sum()
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} songs; octave bands in dB of the stem\n{:8}", self.songs, "")?;
        BANDS.iter().try_for_each(|hz| write!(f, "{hz:>7.0}"))?;
        writeln!(f, "  crest dB  input SDR dB: 10%, median, 90%  silent")?;
        for stem in Stem::ALL {
            let s = stem as usize;
            write!(f, "{:8}", stem.name())?;
            let total: f64 = self.bands[s].iter().sum::<f64>().max(1e-12);
            self.bands[s]
                .iter()
                .try_for_each(|e| write!(f, "{:7.1}", 10.0 * (e / total).max(1e-12).log10()))?;
            let mut sdr = self.input_sdr[s].clone();
            sdr.sort_by(f64::total_cmp);
            let at = |part: f64| {
                sdr.get((part * (sdr.len().max(1) - 1) as f64) as usize).copied().unwrap_or(f64::NAN)
            };
            let crest = self.crest[s].iter().sum::<f64>() / self.crest[s].len().max(1) as f64;
            writeln!(
                f,
                "{crest:10.1}{:21.1}{:8.1}{:7.1}{:8}",
                at(0.1),
                at(0.5),
                at(0.9),
                self.songs - self.crest[s].len()
            )?;
        }
        Ok(())
    }
}
