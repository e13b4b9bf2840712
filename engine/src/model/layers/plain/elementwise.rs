//! Small layers, and what is done to whole windows.

use candle_core::{D, Result, Tensor};

use super::super::norm::EPSILON;
use super::linear;

/// As [`super::super::LayerNorm`].
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let deviation = (variance + f64::from(EPSILON))?.sqrt()?;
    centred.broadcast_div(&deviation)?.broadcast_mul(weight)?.broadcast_add(bias)
}

/// As [`super::super::BandLinear`]: a weight `[out, in]` and a bias for each band.
pub fn per_band(x: &Tensor, weights: &[Tensor], biases: &[Tensor]) -> Result<Tensor> {
    let mut start = 0;
    let bands = weights.iter().zip(biases).map(|(weight, bias)| {
        let input = weight.dim(1)?;
        start += input;
        linear(&x.narrow(D::Minus1, start - input, input)?, weight, bias)
    });
    Tensor::cat(&bands.collect::<Result<Vec<_>>>()?, D::Minus1)
}

/// Each item of `[batch, ..]` times its own factor.
pub fn scale_items(x: &Tensor, factors: Vec<f32>) -> Result<Tensor> {
    let mut dims = vec![1; x.rank()];
    dims[0] = factors.len();
    x.broadcast_mul(&Tensor::from_vec(factors, dims, x.device())?)
}

/// Clamps to -1..=1.
pub fn clamp_to_full_scale(x: &Tensor) -> Result<Tensor> {
    x.clamp(-1f32, 1f32)
}

/// As [`super::super::share_remainder`].
pub fn share_remainder(estimates: &Tensor, mixture: &Tensor) -> Result<Tensor> {
    let lacking = (mixture.detach().unsqueeze(1)? - estimates.sum_keepdim(1)?)?;
    estimates.broadcast_add(&(lacking / estimates.dim(1)? as f64)?)
}

/// `x` beside the frames of `shortcut` that are left when `margin` are cropped at each end.
pub fn join_cropped(shortcut: &Tensor, x: &Tensor, margin: usize) -> Result<Tensor> {
    Tensor::cat(&[&shortcut.narrow(1, margin, x.dim(1)?)?, x], 2)
}
