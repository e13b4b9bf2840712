//! A singer: a glottal pulse train through formants that move from vowel to vowel, with consonants and breath.

use std::f32::consts::TAU;

use super::dsp::{Biquad, Noise, RATE, Svf, frames, gain, hertz, saturate};
use super::mix::Track;
use super::score::{Note, VocalLine};
use crate::rng::Rng;

/// Formant frequencies of vowels in Hz, of an average man, after Peterson and Barney (1952); the two upper ones
/// are the usual singer's.
const VOWELS: [[f32; 5]; 9] = [
    [730.0, 1_090.0, 2_440.0, 3_300.0, 4_200.0], // father
    [660.0, 1_720.0, 2_410.0, 3_400.0, 4_300.0], // bat
    [530.0, 1_840.0, 2_480.0, 3_400.0, 4_300.0], // bet
    [270.0, 2_290.0, 3_010.0, 3_600.0, 4_400.0], // beet
    [390.0, 1_990.0, 2_550.0, 3_400.0, 4_300.0], // bit
    [570.0, 840.0, 2_410.0, 3_200.0, 4_100.0],   // bought
    [300.0, 870.0, 2_240.0, 3_200.0, 4_100.0],   // boot
    [640.0, 1_190.0, 2_390.0, 3_300.0, 4_200.0], // but
    [490.0, 1_350.0, 1_690.0, 3_100.0, 4_000.0], // bird
];

/// Bandwidths of the five formants, Hz.
const BANDWIDTHS: [f32; 5] = [80.0, 95.0, 130.0, 200.0, 260.0];

/// Frames between two settings of the formants.
const CONTROL: usize = 32;

/// What makes one singer differ from another.
struct Singer {
    /// Length of the throat: factor on all formants.
    formants: f32,
    /// 0 soft and dark to 1 pressed and bright.
    effort: f32,
    breath: f32,
    jitter: f32,
    vibrato_hz: f32,
    /// Semitones.
    vibrato: f32,
    /// Seconds from one pitch to the next.
    glide: f32,
    consonants: f32,
    growl: f32,
}

impl Singer {
    fn draw(rng: &mut Rng, pitch: f32) -> Self {
        // High voices usually come from short throats.
        let short = ((pitch - 50.0) / 24.0).clamp(0.0, 1.0);
        Self {
            formants: 0.94 + 0.22 * short + 0.05 * rng.normal(),
            effort: rng.unit(),
            breath: rng.log_range(0.004, 0.08),
            jitter: rng.range(0.001, 0.008),
            vibrato_hz: rng.range(4.5, 7.0),
            vibrato: if rng.chance(0.8) { rng.range(0.05, 0.7) } else { 0.0 },
            glide: rng.range(0.015, 0.09),
            consonants: rng.range(0.3, 1.2),
            growl: if rng.chance(0.15) { rng.range(0.1, 0.5) } else { 0.0 },
        }
    }
}

/// Sings all lines; the lead is in the middle.
pub fn render(rng: &mut Rng, lines: &[VocalLine], length: usize) -> Vec<Track> {
    let delay = if rng.chance(0.35) { rng.range(0.05, 0.35) } else { 0.0 };
    let reverb = rng.log_range(0.02, 0.4);
    let presence = Biquad::high_shelf(rng.log_range(3_000.0, 6_000.0), rng.range(0.0, 9.0));
    let mut lead = None;
    lines
        .iter()
        .enumerate()
        .map(|(index, line)| {
            let pitch = line.notes.first().map_or(60.0, |n| n.pitch);
            let singer = lead.get_or_insert_with(|| Singer::draw(rng, pitch));
            let other = Singer::draw(rng, pitch);
            let singer = if index < 2 { singer } else { &other };
            let mut voice = sing(rng, singer, line, length);
            Biquad::high_pass(90.0).run(&mut voice);
            presence.clone().run(&mut voice);
            compress(&mut voice);
            let mut track = Track::silent(length);
            let (level, pan) = match index {
                0 => (1.0, 0.1 * rng.normal()),
                _ => (rng.range(0.2, 0.6), rng.range(-0.9, 0.9)),
            };
            track.add(0, &voice, level, pan);
            track.reverb_send = reverb;
            track.delay_send = delay;
            track
        })
        .collect()
}

fn sing(rng: &mut Rng, singer: &Singer, line: &VocalLine, length: usize) -> Vec<f32> {
    let mut out = vec![0.0; length];
    let mut first = 0;
    // Phrase by phrase: notes that follow each other without a gap are sung in one breath.
    while first < line.notes.len() {
        let mut last = first;
        while last + 1 < line.notes.len() {
            let end = line.notes[last].start + line.notes[last].length;
            if line.notes[last + 1].start > end + 0.06 {
                break;
            }
            last += 1;
        }
        let start = frames(line.notes[first].start);
        if start < length {
            let phrase = phrase(rng, singer, &line.notes[first..=last], line.spoken);
            super::dsp::add(&mut out, start, &phrase, 1.0);
        }
        first = last + 1;
    }
    out
}

