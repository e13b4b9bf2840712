//! Multi-head self-attention.

use candle_core::{D, Result, Tensor};

use super::Linear;
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
        let (batch, frames, size) = x.dims3()?;
        let head = size / self.heads;
        let projected = self.in_proj.forward(x)?.reshape((batch, frames, 3, self.heads, head))?;
        // [batch, heads, frames, head]
        let part = |index| projected.narrow(2, index, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous();
        let (query, key, value): (Tensor, Tensor, Tensor) = (part(0)?, part(1)?, part(2)?);
        let scores = (query.matmul(&key.transpose(2, 3)?.contiguous()?)? * (head as f64).powf(-0.5))?;
        let mixed = candle_nn::ops::softmax(&scores, D::Minus1)?.matmul(&value)?;
        self.out_proj.forward(&mixed.transpose(1, 2)?.contiguous()?.reshape((batch, frames, size))?)
    }
}
