//! Bowed strings and brass: several players who do not quite agree.

use super::super::dsp::{Adsr, Noise, Osc, RATE, Svf, hertz};
use super::super::score::Note;
use super::{Instrument, STEP, Vibrato};
use crate::rng::Rng;

/// A player's pitch and oscillator.
struct Player {
    oscillator: Osc,
    vibrato: Vibrato,
    tuning: f32,
    hz: f32,
}

fn players(rng: &mut Rng, count: usize, vibrato: f32, spread: f32) -> Vec<Player> {
    (0..count.max(1))
        .map(|_| Player {
            oscillator: Osc::new(rng.unit()),
            vibrato: Vibrato::new(vibrato * rng.range(0.6, 1.3), rng.range(4.6, 6.4), rng.unit()),
            tuning: spread * rng.normal(),
            hz: 0.0,
        })
        .collect()
}

/// A solo string instrument or a section: saws through the resonances of a body, with the bow's noise.
pub struct Strings {
    players: usize,
    vibrato: f32,
    attack: f32,
    release: f32,
    /// Resonances, Hz.
    body: [f32; 3],
    bow: f32,
    cutoff: f32,
}

impl Strings {
    /// A random section.
    pub fn draw(rng: &mut Rng) -> Self {
        let size = rng.log_range(0.5, 1.4);
        Self {
            players: *rng.pick(&[1, 2, 3, 4]),
            vibrato: rng.range(0.05, 0.35),
            attack: rng.log_range(0.03, 0.35),
            release: rng.log_range(0.08, 0.5),
            body: [280.0 / size, 480.0 / size, 1_100.0 / size],
            bow: rng.log_range(0.005, 0.06),
            cutoff: rng.log_range(1_500.0, 5_000.0),
        }
    }
}

impl Instrument for Strings {
    fn play(&self, rng: &mut Rng, note: &Note, _previous: Option<f32>) -> Vec<f32> {
        let mut players = players(rng, self.players, self.vibrato, 0.06);
        let mut noise = Noise::new(rng.bits());
        let mut body = self.body.map(|hz| Svf::new(hz, 2.5));
        let mut air = Svf::new(3_500.0, 0.5);
        let mut filter = Svf::new(self.cutoff * (0.6 + 0.4 * note.velocity), 0.6);
        let attack = self.attack.min(0.5 * note.length);
        let envelope = Adsr { attack, decay: 0.8, sustain: 0.85, release: self.release };
        let level = 0.5 / (players.len() as f32).sqrt();
        let mut out = envelope.curve(note.length);
        for (i, x) in out.iter_mut().enumerate() {
            let mut saws = 0.0;
            for player in &mut players {
                if i % STEP == 0 {
                    let t = i as f32 / RATE;
                    player.hz = hertz(note.pitch + player.tuning + player.vibrato.at(t));
                }
                saws += player.oscillator.saw(player.hz);
            }
            let bowed = level * saws + self.bow * air.next(noise.next()).band;
            let mut sum = 0.45 * bowed;
            for (resonance, weight) in body.iter_mut().zip([0.7, 0.5, 0.5]) {
                sum += weight * resonance.next(bowed).band;
            }
            *x *= filter.next(sum).low * note.velocity;
        }
        out
    }
}

/// Brass: the louder, the brighter, and the tone cracks at the start of a note.
pub struct Brass {
    players: usize,
    vibrato: f32,
    attack: f32,
    /// Where the bell resonates, Hz.
    bell: f32,
    /// Cutoff of a soft note and of a loud one against the pitch.
    open: (f32, f32),
    /// Semitones from which the lips come.
    scoop: f32,
}

impl Brass {
    /// Trumpets, horns, trombones, saxophones, synthesised or not.
    pub fn draw(rng: &mut Rng) -> Self {
        Self {
            players: *rng.pick(&[1, 1, 2, 3]),
            vibrato: rng.range(0.0, 0.2),
            attack: rng.log_range(0.015, 0.08),
            bell: rng.log_range(500.0, 1_500.0),
            open: (rng.range(1.0, 2.5), rng.range(3.0, 9.0)),
            scoop: if rng.chance(0.5) { rng.range(0.2, 1.2) } else { 0.1 },
        }
    }
}

impl Instrument for Brass {
    fn play(&self, rng: &mut Rng, note: &Note, _previous: Option<f32>) -> Vec<f32> {
        let mut players = players(rng, self.players, self.vibrato, 0.05);
        let mut noise = Noise::new(rng.bits());
        let (mut bell, mut filter) = (Svf::new(self.bell, 1.5), Svf::default());
        let hz = hertz(note.pitch);
        let envelope = Adsr { attack: self.attack, decay: 0.25, sustain: 0.75, release: 0.07 };
        let level = 0.5 / (players.len() as f32).sqrt();
        let mut out = envelope.curve(note.length);
        for (i, x) in out.iter_mut().enumerate() {
            let t = i as f32 / RATE;
            if i % STEP == 0 {
                let loud = *x * (0.35 + 0.65 * note.velocity);
                filter.tune(hz * (self.open.0 + self.open.1 * loud * loud), 0.8);
            }
            let mut saws = 0.0;
            for player in &mut players {
                if i % STEP == 0 {
                    let scoop = -self.scoop * (-t / 0.03).exp();
                    player.hz = hertz(note.pitch + player.tuning + scoop + player.vibrato.at(t));
                }
                saws += player.oscillator.saw(player.hz);
            }
            let blown = level * saws + 0.01 * noise.next();
            let low = filter.next(blown).low;
            *x *= (0.7 * low + 0.5 * bell.next(low).band) * note.velocity;
        }
        out
    }
}
