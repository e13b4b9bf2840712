//! How the loss is minimised.

use serde::{Deserialize, Serialize};

use super::ensure;

/// AdamW, with a rate that rises linearly, then falls along a cosine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Optimizer {
    /// Highest learning rate.
    pub rate: f64,
    /// Learning rate at the last step.
    pub final_rate: f64,
    /// Steps until the highest rate.
    pub warm_up: u64,
    /// Decay of the gradient's mean.
    pub beta1: f64,
    /// Decay of the gradient's square.
    pub beta2: f64,
    /// Decoupled weight decay; 0 is plain Adam.
    pub weight_decay: f64,
    /// Longer gradients are shortened to this length; 0 leaves them.
    pub clip: f64,
    /// Decay of the weights' moving average, which is what validation measures and checkpoints hold; 0 for none.
    /// At step t it is at most (1 + t) / (10 + t), so that the average follows quickly at first.
    pub ema: f64,
}

impl Default for Optimizer {
    fn default() -> Self {
        Self {
            rate: 1e-3,
            final_rate: 5e-6,
            warm_up: 0,
            beta1: 0.9,
            beta2: 0.999,
            weight_decay: 0.0,
            clip: 0.0,
            ema: 0.999,
        }
    }
}

impl Optimizer {
    /// What is wrong with the values, in the user's words.
    pub fn check(&self) -> Result<(), String> {
        ensure(self.rate > 0.0 && self.final_rate >= 0.0, "learning rates must be positive")?;
        let decays = [self.beta1, self.beta2, self.ema];
        ensure(decays.iter().all(|b| (0.0..1.0).contains(b)), "decays must lie in 0..1")
    }
}
