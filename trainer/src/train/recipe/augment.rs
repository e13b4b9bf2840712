//! Random changes to training data.

use serde::{Deserialize, Serialize};

use super::ensure;

/// Random changes. Each probability lies in 0..=1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Probability that an excerpt takes each stem from another song and place.
    pub remix: f32,
    /// Lowest and highest factor on each stem.
    pub gain: [f32; 2],
    /// Probability that a stem's channels are swapped.
    pub swap_channels: f32,
    /// Probability that a stem's sign is flipped.
    pub flip_sign: f32,
}

impl Default for Augment {
    fn default() -> Self {
        Self { remix: 0.0, gain: [1.0, 1.0], swap_channels: 0.0, flip_sign: 0.0 }
    }
}

impl Augment {
    /// What is wrong with the values, in the user's words.
    pub fn check(&self) -> Result<(), String> {
        let probabilities = [self.remix, self.swap_channels, self.flip_sign];
        ensure(probabilities.iter().all(|p| (0.0..=1.0).contains(p)), "probabilities must lie in 0..=1")?;
        ensure(self.gain[0] <= self.gain[1] && self.gain[0] >= 0.0, "`augment.gain` must be [low, high]")
    }
}
