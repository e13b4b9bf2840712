//! Keys, scales and chord progressions.

use crate::rng::Rng;

/// A chord: its root and its tones, as pitches whose octave says nothing.
pub struct Chord {
    /// The root.
    pub root: i32,
    /// All tones, root first: at least three.
    pub tones: Vec<i32>,
}

/// A song's key and chords.
pub struct Harmony {
    key: i32,
    scale: [i32; 7],
    chords: Vec<Chord>,
    /// Steps from one chord to the next.
    chord_steps: usize,
}

const MAJOR: [i32; 7] = [0, 2, 4, 5, 7, 9, 11];
const MIXOLYDIAN: [i32; 7] = [0, 2, 4, 5, 7, 9, 10];
const LYDIAN: [i32; 7] = [0, 2, 4, 6, 7, 9, 11];
const MINOR: [i32; 7] = [0, 2, 3, 5, 7, 8, 10];
const DORIAN: [i32; 7] = [0, 2, 3, 5, 7, 9, 10];
const PHRYGIAN: [i32; 7] = [0, 1, 3, 5, 7, 8, 10];
const HARMONIC_MINOR: [i32; 7] = [0, 2, 3, 5, 7, 8, 11];
const SCALES: [[i32; 7]; 13] = [
    MAJOR,
    MAJOR,
    MAJOR,
    MIXOLYDIAN,
    LYDIAN,
    MINOR,
    MINOR,
    MINOR,
    MINOR,
    DORIAN,
    DORIAN,
    PHRYGIAN,
    HARMONIC_MINOR,
];

/// Chord progressions as scale degrees.
const PROGRESSIONS: [&[usize]; 20] = [
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
    &[0, 4, 1, 3],
    &[3, 4, 2, 5],
    &[0, 2, 5, 3],
    &[5, 4, 3, 4],
    &[0, 4, 5, 2, 3, 0, 3, 4],
    &[0, 0, 0, 0],
    &[0, 3],
    &[0, 6],
    &[0, 1],
    &[0, 0, 0, 0, 3, 3, 0, 0, 4, 3, 0, 4],
];

/// How the chords of a song are built.
#[derive(Clone, Copy)]
enum Colour {
    Triads,
    Sevenths,
    Ninths,
    /// The third gives way to the fourth or the second.
    Suspended,
}

impl Harmony {
    /// A key and a progression for so many bars.
    pub fn draw(rng: &mut Rng, bars: usize, bar_steps: usize) -> Self {
        let scale = *rng.pick(&SCALES);
        let key = rng.below(12) as i32;
        let degrees: Vec<usize> = if rng.chance(0.8) {
            rng.pick(&PROGRESSIONS).to_vec()
        } else {
            (0..4).map(|_| *rng.pick(&[0, 0, 1, 2, 3, 3, 4, 4, 5, 5, 6])).collect()
        };
        let chord_steps = bar_steps * *rng.pick(&[2, 2, 4, 2, 2, 2, 1, 1]) / 2;
        let chord_steps = chord_steps.max(1);
        let colour = match rng.weighted(&[5.0, 3.0, 1.2, 0.8]) {
            0 => Colour::Triads,
            1 => Colour::Sevenths,
            2 => Colour::Ninths,
            _ => Colour::Suspended,
        };
        let chords = (0..(bars * bar_steps).div_ceil(chord_steps))
            .map(|index| chord(key, &scale, degrees[index % degrees.len()], colour))
            .collect();
        Self { key, scale, chords, chord_steps }
    }

    /// The chord that sounds at a step.
    pub fn at(&self, step: usize) -> &Chord {
        // A song has at least one bar, and so at least one chord.
        &self.chords[(step / self.chord_steps).min(self.chords.len() - 1)]
    }

    /// The pitch of a scale degree, degree 0 being the first key note at or above `lowest`.
    pub fn pitch(&self, degree: i32, lowest: i32) -> i32 {
        let tonic = lowest + (self.key - lowest).rem_euclid(12);
        tonic + 12 * degree.div_euclid(7) + self.scale[degree.rem_euclid(7) as usize]
    }

    /// The key note at or above `lowest`.
    pub fn tonic(&self, lowest: i32) -> i32 {
        self.pitch(0, lowest)
    }
}

fn chord(key: i32, scale: &[i32; 7], degree: usize, colour: Colour) -> Chord {
    let tone = |step: usize| key + scale[(degree + step) % 7] + 12 * ((degree + step) / 7) as i32;
    let mut tones = vec![tone(0), tone(2), tone(4)];
    match colour {
        Colour::Triads => {}
        Colour::Sevenths => tones.push(tone(6)),
        Colour::Ninths => tones.extend([tone(6), tone(8)]),
        Colour::Suspended => tones[1] = tone(if degree.is_multiple_of(2) { 3 } else { 1 }),
    }
    Chord { root: tone(0), tones }
}

impl Chord {
    /// The first pitch at or above `lowest` that is `pitch` in some octave.
    pub fn place(pitch: i32, lowest: i32) -> i32 {
        lowest + (pitch - lowest).rem_euclid(12)
    }

    /// `count` of its tones at or above `lowest`, bottom up.
    pub fn voicing(&self, lowest: i32, count: usize) -> Vec<i32> {
        let mut tones: Vec<i32> = self.tones.iter().map(|t| Self::place(*t, lowest)).collect();
        tones.sort_unstable();
        let octave_up: Vec<i32> = tones.iter().map(|t| t + 12).collect();
        tones.extend(octave_up);
        tones.truncate(count.max(1));
        tones
    }

    /// Whether a pitch is one of its tones.
    pub fn has(&self, pitch: i32) -> bool {
        self.tones.iter().any(|t| (t - pitch).rem_euclid(12) == 0)
    }
}
