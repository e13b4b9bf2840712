//! Effects that move: tremolo, chorus and flanger, phaser, wah.

use std::f32::consts::{PI, TAU};

use super::super::dsp::{INAUDIBLE, RATE, Svf, frames};
use super::Track;
use crate::rng::Rng;

/// Frames between two settings.
const STEP: usize = 32;

/// A moving effect.
pub enum Modulation {
    /// Volume that swings, from side to side or on both.
    Tremolo {
        /// Swings a second.
        hz: f32,
        /// 0 to 1.
        depth: f32,
        /// Left against right.
        opposite: bool,
    },
    /// A copy whose delay wavers: chorus with milliseconds, flanger with less and feedback.
    Chorus {
        /// Swings a second.
        hz: f32,
        /// Mean delay, seconds.
        delay: f32,
        /// Part of the delay that swings.
        depth: f32,
        /// How much of the result returns.
        feedback: f32,
    },
    /// Notches that wander: four all-pass sections.
    Phaser {
        /// Swings a second.
        hz: f32,
        /// Where the notches are lowest, Hz.
        low_hz: f32,
    },
    /// A band that wanders.
    Wah {
        /// Swings a second.
        hz: f32,
        /// Where it is lowest, Hz.
        low_hz: f32,
    },
}

impl Modulation {
    /// One of them.
    pub fn draw(rng: &mut Rng) -> Self {
        match rng.weighted(&[2.0, 3.0, 1.5, 0.7]) {
            0 => Self::Tremolo {
                hz: rng.log_range(0.2, 7.0),
                depth: rng.range(0.1, 0.6),
                opposite: rng.chance(0.5),
            },
            1 => {
                let flanger = rng.chance(0.25);
                Self::Chorus {
                    hz: rng.log_range(0.1, 2.0),
                    delay: if flanger { rng.range(0.001, 0.004) } else { rng.range(0.008, 0.02) },
                    depth: rng.range(0.1, 0.6) * if flanger { 1.0 } else { 0.25 },
                    feedback: if flanger { rng.range(0.2, 0.7) } else { 0.0 },
                }
            }
            2 => Self::Phaser { hz: rng.log_range(0.1, 2.0), low_hz: rng.log_range(200.0, 600.0) },
            _ => Self::Wah { hz: rng.log_range(0.3, 4.0), low_hz: rng.log_range(300.0, 700.0) },
        }
    }

    /// Runs it over a track, in place.
    pub fn run(&self, track: &mut Track) {
        for (side, channel) in track.channels.iter_mut().enumerate() {
            let swing = |frame: usize, hz: f32, phase: f32| {
                0.5 + 0.5 * (TAU * hz * frame as f32 / RATE + phase * side as f32).sin()
            };
            match *self {
                Self::Tremolo { hz, depth, opposite } => {
                    let phase = if opposite { PI } else { 0.0 };
                    for (block, samples) in channel.chunks_mut(STEP).enumerate() {
                        let level = 1.0 - depth * swing(block * STEP, hz, phase);
                        samples.iter_mut().for_each(|x| *x *= level);
                    }
                }
                Self::Chorus { hz, delay, depth, feedback } => {
                    let mut line = vec![0.0f32; frames(delay * (1.0 + depth)) + 3];
                    let size = line.len();
                    let centre = delay * RATE;
                    let mut back = centre;
                    for (n, x) in channel.iter_mut().enumerate() {
                        if n % STEP == 0 {
                            let goal = centre * (1.0 + depth * (2.0 * swing(n, hz, 0.5 * PI) - 1.0));
                            // Reached by a glide, or the steps would be heard.
                            back += 0.2 * (goal - back);
                        }
                        let whole = back as usize;
                        let part = back - whole as f32;
                        let at = |ago: usize| line[(n + size - ago.min(size - 1)) % size];
                        let delayed = at(whole) + part * (at(whole + 1) - at(whole));
                        line[n % size] = *x + feedback * delayed + INAUDIBLE;
                        *x = 0.75 * (*x + 0.8 * delayed);
                    }
                }
                Self::Phaser { hz, low_hz } => {
                    let mut state = [0.0f32; 4];
                    let mut a = 0.0f32;
                    for (n, x) in channel.iter_mut().enumerate() {
                        if n % STEP == 0 {
                            let w = PI * low_hz * (3.0 * swing(n, hz, 0.5 * PI)).exp2() / RATE;
                            a = (w - 1.0) / (w + 1.0);
                        }
                        // First-order all-passes in transposed form.
                        let mut y = *x + INAUDIBLE;
                        for s in &mut state {
                            let out = a * y + *s;
                            *s = y - a * out;
                            y = out;
                        }
                        *x = 0.7 * (*x + y);
                    }
                }
                Self::Wah { hz, low_hz } => {
                    let mut filter = Svf::default();
                    for (n, x) in channel.iter_mut().enumerate() {
                        if n % STEP == 0 {
                            filter.tune(low_hz * (2.3 * swing(n, hz, 0.0)).exp2(), 2.5);
                        }
                        *x = 0.3 * *x + 1.2 * filter.next(*x + INAUDIBLE).band;
                    }
                }
            }
        }
    }
}
