//! Pitch and tempo: a time stretch in the time domain, then resampling.
//!
//! The stretch is WSOLA (Verhelst and Roelands 1993): overlapping windows are laid closer together or further apart,
//! each moved a little to where it continues the one before best.

use anyhow::{Context, anyhow};
use rubato::audioadapter_buffers::direct::SequentialSliceOfVecs;
use rubato::{
    Async, FixedAsync, Resampler, SincInterpolationParameters, SincInterpolationType, WindowFunction,
};

use super::Stereo;

/// Frames of a window; the next begins after half of it.
const WINDOW: usize = 2_048;
const HOP: usize = WINDOW / 2;

/// How far a window may be moved, frames.
const SEARCH: usize = 512;

/// The search looks at means of so many frames first.
const COARSE: usize = 8;

/// Left off at the beginning and the end, where windows and filters lack neighbours.
const EDGE: usize = 2_048;

/// Length of the resampling filter, frames.
const FILTER: usize = 64;

/// Both as factors; 1 leaves them as they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speed {
    /// Of all frequencies.
    pub pitch: f32,
    /// Of the speed.
    pub tempo: f32,
}

impl Default for Speed {
    fn default() -> Self {
        Self { pitch: 1.0, tempo: 1.0 }
    }
}

impl Speed {
    /// Frames of the original that give so many changed ones.
    pub fn source_frames(self, frames: usize) -> usize {
        if self == Self::default() {
            return frames;
        }
        ((frames + 2 * EDGE) as f64 * f64::from(self.tempo)).ceil() as usize + 2 * WINDOW + SEARCH
    }

    /// Turns [`Speed::source_frames`] of the original into `frames`.
    ///
    /// # Errors
    /// None that comes from the data.
    pub fn apply(self, mut audio: Stereo, frames: usize) -> anyhow::Result<Stereo> {
        if self == Self::default() {
            return Ok(audio);
        }
        if self.pitch != self.tempo {
            audio = stretch(&audio, f64::from(self.pitch) / f64::from(self.tempo));
        }
        if self.pitch != 1.0 {
            audio = resample(&audio, 1.0 / f64::from(self.pitch)).context("cannot change the pitch")?;
        }
        for side in &mut audio {
            side.drain(..EDGE.min(side.len()));
            side.resize(frames, 0.0);
        }
        Ok(audio)
    }
}

/// `factor` times as long, at the same pitch.
fn stretch(audio: &Stereo, factor: f64) -> Stereo {
    let length = audio[0].len();
    let window: Vec<f32> =
        (0..WINDOW).map(|n| 0.5 - 0.5 * (std::f32::consts::TAU * n as f32 / WINDOW as f32).cos()).collect();
    let fine = Searched::new(audio.clone());
    let coarse = Searched::new(audio.each_ref().map(|side| means(side)));
    let windows = ((length as f64 * factor) as usize / HOP).saturating_sub(1);
    let mut stretched = [(); 2].map(|()| vec![0.0; windows * HOP + HOP]);
    let mut at = 0;
    for number in 0..windows {
        let wanted = (number * HOP) as f64 / factor;
        let wanted = (wanted.round() as usize).min(length.saturating_sub(WINDOW));
        if number > 0 {
            at = best(&fine, &coarse, wanted, at + HOP);
        }
        for (stretched, side) in stretched.iter_mut().zip(audio) {
            let part = stretched[number * HOP..].iter_mut().zip(&side[at..]);
            part.zip(&window).for_each(|((sum, x), weight)| *sum += weight * x);
        }
    }
    stretched
}

/// Means of [`COARSE`] frames each.
fn means(side: &[f32]) -> Vec<f32> {
    side.chunks_exact(COARSE).map(|frames| frames.iter().sum::<f32>() / COARSE as f32).collect()
}

/// A sound in which likeness is looked for.
struct Searched {
    sides: Stereo,
    /// Entry n: energy of the first n samples of both sides.
    energy: Vec<f64>,
}

impl Searched {
    fn new(sides: Stereo) -> Self {
        let mut sum = 0.0;
        let squares = sides[0].iter().zip(&sides[1]).map(|(left, right)| {
            sum += f64::from(*left).powi(2) + f64::from(*right).powi(2);
            sum
        });
        let energy = std::iter::once(0.0).chain(squares).collect();
        Self { sides, energy }
    }

    /// How much `count` samples at one place look like those at another, whatever their level at the first.
    fn likeness(&self, place: usize, other: usize, count: usize) -> f32 {
        let energy = (self.energy[place + count] - self.energy[place]).max(1e-9);
        let product: f32 =
            self.sides.iter().map(|x| dot(&x[place..place + count], &x[other..other + count])).sum();
        product / (energy as f32).sqrt()
    }
}

/// The place near `wanted` at which a window continues the sound at `next` best.
fn best(fine: &Searched, coarse: &Searched, wanted: usize, next: usize) -> usize {
    let length = fine.sides[0].len();
    if next + HOP > length {
        return wanted;
    }
    let around =
        |place: usize, reach: usize| place.saturating_sub(reach)..=(place + reach).min(length - WINDOW);
    let rough = |place: usize| coarse.likeness(place / COARSE, next / COARSE, HOP / COARSE);
    let middle = highest(around(wanted, SEARCH).step_by(COARSE), rough, wanted);
    highest(around(middle, COARSE), |place| fine.likeness(place, next, HOP), middle)
}

