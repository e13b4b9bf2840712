//! One breath of singing: how mouth and larynx move through the syllables of a phrase.

use std::f32::consts::{PI, TAU};

use super::super::dsp::{Noise, RATE, Svf, frames, hertz};
use super::super::score::{Note, VocalLine};
use super::glottis::Glottis;
use super::phonemes::{Consonant, Syllable};
use super::singer::Singer;
use crate::rng::Rng;

/// Frames between two settings of the formants.
const CONTROL: usize = 32;

/// Bandwidths of the five formants, Hz.
const BANDWIDTHS: [f32; 5] = [80.0, 95.0, 130.0, 200.0, 260.0];

/// A phrase: notes that follow each other without a gap, and the syllables that they are sung on.
pub struct Phrase<'a> {
    /// The notes.
    pub notes: &'a [Note],
    /// As in [`VocalLine`].
    pub syllables: &'a [u64],
    /// Spoken rather than sung.
    pub spoken: bool,
    /// Vowels only.
    pub open: bool,
}

/// What the mouth wants to be at an instant.
struct Mouth {
    formants: [f32; 5],
    /// How much voice comes out, 0 to 1.
    open: f32,
    friction: f32,
}

impl Phrase<'_> {
    /// Sings it, from its first note's start on.
    pub fn sing(&self, rng: &mut Rng, singer: &Singer) -> Vec<f32> {
        let notes = self.notes;
        let origin = notes[0].start;
        let last = notes[notes.len() - 1];
        let total = last.start + last.length - origin;
        let length = frames(total + 0.12);
        let mut out = vec![0.0; length];
        let mut noise = Noise::new(rng.bits());
        let melody = self.melody(rng);
        let syllables = self.words(rng, singer);

        let mut formants = [Svf::default(), Svf::default(), Svf::default(), Svf::default(), Svf::default()];
        let mut weights = [0.0f32; 5];
        let mut shape = syllables[0].vowel;
        let mut pitch = melody[0] - rng.range(0.0, 2.0);
        // What is left above the fifth formant, where no vowel differs from another.
        let mut top = Svf::new(7_000.0 * singer.formants, 0.6);
        let mut friction = Svf::new(5_000.0, 1.0);
        let mut source = Glottis::new(singer.jitter, singer.growl);
        let (mut vibrato_phase, mut drift, mut vibrato_now) = (rng.unit() * TAU, 0.0f32, 0.0f32);
        let (mut voicing, mut frication, mut hz) = (0.0f32, 0.0f32, hertz(pitch));
        let seconds = CONTROL as f32 / RATE;
        let mut index = 0;
        for block in 0..length.div_ceil(CONTROL) {
            let t = block as f32 * seconds;
            while index + 1 < notes.len() && t >= notes[index + 1].start - origin {
                index += 1;
            }
            let note = &notes[index];
            let since = t - (note.start - origin);
            let progress = (since / note.length.max(0.05)).clamp(0.0, 1.0);
            let held = self.syllables.get(index + 1) == Some(&VocalLine::HOLD);
            let mouth = articulate(&syllables[index], note, since, held, &mut friction, singer);

            // The mouth needs some 20 ms to move.
            let speed = 1.0 - (-seconds / 0.018f32).exp();
            (0..5).for_each(|i| shape[i] += speed * (mouth.formants[i] - shape[i]));

            // Larynx.
            pitch += (1.0 - (-seconds / singer.glide).exp()) * (melody[index] - pitch);
            drift = 0.98 * drift + 0.02 * rng.normal();
            vibrato_phase += TAU * singer.vibrato_hz * seconds;
            let depth =
                if self.spoken { 0.0 } else { singer.vibrato * ((since - 0.18) * 4.0).clamp(0.0, 1.0) };
            vibrato_now += 0.2 * (depth * vibrato_phase.sin() - vibrato_now);
            let next_hz = hertz(pitch + vibrato_now + singer.drift * drift);
            let falsetto = if self.spoken { 0.0 } else { singer.falsetto(pitch) };
            let tension = (singer.effort * (0.6 + 0.4 * note.velocity) * (1.0 - 0.7 * falsetto)).min(1.0);
            tune(&mut formants, &mut weights, &shape, next_hz, singer, 1.0 - tension);

            let ending = if t > total { 0.0 } else { 1.0 };
            let level = mouth.open * ending * note.velocity * (0.75 + 0.25 * (1.0 - progress));
            let breath = singer.breath * (1.0 + 3.0 * falsetto);
            let friction_level = mouth.friction * ending * singer.consonants * note.velocity;
            let end = ((block + 1) * CONTROL).min(length);
            for x in &mut out[block * CONTROL..end] {
                voicing += 0.004 * (level - voicing);
                frication += 0.01 * (friction_level - frication);
                hz += 0.01 * (next_hz - hz);
                let pulse = voicing * source.next(hz, tension, breath, &mut noise);
                // Formants in parallel, of alternating sign as in a tube.
                let [first, upper @ ..] = &mut formants;
                let mut voice = weights[0] * first.next(pulse).low;
                voice += 0.8 * weights[4] * top.next(pulse).band;
                for (formant, weight) in upper.iter_mut().zip(&weights[1..]) {
                    voice += weight * formant.next(pulse).band;
                }
                *x = voice + 0.32 * frication * friction.next(noise.next()).band;
            }
        }
        out
    }

    /// What pitch each note aims at.
    fn melody(&self, rng: &mut Rng) -> Vec<f32> {
        let first = self.notes[0].pitch;
        let count = self.notes.len() as f32;
        let melody = self.notes.iter().enumerate().map(|(i, note)| {
            if self.spoken {
                // Speech falls towards the end of the phrase and takes no notice of scales.
                let fall = 4.0 * i as f32 / count;
                first - 5.0 + 0.35 * (note.pitch - first) - fall
                    + 2.0 * (note.velocity - 0.6)
                    + 1.5 * rng.normal()
            } else {
                note.pitch
            }
        });
        melody.collect()
    }

    /// The syllable of each note, in this singer's mouth.
    fn words(&self, rng: &mut Rng, singer: &Singer) -> Vec<Syllable> {
        let mut words: Vec<Syllable> = Vec::with_capacity(self.notes.len());
        for index in 0..self.notes.len() {
            let number = self.syllables.get(index).copied().unwrap_or_else(|| rng.bits() | 1);
            let mut syllable = Syllable::of(number, self.open);
            let place = |formants: [f32; 5]| {
                let mut f = formants.map(|f| f * singer.formants);
                // Trained voices draw the upper formants together around 2.9 kHz.
                for f in &mut f[2..] {
                    *f += 0.6 * singer.ring * (2_900.0 * singer.formants - *f);
                }
                f
            };
            (syllable.vowel, syllable.vowel_end) = (place(syllable.vowel), place(syllable.vowel_end));
            if number == VocalLine::HOLD && index > 0 {
                let before = words[index - 1];
                syllable = Syllable {
                    onset: Consonant::None,
                    vowel: before.vowel_end,
                    vowel_end: before.vowel_end,
                    ..before
                };
            }
            words.push(syllable);
        }
        words
    }
}

