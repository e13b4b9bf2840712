//! Normalisation layers.

use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor, Var};
use rayon::prelude::*;

use super::cpu::{slice, vectorised, with_slice};
use crate::model::Mode;
use crate::model::params::{Init, Scope};

/// PyTorch's default for every normalisation here.
const EPSILON: f32 = 1e-5;

/// Group normalisation over frames and 8 neighbouring channels, followed by ReLU, as both Wave-U-Nets use it.
/// `[batch, frames, channels]` -> the same.
#[derive(Debug)]
pub struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
}

/// Channels that share their statistics.
const GROUP: usize = 8;

impl GroupNorm {
    /// Takes `weight` and `bias`, each `[channels]`. Errors: channels that 8 does not divide.
    pub fn new(scope: &Scope<'_>, channels: usize) -> Result<Self> {
        if !channels.is_multiple_of(GROUP) {
            candle_core::bail!("group normalisation needs channels in multiples of {GROUP}, not {channels}");
        }
        Ok(Self {
            weight: scope.get("weight", &[channels], Init::Constant(1.0))?,
            bias: scope.get("bias", &[channels], Init::Constant(0.0))?,
        })
    }

    /// Normalise, scale, shift, ReLU.
    pub fn forward_relu(&self, x: &Tensor) -> Result<Tensor> {
        x.contiguous()?.apply_op3(&self.weight, &self.bias, GroupNormRelu)
    }
}

struct GroupNormRelu;

vectorised! {
    /// Mean and 1 / standard deviation of each group of one item, `[frames, channels]`.
    fn statistics(x: &[f32], channels: usize) -> Vec<(f32, f32)> {
        let groups = channels / GROUP;
        let mut sums = vec![[0.0f64; 2]; groups];
        // Short runs in f32 keep the loop fast; their sums in f64 keep it exact over long windows.
        for run in x.chunks(channels * 64) {
            for (g, total) in sums.iter_mut().enumerate() {
                let (mut sum, mut squares) = ([0.0f32; GROUP], [0.0f32; GROUP]);
                for row in run.chunks_exact(channels) {
                    let row = &row[g * GROUP..(g + 1) * GROUP];
                    for c in 0..GROUP {
                        sum[c] += row[c];
                        squares[c] += row[c] * row[c];
                    }
                }
                total[0] += f64::from(sum.iter().sum::<f32>());
                total[1] += f64::from(squares.iter().sum::<f32>());
            }
        }
        let count = (x.len() / groups) as f64;
        sums.iter()
            .map(|[sum, squares]| {
                let mean = sum / count;
                let variance = (squares / count - mean * mean).max(0.0);
                (mean as f32, (1.0 / (variance + f64::from(EPSILON)).sqrt()) as f32)
            })
            .collect()
    }
}

vectorised! {
    /// One item, `[frames, channels]`, normalised, scaled, shifted and rectified into `out`.
    fn normalise(x: &[f32], weight: &[f32], bias: &[f32], out: &mut [f32]) {
        let channels = weight.len();
        let (scale, shift): (Vec<f32>, Vec<f32>) = statistics(x, channels)
            .into_iter()
            .flat_map(|s| [s; GROUP])
            .zip(weight.iter().zip(bias))
            .map(|((mean, deviation), (w, b))| (w * deviation, b - mean * w * deviation))
            .unzip();
        for (out, x) in out.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
            for ((out, x), (scale, shift)) in out.iter_mut().zip(x).zip(scale.iter().zip(&shift)) {
                *out = (x * scale + shift).max(0.0);
            }
        }
    }
}

