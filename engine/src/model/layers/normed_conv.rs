//! A convolution with everything that follows it in a Wave-U-Net, as one operation.
//!
//! Normalised and gated values are never kept for a whole window: they are made block by block, while the block is in
//! the cache, and made again in the backward pass. That is faster than reading them back from memory, and training
//! holds only what the convolution gave.

use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::activation::{glu_gradient, glu_rows};
use super::conv::{Conv, Dims, Form, Operands, TransposedConv};
use super::cpu::{
    Matrix, MatrixMut, add_rows, each_item, fill_rows, matmul, permuted, slice, sum_over_items, with_slice,
};
use super::group_norm::{Affine, GROUP, Gradients, Sums};
use super::plain;
use crate::model::params::{Init, Scope};

/// Convolution, group normalisation, ReLU; with a gate also a 1x1 convolution to twice the channels and a gated
/// linear unit. `[batch, frames, in]` -> `[batch, frames', out]`, frames' as the convolution's.
#[derive(Debug)]
pub struct NormedConv {
    filter: Filter,
    norm: [Tensor; 2],
    gate: Option<[Tensor; 2]>,
}

/// The convolution.
#[derive(Debug)]
pub enum Filter {
    /// A plain one.
    Conv(Conv),
    /// A transposed one.
    Transposed(TransposedConv),
}

impl Filter {
    /// `[batch, frames, in]` -> `[batch, frames', out]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Conv(conv) => conv.forward(x),
            Self::Transposed(conv) => conv.forward(x),
        }
    }
}

impl NormedConv {
    /// Takes `norm.weight` and `norm.bias`, each `[output]`, and for a gate `conv2.weight` `[2 output, output, 1]` and
    /// `conv2.bias`. Errors: channels that 8 does not divide.
    pub fn new(scope: &Scope<'_>, filter: Filter, output: usize, gated: bool) -> Result<Self> {
        if !output.is_multiple_of(GROUP) {
            candle_core::bail!("group normalisation needs channels in multiples of {GROUP}, not {output}");
        }
        let norm = scope.at("norm");
        let norm = [
            norm.get("weight", &[output], Init::Constant(1.0))?,
            norm.get("bias", &[output], Init::Constant(0.0))?,
        ];
        let gate = match gated {
            true => {
                let (scope, init) = (scope.at("conv2"), Init::Uniform(1.0 / (output as f32).sqrt()));
                let weight = scope.get("weight", &[2 * output, output, 1], init)?;
                Some([weight, scope.get("bias", &[2 * output], init)?])
            }
            false => None,
        };
        Ok(Self { filter, norm, gate })
    }

    /// `[batch, frames, in]` -> `[batch, frames', out]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let operands = match &self.filter {
            Filter::Conv(conv) => conv.operands(x)?,
            Filter::Transposed(conv) => conv.operands(x)?,
        };
        if plain::is_for(x) {
            return plain::normed_convolve(&operands, &self.norm, self.gate.as_ref());
        }
        let Operands { x, weight, bias, form } = operands;
        // An operation takes three tensors, so all but the filter's weight travel as one.
        let mut rest = vec![bias, self.norm[0].clone(), self.norm[1].clone()];
        if let Some([weight, bias]) = &self.gate {
            rest.extend([weight.flatten_all()?, bias.clone()]);
        }
        let op = NormedConvOp { form, gated: self.gate.is_some(), saved: Mutex::default() };
        x.apply_op3(&weight, &Tensor::cat(&rest, 0)?, op)
    }
}

/// Frames of a block. A multiple of 64, which the norm's sums need.
const BLOCK: usize = 512;

struct NormedConvOp {
    form: Form,
    gated: bool,
    /// For the backward pass, which takes it.
    saved: Mutex<Option<Saved>>,
}

struct Saved {
    /// What the convolution gave, `[batch, frames, channels]`.
    filtered: Vec<f32>,
    /// `(mean, 1 / deviation)` of each item and channel.
    statistics: Vec<Vec<(f32, f32)>>,
}

/// The parameters besides the filter's weight, in the order in which they are packed.
struct Rest<'a> {
    bias: &'a [f32],
    norm_weight: &'a [f32],
    norm_bias: &'a [f32],
    /// `[2 channels, channels]`
    gate_weight: &'a [f32],
    gate_bias: &'a [f32],
}

