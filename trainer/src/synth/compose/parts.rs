//! The parts of the other stem: chords, broken chords, riffs, melodies, low accompaniments, effects.

use super::super::score::{Note, Role};
use super::Song;
use super::arrange::{Kind, Section};
use super::harmony::Chord;
use crate::rng::Rng;

/// Who plays: every song has somebody who plays chords, and half of them somebody low.
pub fn roles(rng: &mut Rng, kind: Kind, count: usize) -> Vec<Role> {
    if kind == Kind::Noise {
        return vec![Role::Effect];
    }
    if kind == Kind::Alone(2) {
        return vec![*rng.pick(&[Role::Comp, Role::Arpeggio, Role::Lead, Role::Pad, Role::Low])];
    }
    let mut roles = vec![*rng.pick(&[Role::Comp, Role::Comp, Role::Pad, Role::Arpeggio, Role::Power])];
    if rng.chance(0.65) {
        roles.push(Role::Low);
    }
    if rng.chance(0.12) {
        roles.push(Role::Effect);
    }
    let more =
        [Role::Pad, Role::Comp, Role::Comp, Role::Arpeggio, Role::Lead, Role::Lead, Role::Riff, Role::Power];
    while roles.len() < count {
        roles.push(*rng.pick(&more));
    }
    roles.truncate(count);
    roles
}

/// What one part plays in the song.
pub fn play(rng: &mut Rng, song: &Song, role: Role, part: usize) -> Vec<Note> {
    let steps = song.time.bar_steps();
    let manner = Manner::draw(rng, role);
    let mut notes = Vec::new();
    for section in song.sections.iter().filter(|s| s.other[part]) {
        let dice = &mut section.dice(PARTS + part as u64);
        let rhythm = rhythm(dice, role, section, steps);
        // A figure of scale steps that leads and riffs repeat.
        let figure: Vec<i32> = rhythm.iter().map(|_| dice.below(5) as i32 - 2).collect();
        let (start_degree, order) = (dice.below(7) as i32, dice.below(4));
        let mut degree = start_degree;
        for bar in section.bars.clone() {
            // Leads begin anew in every second bar, riffs in every one.
            if role == Role::Riff || role == Role::Lead && (bar - section.bars.start) % 2 == 0 {
                degree = start_degree;
            }
            for (index, &step) in rhythm.iter().enumerate() {
                let at = bar * steps + step;
                let chord = song.harmony.at(at);
                let next = rhythm.get(index + 1).copied().unwrap_or(steps);
                degree = (degree + figure[index]).clamp(-4, 11);
                let pitches = manner.pitches(rng, song, role, chord, index, degree, order);
                let strum = rng.range(0.0, manner.strum);
                let start = song.time.at(at, rng);
                let accent = if step % 4 == 0 { 0.06 } else { 0.0 };
                for (i, pitch) in pitches.into_iter().enumerate() {
                    notes.push(Note {
                        start: start + i as f32 * strum,
                        length: (next - step) as f32 * song.time.step() * manner.legato,
                        pitch: pitch as f32,
                        velocity: (0.5 + 0.3 * section.energy + accent + 0.1 * rng.normal()).clamp(0.15, 1.0),
                    });
                }
            }
        }
    }
    notes
}

/// How a part is played throughout the song.
struct Manner {
    lowest: i32,
    voices: usize,
    /// Length of notes against their distance.
    legato: f32,
    /// Seconds between the tones of a chord at most.
    strum: f32,
    /// What low parts do: roots, octaves, fifths, broken chords or low chords.
    low: usize,
}

impl Manner {
    fn draw(rng: &mut Rng, role: Role) -> Self {
        let (low, high) = match role {
            Role::Power => (33.0, 46.0),
            Role::Pad => (43.0, 62.0),
            Role::Comp => (45.0, 66.0),
            Role::Arpeggio => (46.0, 70.0),
            Role::Lead => (52.0, 76.0),
            Role::Riff => (38.0, 64.0),
            Role::Low => (31.0, 44.0),
            Role::Effect => (60.0, 61.0),
        };
        Self {
            lowest: rng.range(low, high) as i32,
            voices: 2 + rng.below(4),
            legato: if matches!(role, Role::Pad | Role::Effect) {
                rng.range(0.8, 1.0)
            } else {
                rng.range(0.3, 1.1)
            },
            strum: if rng.chance(0.6) { rng.range(0.0, 0.02) } else { 0.0 },
            low: rng.below(5),
        }
    }

    /// The pitches that sound together at one place of the rhythm.
    #[expect(clippy::too_many_arguments)]
    fn pitches(
        &self,
        rng: &mut Rng,
        song: &Song,
        role: Role,
        chord: &Chord,
        index: usize,
        degree: i32,
        order: usize,
    ) -> Vec<i32> {
        let root = Chord::place(chord.root, self.lowest);
        match role {
            Role::Pad | Role::Comp => chord.voicing(self.lowest, self.voices),
            Role::Power => vec![root, root + 7, root + 12],
            Role::Arpeggio => {
                let tones = chord.voicing(self.lowest, self.voices + 2);
                let n = tones.len();
                vec![match order {
                    0 => tones[index % n],
                    1 => tones[n - 1 - index % n],
                    2 => tones[if (index / n).is_multiple_of(2) { index % n } else { n - 1 - index % n }],
                    _ => tones[rng.below(n)],
                }]
            }
            Role::Lead | Role::Riff => vec![song.harmony.pitch(degree, self.lowest)],
            Role::Low => match self.low {
                0 => vec![root],
                1 => vec![root, root + 12],
                2 => vec![root, Chord::place(chord.tones[2], root)],
                3 => vec![[root, Chord::place(chord.tones[2], root), root + 12][index % 3]],
                _ => chord.voicing(self.lowest + 5, 3),
            },
            Role::Effect => vec![self.lowest],
        }
    }
}

/// The steps of a bar on which a part plays.
fn rhythm(dice: &mut Rng, role: Role, section: &Section, steps: usize) -> Vec<usize> {
    let density = 0.15 + 0.35 * section.energy;
    let weighted = |dice: &mut Rng| -> Vec<usize> {
        (0..steps)
            .filter(|s| {
                let weight = [1.6, 0.4, 1.0, 0.5][s % 4];
                dice.chance((density * weight).min(1.0)) || *s == 0 && dice.chance(0.6)
            })
            .collect()
    };
    match role {
        Role::Pad => vec![0],
        Role::Effect => vec![0],
        Role::Power if dice.chance(0.5) => (0..steps).step_by(2).collect(),
        Role::Comp if dice.chance(0.35) => (0..steps).step_by(*dice.pick(&[2, 4, 4, 8])).collect(),
        // Between the beats, as in reggae and disco.
        Role::Comp if dice.chance(0.1) => (2..steps).step_by(4).collect(),
        Role::Low if dice.chance(0.6) => (0..steps).step_by(*dice.pick(&[2, 4, 4, 8, 16])).collect(),
        Role::Arpeggio => (0..steps).step_by(*dice.pick(&[1, 2, 2, 2])).collect(),
        _ => weighted(dice),
    }
}

/// The purpose of these dice; the part's number is added.
const PARTS: u64 = 0x7061_7274_0000;
