//! Bass lines.

use super::super::score::Note;
use super::Song;
use super::arrange::Section;
use super::harmony::Chord;
use crate::rng::Rng;

/// What a line does in a bar.
#[derive(Clone, Copy)]
enum Style {
    Whole,
    Eighths,
    Sixteenths,
    Octaves,
    Walking,
    Syncopated,
    Arpeggio,
    OffBeat,
    Tresillo,
    Gallop,
    Pedal,
    Sparse,
}

const STYLES: [(Style, f32); 12] = [
    (Style::Whole, 1.0),
    (Style::Eighths, 1.2),
    (Style::Sixteenths, 0.4),
    (Style::Octaves, 0.8),
    (Style::Walking, 0.8),
    (Style::Syncopated, 2.5),
    (Style::Arpeggio, 0.8),
    (Style::OffBeat, 0.5),
    (Style::Tresillo, 0.7),
    (Style::Gallop, 0.4),
    (Style::Pedal, 0.5),
    (Style::Sparse, 0.7),
];

/// Which tone: of the chord, or near it.
#[derive(Clone, Copy)]
enum Tone {
    Root,
    Third,
    Fifth,
    Octave,
    Tonic,
    /// A half tone below the next chord's root.
    Approach,
}

/// A note of a bar: step, length in steps, tone.
type Beat = (usize, usize, Tone);

/// Notes for all sections with bass.
pub fn bass_line(rng: &mut Rng, song: &Song) -> Vec<Note> {
    // Some players live an octave higher.
    let lowest = rng.range(26.0, 33.0).round() as i32 + if rng.chance(0.08) { 12 } else { 0 };
    let legato = rng.range(0.45, 1.0);
    let steps = song.time.bar_steps();
    let mut notes = Vec::new();
    for section in song.sections.iter().filter(|s| s.bass) {
        let dice = &mut section.dice(BASS);
        let bar_of = rhythm(dice, section, steps);
        let variation = rhythm(dice, section, steps);
        for bar in section.bars.clone() {
            let last = bar + 1 == section.bars.end;
            let beats = if last && dice.chance(0.2) { &variation } else { &bar_of };
            for &(step, length, tone) in beats {
                let at = bar * steps + step;
                let chord = song.harmony.at(at);
                let root = Chord::place(chord.root, lowest);
                let pitch = match tone {
                    Tone::Root => root,
                    Tone::Third => Chord::place(chord.tones[1], lowest),
                    Tone::Fifth => Chord::place(chord.tones[2], lowest),
                    Tone::Octave => root + 12,
                    Tone::Tonic => song.harmony.tonic(lowest),
                    Tone::Approach => Chord::place(song.harmony.at((bar + 1) * steps).root, lowest) - 1,
                };
                let accent = if step == 0 { 0.1 } else { 0.0 };
                notes.push(Note {
                    start: song.time.at(at, rng),
                    length: length as f32 * song.time.step() * legato,
                    pitch: pitch as f32,
                    velocity: (0.55 + 0.3 * section.energy + accent + 0.08 * rng.normal()).clamp(0.2, 1.0),
                });
            }
        }
    }
    notes
}

/// One rhythm for a whole section, so that it grooves.
fn rhythm(dice: &mut Rng, section: &Section, steps: usize) -> Vec<Beat> {
    let (style, _) = STYLES[dice.weighted(&STYLES.map(|(_, weight)| weight))];
    let every = |gap: usize, tone: &dyn Fn(usize) -> Tone| -> Vec<Beat> {
        (0..steps).step_by(gap).map(|s| (s, gap, tone(s))).collect()
    };
    match style {
        Style::Whole => vec![(0, steps, Tone::Root)],
        Style::Eighths => every(2, &|_| Tone::Root),
        Style::Pedal => every(2, &|_| Tone::Tonic),
        Style::Sixteenths => every(1, &|s| if s % 4 == 3 { Tone::Fifth } else { Tone::Root }),
        Style::Octaves => every(2, &|s| if s % 4 == 2 { Tone::Octave } else { Tone::Root }),
        Style::Walking => every(4, &|s| match s / 4 {
            0 => Tone::Root,
            1 => Tone::Third,
            beat if (beat + 1) * 4 >= steps => Tone::Approach,
            _ => Tone::Fifth,
        }),
        Style::Arpeggio => {
            every(2, &|s| [Tone::Root, Tone::Third, Tone::Fifth, Tone::Octave, Tone::Fifth][s / 2 % 5])
        }
        Style::OffBeat => (2..steps).step_by(4).map(|s| (s, 2, Tone::Root)).collect(),
        Style::Tresillo => [0, 3, 6]
            .into_iter()
            .flat_map(|s| [s, s + 8])
            .filter(|s| *s < steps)
            .map(|s| (s, if s % 8 == 6 { 2 } else { 3 }, if s % 8 == 6 { Tone::Fifth } else { Tone::Root }))
            .collect(),
        Style::Gallop => (0..steps).filter(|s| s % 4 != 1).map(|s| (s, 1, Tone::Root)).collect(),
        Style::Sparse => vec![(0, 5, Tone::Root), (steps - 4 + dice.below(3), 2, Tone::Fifth)],
        Style::Syncopated => {
            let density = 0.15 + 0.25 * section.energy;
            let mut starts: Vec<usize> = vec![0];
            starts
                .extend((2..steps).filter(|s| dice.chance(if s % 2 == 0 { density } else { density * 0.5 })));
            let ends: Vec<usize> = starts.iter().skip(1).copied().chain([steps]).collect();
            let tones = [Tone::Root, Tone::Root, Tone::Root, Tone::Third, Tone::Fifth, Tone::Octave];
            starts
                .iter()
                .zip(ends)
                .map(|(&s, e)| (s, e - s, if s == 0 { Tone::Root } else { *dice.pick(&tones) }))
                .collect()
        }
    }
}

/// The purpose of these dice.
const BASS: u64 = 0x6261_7373;
