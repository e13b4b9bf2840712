//! Melodies and words: the lead voice, voices that double or accompany it, choirs, rap and speech.

use super::super::score::{Note, VocalLine, Voice};
use super::arrange::{Kind, Section};
use super::{STEPS_PER_BEAT, Song};
use crate::rng::Rng;

/// How a voice delivers its words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Delivery {
    Sung,
    /// On the beat, in sixteenths.
    Rap,
    /// Speech that takes no notice of the beat.
    Talk,
}

/// A phrase of one section's melody: step from the section's start, length in steps, scale degree, syllable.
type Word = (usize, usize, i32, u64);

/// The lead voice and, often, voices that accompany it.
pub fn voices(rng: &mut Rng, song: &Song, kind: Kind) -> Vec<VocalLine> {
    let lowest = rng.range(38.0, 61.0) as i32;
    let pace = *rng.pick(&[2, 2, 2, 4]);
    // In most songs everything is sung; in some the verses, or all, are rapped or spoken.
    let deliveries = match rng.weighted(&[80.0, 7.0, 8.0, 3.0, 2.0]) {
        0 => [Delivery::Sung; 3],
        1 => [Delivery::Rap; 3],
        2 => [Delivery::Rap, Delivery::Sung, Delivery::Rap],
        3 => [Delivery::Talk; 3],
        _ => [Delivery::Sung, Delivery::Sung, Delivery::Talk],
    };
    let interval = *rng.pick(&[2, 4, -3, 7]);
    let mut sung = Lines::default();
    let mut spoken = Lines::default();
    for (index, section) in song.sections.iter().enumerate().filter(|(_, s)| s.vocals) {
        let delivery = deliveries[section.letter];
        let lines = if delivery == Delivery::Sung { &mut sung } else { &mut spoken };
        for (step, length, degree, syllable) in melody(song, section, index, delivery, pace, lowest) {
            let loose = if delivery == Delivery::Talk { 0.05 * rng.normal() } else { 0.0 };
            let note = Note {
                start: (song.time.at(step, rng) + loose).max(0.0),
                length: length as f32 * song.time.step(),
                pitch: song.harmony.pitch(degree, lowest) as f32,
                velocity: (0.6 + 0.25 * section.energy + 0.1 * rng.normal()).clamp(0.25, 1.0),
            };
            lines.lead.push(note);
            lines.syllables.push(syllable);
            if section.energy > 0.5 {
                let pitch = song.harmony.pitch(degree + interval, lowest) as f32;
                lines.harmony.push(Note { pitch, velocity: note.velocity * 0.8, ..note });
                lines.harmony_syllables.push(syllable);
            }
        }
    }
    let (doubled, harmonised) = (rng.chance(0.4), rng.chance(0.4) || kind == Kind::Voices);
    let mut result = Vec::new();
    sung.write(rng, false, doubled, harmonised, &mut result);
    spoken.write(rng, true, doubled, false, &mut result);
    if rng.chance(0.18) || kind == Kind::Voices {
        choir(rng, song, lowest, &mut result);
    }
    result
}

/// The lines of one delivery.
#[derive(Default)]
struct Lines {
    lead: Vec<Note>,
    syllables: Vec<u64>,
    harmony: Vec<Note>,
    harmony_syllables: Vec<u64>,
}

impl Lines {
    fn write(
        mut self,
        rng: &mut Rng,
        spoken: bool,
        doubled: bool,
        harmonised: bool,
        to: &mut Vec<VocalLine>,
    ) {
        if self.lead.is_empty() {
            return;
        }
        monophonic(&mut self.lead);
        monophonic(&mut self.harmony);
        let second = |rng: &mut Rng, notes: &[Note]| -> Vec<Note> {
            let late = rng.range(0.004, 0.03);
            let cents = 0.06 * rng.normal();
            notes
                .iter()
                .map(|n| Note {
                    start: n.start + late + 0.006 * rng.normal().abs(),
                    pitch: n.pitch + cents,
                    ..*n
                })
                .collect()
        };
        let doubles: Vec<Vec<Note>> = if doubled {
            (0..1 + rng.below(2)).map(|_| second(rng, &self.lead)).collect()
        } else {
            Vec::new()
        };
        to.push(VocalLine {
            voice: Voice::Lead,
            notes: self.lead,
            syllables: self.syllables.clone(),
            spoken,
        });
        for notes in doubles {
            to.push(VocalLine { voice: Voice::Double, notes, syllables: self.syllables.clone(), spoken });
        }
        if harmonised && !self.harmony.is_empty() {
            to.push(VocalLine {
                voice: Voice::Harmony,
                notes: self.harmony,
                syllables: self.harmony_syllables,
                spoken,
            });
        }
    }
}

