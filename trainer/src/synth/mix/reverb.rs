//! Reverberation: a feedback delay network of eight lines (Jot 1991), with first reflections before it.

use super::super::dsp::{Biquad, INAUDIBLE, RATE, frames};
use super::Stereo;
use crate::rng::Rng;

/// A room, plate or hall.
#[derive(Clone, Copy)]
pub struct Reverb {
    /// Factor on the lengths of the delay lines.
    pub size: f32,
    /// Time to fall by 60 dB, seconds.
    pub t60: f32,
    /// Above this the tail dies sooner, Hz.
    pub damping_hz: f32,
    /// Nothing below this goes in, Hz.
    pub low_cut_hz: f32,
    /// Level of the first reflections against the tail; 0 for a plate, which has none.
    pub early: f32,
}

const LINES: usize = 8;
/// Lengths of the lines at size 1, frames: primes, so that no two echoes coincide soon.
const LENGTHS: [f32; LINES] = [1_031.0, 1_327.0, 1_523.0, 1_871.0, 2_053.0, 2_311.0, 2_539.0, 2_903.0];
/// When walls answer first, seconds at size 1, by turns on the left and on the right, and how loudly.
const EARLY: [(f32, f32); 8] = [
    (0.0071, 0.84),
    (0.0093, 0.79),
    (0.0137, -0.66),
    (0.0151, -0.61),
    (0.0212, 0.50),
    (0.0229, 0.45),
    (0.0317, -0.37),
    (0.0341, -0.33),
];

impl Reverb {
    /// A random space for a whole song.
    pub fn draw(rng: &mut Rng) -> Self {
        Self {
            size: rng.log_range(0.4, 1.6),
            t60: rng.log_range(0.3, 3.5),
            damping_hz: rng.log_range(1_500.0, 9_000.0),
            low_cut_hz: rng.log_range(80.0, 300.0),
            early: if rng.chance(0.6) { rng.range(0.2, 0.8) } else { 0.0 },
        }
    }

    /// Replaces the signal by its reverberation alone.
    pub fn run(&self, channels: &mut Stereo) {
        let lengths = LENGTHS.map(|l| (l * self.size) as usize + 1);
        let gains = lengths.map(|l| 10f32.powf(-3.0 * l as f32 / (self.t60 * RATE)));
        let mut lines = lengths.map(|l| vec![0.0f32; l]);
        let mut positions = [0usize; LINES];
        let mut low = [0.0f32; LINES];
        let damping = 1.0 - (-std::f32::consts::TAU * self.damping_hz / RATE).exp();
        let pre_delay = frames(0.012 * self.size);
        for channel in channels.iter_mut() {
            Biquad::high_pass(self.low_cut_hz).run(channel);
        }
        let input = channels.clone();
        for n in 0..channels[0].len() {
            let mut taps = [0.0f32; LINES];
            for (i, tap) in taps.iter_mut().enumerate() {
                low[i] += damping * (lines[i][positions[i]] - low[i]);
                *tap = low[i] * gains[i];
            }
            channels[0][n] = 0.35 * (taps[0] + taps[2] - taps[4] + taps[6]);
            channels[1][n] = 0.35 * (taps[1] - taps[3] + taps[5] + taps[7]);
            // Householder's reflection mixes the lines without changing their energy.
            let mean = taps.iter().sum::<f32>() * (2.0 / LINES as f32);
            let dry = match n.checked_sub(pre_delay) {
                Some(then) => [input[0][then], input[1][then]],
                None => [0.0; 2],
            };
            for i in 0..LINES {
                lines[i][positions[i]] = taps[i] - mean + dry[i % 2] + INAUDIBLE;
                positions[i] = if positions[i] + 1 == lengths[i] { 0 } else { positions[i] + 1 };
            }
        }
        if self.early > 0.0 {
            for (i, (seconds, level)) in EARLY.into_iter().enumerate() {
                // Every second reflection comes from the other side.
                let source = &input[usize::from(i % 4 >= 2) ^ (i % 2)];
                let delay = frames(seconds * self.size);
                super::super::dsp::add(&mut channels[i % 2], delay, source, level * self.early);
            }
        }
    }
}