impl<'a> Rest<'a> {
    fn new(packed: &'a [f32], channels: usize) -> Self {
        let (bias, packed) = packed.split_at(channels);
        let (norm_weight, packed) = packed.split_at(channels);
        let (norm_bias, packed) = packed.split_at(channels);
        let (gate_weight, gate_bias) = packed.split_at(packed.len().saturating_sub(2 * channels));
        Self { bias, norm_weight, norm_bias, gate_weight, gate_bias }
    }
}

/// Gate values of a block before the gated linear unit.
struct Gate<'a> {
    /// `[channels, 2 channels]`
    weight: Vec<f32>,
    bias: &'a [f32],
    channels: usize,
}

impl<'a> Gate<'a> {
    fn new(rest: &Rest<'a>, channels: usize) -> Self {
        let weight = permuted(rest.gate_weight, [1, channels, 2 * channels], 0, [0, 1, channels as isize]);
        Self { weight, bias: rest.gate_bias, channels }
    }

    /// `[frames, channels]` -> `[frames, 2 channels]`.
    fn values(&self, x: &[f32], out: &mut [f32]) {
        let c = self.channels;
        fill_rows(out, self.bias);
        matmul(
            [x.len() / c, c, 2 * c],
            Matrix { data: x, row_stride: c, column_stride: 1 },
            Matrix { data: &self.weight, row_stride: 2 * c, column_stride: 1 },
            MatrixMut { data: out, row_stride: 2 * c, column_stride: 1 },
            true,
        );
    }
}