impl CustomOp3 for GroupNormRelu {
    fn name(&self) -> &'static str {
        "group-norm-relu"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight, bias) = (slice(s1, l1)?, slice(s2, l2)?, slice(s3, l3)?);
        let (_, frames, channels) = l1.shape().dims3()?;
        let mut out = vec![0.0; x.len()];
        let item = |(x, out): (&[f32], &mut [f32])| normalise(x, weight, bias, out);
        let len = frames * channels;
        if x.len() == len {
            item((x, &mut out));
        } else {
            x.par_chunks(len).zip(out.par_chunks_mut(len)).for_each(item);
        }
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (_, frames, channels) = x.dims3()?;
        let len = frames * channels;
        let weights = weight.to_vec1::<f32>()?;
        let mut out = vec![0.0; x.elem_count()];
        let per_item = with_slice(x, |x| {
            with_slice(res, |res| {
                with_slice(grad, |grad| {
                    let items = x.par_chunks(len).zip(res.par_chunks(len)).zip(grad.par_chunks(len));
                    items
                        .zip(out.par_chunks_mut(len))
                        .map(|(((x, res), grad), out)| item_gradient(x, res, grad, &weights, out))
                        .collect::<Vec<_>>()
                })
            })
        })???;
        let (mut grad_weight, mut grad_bias) = (vec![0.0; channels], vec![0.0; channels]);
        for (w, b) in per_item {
            grad_weight.iter_mut().zip(w).for_each(|(sum, g)| *sum += g);
            grad_bias.iter_mut().zip(b).for_each(|(sum, g)| *sum += g);
        }
        let device = x.device();
        Ok((
            Some(Tensor::from_vec(out, x.shape(), device)?),
            Some(Tensor::from_vec(grad_weight, weight.shape(), device)?),
            Some(Tensor::from_vec(grad_bias, bias.shape(), device)?),
        ))
    }
}

vectorised! {
    /// Gradients of one item: the input's into `out`, and the weight's and bias's `[channels]`.
    fn item_gradient(
        x: &[f32],
        res: &[f32],
        grad: &[f32],
        weight: &[f32],
        out: &mut [f32],
    ) -> (Vec<f32>, Vec<f32>) {
        let channels = weight.len();
        let stats: Vec<(f32, f32)> = statistics(x, channels).into_iter().flat_map(|s| [s; GROUP]).collect();
        let (mut grad_weight, mut grad_bias) = (vec![0.0f32; channels], vec![0.0f32; channels]);
        let rows = || x.chunks_exact(channels).zip(res.chunks_exact(channels)).zip(grad.chunks_exact(channels));
        for ((x, res), grad) in rows() {
            for c in 0..channels {
                let g = if res[c] > 0.0 { grad[c] } else { 0.0 };
                grad_bias[c] += g;
                grad_weight[c] += g * (x[c] - stats[c].0) * stats[c].1;
            }
        }
        // d x = (w g - mean(w g) - x' mean(w g x')) / deviation, means over the group (Wu and He 2018).
        let count = (x.len() / channels * GROUP) as f32;
        let mean = |gradients: &[f32]| -> Vec<f32> {
            let sums = gradients.chunks_exact(GROUP).zip(weight.chunks_exact(GROUP));
            sums.flat_map(|(g, w)| [g.iter().zip(w).map(|(g, w)| g * w).sum::<f32>() / count; GROUP]).collect()
        };
        let (mean_g, mean_gx) = (mean(&grad_bias), mean(&grad_weight));
        for (((x, res), grad), out) in rows().zip(out.chunks_exact_mut(channels)) {
            for c in 0..channels {
                let g = if res[c] > 0.0 { grad[c] } else { 0.0 };
                let (mean, deviation) = stats[c];
                out[c] = (weight[c] * g - mean_g[c] - (x[c] - mean) * deviation * mean_gx[c]) * deviation;
            }
        }
        (grad_weight, grad_bias)
    }
}

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

/// Layer normalisation over the last axis. Any shape in, the same shape out.
#[derive(Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
}

impl LayerNorm {
    /// Takes `weight` and `bias`, each `[size]`.
    pub fn new(scope: &Scope<'_>, size: usize) -> Result<Self> {
        Ok(Self {
            weight: scope.get("weight", &[size], Init::Constant(1.0))?,
            bias: scope.get("bias", &[size], Init::Constant(0.0))?,
        })
    }

    /// In plain operations: candle's fused one has no gradient.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        centred
            .broadcast_div(&(variance + f64::from(EPSILON))?.sqrt()?)?
            .broadcast_mul(&self.weight)?
            .broadcast_add(&self.bias)
    }
}