/// A section's melody. Sections of one letter share it; verses have new words every time, choruses the same.
fn melody(
    song: &Song,
    section: &Section,
    index: usize,
    delivery: Delivery,
    pace: usize,
    lowest: i32,
) -> Vec<Word> {
    let steps = song.time.bar_steps();
    let first = section.bars.start * steps;
    let length = section.bars.len() * steps;
    let verse = if section.letter == 1 { 0 } else { index as u64 + 1 };
    let mut lyrics = Rng::new(section.seed, &[WORDS, verse]);
    let mut dice = section.dice(MELODY);
    let spoken = delivery != Delivery::Sung;
    let pace = if spoken { 1 } else { pace };
    // Two phrases that take turns: the first comes back.
    let phrases: [Vec<(usize, i32)>; 2] = std::array::from_fn(|_| phrase(&mut dice, delivery, pace));
    let order = *dice.pick(&[[0, 0, 1, 0], [0, 1, 0, 1], [0, 0, 0, 1]]);
    let mut words = Vec::new();
    let mut step = pace * dice.below(3);
    let mut turn = 0;
    let home = dice.below(8) as i32;
    while step < length {
        let mut degree = home;
        for &(duration, move_by) in &phrases[order[turn % 4]] {
            if step >= length {
                break;
            }
            degree = (degree + move_by).clamp(-1, 10);
            if (first + step).is_multiple_of(STEPS_PER_BEAT) && !spoken {
                // Strong beats prefer a tone of the chord.
                let chord = song.harmony.at(first + step);
                let fits = |d: &i32| chord.has(song.harmony.pitch(*d, lowest));
                degree = [degree, degree + 1, degree - 1].into_iter().find(fits).unwrap_or(degree);
            }
            let hold = !spoken && !words.is_empty() && lyrics.chance(0.1);
            let syllable = if hold { VocalLine::HOLD } else { lyrics.bits() | 1 };
            words.push((first + step, duration.min(length - step), degree, syllable));
            step += duration;
        }
        // A breath.
        step += pace * (1 + dice.below(if delivery == Delivery::Rap { 3 } else { 6 }));
        turn += 1;
    }
    words
}

/// A phrase: lengths in steps, and scale steps from one note to the next.
fn phrase(dice: &mut Rng, delivery: Delivery, pace: usize) -> Vec<(usize, i32)> {
    let syllables = match delivery {
        Delivery::Sung => 3 + dice.below(8),
        Delivery::Rap => 6 + dice.below(16),
        Delivery::Talk => 4 + dice.below(12),
    };
    (0..syllables)
        .map(|syllable| {
            let lengths: &[usize] = match delivery {
                Delivery::Sung => &[1, 1, 1, 2, 2, 3],
                Delivery::Rap => &[1, 1, 1, 2],
                Delivery::Talk => &[1, 1, 2, 2],
            };
            let last = syllable + 1 == syllables;
            let longer = if last && delivery == Delivery::Sung { dice.below(5) } else { 0 };
            let step = *dice.pick(&[-2, -1, -1, 0, 0, 1, 1, 2, 3, -3]);
            (pace * (*dice.pick(lengths) + longer), if syllable == 0 { 0 } else { step })
        })
        .collect()
}

/// A choir that holds the chords, three to six voices.
fn choir(rng: &mut Rng, song: &Song, lowest: i32, to: &mut Vec<VocalLine>) {
    let steps = song.time.bar_steps();
    let voices = 3 + rng.below(4);
    // Two bars to a vowel.
    let vowels: Vec<u64> = (0..8).map(|_| rng.bits() | 1).collect();
    for voice in 0..voices {
        let mut line =
            VocalLine { voice: Voice::Choir, notes: Vec::new(), syllables: Vec::new(), spoken: false };
        let bars = song.sections.iter().filter(|s| s.vocals).flat_map(|s| s.bars.clone());
        for bar in bars {
            let chord = song.harmony.at(bar * steps);
            let tones = chord.voicing(lowest, 6);
            line.notes.push(Note {
                start: song.time.at(bar * steps, rng) + 0.02 * rng.unit(),
                length: steps as f32 * song.time.step() * 0.97,
                pitch: tones[voice % tones.len()] as f32,
                velocity: 0.5,
            });
            line.syllables.push(vowels[bar / 2 % vowels.len()]);
        }
        to.push(line);
    }
}

/// A note lasts to the next one at most.
fn monophonic(line: &mut [Note]) {
    for i in 1..line.len() {
        let (next, note) = (line[i].start, &mut line[i - 1]);
        note.length = note.length.min((next - note.start).max(0.05));
    }
}

/// The purposes of these dice.
const MELODY: u64 = 0x6d65_6c6f;
const WORDS: u64 = 0x776f_7264;