impl CustomOp3 for NormedConvOp {
    fn name(&self) -> &'static str {
        "normed-conv"
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
        let (x, weight) = (slice(s1, l1)?, slice(s2, l2)?);
        let d = Dims::new(l1.dims(), l2.dims(), self.form);
        let (batch, frames, channels) = (l1.dims()[0], d.output_frames(), d.output);
        let rest = Rest::new(slice(s3, l3)?, channels);
        let weight = d.forward_weight(weight);
        let gate = self.gated.then(|| Gate::new(&rest, channels));
        let mut filtered = vec![0.0; batch * frames * channels];
        let mut statistics: Vec<Mutex<Vec<(f32, f32)>>> = Vec::new();
        statistics.resize_with(batch, Mutex::default);
        each_item(batch, x, &mut filtered, |item, x, filtered| {
            let mut sums = Sums::new(channels);
            for (block, filtered) in filtered.chunks_mut(BLOCK * channels).enumerate() {
                fill_rows(filtered, rest.bias);
                d.add_forward(x, &weight, block * BLOCK, filtered);
                sums.add(filtered);
            }
            if let Ok(mut statistics) = statistics[item].lock() {
                *statistics = sums.statistics();
            }
        });
        let statistics: Vec<_> = statistics.into_iter().map(|s| s.into_inner().unwrap_or_default()).collect();
        let mut out = vec![0.0; filtered.len()];
        each_item(batch, &filtered, &mut out, |item, filtered, out| {
            let norm = Affine::new(&statistics[item], rest.norm_weight, rest.norm_bias);
            let Some(gate) = &gate else { return norm.rectified(filtered, out) };
            let (mut block, mut values) = (Vec::new(), Vec::new());
            let blocks = filtered.chunks(BLOCK * channels).zip(out.chunks_mut(BLOCK * channels));
            for (filtered, out) in blocks {
                block.resize(filtered.len(), 0.0);
                values.resize(2 * filtered.len(), 0.0);
                norm.rectified(filtered, &mut block);
                gate.values(&block, &mut values);
                glu_rows(&values, channels, out);
            }
        });
        if let Ok(mut saved) = self.saved.lock() {
            *saved = Some(Saved { filtered, statistics });
        }
        Ok((CpuStorage::F32(out), (batch, frames, channels).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        rest: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(saved) = self.saved.lock().ok().and_then(|mut saved| saved.take()) else {
            candle_core::bail!("the backward pass of a convolution layer runs once for each forward pass");
        };
        let d = Dims::new(x.dims(), weight.dims(), self.form);
        let (batch, device) = (x.dim(0)?, x.device());
        let (x_len, len) = (d.frames * d.input, d.output_frames() * d.output);
        let backward_weight = match x.track_op() {
            true => Some(with_slice(weight, |weight| d.backward_weight(weight))?),
            false => None,
        };
        let mut grad_x = vec![0.0; if x.track_op() { x.elem_count() } else { 0 }];
        let filter_len = d.output * d.window();
        let sum = with_slice(rest, |packed| {
            let rest = Rest::new(packed, d.output);
            let gate = self.gated.then(|| Gate::new(&rest, d.output));
            with_slice(x, |x| {
                with_slice(grad, |grad| {
                    sum_over_items(batch, filter_len + packed.len(), &mut grad_x, |item, grad_x, sum| {
                        let (filter, rest_sum) = sum.split_at_mut(filter_len);
                        let filtered = &saved.filtered[item * len..][..len];
                        let grad = &grad[item * len..][..len];
                        let statistics = &saved.statistics[item];
                        let margin = d.margin() * d.output;
                        let mut padded = vec![0.0; len + 2 * margin];
                        let middle = &mut padded[margin..margin + len];
                        after_filter(filtered, statistics, &rest, gate.as_ref(), grad, middle, rest_sum);
                        d.add_weight_gradient(&x[item * x_len..][..x_len], middle, filter);
                        if let Some(weight) = &backward_weight {
                            d.input_gradient(&padded, weight, grad_x);
                        }
                    })
                })
            })
        })???;
        let (filter, grad_rest) = sum.split_at(filter_len);
        Ok((
            x.track_op().then(|| Tensor::from_vec(grad_x, x.shape(), device)).transpose()?,
            Some(Tensor::from_vec(d.gradient_of_weight(filter), weight.shape(), device)?),
            Some(Tensor::from_slice(grad_rest, rest.shape(), device)?),
        ))
    }
}

/// From the gradient of one item's output to that of what the convolution gave, into `out`; adds the gradients of all
/// parameters but the filter's weight to `sum`, packed as they are.
fn after_filter(
    filtered: &[f32],
    statistics: &[(f32, f32)],
    rest: &Rest<'_>,
    gate: Option<&Gate<'_>>,
    grad: &[f32],
    out: &mut [f32],
    sum: &mut [f32],
) {
    let channels = statistics.len();
    let (bias_sum, sum) = sum.split_at_mut(channels);
    let (norm_weight_sum, sum) = sum.split_at_mut(channels);
    let (norm_bias_sum, sum) = sum.split_at_mut(channels);
    let (gate_weight_sum, gate_bias_sum) = sum.split_at_mut(rest.gate_weight.len());
    let norm = Affine::new(statistics, rest.norm_weight, rest.norm_bias);
    let mut gradients = Gradients::new(statistics);
    let [mut block, mut values, mut grad_values] = [const { Vec::new() }; 3];
    let blocks = filtered.chunks(BLOCK * channels).zip(grad.chunks(BLOCK * channels));
    for ((filtered, grad), out) in blocks.zip(out.chunks_mut(BLOCK * channels)) {
        let frames = filtered.len() / channels;
        match gate {
            None => out.copy_from_slice(grad),
            Some(gate) => {
                block.resize(filtered.len(), 0.0);
                values.resize(2 * filtered.len(), 0.0);
                grad_values.resize(2 * filtered.len(), 0.0);
                norm.rectified(filtered, &mut block);
                gate.values(&block, &mut values);
                glu_gradient(&values, grad, channels, &mut grad_values);
                add_rows(&grad_values, gate_bias_sum);
                matmul(
                    [2 * channels, frames, channels],
                    Matrix { data: &grad_values, row_stride: 1, column_stride: 2 * channels },
                    Matrix { data: &block, row_stride: channels, column_stride: 1 },
                    MatrixMut { data: gate_weight_sum, row_stride: channels, column_stride: 1 },
                    true,
                );
                matmul(
                    [frames, 2 * channels, channels],
                    Matrix { data: &grad_values, row_stride: 2 * channels, column_stride: 1 },
                    Matrix { data: rest.gate_weight, row_stride: channels, column_stride: 1 },
                    MatrixMut { data: out, row_stride: channels, column_stride: 1 },
                    false,
                );
            }
        }
        norm.mask(filtered, out);
        gradients.add(filtered, out);
    }
    gradients.input(filtered, rest.norm_weight, out);
    add_rows(out, bias_sum);
    norm_weight_sum.iter_mut().zip(&gradients.weight).for_each(|(sum, g)| *sum += g);
    norm_bias_sum.iter_mut().zip(&gradients.bias).for_each(|(sum, g)| *sum += g);
}
