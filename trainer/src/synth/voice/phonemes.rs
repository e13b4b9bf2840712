//! Vowels and consonants, and the syllables made of them.

use crate::rng::Rng;

/// Formant frequencies of vowels in Hz, of an average man, after Peterson and Barney (1952); the two upper ones
/// are the usual singer's.
const VOWELS: [[f32; 5]; 10] = [
    [730.0, 1_090.0, 2_440.0, 3_300.0, 4_200.0], // father
    [660.0, 1_720.0, 2_410.0, 3_400.0, 4_300.0], // bat
    [530.0, 1_840.0, 2_480.0, 3_400.0, 4_300.0], // bet
    [270.0, 2_290.0, 3_010.0, 3_600.0, 4_400.0], // beet
    [390.0, 1_990.0, 2_550.0, 3_400.0, 4_300.0], // bit
    [570.0, 840.0, 2_410.0, 3_200.0, 4_100.0],   // bought
    [440.0, 1_020.0, 2_240.0, 3_200.0, 4_100.0], // book
    [300.0, 870.0, 2_240.0, 3_200.0, 4_100.0],   // boot
    [640.0, 1_190.0, 2_390.0, 3_300.0, 4_200.0], // but
    [490.0, 1_350.0, 1_690.0, 3_100.0, 4_000.0], // bird
];

/// Pairs of vowels that glide into each other: buy, bay, cow, toe, boy.
const DIPHTHONGS: [(usize, usize); 5] = [(0, 3), (2, 3), (0, 7), (5, 7), (5, 4)];

/// A consonant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Consonant {
    /// Nothing: the vowel stands alone.
    None,
    /// s, z, sh, zh, f, v, th, h: noise around a frequency.
    Fricative {
        /// Centre of the noise, Hz.
        hz: f32,
        /// Its sharpness.
        q: f32,
        /// Its level.
        level: f32,
        /// With voice.
        voiced: bool,
        /// How long.
        seconds: f32,
    },
    /// p, t, k, b, d, g and, with a long burst, ch and j: silence, then a burst, then perhaps breath.
    Plosive {
        /// Centre of the burst, Hz.
        hz: f32,
        /// With voice.
        voiced: bool,
        /// Length of the burst, seconds.
        burst: f32,
    },
    /// m, n, ng, l, r, w, y: voiced, muffled, from another mouth shape.
    Sonorant {
        /// First formant, Hz.
        first: f32,
        /// Second formant, Hz.
        second: f32,
        /// Level against the vowel.
        level: f32,
    },
}

const FRICATIVES: [Consonant; 8] = [
    fricative(7_500.0, 1.2, 1.0, false, 0.12),
    fricative(7_000.0, 1.1, 0.6, true, 0.09),
    fricative(3_600.0, 1.0, 0.9, false, 0.11),
    fricative(3_400.0, 1.0, 0.5, true, 0.09),
    fricative(7_500.0, 0.4, 0.25, false, 0.09),
    fricative(6_000.0, 0.4, 0.15, true, 0.07),
    fricative(8_000.0, 0.5, 0.2, false, 0.08),
    fricative(1_500.0, 0.4, 0.25, false, 0.07),
];

const PLOSIVES: [Consonant; 8] = [
    Consonant::Plosive { hz: 900.0, voiced: false, burst: 0.015 },
    Consonant::Plosive { hz: 4_200.0, voiced: false, burst: 0.02 },
    Consonant::Plosive { hz: 2_000.0, voiced: false, burst: 0.025 },
    Consonant::Plosive { hz: 700.0, voiced: true, burst: 0.01 },
    Consonant::Plosive { hz: 3_800.0, voiced: true, burst: 0.012 },
    Consonant::Plosive { hz: 1_800.0, voiced: true, burst: 0.014 },
    Consonant::Plosive { hz: 3_900.0, voiced: false, burst: 0.06 },
    Consonant::Plosive { hz: 3_500.0, voiced: true, burst: 0.04 },
];

const SONORANTS: [Consonant; 7] = [
    sonorant(250.0, 1_100.0, 0.35),
    sonorant(250.0, 1_500.0, 0.35),
    sonorant(260.0, 2_000.0, 0.3),
    sonorant(350.0, 1_200.0, 0.55),
    sonorant(340.0, 1_350.0, 0.6),
    sonorant(300.0, 700.0, 0.5),
    sonorant(270.0, 2_200.0, 0.55),
];

const fn fricative(hz: f32, q: f32, level: f32, voiced: bool, seconds: f32) -> Consonant {
    Consonant::Fricative { hz, q, level, voiced, seconds }
}

const fn sonorant(first: f32, second: f32, level: f32) -> Consonant {
    Consonant::Sonorant { first, second, level }
}

/// A syllable: an onset, a vowel that may glide into another, and an end.
#[derive(Clone, Copy)]
pub struct Syllable {
    /// Before the vowel.
    pub onset: Consonant,
    /// Formants where the vowel begins, Hz.
    pub vowel: [f32; 5],
    /// And where it ends.
    pub vowel_end: [f32; 5],
    /// After the vowel.
    pub coda: Consonant,
}

impl Syllable {
    /// The syllable of a number; `open` for those without consonants, as choirs sing them.
    pub fn of(number: u64, open: bool) -> Self {
        let rng = &mut Rng::new(number, &[SYLLABLES]);
        let onset = match rng.weighted(&[1.5, 3.0, 3.5, 3.0]) {
            0 => Consonant::None,
            1 => *rng.pick(&FRICATIVES),
            2 => *rng.pick(&PLOSIVES),
            _ => *rng.pick(&SONORANTS),
        };
        let (from, to) = if rng.chance(0.25) {
            *rng.pick(&DIPHTHONGS)
        } else {
            let vowel = rng.below(VOWELS.len());
            (vowel, vowel)
        };
        let coda = match rng.weighted(&[5.0, 2.0, 1.0, 2.0]) {
            0 => Consonant::None,
            1 => *rng.pick(&FRICATIVES[..3]),
            2 => *rng.pick(&PLOSIVES[..3]),
            _ => *rng.pick(&SONORANTS[..3]),
        };
        let (onset, coda) = if open { (Consonant::None, Consonant::None) } else { (onset, coda) };
        Self { onset, vowel: VOWELS[from], vowel_end: VOWELS[to], coda }
    }
}

/// Keeps the seeds of syllables apart from those of other purposes.
const SYLLABLES: u64 = 0x7379_6c6c;
