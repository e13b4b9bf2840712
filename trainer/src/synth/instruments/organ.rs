//! Organs: drawbars before a rotating speaker, pipes, and the reeds of accordions.

use super::super::dsp::{Adsr, Mode, Noise, RATE, Svf, frames, hertz, ring};
use super::super::score::Note;
use super::Instrument;
use crate::rng::Rng;

/// A registration: partials that neither die nor move by themselves.
pub struct Organ {
    /// Frequency against the note, and level.
    partials: Vec<(f32, f32)>,
    /// Turns a second of the speaker; 0 for none.
    rotation_hz: f32,
    /// Level of the wind or click at the start.
    chiff: f32,
    attack: f32,
}

impl Organ {
    /// A tone-wheel organ, pipes or an accordion.
    pub fn draw(rng: &mut Rng) -> Self {
        match rng.weighted(&[3.0, 1.5, 1.0]) {
            0 => {
                const FOOTAGES: [f32; 9] = [0.5, 1.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0];
                let mut partials: Vec<(f32, f32)> = FOOTAGES
                    .iter()
                    .map(|f| (*f, if rng.chance(0.6) { 0.35 * rng.unit() } else { 0.0 }))
                    .collect();
                partials[2].1 = 0.35;
                let rotation_hz = if rng.chance(0.7) { rng.range(0.7, 6.8) } else { 0.0 };
                Self { partials, rotation_hz, chiff: rng.range(0.0, 0.3), attack: 0.005 }
            }
            1 => {
                // Principals at 8, 4, 2 and 1 foot, and a fifth, each with a few harmonics of its own.
                let stops = [(1.0, 0.4), (2.0, 0.3), (3.0, 0.15), (4.0, 0.2), (8.0, 0.1)];
                let mut partials = Vec::new();
                for (footage, level) in stops.into_iter().take(2 + rng.below(4)) {
                    for harmonic in 1..4 {
                        let out_of_tune = 1.0 + 0.0015 * rng.normal();
                        let weaker = 0.35f32.powi(harmonic - 1);
                        partials.push((footage * harmonic as f32 * out_of_tune, level * weaker));
                    }
                }
                Self { partials, rotation_hz: 0.0, chiff: rng.range(0.05, 0.25), attack: 0.03 }
            }
            _ => {
                // Two or three reeds that beat against each other.
                let reeds = 2 + rng.below(2);
                let mut partials = Vec::new();
                let beat = rng.range(0.001, 0.006);
                for reed in 0..reeds {
                    for harmonic in 1..12 {
                        let level = 0.25 * 0.8f32.powi(harmonic) * (0.5 + 0.5 * rng.unit());
                        partials.push((harmonic as f32 * (1.0 + beat * (reed as f32 - 0.5)), level));
                    }
                }
                Self { partials, rotation_hz: 0.0, chiff: 0.02, attack: 0.03 }
            }
        }
    }
}

impl Instrument for Organ {
    fn play(&self, rng: &mut Rng, note: &Note, _previous: Option<f32>) -> Vec<f32> {
        let hz = hertz(note.pitch);
        let modes: Vec<Mode> = self
            .partials
            .iter()
            .filter(|(_, level)| *level > 0.0)
            .map(|(ratio, level)| Mode { hz: hz * ratio, amplitude: *level, t60: 1e3 })
            .collect();
        let curve = Adsr { attack: self.attack, decay: 1.0, sustain: 1.0, release: 0.04 }.curve(note.length);
        let mut out = vec![0.0; curve.len()];
        ring(&modes, &mut out);
        let mut wind = Svf::new(2.5 * hz, 1.0);
        let mut noise = Noise::new(rng.bits());
        let chiff = frames(0.04);
        for (i, x) in out.iter_mut().take(chiff).enumerate() {
            *x += self.chiff * wind.next(noise.next()).band * (1.0 - i as f32 / chiff as f32);
        }
        let mut swell = 1.0;
        for (i, (x, level)) in out.iter_mut().zip(curve).enumerate() {
            if i % 32 == 0 && self.rotation_hz > 0.0 {
                // All notes of a song turn with one speaker: its phase is the song's time.
                let turns = self.rotation_hz * (note.start + i as f32 / RATE);
                swell = 1.0 + 0.25 * (std::f32::consts::TAU * turns).sin();
            }
            // Organs know no velocity; players use the pedal, a little.
            *x *= level * swell * (0.5 + 0.5 * note.velocity);
        }
        out
    }
}
