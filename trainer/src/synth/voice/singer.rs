//! What makes one singer differ from another.

use crate::rng::Rng;

/// A singer.
#[derive(Clone)]
pub struct Singer {
    /// Length of the throat: factor on all formants.
    pub formants: f32,
    /// 0 soft and dark to 1 pressed and bright.
    pub effort: f32,
    /// Level of the breath.
    pub breath: f32,
    /// Irregularity of the folds, as a part of the period.
    pub jitter: f32,
    /// Swings a second.
    pub vibrato_hz: f32,
    /// Semitones.
    pub vibrato: f32,
    /// Seconds from one pitch to the next.
    pub glide: f32,
    /// Level of consonants.
    pub consonants: f32,
    /// 0 to 1.
    pub growl: f32,
    /// MIDI note above which the voice turns into falsetto.
    pub passage: f32,
    /// Semitones by which the pitch drifts; 0 for voices that a machine has put in tune.
    pub drift: f32,
    /// How far the third to fifth formants draw together, as trained voices do: 0 to 1.
    pub ring: f32,
}

impl Singer {
    /// A singer for lines around this pitch.
    pub fn draw(rng: &mut Rng, pitch: f32) -> Self {
        // High voices usually come from short throats.
        let short = ((pitch - 50.0) / 24.0).clamp(0.0, 1.0);
        let tuned = rng.chance(0.15);
        let pressed = rng.unit();
        Self {
            formants: 0.94 + 0.22 * short + 0.05 * rng.normal(),
            effort: 0.15 + 0.8 * pressed,
            breath: rng.log_range(0.004, 0.06) * (1.6 - pressed),
            jitter: rng.range(0.001, 0.008),
            vibrato_hz: rng.range(4.5, 7.0),
            vibrato: if !tuned && rng.chance(0.8) { rng.range(0.05, 0.7) } else { 0.0 },
            glide: if tuned { 0.006 } else { rng.range(0.015, 0.09) },
            consonants: rng.range(0.5, 1.5),
            growl: if rng.chance(0.15) { rng.range(0.1, 0.6) } else { 0.0 },
            passage: pitch + rng.range(2.0, 16.0),
            drift: if tuned { 0.02 } else { rng.range(0.2, 0.8) },
            ring: if rng.chance(0.25) { rng.unit() } else { 0.0 },
        }
    }

    /// How far into falsetto a pitch lies, 0 to 1.
    pub fn falsetto(&self, pitch: f32) -> f32 {
        ((pitch - self.passage) / 2.0).clamp(0.0, 1.0)
    }
}