/// Where a score is highest; `first` unless somewhere it is higher than there.
fn highest(places: impl Iterator<Item = usize>, score: impl Fn(usize) -> f32, first: usize) -> usize {
    let mut best = (first, score(first));
    for place in places {
        let found = score(place);
        if found > best.1 {
            best = (place, found);
        }
    }
    best.0
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    // Eight sums at a time can be vectorised; the order is always the same.
    let mut sums = [0.0; 8];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// `ratio` times as many frames, so that all frequencies are divided by it.
fn resample(audio: &Stereo, ratio: f64) -> anyhow::Result<Stereo> {
    let parameters = SincInterpolationParameters::new(FILTER, WindowFunction::BlackmanHarris2)
        .oversampling_factor(128)
        .interpolation(SincInterpolationType::Linear);
    let mut resampler = Async::<f32>::new_sinc(ratio, 1.0, &parameters, 4_096, 2, FixedAsync::Input)?;
    let frames = audio[0].len();
    let input = SequentialSliceOfVecs::new(audio.as_slice(), 2, frames).map_err(|e| anyhow!("{e}"))?;
    let interleaved = resampler.process_all(&input, frames, None)?.take_data();
    let (pairs, _) = interleaved.as_chunks::<2>();
    Ok([0, 1].map(|side| pairs.iter().map(|pair| pair[side]).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: f32 = 44_100.0;
    const FRAMES: usize = 30_000;

    /// A tone that beats once every `period` frames, so that both its pitch and its tempo can be seen.
    fn beats(frames: usize, hz: f32, period: usize) -> Stereo {
        let tone = |n: usize| {
            let level = (-8.0 * (n % period) as f32 / period as f32).exp();
            0.5 * level * (std::f32::consts::TAU * hz * n as f32 / RATE).sin()
        };
        let left: Vec<f32> = (0..frames).map(tone).collect();
        [left.clone(), left.iter().map(|x| -0.5 * x).collect()]
    }

    /// Strength of one frequency.
    fn strength(samples: &[f32], hz: f32) -> f32 {
        let turn = |n: usize| (std::f32::consts::TAU * hz * n as f32 / RATE).sin_cos();
        let (sin, cos) = samples.iter().enumerate().fold((0.0, 0.0), |(sin, cos), (n, x)| {
            let (s, c) = turn(n);
            (sin + x * s, cos + x * c)
        });
        (sin * sin + cos * cos).sqrt()
    }

    /// Frames between two beats: where the loudness agrees best with itself.
    fn period(samples: &[f32]) -> usize {
        let loudness: Vec<f32> = samples.chunks(50).map(|x| x.iter().map(|x| x.abs()).sum()).collect();
        let likeness = |lag: usize| dot(&loudness[lag..lag + 300], &loudness[..300]);
        50 * highest(60..190, likeness, 60)
    }

    #[test]
    fn pitch_and_tempo_change_each_on_its_own() {
        for (pitch, tempo) in
            [(1.0, 1.2), (1.0, 0.85), (1.122_462, 1.0), (0.890_899, 1.0), (1.1, 0.9), (1.1, 1.1)]
        {
            let speed = Speed { pitch, tempo };
            let original = beats(speed.source_frames(FRAMES), 700.0, 7_000);
            let [left, right] = speed.apply(original, FRAMES).unwrap();
            assert_eq!((left.len(), right.len()), (FRAMES, FRAMES));
            assert!(
                left.iter().zip(&right).all(|(l, r)| (r + 0.5 * l).abs() < 1e-4),
                "the sides stay together"
            );
            let other_pitch = strength(&left, 700.0 * if pitch == 1.0 { 1.1 } else { 1.0 });
            assert!(strength(&left, 700.0 * pitch) > 5.0 * other_pitch, "{speed:?}");
            let expected = 7_000.0 / tempo;
            assert!((period(&left) as f32 - expected).abs() < 350.0, "{speed:?}: {}", period(&left));
            // Nothing fades or is doubled where windows meet.
            let ideal = beats(FRAMES + EDGE, 700.0 * pitch, expected.round() as usize);
            let energy = dot(&left, &left) / dot(&ideal[0][EDGE..], &ideal[0][EDGE..]);
            assert!((0.8..1.25).contains(&energy), "{speed:?}: {energy}");
            assert!(left[..3_000].iter().any(|x| x.abs() > 1e-3), "it begins with sound");
        }
    }

    #[test]
    fn a_steady_tone_stays_pure() {
        let speed = Speed { pitch: 1.0, tempo: 1.13 };
        let tone = beats(speed.source_frames(FRAMES), 440.0, usize::MAX);
        let [left, _] = speed.apply(tone, FRAMES).unwrap();
        for piece in left.chunks_exact(5_000) {
            // What is left when the tone itself is taken away.
            let amplitude = 2.0 * strength(piece, 440.0) / piece.len() as f32;
            let energy = dot(piece, piece) / piece.len() as f32;
            let rest = 10.0 * ((energy - amplitude * amplitude / 2.0).max(1e-12) / energy).log10();
            assert!(rest < -25.0 && (0.45..0.55).contains(&amplitude), "{rest} dB, {amplitude}");
        }
    }

    #[test]
    fn silence_stays_silent_and_nothing_is_done_for_nothing() {
        let speed = Speed { pitch: 1.05, tempo: 0.95 };
        let silent = [(); 2].map(|()| vec![0.0; speed.source_frames(5_000)]);
        assert!(speed.apply(silent, 5_000).unwrap().iter().flatten().all(|x| *x == 0.0));
        let audio = beats(100, 440.0, 50);
        assert_eq!(Speed::default().source_frames(100), 100);
        assert_eq!(Speed::default().apply(audio.clone(), 100).unwrap(), audio);
    }
}