/// What happens at the start of a syllable.
#[derive(Clone, Copy, PartialEq)]
enum Consonant {
    None,
    /// s, sh, f, h: noise around a frequency.
    Fricative {
        hz: f32,
        q: f32,
        level: f32,
        voiced: bool,
        seconds: f32,
    },
    /// p, t, k, b, d, g: silence, then a burst.
    Plosive {
        hz: f32,
        voiced: bool,
    },
    /// m, n, l, r, w, y: voiced, muffled, from another mouth shape.
    Sonorant {
        first: f32,
        second: f32,
    },
}

fn consonant(rng: &mut Rng) -> Consonant {
    match rng.weighted(&[2.0, 3.0, 3.0, 3.0]) {
        0 => Consonant::None,
        1 => {
            let (hz, q, level, seconds) = *rng.pick(&[
                (7_500.0, 1.2, 1.0, 0.11),
                (6_300.0, 1.0, 1.0, 0.09),
                (3_800.0, 1.0, 0.9, 0.10),
                (7_000.0, 0.4, 0.3, 0.08),
                (1_500.0, 0.4, 0.25, 0.06),
            ]);
            Consonant::Fricative { hz, q, level, voiced: rng.chance(0.25), seconds }
        }
        2 => {
            Consonant::Plosive { hz: *rng.pick(&[900.0, 2_000.0, 3_800.0, 4_500.0]), voiced: rng.chance(0.4) }
        }
        _ => {
            let (first, second) = *rng.pick(&[
                (250.0, 1_100.0),
                (250.0, 1_500.0),
                (350.0, 1_200.0),
                (320.0, 1_300.0),
                (300.0, 700.0),
                (270.0, 2_200.0),
            ]);
            Consonant::Sonorant { first, second }
        }
    }
}

/// One phrase, from its first note's start on.
fn phrase(rng: &mut Rng, singer: &Singer, notes: &[Note], spoken: bool) -> Vec<f32> {
    let origin = notes[0].start;
    let last = notes[notes.len() - 1];
    let total = last.start + last.length - origin;
    let length = frames(total + 0.12);
    let mut out = vec![0.0; length];
    let mut noise = Noise::new(rng.bits());

    let words: Vec<(Consonant, [f32; 5], [f32; 5])> = notes
        .iter()
        .map(|_| {
            let consonant = consonant(rng);
            let vowel = *rng.pick(&VOWELS);
            // Some vowels glide into another.
            let end = if rng.chance(0.3) { *rng.pick(&VOWELS) } else { vowel };
            (consonant, vowel.map(|f| f * singer.formants), end.map(|f| f * singer.formants))
        })
        .collect();
    let melody: Vec<f32> = notes
        .iter()
        .enumerate()
        .map(|(i, n)| {
            // Speech falls towards the end of the phrase and takes no notice of scales.
            let spoken_pitch = 0.35 * (n.pitch - notes[0].pitch) - 4.0 * i as f32 / notes.len() as f32;
            if spoken { notes[0].pitch - 5.0 + spoken_pitch + 1.5 * rng.normal() } else { n.pitch }
        })
        .collect();

    let mut formants = [Svf::default(), Svf::default(), Svf::default(), Svf::default(), Svf::default()];
    let mut targets = words[0].1;
    let mut pitch = melody[0] - rng.range(0.0, 2.0);
    let mut friction = Svf::new(5_000.0, 1.0);
    let mut source = Glottis::new(singer);
    let (mut vibrato_phase, mut drift) = (0.0f32, 0.0f32);
    let (mut voicing, mut frication, mut hz, mut vibrato_now) = (0.0f32, 0.0f32, hertz(pitch), 0.0f32);
    let mut index = 0;
    for block in 0..length.div_ceil(CONTROL) {
        let t = (block * CONTROL) as f32 / RATE;
        while index + 1 < notes.len() && t >= notes[index + 1].start - origin {
            index += 1;
        }
        let note = &notes[index];
        let (word, vowel, vowel_end) = &words[index];
        let since = t - (note.start - origin);
        let progress = (since / note.length.max(0.05)).clamp(0.0, 1.0);
        let seconds = CONTROL as f32 / RATE;

        // Mouth.
        let mut goal: [f32; 5] = std::array::from_fn(|i| vowel[i] + (vowel_end[i] - vowel[i]) * progress);
        let (mut open, mut friction_level) = (1.0, 0.0);
        let time = (note.length * 0.4).min(1.0);
        match *word {
            Consonant::None => {}
            Consonant::Fricative { hz, q, level, voiced, seconds } => {
                let seconds = seconds.min(time);
                if since < seconds {
                    open = if voiced { 0.35 } else { 0.0 };
                    friction_level = level * (since / seconds * std::f32::consts::PI).sin();
                    friction.tune(hz * singer.formants.sqrt(), q);
                }
            }
            Consonant::Plosive { hz, voiced } => {
                let closed = 0.045f32.min(time);
                if since < closed {
                    open = if voiced { 0.08 } else { 0.0 };
                } else if since < closed + 0.018 {
                    open = if voiced { 0.6 } else { 0.0 };
                    friction_level = 1.2 * (1.0 - (since - closed) / 0.018);
                    friction.tune(hz, 0.8);
                }
            }
            Consonant::Sonorant { first, second } => {
                if since < 0.07f32.min(time) {
                    open = 0.3;
                    goal = [first, second, 2_300.0, 3_200.0, 4_100.0].map(|f| f * singer.formants);
                }
            }
        }
        // The mouth needs some 20 ms to move.
        let mouth = 1.0 - (-seconds / 0.018f32).exp();
        (0..5).for_each(|i| targets[i] += mouth * (goal[i] - targets[i]));

        // Larynx.
        let glide = 1.0 - (-seconds / singer.glide).exp();
        pitch += glide * (melody[index] - pitch);
        drift = 0.98 * drift + 0.02 * rng.normal();
        vibrato_phase += TAU * singer.vibrato_hz * seconds;
        let depth = if spoken { 0.0 } else { singer.vibrato * ((since - 0.18) * 4.0).clamp(0.0, 1.0) };
        vibrato_now += 0.2 * (depth * vibrato_phase.sin() - vibrato_now);
        let next_hz = hertz(pitch + vibrato_now + 0.6 * drift);
        // A first formant below the pitch would swallow it: singers open their mouths.
        let first = targets[0].max(next_hz * 1.05);
        for (i, formant) in formants.iter_mut().enumerate() {
            let centre = if i == 0 { first } else { targets[i] };
            formant.tune(centre, centre / (BANDWIDTHS[i] * (1.0 + 0.3 * (1.0 - singer.effort))));
        }
        let ending = if t > total { 0.0 } else { 1.0 };
        let level = open * ending * note.velocity * (0.75 + 0.25 * (1.0 - progress));
        let friction_target = friction_level * ending * singer.consonants * note.velocity;

        let end = ((block + 1) * CONTROL).min(length);
        for x in &mut out[block * CONTROL..end] {
            voicing += 0.004 * (level - voicing);
            frication += 0.01 * (friction_target - frication);
            hz += 0.01 * (next_hz - hz);
            let pulse = source.next(hz, voicing, &mut noise);
            // Formants in parallel, of alternating sign as in a tube, each weaker than the one below.
            let mut mouth = 0.0;
            for (formant, weight) in formants.iter_mut().zip(source.weights) {
                mouth += weight * formant.next(pulse).band;
            }
            *x = mouth + 0.25 * frication * friction.next(noise.next()).band;
        }
    }
    out
}

