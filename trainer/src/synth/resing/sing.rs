//! From syllables and notes to a sung line: when each sound comes, and how its pitch moves.

use std::f32::consts::TAU;

use super::overlap_add::{Knot, overlap_add};
use super::{Syllable, Voice};
use crate::rng::Rng;
use crate::synth::dsp::{RATE, frames, hertz};
use crate::synth::score::Note;

/// Seconds that a sung line begins before its first note: its first consonant.
pub const LEAD: f32 = 0.25;

/// The longest consonants, seconds.
const CONSONANT: f32 = 0.2;

/// How somebody sings.
#[derive(Clone)]
pub struct Style {
    /// Factor on the formants.
    pub formants: f32,
    /// Hz.
    pub vibrato_hz: f32,
    /// Semitones up and down.
    pub vibrato: f32,
    /// Seconds of the way from one pitch to the next.
    pub glide: f32,
    /// Semitones of random wandering.
    pub drift: f32,
    /// The voice's own speech melody, moved by so many semitones, in place of the notes' pitches.
    pub spoken: Option<f32>,
}

impl Style {
    /// A random singer.
    pub fn draw(rng: &mut Rng) -> Self {
        Self {
            formants: (0.06 * rng.normal()).exp().clamp(0.85, 1.18),
            vibrato_hz: rng.range(4.5, 7.0),
            vibrato: if rng.chance(0.8) { rng.range(0.1, 0.7) } else { 0.0 },
            glide: rng.range(0.012, 0.07),
            drift: rng.range(0.03, 0.15),
            spoken: None,
        }
    }
}

/// Sings one syllable to each group of notes (`words`; none of them empty), as many as there are of both.
///
/// A vowel begins with its first note, its consonants before. The result begins [`LEAD`] seconds before the first
/// note; vowels have a level of about their note's velocity.
pub fn sing(
    rng: &mut Rng,
    style: &Style,
    signal: &[f32],
    voice: &Voice,
    syllables: &[Syllable],
    words: &[&[Note]],
) -> Vec<f32> {
    let notes: Vec<Note> = words.iter().zip(syllables).flat_map(|(word, _)| word.iter().copied()).collect();
    let Some(origin) = notes.first().map(|note| note.start - LEAD) else { return Vec::new() };
    let knots = knots(syllables, words, origin);
    let mut melody = Melody::new(rng.fork(), style, &notes, origin);
    let mut out = overlap_add(rng, signal, voice, &knots, style.formants, |frame, own_hz| {
        let sung = melody.at(frame);
        style.spoken.map_or(sung, |semitones| own_hz * (semitones / 12.0).exp2())
    });
    // The last vowel may have been cut in its midst.
    let end = knots.last().map_or(0, |knot| knot.out as usize);
    let fade = frames(0.04);
    for (n, x) in out.iter_mut().enumerate().skip(end.saturating_sub(fade)) {
        *x *= (end as f32 - n as f32).max(0.0) / fade as f32;
    }
    out
}

/// Which moment of the recording sounds when.
fn knots(syllables: &[Syllable], words: &[&[Note]], origin: f32) -> Vec<Knot> {
    let frame = |seconds: f32| (seconds - origin) * RATE;
    let mut knots: Vec<Knot> = Vec::new();
    let pairs: Vec<(&Syllable, &[Note])> = syllables.iter().zip(words.iter().copied()).collect();
    // Where the consonants of each syllable begin in the result: they take at most 45% of the note before.
    let consonants: Vec<f32> = pairs
        .iter()
        .enumerate()
        .map(|(index, (syllable, word))| {
            let start = word[0].start;
            let room = match index.checked_sub(1) {
                Some(before) => 0.45 * (start - pairs[before].1[0].start),
                None => LEAD,
            };
            let length = (syllable.onset - syllable.start) as f32;
            frame(start) - length.min(CONSONANT * RATE).min(room.max(0.0) * RATE)
        })
        .collect();
    // Nobody's weakest syllables are raised to the strongest: what is around them would be heard.
    let loudest = syllables.iter().map(|s| s.level).fold(0.0, f32::max);
    for (index, (syllable, word)) in pairs.iter().enumerate() {
        let last = word[word.len() - 1];
        let level = word[0].velocity / syllable.level.max(0.2 * loudest).max(1e-4);
        let onset = frame(word[0].start);
        let mut end = frame(last.start + last.length).max(onset + 1.0);
        if let Some(next) = consonants.get(index + 1) {
            // Legato, unless there is a rest.
            end = if next - end < 0.08 * RATE { *next } else { end.min(*next) };
        }
        let mut push = |out: f32, source: f32| knots.push(Knot { out, source, level });
        push(consonants[index], syllable.start as f32);
        push(onset, syllable.onset as f32);
        let vowel = (syllable.end - syllable.onset) as f32;
        if end - onset > vowel {
            // The vowel comes and goes at its own pace, and is held in between.
            let edge = (0.35 * vowel).min(0.12 * RATE);
            push(onset + edge, syllable.onset as f32 + edge);
            push(end - edge, syllable.end as f32 - edge);
        }
        push(end.max(onset), syllable.end as f32);
    }
    for index in 1..knots.len() {
        knots[index].out = knots[index].out.max(knots[index - 1].out);
    }
    knots
}

/// The pitch of a sung line: glides between notes, vibrato on long ones, a little unsteadiness.
struct Melody<'a> {
    rng: Rng,
    style: &'a Style,
    notes: &'a [Note],
    origin: f32,
    index: usize,
    frame: f32,
    pitch: f32,
    drift: f32,
    phase: f32,
}

impl<'a> Melody<'a> {
    fn new(mut rng: Rng, style: &'a Style, notes: &'a [Note], origin: f32) -> Self {
        // Singers often reach the first note from below.
        let scoop = if rng.chance(0.5) { rng.range(0.0, 2.0) } else { 0.0 };
        let pitch = notes[0].pitch - scoop;
        Self { rng, style, notes, origin, index: 0, frame: 0.0, pitch, drift: 0.0, phase: 0.0 }
    }

    /// Hz at a frame; frames must rise.
    fn at(&mut self, frame: f32) -> f32 {
        let seconds = ((frame - self.frame) / RATE).clamp(0.0, 0.1);
        self.frame = frame;
        let now = self.origin + frame / RATE;
        // The larynx is there when the vowel begins.
        while self.index + 1 < self.notes.len() && now + self.style.glide >= self.notes[self.index + 1].start
        {
            self.index += 1;
        }
        let note = &self.notes[self.index];
        self.pitch += (1.0 - (-seconds / self.style.glide).exp()) * (note.pitch - self.pitch);
        self.drift += seconds / 0.15 * (self.style.drift * 3.0 * self.rng.normal() - self.drift);
        self.phase = (self.phase + TAU * self.style.vibrato_hz * seconds) % TAU;
        let depth = self.style.vibrato * ((now - note.start - 0.2) * 3.0).clamp(0.0, 1.0);
        let jitter = 0.03 * self.rng.normal();
        hertz(self.pitch + depth * self.phase.sin() + self.drift + jitter)
    }
}
