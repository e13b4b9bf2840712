//! Valid one-dimensional convolution and its transposed form.

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::cpu::{Matrix, MatrixMut, matmul, slice, with_slice};
use crate::model::params::{Init, Scope};

/// Valid convolution `[batch, frames, in]` -> `[batch, (frames - kernel) / stride + 1, out]`.
/// Weight `[out, in, kernel]` and bias `[out]`, as PyTorch's `Conv1d` keeps them.
#[derive(Debug)]
pub struct Conv {
    weight: Tensor,
    bias: Tensor,
    stride: usize,
}

impl Conv {
    /// Takes `weight` and `bias` from the scope.
    pub fn new(scope: &Scope<'_>, input: usize, output: usize, kernel: usize, stride: usize) -> Result<Self> {
        let init = Init::Uniform(1.0 / ((input * kernel) as f32).sqrt());
        Ok(Self {
            weight: scope.get("weight", &[output, input, kernel], init)?,
            bias: scope.get("bias", &[output], init)?,
            stride,
        })
    }

    /// `[batch, frames, in]` -> `[batch, frames', out]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        convolve(x, &self.weight, &self.bias, self.stride)
    }
}

/// Transposed convolution with padding `kernel - 1`: `[batch, frames, in]` ->
/// `[batch, (frames - 1) * stride + 2 - kernel, out]`; at stride 1 it shrinks like a valid convolution.
/// Weight `[in, out, kernel]` and bias `[out]`, as PyTorch's `ConvTranspose1d` keeps them.
#[derive(Debug)]
pub struct TransposedConv {
    weight: Tensor,
    bias: Tensor,
    stride: usize,
}

impl TransposedConv {
    /// Takes `weight` and `bias` from the scope.
    pub fn new(scope: &Scope<'_>, input: usize, output: usize, kernel: usize, stride: usize) -> Result<Self> {
        let init = Init::Uniform(1.0 / ((output * kernel) as f32).sqrt());
        Ok(Self {
            weight: scope.get("weight", &[input, output, kernel], init)?,
            bias: scope.get("bias", &[output], init)?,
            stride,
        })
    }

    /// `[batch, frames, in]` -> `[batch, frames', out]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        // The same sum as a convolution of the zero-stuffed input with the mirrored kernel.
        let weight = self.weight.transpose(0, 1)?.contiguous()?.flip(&[2])?;
        let x = if self.stride == 1 { x.clone() } else { stuff_zeros(x, self.stride)? };
        convolve(&x, &weight, &self.bias, 1)
    }
}

/// Puts `stride - 1` zero frames between neighbours.
fn stuff_zeros(x: &Tensor, stride: usize) -> Result<Tensor> {
    let (batch, frames, channels) = x.dims3()?;
    let zeros = Tensor::zeros((batch, frames, (stride - 1) * channels), DType::F32, x.device())?;
    Tensor::cat(&[x, &zeros], 2)?.reshape((batch, frames * stride, channels))?.narrow(
        1,
        0,
        (frames - 1) * stride + 1,
    )
}

/// The convolution itself, for layers that keep their weights elsewhere.
pub fn convolve(x: &Tensor, weight: &Tensor, bias: &Tensor, stride: usize) -> Result<Tensor> {
    let (_, frames, input) = x.dims3()?;
    let (_, expected, kernel) = weight.dims3()?;
    if input != expected || frames < kernel {
        candle_core::bail!(
            "convolution over {expected} channels and {kernel} taps got {input} channels, {frames} frames"
        );
    }
    x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, ConvOp { stride })
}

struct ConvOp {
    stride: usize,
}

/// The shapes of one convolution.
#[derive(Clone, Copy)]
struct Dims {
    frames: usize,
    input: usize,
    output: usize,
    kernel: usize,
    stride: usize,
}

impl Dims {
    fn new(x: &[usize], weight: &[usize], stride: usize) -> Self {
        Self { frames: x[1], input: x[2], output: weight[0], kernel: weight[2], stride }
    }

    fn output_frames(&self) -> usize {
        (self.frames - self.kernel) / self.stride + 1
    }

    /// Columns of the window matrix.
    fn window(&self) -> usize {
        self.kernel * self.input
    }

    /// `[output_frames, kernel * input]`: row i holds the frames that output frame i sees.
    fn windows<'a>(&self, x: &'a [f32]) -> Matrix<'a> {
        Matrix { data: x, row_stride: self.stride * self.input, column_stride: 1 }
    }
}

