//! A recorded voice sings other notes: pitch-synchronous overlap-add in the time domain.
//!
//! After Moulines and Charpentier, "Pitch-synchronous waveform processing techniques for text-to-speech synthesis
//! using diphones" (1990). The voice is cut into pieces of two periods, which are set down again at the periods of
//! the new pitch: formants stay where they were, so it is still the same voice. Consonants keep their length,
//! vowels are stretched to the notes.

mod overlap_add;
mod pitch;
mod sing;
mod syllables;

use super::dsp::{Biquad, RATE};
use pitch::HOP;
pub use sing::{LEAD, Style, sing};
pub use syllables::Syllable;

/// A place to cut a voice.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    /// The frame.
    pub at: usize,
    /// Frames to the next period; [`HOP`] where there is no pitch.
    pub period: f32,
    /// Whether there is a pitch.
    pub voiced: bool,
}

/// What has to be known of a recorded voice to make it sing.
pub struct Voice {
    /// One for each period, or each [`HOP`] where it has no pitch. In rising order.
    pub marks: Vec<Mark>,
    /// In rising order; at least one.
    pub syllables: Vec<Syllable>,
    /// Part of its length that has a pitch.
    pub voiced: f32,
}

/// The pitches of voices that may say anything, Hz.
const SPEECH_HZ: (f32, f32) = (62.0, 620.0);

impl Voice {
    /// Analyses running speech or singing.
    pub fn of_speech(signal: &[f32]) -> Self {
        let hz = pitch::track(signal, SPEECH_HZ.0, SPEECH_HZ.1);
        let syllables = syllables::find(signal, &hz);
        Self::new(signal, &hz, syllables)
    }

    /// Analyses one held note, whose pitch is known: it is a single syllable.
    pub fn of_note(signal: &[f32], hz: f32) -> Self {
        let hz = pitch::track(signal, hz * 0.8, hz * 1.25);
        let onset = (signal.len() / 10).min((0.06 * RATE) as usize);
        Self::new(signal, &hz, vec![Syllable::new(signal, 0, onset, signal.len())])
    }

    fn new(signal: &[f32], hz: &[f32], syllables: Vec<Syllable>) -> Self {
        let voiced = hz.iter().filter(|hz| **hz > 0.0).count() as f32 / hz.len().max(1) as f32;
        Self { marks: marks(signal, hz), syllables, voiced }
    }
}

/// Places marks at the same point of each period: its highest peak of the side on which peaks are higher.
fn marks(signal: &[f32], hz: &[f32]) -> Vec<Mark> {
    let mut low = signal.to_vec();
    (0..2).for_each(|_| Biquad::low_pass(900.0).run(&mut low));
    let (up, down) = low.iter().fold((0f32, 0f32), |(up, down), x| (up.max(*x), down.max(-x)));
    let side = if up >= down { 1.0 } else { -1.0 };
    let hz_at = |frame: usize| hz.get(frame / HOP).copied().unwrap_or(0.0);
    // The highest point near a frame, the nearer ones preferred.
    let peak = |around: usize, reach: usize| {
        let from = around.saturating_sub(reach);
        let to = (around + reach + 1).min(low.len());
        let height = |frame: usize| {
            side * low[frame] * (1.0 - 0.5 * frame.abs_diff(around) as f32 / (reach + 1) as f32)
        };
        (from..to).max_by(|a, b| height(*a).total_cmp(&height(*b))).unwrap_or(around)
    };
    let mut marks: Vec<Mark> = Vec::new();
    let mut frame = 0;
    let mut running = false;
    while frame < signal.len() {
        let hz = hz_at(frame);
        if hz <= 0.0 {
            marks.push(Mark { at: frame, period: HOP as f32, voiced: false });
            frame += HOP;
            running = false;
            continue;
        }
        let period = RATE / hz;
        // The first period of a voiced stretch is looked for in a whole period, the others where they should be.
        let reach = if running { 0.15 } else { 0.5 } * period;
        let mut at = peak(frame, reach as usize);
        if marks.last().is_some_and(|last| at <= last.at) {
            at = frame;
        }
        marks.push(Mark { at, period, voiced: true });
        running = true;
        frame = at + (period.round() as usize).max(1);
    }
    marks
}

