//! Layer normalisation in one pass each way.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::cpu::{slice, vectorised, with_slices};
use super::lanes::{fold, sum};
use super::norm::EPSILON;
use super::plain;
use crate::model::params::{Init, Scope};

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

    /// Each row brought to mean 0 and variance 1, then scaled and shifted.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if plain::is_for(x) {
            return plain::layer_norm(x, &self.weight, &self.bias);
        }
        x.contiguous()?.apply_op3(&self.weight, &self.bias, Normalise)
    }
}

struct Normalise;

/// Rows that are worked on at a time: fixed, so that sums do not depend on the number of threads.
const ROWS: usize = 256;

/// Mean and one over the standard deviation.
#[inline(always)]
fn statistics(row: &[f32]) -> (f32, f32) {
    let count = row.len() as f32;
    let mean = sum(row) / count;
    let variance = fold(row, row, 0.0, |acc, x, _| acc + (x - mean) * (x - mean), |a, b| a + b) / count;
    (mean, (variance + EPSILON).sqrt().recip())
}

vectorised! {
    fn normalise(x: &[f32], weight: &[f32], bias: &[f32], out: &mut [f32]) {
        let size = weight.len();
        for (x, out) in x.chunks_exact(size).zip(out.chunks_exact_mut(size)) {
            let (mean, factor) = statistics(x);
            for ((out, x), (weight, bias)) in out.iter_mut().zip(x).zip(weight.iter().zip(bias)) {
                *out = (x - mean) * factor * weight + bias;
            }
        }
    }
}

vectorised! {
    /// Gradient of rows into `out`; adds those of weight and bias to `sums`, one behind the other.
    fn gradient(x: &[f32], weight: &[f32], grad: &[f32], out: &mut [f32], sums: &mut [f32]) {
        let size = weight.len();
        let (of_weight, of_bias) = sums.split_at_mut(size);
        let (of_weight, of_bias, weight) = (&mut of_weight[..size], &mut of_bias[..size], &weight[..size]);
        let rows = x.chunks_exact(size).zip(grad.chunks_exact(size)).zip(out.chunks_exact_mut(size));
        for ((x, grad), out) in rows {
            let (x, grad, out) = (&x[..size], &grad[..size], &mut out[..size]);
            let (mean, factor) = statistics(x);
            for j in 0..size {
                of_weight[j] += grad[j] * ((x[j] - mean) * factor);
                of_bias[j] += grad[j];
                out[j] = grad[j] * weight[j];
            }
            let mean_out = sum(out) / size as f32;
            let product = fold(out, x, 0.0, |acc, out, x| acc + out * (x - mean), |a, b| a + b);
            let slope = product * factor * factor / size as f32;
            for j in 0..size {
                out[j] = factor * (out[j] - mean_out - (x[j] - mean) * slope);
            }
        }
    }
}

impl CustomOp3 for Normalise {
    fn name(&self) -> &'static str {
        "layer-norm"
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
        if l1.dims().last() != Some(&weight.len()) {
            candle_core::bail!("rows of {} numbers expected, not {:?}", weight.len(), l1.dims());
        }
        let mut out = vec![0.0; x.len()];
        let block = ROWS * weight.len();
        let blocks = out.par_chunks_mut(block).zip(x.par_chunks(block));
        blocks.for_each(|(out, x)| normalise(x, weight, bias, out));
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let size = weight.elem_count();
        let mut out = vec![0.0; x.elem_count()];
        let sums: Vec<Vec<f32>> = with_slices([x, weight, grad], |[x, weight, grad]| {
            let block = ROWS * size;
            let blocks = out.par_chunks_mut(block).zip(x.par_chunks(block)).zip(grad.par_chunks(block));
            let sums = |((out, x), grad): ((&mut [f32], &[f32]), &[f32])| {
                let mut sums = vec![0.0; 2 * size];
                gradient(x, weight, grad, out, &mut sums);
                sums
            };
            blocks.map(sums).collect()
        })?;
        let mut all = vec![0.0f32; 2 * size];
        sums.iter().for_each(|part| all.iter_mut().zip(part).for_each(|(sum, part)| *sum += part));
        let of_bias = all.split_off(size);
        let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device()).map(Some);
        Ok((tensor(out, x)?, tensor(all, weight)?, tensor(of_bias, bias)?))
    }
}
