//! How the loss is minimised.

use serde::{Deserialize, Serialize};

use super::ensure;

/// Adam or AdamW, and how the learning rate goes from step to step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Optimizer {
    /// What weight decay means.
    pub kind: Kind,
    /// Highest learning rate.
    pub rate: f64,
    /// Lowest learning rate, at the end of the run or of each cycle.
    pub final_rate: f64,
    /// How the rate goes from the one to the other.
    pub schedule: Schedule,
    /// Cycles of the cyclic schedule in each epoch.
    pub cycles_per_epoch: u64,
    /// Steps until the rate of the schedule is reached, along a straight line.
    pub warm_up: u64,
    /// Decay of the gradient's mean.
    pub beta1: f64,
    /// Decay of the gradient's square.
    pub beta2: f64,
    /// Added to the root of the gradient's square.
    pub epsilon: f64,
    /// Weight decay; 0 for none.
    pub weight_decay: f64,
    /// Longer gradients are shortened to this length; 0 leaves them.
    pub clip: f64,
    /// Batches whose gradients are averaged for one step.
    pub accumulate: u64,
    /// Decay of the weights' moving average, which is what validation measures and checkpoints hold; 0 for none.
    /// At step t it is at most (1 + t) / (10 + t), so that the average follows quickly at first.
    pub ema: f64,
    /// Parameters that are not trained: names in which `*` stands for anything.
    pub freeze: Vec<String>,
}

/// The optimiser. Without weight decay both are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Weight decay is an L2 penalty: it is part of the gradient (Kingma and Ba 2015; PyTorch's Adam).
    Adam,
    /// Weight decay shrinks the weights beside the gradient (Loshchilov and Hutter 2019).
    #[default]
    Adamw,
}

/// The learning rate after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// `rate` throughout.
    Constant,
    /// Half a cosine from `rate` to `final_rate` over the run.
    #[default]
    Cosine,
    /// The same over each cycle, then back to `rate` (Loshchilov and Hutter 2017, warm restarts).
    Cyclic,
}

impl Default for Optimizer {
    fn default() -> Self {
        Self {
            kind: Kind::default(),
            rate: 1e-3,
            final_rate: 5e-6,
            schedule: Schedule::default(),
            cycles_per_epoch: 2,
            warm_up: 0,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            clip: 0.0,
            accumulate: 1,
            ema: 0.999,
            freeze: Vec::new(),
        }
    }
}

impl Optimizer {
    /// What is wrong with the values, in the user's words.
    pub fn check(&self, steps_per_epoch: u64) -> Result<(), String> {
        ensure(self.rate > 0.0 && self.final_rate >= 0.0, "learning rates must be positive")?;
        ensure(self.final_rate <= self.rate, "`optimizer.final_rate` must not be above `optimizer.rate`")?;
        let decays = [self.beta1, self.beta2, self.ema];
        ensure(decays.iter().all(|b| (0.0..1.0).contains(b)), "decays must lie in 0..1")?;
        ensure(self.epsilon > 0.0, "`optimizer.epsilon` must be above 0")?;
        ensure(
            self.weight_decay >= 0.0 && self.clip >= 0.0,
            "`weight_decay` and `clip` must not be negative",
        )?;
        ensure(self.accumulate > 0, "`optimizer.accumulate` must be at least 1")?;
        ensure(self.cycles_per_epoch > 0, "`optimizer.cycles_per_epoch` must be at least 1")?;
        ensure(
            self.schedule != Schedule::Cyclic || steps_per_epoch >= self.cycles_per_epoch,
            "the cyclic schedule needs `steps_per_epoch`, and at least one step in each cycle",
        )
    }
}