/// `[out, in, kernel]` -> `[kernel, in, out]`, the order in which windows meet it.
fn tap_major(weight: &[f32], d: Dims) -> Vec<f32> {
    let mut packed = vec![0.0; weight.len()];
    for (o, per_output) in weight.chunks_exact(d.input * d.kernel).enumerate() {
        for (i, taps) in per_output.chunks_exact(d.kernel).enumerate() {
            for (k, &w) in taps.iter().enumerate() {
                packed[(k * d.input + i) * d.output + o] = w;
            }
        }
    }
    packed
}

/// Runs `f(item, x, out)` for each batch item, on several threads when there are several items.
fn each_item(
    x: &[f32],
    x_len: usize,
    out: &mut [f32],
    out_len: usize,
    f: impl Fn(&[f32], &mut [f32]) + Sync,
) {
    if out.len() <= out_len {
        f(x, out);
    } else {
        x.par_chunks(x_len).zip(out.par_chunks_mut(out_len)).for_each(|(x, out)| f(x, out));
    }
}

impl CustomOp3 for ConvOp {
    fn name(&self) -> &'static str {
        "conv"
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
        let d = Dims::new(l1.dims(), l2.dims(), self.stride);
        let batch = l1.dims()[0];
        let packed = tap_major(weight, d);
        let frames = d.output_frames();
        let mut out = bias.repeat(batch * frames);
        each_item(x, d.frames * d.input, &mut out, frames * d.output, |x, out| {
            let weight = Matrix { data: &packed, row_stride: d.output, column_stride: 1 };
            let out = MatrixMut { data: out, row_stride: d.output, column_stride: 1 };
            matmul([frames, d.window(), d.output], d.windows(x), weight, out, true);
        });
        Ok((CpuStorage::F32(out), (batch, frames, d.output).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let d = Dims::new(x.dims(), weight.dims(), self.stride);
        let device = x.device();
        with_slice(grad, |grad| {
            let grad_x = match x.track_op() {
                true => Some(with_slice(weight, |w| input_gradient(grad, w, x.elem_count(), d))?),
                false => None,
            };
            let grad_weight = with_slice(x, |x| weight_gradient(x, grad, d))?;
            let mut grad_bias = vec![0.0; d.output];
            for row in grad.chunks_exact(d.output) {
                grad_bias.iter_mut().zip(row).for_each(|(sum, g)| *sum += g);
            }
            Ok((
                grad_x.map(|g| Tensor::from_vec(g, x.shape(), device)).transpose()?,
                Some(Tensor::from_vec(grad_weight, weight.shape(), device)?),
                Some(Tensor::from_vec(grad_bias, bias.shape(), device)?),
            ))
        })?
    }
}

/// Gradient of the input: every output frame sends its gradient back to the frames that it saw.
fn input_gradient(grad: &[f32], weight: &[f32], len: usize, d: Dims) -> Vec<f32> {
    let packed = tap_major(weight, d);
    let frames = d.output_frames();
    let mut out = vec![0.0; len];
    each_item(grad, frames * d.output, &mut out, d.frames * d.input, |grad, out| {
        for k in 0..d.kernel {
            // Output frame i met input frame i * stride + k through tap k.
            let tap = &packed[k * d.input * d.output..(k + 1) * d.input * d.output];
            matmul(
                [frames, d.output, d.input],
                Matrix { data: grad, row_stride: d.output, column_stride: 1 },
                Matrix { data: tap, row_stride: 1, column_stride: d.output },
                MatrixMut { data: &mut out[k * d.input..], row_stride: d.stride * d.input, column_stride: 1 },
                true,
            );
        }
    });
    out
}

/// Gradient of the weight, `[out, in, kernel]`. Items are summed in order, so the result does not depend on threads.
fn weight_gradient(x: &[f32], grad: &[f32], d: Dims) -> Vec<f32> {
    let frames = d.output_frames();
    let per_item = |(x, grad): (&[f32], &[f32])| {
        let mut packed = vec![0.0; d.window() * d.output];
        matmul(
            [d.window(), frames, d.output],
            Matrix { data: x, row_stride: 1, column_stride: d.stride * d.input },
            Matrix { data: grad, row_stride: d.output, column_stride: 1 },
            MatrixMut { data: &mut packed, row_stride: d.output, column_stride: 1 },
            false,
        );
        packed
    };
    let items: Vec<Vec<f32>> =
        x.par_chunks(d.frames * d.input).zip(grad.par_chunks(frames * d.output)).map(per_item).collect();
    let mut out = vec![0.0; d.output * d.window()];
    for packed in items {
        for (row, gradients) in packed.chunks_exact(d.output).enumerate() {
            let (k, i) = (row / d.input, row % d.input);
            for (o, g) in gradients.iter().enumerate() {
                out[(o * d.input + i) * d.kernel + k] += g;
            }
        }
    }
    out
}
