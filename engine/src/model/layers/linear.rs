//! Linear layer.

use candle_core::{Result, Tensor};

use super::conv::convolve;
use crate::model::params::{Init, Scope};

/// `[batch, frames, in]` -> `[batch, frames, out]`, weight `[out, in]`, bias `[out]`, as PyTorch's `Linear`.
#[derive(Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// Takes `<prefix>weight` and `<prefix>bias` from the scope, with `prefix` e.g. "in_proj_".
    pub fn with_prefix(scope: &Scope<'_>, prefix: &str, input: usize, output: usize) -> Result<Self> {
        let init = Init::Uniform(1.0 / (input as f32).sqrt());
        Ok(Self {
            weight: scope.get(&format!("{prefix}weight"), &[output, input], init)?,
            bias: scope.get(&format!("{prefix}bias"), &[output], init)?,
        })
    }

    /// Takes `weight` and `bias` from the scope.
    pub fn new(scope: &Scope<'_>, input: usize, output: usize) -> Result<Self> {
        Self::with_prefix(scope, "", input, output)
    }

    /// `[batch, frames, in]` -> `[batch, frames, out]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        convolve(x, &self.weight.unsqueeze(2)?, &self.bias, 1)
    }
}
