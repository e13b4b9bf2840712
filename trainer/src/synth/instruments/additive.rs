//! Sums of harmonics whose levels move from one spectrum to another.

use super::super::dsp::{Adsr, Noise, RATE, hertz};
use super::super::score::Note;
use super::{Instrument, STEP, Vibrato};
use crate::rng::Rng;

/// How many harmonics.
pub const HARMONICS: usize = 16;

/// A patch.
pub struct Additive {
    /// Levels of the harmonics at the note's start.
    pub start: [f32; HARMONICS],
    /// And later.
    pub end: [f32; HARMONICS],
    /// Seconds from one to the other; swings on to and fro if `circling`.
    pub seconds: f32,
    /// See `seconds`.
    pub circling: bool,
    /// Loudness.
    pub amplitude: Adsr,
    /// Semitones.
    pub vibrato: f32,
}

impl Additive {
    /// A random patch.
    pub fn draw(rng: &mut Rng, amplitude: Adsr) -> Self {
        let spectrum = |rng: &mut Rng| {
            let (tilt, odd, hump) = (rng.range(0.45, 0.85), rng.chance(0.3), rng.range(1.0, 9.0));
            let levels: [f32; HARMONICS] = std::array::from_fn(|i| {
                let number = i as f32 + 1.0;
                let even = if odd && i % 2 == 1 { 0.1 } else { 1.0 };
                even * rng.range(0.2, 1.0) * (tilt.powi(i as i32) + 0.3 * (-(number - hump).powi(2)).exp())
            });
            let power = levels.iter().map(|l| l * l).sum::<f32>().sqrt();
            levels.map(|l| l / power)
        };
        Self {
            start: spectrum(rng),
            end: spectrum(rng),
            seconds: rng.log_range(0.1, 3.0),
            circling: rng.chance(0.4),
            amplitude,
            vibrato: if rng.chance(0.3) { rng.range(0.0, 0.2) } else { 0.0 },
        }
    }
}

impl Instrument for Additive {
    fn play(&self, rng: &mut Rng, note: &Note, _previous: Option<f32>) -> Vec<f32> {
        let audible = ((16_000.0 / hertz(note.pitch)) as usize).clamp(1, HARMONICS);
        let vibrato = Vibrato::new(self.vibrato, 5.2, rng.unit());
        let mut noise = Noise::new(rng.bits());
        let (mut levels, mut phase, mut step) = (self.start, rng.unit() * std::f32::consts::TAU, 0.0);
        let mut out = self.amplitude.curve(note.length);
        for (i, x) in out.iter_mut().enumerate() {
            if i % STEP == 0 {
                let t = i as f32 / RATE;
                let way = if self.circling {
                    0.5 - 0.5 * (std::f32::consts::PI * t / self.seconds).cos()
                } else {
                    1.0 - (-t / self.seconds).exp()
                };
                for (level, (start, end)) in levels.iter_mut().zip(self.start.iter().zip(&self.end)) {
                    *level = start + way * (end - start);
                }
                step = std::f32::consts::TAU * hertz(note.pitch + vibrato.at(t)) / RATE;
            }
            phase = (phase + step) % std::f32::consts::TAU;
            *x *= harmonics(&levels[..audible], phase) * note.velocity + 0.002 * noise.next();
        }
        out
    }
}

/// The sum of `levels[n] * sin((n + 1) * phase)`, each sine made from the two before it.
pub fn harmonics(levels: &[f32], phase: f32) -> f32 {
    let (sin, cos) = phase.sin_cos();
    let twice_cos = 2.0 * cos;
    let (mut before, mut current, mut sum) = (0.0, sin, 0.0);
    for level in levels {
        sum += level * current;
        (before, current) = (current, twice_cos * current - before);
    }
    sum
}