/// Where the mouth goes `since` seconds after a note's start; tunes the friction on the way. `held` says that the
/// next note goes on with this syllable, so that its end is not spoken yet.
fn articulate(
    word: &Syllable,
    note: &Note,
    since: f32,
    held: bool,
    friction: &mut Svf,
    singer: &Singer,
) -> Mouth {
    let progress = (since / note.length.max(0.05)).clamp(0.0, 1.0);
    // Diphthongs stay on their first vowel for most of the note.
    let way = ((progress - 0.45) * 2.0).clamp(0.0, 1.0);
    let between = |i: usize| word.vowel[i] + (word.vowel_end[i] - word.vowel[i]) * way;
    let mut mouth = Mouth { formants: std::array::from_fn(between), open: 1.0, friction: 0.0 };
    say(&mut mouth, word.onset, since, note.length * 0.4, friction, singer);
    if !held {
        let length = match word.coda {
            Consonant::None => return mouth,
            Consonant::Fricative { seconds, .. } => seconds,
            Consonant::Plosive { .. } => 0.07,
            Consonant::Sonorant { .. } => 0.09,
        };
        let length = length.min(0.35 * note.length);
        let into = since - (note.length - length);
        if into >= 0.0 {
            say(&mut mouth, word.coda, into, length, friction, singer);
        }
    }
    mouth
}

/// Moves the mouth through a consonant that began `since` seconds ago and may last `time` seconds.
fn say(mouth: &mut Mouth, consonant: Consonant, since: f32, time: f32, friction: &mut Svf, singer: &Singer) {
    match consonant {
        Consonant::None => {}
        Consonant::Fricative { hz, q, level, voiced, seconds } => {
            let seconds = seconds.min(time);
            if since < seconds {
                mouth.open = if voiced { 0.35 } else { 0.0 };
                mouth.friction = level * (since / seconds * PI).sin();
                friction.tune(hz * singer.formants.sqrt(), q);
            }
        }
        Consonant::Plosive { hz, voiced, burst } => {
            let closed = 0.045f32.min(time);
            if since < closed {
                mouth.open = if voiced { 0.08 } else { 0.0 };
            } else if since < closed + burst {
                mouth.open = if voiced { 0.6 } else { 0.0 };
                mouth.friction = 0.9 * (1.0 - (since - closed) / burst);
                friction.tune(hz, 0.8);
            }
        }
        Consonant::Sonorant { first, second, level } => {
            if since < 0.07f32.min(time) {
                mouth.open = level;
                mouth.formants = [first, second, 2_300.0, 3_200.0, 4_100.0].map(|f| f * singer.formants);
            }
        }
    }
}

/// Sets the formants' frequencies, widths and levels: each as strong as in a tube that has all of them (Fant 1960).
fn tune(
    formants: &mut [Svf; 5],
    weights: &mut [f32; 5],
    shape: &[f32; 5],
    hz: f32,
    singer: &Singer,
    looseness: f32,
) {
    let mut centres = *shape;
    // A first formant below the pitch would swallow it: singers open their mouths.
    centres[0] = centres[0].max(hz * 1.05);
    centres[1] = centres[1].max(centres[0] * 1.15);
    // Loose folds leave the throat open, which damps it.
    let widths = BANDWIDTHS.map(|width| width * singer.formants * (1.0 + 0.8 * looseness));
    for i in 0..5 {
        let mut weight = 0.12;
        for j in 0..5 {
            let (f, at, width) = (centres[j], centres[i], widths[j]);
            weight *= f * f / ((f * f - at * at).powi(2) + (at * width).powi(2)).sqrt();
        }
        // The lowest passes all that lies below it too, and its peak is as high as it is sharp.
        let sharpness = if i == 0 { centres[0] / widths[0] } else { 1.0 };
        weights[i] = weight / sharpness * if i % 2 == 0 { 1.0 } else { -1.0 };
        formants[i].tune(centres[i], centres[i] / widths[i]);
    }
}
