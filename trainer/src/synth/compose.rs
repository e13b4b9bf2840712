//! The composer: tempo, key, chords, sections and what each instrument plays in them. No sound is made here.

use super::beats;
use super::score::{Note, Part, Role, Score, VocalLine};
use crate::rng::Rng;

/// Steps of a quarter note: everything lies on this grid before it is swung and humanised.
pub const STEPS_PER_BEAT: usize = 4;

/// A song's clock.
pub struct Time {
    /// Beats per minute.
    pub bpm: f32,
    /// Beats of a bar: 3 or 4.
    pub beats: usize,
    /// How late every second step is, as a part of a step: 0 straight, 0.33 triplets.
    pub swing: f32,
    /// Deviation of human timing, seconds.
    pub looseness: f32,
}

impl Time {
    /// Seconds of one step.
    pub fn step(&self) -> f32 {
        60.0 / self.bpm / STEPS_PER_BEAT as f32
    }

    /// Steps of one bar.
    pub fn bar_steps(&self) -> usize {
        self.beats * STEPS_PER_BEAT
    }

    /// When a step of the song sounds.
    pub fn at(&self, step: usize, rng: &mut Rng) -> f32 {
        let late = if step % 2 == 1 { self.swing } else { 0.0 };
        ((step as f32 + late) * self.step() + self.looseness * rng.normal()).max(0.0)
    }
}

/// A stretch of bars in which the same instruments play.
pub struct Section {
    /// First bar and the bar after the last.
    pub bars: std::ops::Range<usize>,
    /// Are there drums, bass, voices.
    pub drums: bool,
    /// See `drums`.
    pub bass: bool,
    /// See `drums`.
    pub vocals: bool,
    /// Which parts of "other" play.
    pub other: Vec<bool>,
    /// 0 to 1: how densely and loudly everybody plays.
    pub energy: f32,
}

/// A chord: its root and its tones, as pitch classes.
struct Chord {
    root: i32,
    tones: Vec<i32>,
}

/// Writes a song that lasts at least `seconds`.
pub fn compose(rng: &mut Rng, seconds: f32) -> Score {
    let spoken = rng.chance(0.12);
    let time = Time {
        bpm: rng.log_range(68.0, 172.0),
        beats: if rng.chance(0.92) { 4 } else { 3 },
        swing: if rng.chance(0.3) { rng.range(0.05, 0.33) } else { 0.0 },
        looseness: rng.range(0.0, 0.009),
    };
    let bars = (seconds / (time.step() * time.bar_steps() as f32)).ceil() as usize;
    let parts = 1 + rng.weighted(&[1.0, 3.0, 4.0, 2.0, 1.0]);
    let sections = arrange(rng, bars, parts);
    let scale = *rng.pick(&[MAJOR, MAJOR, MIXOLYDIAN, MINOR, MINOR, MINOR, DORIAN]);
    let key = rng.below(12) as i32;
    let chords = progression(rng, key, &scale, bars);

    let drums = beats::drums(rng, &time, &sections);
    let bass = bass_line(rng, &time, &sections, &chords);
    let mut roles = vec![Role::Pad, Role::Comp, Role::Arpeggio, Role::Lead, Role::Power, Role::Comp];
    let other = (0..parts)
        .map(|part| {
            let role = roles.swap_remove(rng.below(roles.len()));
            let playing = |s: &Section| s.other[part];
            Part { role, notes: other_part(rng, role, &time, &sections, &chords, key, &scale, &playing) }
        })
        .collect();
    let vocals = voices(rng, &time, &sections, &chords, key, &scale, spoken);
    Score { bpm: time.bpm, drums, bass, other, vocals }
}

const MAJOR: [i32; 7] = [0, 2, 4, 5, 7, 9, 11];
const MIXOLYDIAN: [i32; 7] = [0, 2, 4, 5, 7, 9, 10];
const MINOR: [i32; 7] = [0, 2, 3, 5, 7, 8, 10];
const DORIAN: [i32; 7] = [0, 2, 3, 5, 7, 9, 10];

/// Chord progressions as scale degrees, one for each bar.
const PROGRESSIONS: [&[usize]; 14] = [
    &[0, 4, 5, 3],
    &[0, 5, 3, 4],
    &[5, 3, 0, 4],
    &[0, 3, 4, 3],
    &[0, 0, 3, 4],
    &[1, 4, 0, 0],
    &[0, 6, 5, 4],
    &[0, 6, 3, 0],
    &[0, 2, 3, 4],
    &[0, 5, 1, 4],
    &[0, 0, 0, 0],
    &[0, 3],
    &[0, 6],
    &[0, 0, 0, 0, 3, 3, 0, 0, 4, 3, 0, 4],
];

