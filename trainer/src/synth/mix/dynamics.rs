//! The compressor, and the master limiter's gain curve.

use super::super::dsp::{RATE, gain};
use super::{Stereo, loud_power};
use crate::rng::Rng;

/// Frames between two gains, with a straight line between them.
const STEP: usize = 16;

/// A feed-forward compressor, both channels under one gain (after Giannoulis, Massberg and Reiss, 2012).
pub struct Compressor {
    /// Where it begins, dB against the mean level of what sounds.
    pub threshold_db: f32,
    /// dB in for one dB out above the threshold.
    pub ratio: f32,
    /// Seconds.
    pub attack: f32,
    /// Seconds.
    pub release: f32,
}

impl Compressor {
    /// From hardly to heavily.
    pub fn draw(rng: &mut Rng) -> Self {
        Self {
            threshold_db: rng.range(-8.0, 6.0),
            ratio: rng.log_range(1.5, 8.0),
            attack: rng.log_range(0.001, 0.03),
            release: rng.log_range(0.04, 0.4),
        }
    }

    /// Evens out loud and soft, in place. The result's level is about that of the input.
    pub fn run(&self, channels: &mut Stereo) {
        let power = loud_power(channels);
        if power < 1e-12 {
            return;
        }
        // Peaks of a sine lie 3 dB above its mean level.
        let threshold = 20.0 * power.sqrt().log10() + 3.0 + self.threshold_db;
        let slope = self.ratio.recip() - 1.0;
        let coefficient = |seconds: f32| 1.0 - (-(STEP as f32) / (seconds * RATE)).exp();
        let (attack, release) = (coefficient(self.attack), coefficient(self.release));
        let (mut reduction_db, mut factor) = (0f32, 1f32);
        let [left, right] = channels;
        for (left, right) in left.chunks_mut(STEP).zip(right.chunks_mut(STEP)) {
            let peak = left.iter().chain(right.iter()).fold(1e-6f32, |peak, x| peak.max(x.abs()));
            let over = (20.0 * peak.log10() - threshold).max(0.0);
            let wanted = slope * over;
            reduction_db += if wanted < reduction_db { attack } else { release } * (wanted - reduction_db);
            let next = gain(reduction_db);
            let rise = (next - factor) / STEP as f32;
            for (l, r) in left.iter_mut().zip(right.iter_mut()) {
                factor += rise;
                *l *= factor;
                *r *= factor;
            }
        }
    }
}

/// A limiter's gain at each frame from the mixture's level, to be applied to all stems alike.
pub fn limit(rng: &mut Rng, level: &[f32]) -> Vec<f32> {
    let loudest = level.iter().fold(0f32, |peak, x| peak.max(*x));
    let threshold = loudest * gain(-rng.range(1.0, 9.0));
    let release = 1.0 - (-1.0 / (rng.log_range(0.03, 0.25) * RATE)).exp();
    let attack = 1.0 - (-1.0 / (0.002 * RATE)).exp();
    let mut current = 1.0f32;
    level
        .iter()
        .map(|&level| {
            let wanted = if level > threshold { threshold / level } else { 1.0 };
            current += if wanted < current { attack } else { release } * (wanted - current);
            current
        })
        .collect()
}
