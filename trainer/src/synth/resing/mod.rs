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

#[cfg(test)]
mod tests {
    use super::super::dsp::{Noise, Svf, frames, hertz};
    use super::super::score::Note;
    use super::sing::{LEAD, Style, sing};
    use super::*;
    use crate::rng::Rng;

    /// Formants of the synthetic voice, Hz.
    const FORMANTS: [f32; 2] = [700.0, 1_800.0];

    /// "Sa sa sa ...": pulses of the given pitch through two formants, each syllable 0.3 s with 0.1 s of noise first.
    fn speech(pitches: &[f32]) -> Vec<f32> {
        let mut out = Vec::new();
        let mut noise = Noise::new(1);
        let mut mouth = FORMANTS.map(|hz| Svf::new(hz, hz / 90.0));
        let mut phase = 0.0f32;
        for &hz in pitches {
            let length = frames(0.3);
            for n in 0..length {
                let t = n as f32 / RATE;
                phase += hz / RATE;
                let pulse = if phase >= 1.0 { 1.0 } else { 0.0 };
                phase %= 1.0;
                let open =
                    if t < 0.1 { 0.0 } else { ((t - 0.1) / 0.02).min((0.3 - t) / 0.03).clamp(0.0, 1.0) };
                let hiss = if t < 0.08 { 0.02 * noise.next() } else { 0.0 };
                let vowel: f32 = mouth.iter_mut().map(|formant| formant.next(pulse).band).sum();
                out.push(open * vowel + hiss);
            }
        }
        out
    }

    fn notes(pitches: &[f32]) -> Vec<Note> {
        let note = |(i, &pitch): (usize, &f32)| Note {
            start: 1.0 + i as f32 * 0.7,
            length: 0.7,
            pitch,
            velocity: 0.8,
        };
        pitches.iter().enumerate().map(note).collect()
    }

    fn steady() -> Style {
        Style { formants: 1.0, vibrato_hz: 5.0, vibrato: 0.0, glide: 0.015, drift: 0.0, spoken: None }
    }

    #[test]
    fn the_pitch_of_a_voice_is_found_and_noise_has_none() {
        let track = pitch::track(&speech(&[110.0, 130.0, 225.0]), SPEECH_HZ.0, SPEECH_HZ.1);
        for (syllable, hz) in [110.0f32, 130.0, 225.0].into_iter().enumerate() {
            let at = |seconds: f32| track[frames(0.3 * syllable as f32 + seconds) / HOP];
            assert!((at(0.2) / hz - 1.0).abs() < 0.01, "{} instead of {hz}", at(0.2));
            assert_eq!(at(0.04), 0.0, "the consonant of syllable {syllable} has a pitch");
        }
    }

    #[test]
    fn syllables_begin_with_their_consonant_and_their_vowel_is_the_beat() {
        let voice = Voice::of_speech(&speech(&[120.0, 140.0, 130.0, 110.0]));
        assert_eq!(voice.syllables.len(), 4, "{:?}", voice.syllables);
        for (index, syllable) in voice.syllables.iter().enumerate() {
            let onset = frames(0.3 * index as f32 + 0.1);
            assert!(syllable.onset.abs_diff(onset) < frames(0.03), "{index}: {syllable:?}");
            assert!(syllable.start < syllable.onset && syllable.onset < syllable.end);
        }
    }

    #[test]
    fn speech_sings_the_notes_in_time_and_in_tune_with_its_own_formants() {
        let signal = speech(&[115.0, 135.0, 125.0]);
        let voice = Voice::of_speech(&signal);
        let notes = notes(&[52.0, 57.0, 61.0]);
        let words: Vec<&[Note]> = notes.chunks(1).collect();
        let sung = sing(&mut Rng::new(1, &[]), &steady(), &signal, &voice, &voice.syllables, &words);
        let track = pitch::track(&sung, 60.0, 600.0);
        for (index, note) in notes.iter().enumerate() {
            let begin = LEAD + 0.7 * index as f32;
            // In the midst of the note, which is more than twice as long as the syllable was.
            for place in [0.15, 0.3, 0.45] {
                let hz = track[frames(begin + place) / HOP];
                let cents = 1_200.0 * (hz / hertz(note.pitch)).log2();
                assert!(cents.abs() < 25.0, "note {index} at {place}: {cents} cents off");
            }
        }
        // The vowel's formants are where they were: between them, and an octave above the first, there is little.
        let energy = |hz: f32| {
            let mut filters = [Svf::new(hz, 4.0), Svf::new(hz, 4.0)];
            let filtered = sung.iter().map(|x| {
                let once = filters[0].next(*x).band;
                filters[1].next(once).band
            });
            filtered.map(|x| x * x).sum::<f32>()
        };
        assert!(energy(FORMANTS[0]) > 4.0 * energy(1_150.0), "the first formant has moved");
        assert!(energy(FORMANTS[1]) > 4.0 * energy(3_000.0), "the second formant has moved");
    }

    #[test]
    fn a_spoken_voice_keeps_its_own_melody() {
        let signal = speech(&[115.0, 135.0]);
        let voice = Voice::of_speech(&signal);
        let notes = notes(&[60.0, 60.0]);
        let words: Vec<&[Note]> = notes.chunks(1).collect();
        let style = Style { spoken: Some(0.0), ..steady() };
        let said = sing(&mut Rng::new(1, &[]), &style, &signal, &voice, &voice.syllables, &words);
        let track = pitch::track(&said, 60.0, 600.0);
        for (index, hz) in [115.0f32, 135.0].into_iter().enumerate() {
            let found = track[frames(LEAD + 0.7 * index as f32 + 0.3) / HOP];
            assert!((found / hz - 1.0).abs() < 0.02, "{found} instead of {hz}");
        }
    }

    #[test]
    fn silence_and_noise_do_no_harm() {
        for signal in [vec![0.0; 20_000], vec![0.0; 10], speech(&[])] {
            let voice = Voice::of_speech(&signal);
            let notes = notes(&[60.0]);
            let sung = sing(&mut Rng::new(1, &[]), &steady(), &signal, &voice, &voice.syllables, &[&notes]);
            assert!(sung.iter().all(|x| x.is_finite()));
        }
    }
}