/// Cuts the song into sections, and lets instruments drop in and out.
fn arrange(rng: &mut Rng, bars: usize, parts: usize) -> Vec<Section> {
    // A stem that is missing in the whole song: rare in music, but it happens.
    let present = [rng.chance(0.97), rng.chance(0.96), rng.chance(0.93)];
    let mut sections = Vec::new();
    let mut first = 0;
    while first < bars {
        let length = (*rng.pick(&[1, 2, 2, 4, 4, 8])).min(bars - first);
        // From a bare introduction to everybody at once.
        let fullness = *rng.pick(&[0.6, 0.8, 0.9, 0.97, 0.97]);
        let mut section = Section {
            bars: first..first + length,
            drums: present[0] && rng.chance(fullness),
            bass: present[1] && rng.chance(fullness),
            vocals: present[2] && rng.chance(fullness * 0.9),
            other: (0..parts).map(|_| rng.chance(fullness * 0.8)).collect(),
            energy: rng.range(0.2, 1.0),
        };
        if !section.other.contains(&true) && rng.chance(0.85) {
            section.other[rng.below(parts)] = true;
        }
        sections.push(section);
        first += length;
    }
    sections
}

fn progression(rng: &mut Rng, key: i32, scale: &[i32; 7], bars: usize) -> Vec<Chord> {
    let degrees: Vec<usize> = if rng.chance(0.8) {
        rng.pick(&PROGRESSIONS).to_vec()
    } else {
        (0..4).map(|_| *rng.pick(&[0, 0, 1, 2, 3, 3, 4, 4, 5, 5, 6])).collect()
    };
    let bars_per_chord = if rng.chance(0.2) { 2 } else { 1 };
    let seventh = rng.chance(0.35);
    let colour = rng.chance(0.15);
    (0..bars)
        .map(|bar| {
            let degree = degrees[(bar / bars_per_chord) % degrees.len()];
            let tone = |step: usize| key + scale[(degree + step) % 7] + 12 * ((degree + step) / 7) as i32;
            let mut tones = vec![tone(0), tone(2), tone(4)];
            if seventh {
                tones.push(tone(6));
            }
            if colour {
                tones.push(tone(8));
            }
            Chord { root: tone(0), tones }
        })
        .collect()
}

fn bass_line(rng: &mut Rng, time: &Time, sections: &[Section], chords: &[Chord]) -> Vec<Note> {
    #[derive(Clone, Copy)]
    enum Style {
        Whole,
        Eighths,
        Syncopated,
        Octaves,
        Walking,
        Sixteenths,
    }
    let styles =
        [Style::Whole, Style::Eighths, Style::Syncopated, Style::Syncopated, Style::Octaves, Style::Walking];
    let lowest = rng.range(26.0, 33.0).round() as i32;
    let place = |pitch_class: i32| lowest + (pitch_class - lowest).rem_euclid(12);
    let mut notes = Vec::new();
    for section in sections.iter().filter(|s| s.bass) {
        let style = if rng.chance(0.06) { Style::Sixteenths } else { *rng.pick(&styles) };
        let steps = time.bar_steps();
        // One rhythm for the whole section, so that it grooves: step, length in steps, which tone.
        let rhythm: Vec<(usize, usize, usize)> = match style {
            Style::Whole => vec![(0, steps, 0)],
            Style::Eighths => (0..steps).step_by(2).map(|s| (s, 2, 0)).collect(),
            Style::Sixteenths => (0..steps).map(|s| (s, 1, if s % 4 == 3 { 2 } else { 0 })).collect(),
            Style::Octaves => (0..steps).step_by(2).map(|s| (s, 2, if s % 4 == 2 { 3 } else { 0 })).collect(),
            Style::Walking => (0..steps).step_by(4).map(|s| (s, 4, s / 4)).collect(),
            Style::Syncopated => {
                let mut starts: Vec<usize> = vec![0];
                let density = 0.15 + 0.25 * section.energy;
                starts.extend(
                    (2..steps).filter(|s| rng.chance(if s % 2 == 0 { density } else { density * 0.5 })),
                );
                let ends: Vec<usize> = starts.iter().skip(1).copied().chain([steps]).collect();
                let tone = |rng: &mut Rng| *rng.pick(&[0, 0, 0, 1, 2, 3]);
                starts
                    .iter()
                    .zip(ends)
                    .map(|(&s, e)| (s, e - s, if s == 0 { 0 } else { tone(rng) }))
                    .collect()
            }
        };
        let legato = rng.range(0.45, 1.0);
        for bar in section.bars.clone() {
            let chord = &chords[bar];
            for &(step, length, tone) in &rhythm {
                let pitch = match tone {
                    1 => place(chord.tones[1]),
                    2 => place(chord.tones[2]),
                    3 => place(chord.root) + 12,
                    _ => place(chord.root),
                };
                let start = time.at(bar * steps + step, rng);
                let accent = if step == 0 { 0.1 } else { 0.0 };
                notes.push(Note {
                    start,
                    length: length as f32 * time.step() * legato,
                    pitch: pitch as f32,
                    velocity: (0.55 + 0.3 * section.energy + accent + 0.08 * rng.normal()).clamp(0.2, 1.0),
                });
            }
        }
    }
    notes
}