/// The source: pulses of air, and their noise.
struct Glottis {
    phase: f32,
    jitter: f32,
    wobble: f32,
    /// Part of the period in which the folds are open.
    open: f32,
    breath: f32,
    growl: f32,
    strong: bool,
    tilt: f32,
    smooth: f32,
    /// Levels of the formants.
    weights: [f32; 5],
}

impl Glottis {
    fn new(singer: &Singer) -> Self {
        let upper = gain(-10.0 + 12.0 * singer.effort);
        Self {
            phase: 0.0,
            jitter: singer.jitter,
            wobble: 0.0,
            open: 0.75 - 0.3 * singer.effort,
            breath: singer.breath,
            growl: singer.growl,
            strong: true,
            tilt: 0.25 + 0.7 * singer.effort,
            smooth: 0.0,
            weights: [1.0, -0.75, 0.9 * upper, -0.9 * upper, 0.7 * upper],
        }
    }

    fn next(&mut self, hz: f32, level: f32, noise: &mut Noise) -> f32 {
        self.phase += hz * (1.0 + self.wobble) / RATE;
        if self.phase >= 1.0 {
            self.phase -= 1.0;
            self.wobble = self.jitter * noise.next();
            self.strong = !self.strong;
        }
        // The flow's derivative in Rosenberg's shape: a slow rise, then an abrupt closure.
        let t = self.phase / self.open;
        let flow = if t < 1.0 { t * (2.0 - 3.0 * t) } else { 0.0 };
        let strength = if self.strong { 1.0 } else { 1.0 - self.growl };
        // Breath flows while the folds are open.
        let air = if t < 1.0 { self.breath } else { self.breath * 0.3 } * noise.next();
        let x = level * (flow * strength + air);
        self.smooth += self.tilt * (x - self.smooth);
        self.smooth
    }
}

/// Evens out loud and soft, as every vocal in a mix is.
fn compress(voice: &mut [f32]) {
    let mut envelope = 0.0f32;
    let (attack, release) = (1.0 - (-1.0 / (0.005 * RATE)).exp(), 1.0 - (-1.0 / (0.12 * RATE)).exp());
    for x in voice.iter_mut() {
        let level = x.abs();
        envelope += if level > envelope { attack } else { release } * (level - envelope);
        *x = saturate(*x / (0.04 + envelope).sqrt() * 0.8);
    }
}
