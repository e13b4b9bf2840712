//! Flutes, reeds, whistles: few harmonics, breath and vibrato.

use super::super::dsp::{Adsr, Noise, RATE, Svf, hertz};
use super::super::score::Note;
use super::additive::harmonics;
use super::{Instrument, STEP, Vibrato};
use crate::rng::Rng;

/// A wind instrument.
pub struct Wind {
    harmonics: [f32; 12],
    breath: f32,
    vibrato: f32,
    vibrato_hz: f32,
    attack: f32,
}

impl Wind {
    /// From flute to oboe.
    pub fn draw(rng: &mut Rng) -> Self {
        // Closed pipes lack the even harmonics.
        let odd = rng.chance(0.3);
        let (fall, formant) = (rng.range(0.3, 0.85), 1.0 + rng.range(0.0, 6.0));
        let levels: [f32; 12] = std::array::from_fn(|i| {
            let even = if odd && i % 2 == 1 { 0.15 } else { 1.0 };
            let near = 1.0 + (-(i as f32 - formant).powi(2) / 4.0).exp();
            even * near * fall.powi(i as i32) * rng.range(0.5, 1.2)
        });
        let power = levels.iter().map(|l| l * l).sum::<f32>().sqrt();
        Self {
            harmonics: levels.map(|l| 0.8 * l / power),
            breath: rng.log_range(0.01, 0.25),
            vibrato: rng.range(0.0, 0.35),
            vibrato_hz: rng.range(4.5, 6.5),
            attack: rng.log_range(0.015, 0.08),
        }
    }
}

impl Instrument for Wind {
    fn play(&self, rng: &mut Rng, note: &Note, _previous: Option<f32>) -> Vec<f32> {
        let hz = hertz(note.pitch);
        let mut air = Svf::new((hz * 2.0).min(9_000.0), 0.5);
        let mut noise = Noise::new(rng.bits());
        let vibrato = Vibrato::new(self.vibrato, self.vibrato_hz, rng.unit());
        let audible = ((16_000.0 / hz) as usize).clamp(1, self.harmonics.len());
        let (mut phase, mut step) = (0.0f32, 0.0);
        let envelope = Adsr { attack: self.attack, decay: 0.5, sustain: 0.85, release: 0.08 };
        let mut out = envelope.curve(note.length);
        for (i, x) in out.iter_mut().enumerate() {
            if i % STEP == 0 {
                let t = i as f32 / RATE;
                step = std::f32::consts::TAU * hertz(note.pitch + vibrato.at(t)) / RATE;
            }
            phase = (phase + step) % std::f32::consts::TAU;
            let tone = harmonics(&self.harmonics[..audible], phase);
            // More breath than tone while the note begins.
            let breath = self.breath * (1.0 + 2.0 * (1.0 - *x)) * air.next(noise.next()).band;
            *x *= (tone + breath) * note.velocity;
        }
        out
    }
}
