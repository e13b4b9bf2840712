//! Deep sines: 808 basses, which fall into their note, glide and are driven.

use super::super::dsp::{Adsr, RATE, hertz, saturate};
use super::super::score::Note;
use super::{Instrument, STEP};
use crate::rng::Rng;

/// A sine with saturation.
pub struct Sub {
    /// Overdrive: 1 for hardly any.
    pub drive: f32,
    /// Seconds from one pitch to the next.
    pub glide: f32,
    /// Semitones by which a note starts too high, as a drum does.
    pub drop: f32,
    /// Seconds.
    pub decay: f32,
}

impl Instrument for Sub {
    fn play(&self, _rng: &mut Rng, note: &Note, previous: Option<f32>) -> Vec<f32> {
        let from = previous.unwrap_or(note.pitch).clamp(note.pitch - 12.0, note.pitch + 12.0);
        let envelope = Adsr { attack: 0.004, decay: self.decay, sustain: 0.3, release: 0.08 };
        let (mut phase, mut step) = (0.0f32, 0.0);
        let mut out = envelope.curve(note.length);
        for (i, x) in out.iter_mut().enumerate() {
            if i % STEP == 0 {
                let t = i as f32 / RATE;
                let glide =
                    if self.glide > 0.0 { (from - note.pitch) * (-t / self.glide).exp() } else { 0.0 };
                let drop = self.drop * (-t / 0.02).exp();
                step = std::f32::consts::TAU * hertz(note.pitch + glide + drop) / RATE;
            }
            phase = (phase + step) % std::f32::consts::TAU;
            *x *= saturate(phase.sin() * self.drive) * note.velocity;
        }
        out
    }
}
