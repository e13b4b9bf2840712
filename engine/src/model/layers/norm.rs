//! Batch normalisation. Group normalisation is part of [`super::NormedConv`].

use candle_core::{Result, Tensor, Var};

use crate::model::Mode;
use crate::model::params::{Init, Scope};

/// PyTorch's default for every normalisation here.
pub(super) const EPSILON: f32 = 1e-5;

/// Batch normalisation per channel. `[batch, frames, channels]` -> the same.
#[derive(Debug)]
pub struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    mean: (Tensor, Option<Var>),
    variance: (Tensor, Option<Var>),
}

/// Share of a new batch in the running statistics (Wave-U-Net-Pytorch's choice).
const MOMENTUM: f64 = 0.01;

impl BatchNorm {
    /// Takes `weight`, `bias`, `running_mean`, `running_var`, each `[channels]`.
    pub fn new(scope: &Scope<'_>, channels: usize) -> Result<Self> {
        Ok(Self {
            weight: scope.get("weight", &[channels], Init::Constant(1.0))?,
            bias: scope.get("bias", &[channels], Init::Constant(0.0))?,
            mean: scope.get_fixed("running_mean", &[channels], || vec![0.0; channels])?,
            variance: scope.get_fixed("running_var", &[channels], || vec![1.0; channels])?,
        })
    }

    /// Normalises by the batch's statistics in training (and keeps their running mean), by the stored ones else.
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let (mean, variance) = match mode {
            Mode::Evaluate => (self.mean.0.clone(), self.variance.0.clone()),
            Mode::Train { .. } => {
                let mean = x.mean((0, 1))?;
                let variance = x.broadcast_sub(&mean)?.sqr()?.mean((0, 1))?;
                let count = (x.elem_count() / mean.elem_count()) as f64;
                remember(&self.mean, &mean, 1.0)?;
                remember(&self.variance, &variance, count / (count - 1.0).max(1.0))?;
                (mean, variance)
            }
        };
        let scale = self.weight.div(&(variance + f64::from(EPSILON))?.sqrt()?)?;
        x.broadcast_sub(&mean)?.broadcast_mul(&scale)?.broadcast_add(&self.bias)
    }
}

/// running = (1 - momentum) running + momentum * correction * batch
fn remember((running, var): &(Tensor, Option<Var>), batch: &Tensor, correction: f64) -> Result<()> {
    match var {
        Some(var) => {
            var.set(&((running.detach() * (1.0 - MOMENTUM))? + (batch.detach() * (MOMENTUM * correction))?)?)
        }
        None => Ok(()),
    }
}
