//! What is no note: risers, sweeps, wind, crackle, hum, a crowd of grains.

use super::super::dsp::{Adsr, Noise, Osc, RATE, Svf};
use super::super::score::Note;
use super::{Instrument, STEP};
use crate::rng::Rng;

/// A texture. It takes a note's time and loudness, and its pitch only as a colour.
#[derive(Clone, Copy)]
pub enum Texture {
    /// Noise through a band that rises (or falls) by this many octaves over the note.
    Sweep(f32),
    /// Wind and waves: a band that wanders.
    Wind,
    /// Scratches of a record, this many a second.
    Crackle(f32),
    /// Mains hum with its harmonics.
    Hum,
    /// Short grains of tones.
    Grains,
}

impl Texture {
    /// One of them.
    pub fn draw(rng: &mut Rng) -> Self {
        match rng.below(5) {
            0 => Self::Sweep(rng.range(-3.5, 5.0)),
            1 => Self::Wind,
            2 => Self::Crackle(rng.log_range(5.0, 80.0)),
            3 => Self::Hum,
            _ => Self::Grains,
        }
    }
}

impl Instrument for Texture {
    fn play(&self, rng: &mut Rng, note: &Note, _previous: Option<f32>) -> Vec<f32> {
        let envelope = Adsr { attack: 0.2 * note.length, decay: 1.0, sustain: 1.0, release: 0.3 };
        let mut out = envelope.curve(note.length);
        let mut noise = Noise::new(rng.bits());
        let length = out.len() as f32;
        let mut filter = Svf::default();
        let mut tone = Osc::new(0.0);
        let (mut place, mut level, mut hz) = (0.0f32, 0.0f32, 440.0f32);
        for (i, x) in out.iter_mut().enumerate() {
            if i % STEP == 0 {
                match *self {
                    Self::Sweep(octaves) => {
                        filter.tune(500.0 * (octaves * i as f32 / length).exp2(), 1.5);
                    }
                    Self::Wind => {
                        place = 0.999 * place + 0.02 * rng.normal();
                        filter.tune(700.0 * (2.0 * place).exp2(), 1.2);
                    }
                    Self::Crackle(rate) => {
                        if rng.chance(rate * STEP as f32 / RATE) {
                            level = rng.range(0.1, 1.0);
                            filter.tune(rng.log_range(800.0, 9_000.0), 1.0);
                        }
                    }
                    Self::Hum => {}
                    Self::Grains => {
                        if rng.chance(14.0 * STEP as f32 / RATE) {
                            level = rng.range(0.2, 1.0);
                            hz = rng.log_range(150.0, 4_000.0);
                        }
                    }
                }
            }
            let sample = match *self {
                Self::Sweep(_) | Self::Wind => filter.next(noise.next()).band,
                Self::Crackle(_) => {
                    level *= 0.985;
                    filter.next(level * noise.next()).band + 0.004 * noise.next()
                }
                Self::Hum => {
                    let hum = tone.sine(50.0, 0.0);
                    // Rectified and squared: the hundred and its harmonics.
                    0.5 * hum + 0.4 * hum.abs() + 0.01 * noise.next()
                }
                Self::Grains => {
                    level *= 0.9995;
                    level * tone.sine(hz, 0.0)
                }
            };
            *x *= sample * note.velocity;
        }
        out
    }
}
