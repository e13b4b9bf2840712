//! Frequency modulation (Chowning 1973): two modulators on one carrier, one of them with feedback.

use super::super::dsp::{Adsr, Osc, hertz};
use super::super::score::Note;
use super::Instrument;
use crate::rng::Rng;

/// A patch.
pub struct Fm {
    /// Frequency of the carrier against the note.
    pub carrier: f32,
    /// Frequency against the note, depth in radians, and decay in seconds of each modulator.
    pub modulators: [(f32, f32, f32); 2],
    /// How much the second modulator modulates itself: towards noise.
    pub feedback: f32,
    /// Loudness.
    pub amplitude: Adsr,
}

impl Instrument for Fm {
    fn play(&self, rng: &mut Rng, note: &Note, _previous: Option<f32>) -> Vec<f32> {
        let hz = hertz(note.pitch);
        let (mut carrier, mut first, mut second) =
            (Osc::new(rng.unit()), Osc::new(0.0), Osc::new(rng.unit()));
        // Fewer sidebands for high notes, or they would fold back.
        let depth = |(ratio, index, decay): (f32, f32, f32)| {
            let index = index * (900.0 / (hz * ratio)).min(1.0).sqrt() * (0.2 + 0.8 * note.velocity);
            (hz * ratio, index, (-3.0 / (decay * super::super::dsp::RATE)).exp())
        };
        let [(hz_1, mut index_1, fade_1), (hz_2, mut index_2, fade_2)] = self.modulators.map(depth);
        // What stays of each when the envelope is through.
        let (rest_1, rest_2) = (0.15 * index_1, 0.1 * index_2);
        let (mut returned, mut out) = (0.0, self.amplitude.curve(note.length));
        for x in &mut out {
            index_1 = rest_1 + (index_1 - rest_1) * fade_1;
            index_2 = rest_2 + (index_2 - rest_2) * fade_2;
            let a = if index_1 > 1e-3 { index_1 * first.sine(hz_1, 0.0) } else { 0.0 };
            returned = second.sine(hz_2, self.feedback * returned);
            *x *= carrier.sine(hz * self.carrier, a + index_2 * returned) * note.velocity;
        }
        out
    }
}
