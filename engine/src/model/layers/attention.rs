//! Multi-head self-attention.

use candle_core::{Result, Tensor};

use super::Linear;
use super::plain::attend;
use super::sequences::Axis;
use crate::model::params::Scope;

/// Self-attention over frames, without mask or positions, laid out as PyTorch's `MultiheadAttention`:
/// `[batch, frames, size]` -> the same.
#[derive(Debug)]
pub struct SelfAttention {
    in_proj: Linear,
    out_proj: Linear,
    heads: usize,
}

impl SelfAttention {
    /// Takes `in_proj_weight`, `in_proj_bias` and `out_proj.*`. Errors: heads that do not divide the size.
    pub fn new(scope: &Scope<'_>, size: usize, heads: usize) -> Result<Self> {
        if heads == 0 || !size.is_multiple_of(heads) {
            candle_core::bail!("attention of size {size} cannot have {heads} heads");
        }
        Ok(Self {
            in_proj: Linear::with_prefix(scope, "in_proj_", size, 3 * size)?,
            out_proj: Linear::new(&scope.at("out_proj"), size, size)?,
            heads,
        })
    }

    /// softmax(q k' / sqrt(size / heads)) v for each head (Vaswani et al. 2017).
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        // No bias: zeros for a distance of nothing.
        let bias = Tensor::zeros((self.heads, 1), x.dtype(), x.device())?;
        self.out_proj.forward(&attend(&self.in_proj.forward(x)?, &bias, Axis::Bands, 0)?)
    }
}