/// The tones of a chord within an octave and a half above `lowest`, bottom up.
fn voicing(chord: &Chord, lowest: i32, count: usize) -> Vec<i32> {
    let mut tones: Vec<i32> = chord.tones.iter().map(|t| lowest + (t - lowest).rem_euclid(12)).collect();
    tones.sort_unstable();
    let octave_up: Vec<i32> = tones.iter().map(|t| t + 12).collect();
    tones.extend(octave_up);
    tones.truncate(count.max(1));
    tones
}

#[expect(clippy::too_many_arguments)]
fn other_part(
    rng: &mut Rng,
    role: Role,
    time: &Time,
    sections: &[Section],
    chords: &[Chord],
    key: i32,
    scale: &[i32; 7],
    playing: &dyn Fn(&Section) -> bool,
) -> Vec<Note> {
    let steps = time.bar_steps();
    let lowest = match role {
        Role::Power => rng.range(38.0, 46.0),
        Role::Pad => rng.range(46.0, 62.0),
        Role::Comp => rng.range(48.0, 66.0),
        Role::Arpeggio => rng.range(50.0, 70.0),
        Role::Lead => rng.range(60.0, 76.0),
    } as i32;
    let voices = 2 + rng.below(4);
    let legato = rng.range(0.3, 1.1);
    let mut notes = Vec::new();
    for section in sections.iter().filter(|s| playing(s)) {
        let density = 0.15 + 0.35 * section.energy;
        let rhythm: Vec<usize> = match role {
            Role::Pad => vec![0],
            Role::Power if rng.chance(0.5) => (0..steps).step_by(2).collect(),
            Role::Comp if rng.chance(0.35) => (0..steps).step_by(*rng.pick(&[2, 4, 4, 8])).collect(),
            Role::Arpeggio => (0..steps).step_by(*rng.pick(&[1, 2, 2, 2])).collect(),
            _ => (0..steps)
                .filter(|s| {
                    let weight = [1.6, 0.4, 1.0, 0.5][s % 4];
                    rng.chance((density * weight).min(1.0)) || *s == 0 && rng.chance(0.6)
                })
                .collect(),
        };
        let order = rng.below(3);
        // A figure of scale steps that leads repeat in every other bar.
        let figure: Vec<i32> = rhythm.iter().map(|_| rng.below(5) as i32 - 2).collect();
        let mut degree = rng.below(7) as i32;
        for bar in section.bars.clone() {
            let chord = &chords[bar];
            let tones = voicing(chord, lowest, if role == Role::Arpeggio { voices + 2 } else { voices });
            if role == Role::Lead && (bar - section.bars.start) % 2 == 0 {
                degree = rng.below(7) as i32;
            }
            for (index, &step) in rhythm.iter().enumerate() {
                let next = rhythm.get(index + 1).copied().unwrap_or(steps);
                let length = (next - step) as f32
                    * time.step()
                    * legato.min(if role == Role::Pad { 1.0 } else { 1.1 });
                let velocity = (0.5 + 0.3 * section.energy + 0.1 * rng.normal()).clamp(0.15, 1.0);
                let start = time.at(bar * steps + step, rng);
                let mut play = |pitch: i32, late: f32| {
                    notes.push(Note { start: start + late, length, pitch: pitch as f32, velocity });
                };
                match role {
                    Role::Pad | Role::Comp => {
                        let strum = rng.range(0.0, 0.018);
                        tones.iter().enumerate().for_each(|(i, &tone)| play(tone, i as f32 * strum));
                    }
                    Role::Power => {
                        let root = lowest + (chord.root - lowest).rem_euclid(12);
                        [root, root + 7, root + 12].into_iter().for_each(|tone| play(tone, 0.0));
                    }
                    Role::Arpeggio => {
                        let n = tones.len();
                        let tone = match order {
                            0 => tones[index % n],
                            1 => tones[n - 1 - index % n],
                            _ => tones[rng.below(n)],
                        };
                        play(tone, 0.0);
                    }
                    Role::Lead => {
                        degree = (degree + figure[index]).clamp(-4, 11);
                        play(scale_pitch(key, scale, degree, lowest), 0.0);
                    }
                }
            }
        }
    }
    notes
}

