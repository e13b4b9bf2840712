//! Random numbers that depend on a seed and a purpose, never on what was drawn before elsewhere.
//!
//! Every random decision of the trainer is a function of (seed, numbers that say which decision it is). That makes
//! songs the same on any number of threads, and lets a killed training resume without saving a generator's state.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

/// A generator of random numbers with the distributions that composing and training need.
#[derive(Clone)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// The generator for one purpose, named by numbers: `Rng::new(seed, &[SONG, 3])`.
    pub fn new(seed: u64, purpose: &[u64]) -> Self {
        Self(ChaCha8Rng::seed_from_u64(purpose.iter().fold(mix(seed), |state, &p| mix(state ^ mix(p)))))
    }

    /// An independent generator for a part of this purpose.
    pub fn fork(&mut self) -> Self {
        Self(ChaCha8Rng::seed_from_u64(self.0.next_u64()))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1 << 24) as f32
    }

    /// Uniform in [low, high).
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Uniform on a logarithmic scale: for frequencies and times.
    pub fn log_range(&mut self, low: f32, high: f32) -> f32 {
        (self.range(low.ln(), high.ln())).exp()
    }

    /// Roughly normal with mean 0 and deviation 1, never beyond 3.5.
    pub fn normal(&mut self) -> f32 {
        (0..4).map(|_| self.range(-1.0, 1.0)).sum::<f32>() * 0.866
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// Uniform in 0..n; 0 when n is 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// One of the choices, which must not be empty.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// An index, drawn in proportion to its weight; the last one when all weights are 0.
    pub fn weighted(&mut self, weights: &[f32]) -> usize {
        let mut point = self.unit() * weights.iter().sum::<f32>();
        for (index, weight) in weights.iter().enumerate() {
            point -= weight;
            if point < 0.0 {
                return index;
            }
        }
        weights.len().saturating_sub(1)
    }
}

/// The finaliser of SplitMix64: every bit of the input moves about half of the output's.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_are_independent_and_repeatable() {
        let draw = |purpose: &[u64]| Rng::new(1, purpose).bits();
        assert_eq!(draw(&[2, 3]), draw(&[2, 3]));
        assert_ne!(draw(&[2, 3]), draw(&[3, 2]));
        assert_ne!(draw(&[2]), draw(&[2, 0]));
    }

    #[test]
    fn distributions_have_their_mean_and_spread() {
        let mut rng = Rng::new(5, &[]);
        let n = 20_000;
        let draws: Vec<f32> = (0..n).map(|_| rng.normal()).collect();
        let mean = draws.iter().sum::<f32>() / n as f32;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / n as f32;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "mean {mean}, variance {variance}");
        let ones = (0..n).filter(|_| rng.weighted(&[3.0, 1.0]) == 1).count();
        assert!((ones as f32 / n as f32 - 0.25).abs() < 0.02, "{ones}");
    }
}
