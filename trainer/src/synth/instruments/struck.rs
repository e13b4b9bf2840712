//! Struck strings and bars: pianos, vibraphones, marimbas, bells, kalimbas.

use super::super::dsp::{Mode, Noise, Svf, frames, hertz, ring};
use super::super::score::Note;
use super::Instrument;
use crate::rng::Rng;

/// A piano or harpsichord: slightly stretched partials that die one after the other.
pub struct Piano {
    /// Level of each partial against the one below it, 0 to 1.
    pub brightness: f32,
    /// Inharmonicity.
    pub stretch: f32,
    /// Time to fall by 60 dB at middle C, seconds.
    pub t60: f32,
    /// Level of the hammer's knock.
    pub hammer: f32,
    /// How far the strings of a note are out of tune with each other, as a part of the frequency.
    pub beating: f32,
}

impl Instrument for Piano {
    fn play(&self, rng: &mut Rng, note: &Note, _previous: Option<f32>) -> Vec<f32> {
        let hz = hertz(note.pitch);
        let t60 = self.t60 * (261.0 / hz).powf(0.6);
        let mut out = vec![0.0; frames((note.length + 0.12).min(1.2 * t60)) + 1];
        // Soft notes are darker, and high strings have fewer partials that matter.
        let bright = self.brightness * (0.75 + 0.25 * note.velocity);
        let count = ((9_000.0 / hz) as usize).clamp(4, 20);
        let mut modes: Vec<Mode> = Vec::new();
        for n in 1..=count {
            let n = n as f32;
            let partial = hz * n * (1.0 + self.stretch * n * n).sqrt();
            let amplitude = 0.35 * bright.powf(n - 1.0) * (0.4 + (n * 0.36).sin().abs());
            let mode = Mode { hz: partial, amplitude, t60: t60 / (1.0 + 0.22 * n) };
            modes.push(mode);
            if n < 5.0 {
                // The second string of the note: beats, and the long quiet end of the decay.
                let hz = partial * (1.0 + self.beating);
                modes.push(Mode { hz, amplitude: 0.5 * amplitude, t60: 1.6 * mode.t60 });
            }
        }
        ring(&modes, &mut out);
        let mut noise = Noise::new(rng.bits());
        let mut hammer = Svf::new(400.0 + hz, 0.6);
        let knock = frames(0.025);
        for (i, x) in out.iter_mut().take(knock).enumerate() {
            *x += hammer.next(noise.next()).band * self.hammer * (1.0 - i as f32 / knock as f32);
        }
        release(&mut out, note.length, 0.1);
        out.iter_mut().for_each(|x| *x *= note.velocity * note.velocity);
        out
    }
}

/// Struck bars, bells and tongues.
pub struct Mallet {
    /// Frequencies of the modes against the note.
    pub ratios: [f32; 4],
    /// Time to fall by 60 dB at 500 Hz, seconds.
    pub t60: f32,
    /// 0 soft to 1 hard.
    pub hardness: f32,
    /// Swings a second of the resonators' fans: vibraphones; 0 for none.
    pub fan_hz: f32,
}

impl Mallet {
    /// Marimba, vibraphone, glockenspiel, tubular bells, kalimba, steel pan.
    pub fn draw(rng: &mut Rng) -> Self {
        Self {
            ratios: *rng.pick(&[
                [1.0, 3.93, 9.5, 16.0],
                [1.0, 2.76, 5.4, 8.93],
                [1.0, 4.0, 10.0, 13.0],
                [0.5, 1.0, 1.19, 2.0],
                [1.0, 5.8, 10.2, 14.5],
                [1.0, 2.0, 3.01, 4.03],
            ]),
            t60: rng.log_range(0.4, 3.0),
            hardness: rng.unit(),
            fan_hz: if rng.chance(0.25) { rng.range(2.0, 7.0) } else { 0.0 },
        }
    }
}

impl Instrument for Mallet {
    fn play(&self, rng: &mut Rng, note: &Note, _previous: Option<f32>) -> Vec<f32> {
        let hz = hertz(note.pitch);
        let t60 = self.t60 * (500.0 / hz).powf(0.4);
        let mut out = vec![0.0; frames(t60) + 1];
        let softness = 0.25 + 0.55 * self.hardness * (0.6 + 0.4 * note.velocity);
        let modes: Vec<Mode> = self
            .ratios
            .iter()
            .enumerate()
            .map(|(i, r)| Mode {
                hz: hz * r,
                amplitude: softness.powi(i as i32) * (1.0 + 0.1 * rng.normal()),
                t60: t60 / (1.0 + i as f32),
            })
            .collect();
        ring(&modes, &mut out);
        let mut noise = Noise::new(rng.bits());
        let mut felt = Svf::new(600.0 + 4_000.0 * self.hardness, 0.6);
        for x in out.iter_mut().take(frames(0.006)) {
            *x += 0.3 * felt.next(noise.next()).band;
        }
        for (i, x) in out.iter_mut().enumerate() {
            let swing = if self.fan_hz > 0.0 {
                let t = note.start + i as f32 / super::super::dsp::RATE;
                0.75 + 0.25 * (std::f32::consts::TAU * self.fan_hz * t).sin()
            } else {
                1.0
            };
            *x *= note.velocity * note.velocity * swing;
        }
        out
    }
}

/// Dampers fall on the strings.
fn release(out: &mut [f32], held: f32, seconds: f32) {
    let (start, length) = (frames(held), frames(seconds));
    for (i, x) in out.iter_mut().enumerate().skip(start) {
        *x *= (1.0 - (i - start) as f32 / length as f32).max(0.0);
    }
}
