//! Instruments that play one note at a time, for the bass and for everything that is neither drums nor voice.

mod additive;
mod fm;
mod noise;
mod organ;
mod plucked;
mod section;
mod struck;
mod sub;
mod subtractive;
mod wind;

pub use additive::Additive;
pub use fm::Fm;
pub use noise::Texture;
pub use organ::Organ;
pub use plucked::Pluck;
pub use section::{Brass, Strings};
pub use struck::{Mallet, Piano};
pub use sub::Sub;
pub use subtractive::Subtractive;
pub use wind::Wind;

use super::score::Note;
use crate::rng::Rng;

/// An instrument, with everything that makes one differ from the next.
pub trait Instrument {
    /// One note, from its start to its silence: mono. A full note peaks at about 1. Some instruments glide from the
    /// `previous` pitch.
    fn play(&self, rng: &mut Rng, note: &Note, previous: Option<f32>) -> Vec<f32>;
}

/// Frames between two settings of what moves within a note.
const STEP: usize = 16;

/// A pitch that wavers around a note, in semitones: vibrato that sets in after a while.
struct Vibrato {
    /// Semitones.
    depth: f32,
    /// Swings a second.
    hz: f32,
    phase: f32,
}

impl Vibrato {
    fn new(depth: f32, hz: f32, phase: f32) -> Self {
        Self { depth, hz, phase }
    }

    /// The deviation `seconds` after the note's start.
    fn at(&self, seconds: f32) -> f32 {
        if self.depth == 0.0 {
            return 0.0;
        }
        let swing = (std::f32::consts::TAU * (self.hz * seconds + self.phase)).sin();
        self.depth * ((seconds - 0.12) * 3.0).clamp(0.0, 1.0) * swing
    }
}

#[cfg(test)]
mod tests;