/// The pitch of a scale degree, degree 0 being the first key note at or above `lowest`.
fn scale_pitch(key: i32, scale: &[i32; 7], degree: i32, lowest: i32) -> i32 {
    let tonic = lowest + (key - lowest).rem_euclid(12);
    tonic + 12 * degree.div_euclid(7) + scale[degree.rem_euclid(7) as usize]
}

/// The lead voice and, often, voices that accompany it.
fn voices(
    rng: &mut Rng,
    time: &Time,
    sections: &[Section],
    chords: &[Chord],
    key: i32,
    scale: &[i32; 7],
    spoken: bool,
) -> Vec<VocalLine> {
    let steps = time.bar_steps();
    let lowest = rng.range(42.0, 64.0) as i32;
    let pace = if spoken { 1 } else { *rng.pick(&[2, 2, 2, 4]) };
    let mut lead = Vec::new();
    let mut harmony = Vec::new();
    let harmony_steps = *rng.pick(&[2, 4, -3, 7]);
    for section in sections.iter().filter(|s| s.vocals) {
        let first = section.bars.start * steps;
        let end = section.bars.end * steps;
        let mut step = first + pace * rng.below(3);
        let mut degree = rng.below(8) as i32;
        while step < end {
            // A phrase: syllables without a gap, then a breath.
            let syllables = if spoken { 6 + rng.below(14) } else { 3 + rng.below(8) };
            for syllable in 0..syllables {
                if step >= end {
                    break;
                }
                let last = syllable + 1 == syllables;
                let mut length = pace * *rng.pick(if spoken { &[1, 1, 1, 2] } else { &[1, 1, 1, 2, 2, 3] });
                if last {
                    length += pace * rng.below(5);
                }
                length = length.min(end - step);
                degree = (degree + *rng.pick(&[-2, -1, -1, 0, 0, 1, 1, 2, 3, -3])).clamp(-1, 10);
                let on_beat = step.is_multiple_of(STEPS_PER_BEAT);
                let chord = &chords[(step / steps).min(chords.len() - 1)];
                if on_beat {
                    // Strong beats prefer a tone of the chord.
                    let fits = |d: i32| {
                        let pitch = scale_pitch(key, scale, d, lowest);
                        chord.tones.iter().any(|t| (t - pitch).rem_euclid(12) == 0)
                    };
                    degree =
                        [degree, degree + 1, degree - 1].into_iter().find(|&d| fits(d)).unwrap_or(degree);
                }
                let note = Note {
                    start: time.at(step, rng),
                    length: length as f32 * time.step(),
                    pitch: scale_pitch(key, scale, degree, lowest) as f32,
                    velocity: (0.6 + 0.25 * section.energy + 0.1 * rng.normal()).clamp(0.25, 1.0),
                };
                lead.push(note);
                if section.energy > 0.5 {
                    let pitch = scale_pitch(key, scale, degree + harmony_steps, lowest) as f32;
                    harmony.push(Note { pitch, velocity: note.velocity * 0.8, ..note });
                }
                step += length;
            }
            step += pace * (1 + rng.below(6));
        }
    }
    // A note lasts to the next one at most.
    for line in [&mut lead, &mut harmony] {
        for i in 1..line.len() {
            let (next, note) = (line[i].start, &mut line[i - 1]);
            note.length = note.length.min((next - note.start).max(0.05));
        }
    }
    let mut lines = vec![VocalLine { notes: lead, spoken }];
    if rng.chance(0.35) {
        let notes = lines[0].notes.iter().map(|n| Note { start: n.start + 0.012, ..*n }).collect();
        lines.push(VocalLine { notes, spoken });
    }
    if !spoken && rng.chance(0.4) {
        lines.push(VocalLine { notes: harmony, spoken: false });
    }
    if rng.chance(0.15) {
        // A choir holds the chords.
        for tone in 0..3 {
            let notes = sections
                .iter()
                .filter(|s| s.vocals)
                .flat_map(|s| s.bars.clone())
                .map(|bar| Note {
                    start: time.at(bar * steps, rng),
                    length: steps as f32 * time.step() * 0.97,
                    pitch: voicing(&chords[bar], lowest + 3, 3)[tone.min(2)] as f32,
                    velocity: 0.5,
                })
                .collect();
            lines.push(VocalLine { notes, spoken: false });
        }
    }
    lines
}
