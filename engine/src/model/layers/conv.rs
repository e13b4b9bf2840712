//! Valid one-dimensional convolution and its transposed form.

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor};

use super::cpu::{
    Matrix, MatrixMut, add_rows, each_item, fill_rows, matmul, permuted, slice, sum_over_items, with_slice,
};
use super::plain;
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

    /// The input, weight and bias of the same sum as an operation of another layer.
    pub(super) fn operands(&self, x: &Tensor) -> Result<Operands> {
        let form = Form { stride: self.stride, transposed: false };
        Operands::new(x.contiguous()?, &self.weight, &self.bias, form)
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
        run(self.operands(x)?)
    }

    /// The input, weight and bias of the same sum as an operation of another layer.
    pub(super) fn operands(&self, x: &Tensor) -> Result<Operands> {
        // The same sum as a convolution of the zero-stuffed input with the mirrored kernel.
        let x = if self.stride == 1 { x.contiguous()? } else { stuff_zeros(x, self.stride)?.contiguous()? };
        Operands::new(x, &self.weight, &self.bias, Form { stride: 1, transposed: true })
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

/// The convolution itself, for layers that keep their weights elsewhere: weight `[out, in, kernel]`, bias `[out]`.
pub fn convolve(x: &Tensor, weight: &Tensor, bias: &Tensor, stride: usize) -> Result<Tensor> {
    let form = Form { stride, transposed: false };
    run(Operands::new(x.contiguous()?, weight, bias, form)?)
}

fn run(operands: Operands) -> Result<Tensor> {
    if plain::is_for(&operands.x) {
        return plain::convolve(&operands);
    }
    let Operands { x, weight, bias, form } = operands;
    x.apply_op3(&weight, &bias, ConvOp { form })
}

/// A convolution's operands, all contiguous and of fitting shapes.
pub(super) struct Operands {
    pub x: Tensor,
    pub weight: Tensor,
    pub bias: Tensor,
    pub form: Form,
}

impl Operands {
    fn new(x: Tensor, weight: &Tensor, bias: &Tensor, form: Form) -> Result<Self> {
        let (_, frames, input) = x.dims3()?;
        let (first, second, kernel) = weight.dims3()?;
        let expected = if form.transposed { first } else { second };
        if input != expected || frames < kernel {
            candle_core::bail!(
                "convolution over {expected} channels and {kernel} taps got {input} channels, {frames} frames"
            );
        }
        Ok(Self { x, weight: weight.contiguous()?, bias: bias.contiguous()?, form })
    }
}

/// How a convolution's weight is meant.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    /// Frames from one window to the next.
    pub stride: usize,
    /// The weight is `[in, out, kernel]` with its taps mirrored, rather than `[out, in, kernel]`.
    pub transposed: bool,
}

/// The shapes of one convolution, and its sums for one item of a batch.
#[derive(Clone, Copy)]
pub(super) struct Dims {
    pub frames: usize,
    pub input: usize,
    pub output: usize,
    pub kernel: usize,
    pub form: Form,
}

impl Dims {
    pub fn new(x: &[usize], weight: &[usize], form: Form) -> Self {
        let output = if form.transposed { weight[1] } else { weight[0] };
        Self { frames: x[1], input: x[2], output, kernel: weight[2], form }
    }

    pub fn output_frames(&self) -> usize {
        (self.frames - self.kernel) / self.form.stride + 1
    }

    /// Numbers in one window.
    pub fn window(&self) -> usize {
        self.kernel * self.input
    }

    /// The weight for [`Self::add_forward`], `[kernel, in, out]`: the order in which windows meet it.
    pub fn forward_weight(&self, weight: &[f32]) -> Vec<f32> {
        let (k, i, o) = (self.kernel as isize, self.input as isize, self.output as isize);
        let dims = [self.kernel, self.input, self.output];
        match self.form.transposed {
            false => permuted(weight, dims, 0, [1, k, i * k]),
            true => permuted(weight, dims, self.kernel - 1, [-1, o * k, k]),
        }
    }

    /// The weight for [`Self::input_gradient`], `[kernel, out, in]`; mirrored at stride 1.
    pub fn backward_weight(&self, weight: &[f32]) -> Vec<f32> {
        let (k, i, o) = (self.kernel as isize, self.input as isize, self.output as isize);
        let dims = [self.kernel, self.output, self.input];
        let (output, input) = if self.form.transposed { (k, o * k) } else { (i * k, k) };
        match self.form.transposed == (self.form.stride == 1) {
            true => permuted(weight, dims, 0, [1, output, input]),
            false => permuted(weight, dims, self.kernel - 1, [-1, output, input]),
        }
    }

    /// From the sum that [`Self::add_weight_gradient`] makes to the weight's own order.
    pub fn gradient_of_weight(&self, sum: &[f32]) -> Vec<f32> {
        let (k, i) = (self.kernel as isize, self.input as isize);
        match self.form.transposed {
            false => permuted(sum, [self.output, self.input, self.kernel], 0, [k * i, 1, i]),
            true => permuted(
                sum,
                [self.input, self.output, self.kernel],
                (self.kernel - 1) * self.input,
                [1, k * i, -i],
            ),
        }
    }

    /// `[frames, kernel * input]`: row r holds the frames that output frame r sees.
    fn windows<'a>(&self, x: &'a [f32]) -> Matrix<'a> {
        Matrix { data: x, row_stride: self.form.stride * self.input, column_stride: 1 }
    }

    /// Adds the convolution of `x`, `[frames, in]`, to the output frames from `first` on, `[some, out]`.
    pub fn add_forward(&self, x: &[f32], forward_weight: &[f32], first: usize, out: &mut [f32]) {
        matmul(
            [out.len() / self.output, self.window(), self.output],
            self.windows(&x[first * self.form.stride * self.input..]),
            Matrix { data: forward_weight, row_stride: self.output, column_stride: 1 },
            MatrixMut { data: out, row_stride: self.output, column_stride: 1 },
            true,
        );
    }

    /// Adds the weight's gradient to `sum`, `[out, kernel, in]`; `grad` is `[output frames, out]`.
    pub fn add_weight_gradient(&self, x: &[f32], grad: &[f32], sum: &mut [f32]) {
        matmul(
            [self.output, self.output_frames(), self.window()],
            Matrix { data: grad, row_stride: 1, column_stride: self.output },
            self.windows(x),
            MatrixMut { data: sum, row_stride: self.window(), column_stride: 1 },
            true,
        );
    }

    /// Zero frames that [`Self::input_gradient`] needs before and after the output's gradient.
    pub fn margin(&self) -> usize {
        if self.form.stride == 1 { self.kernel - 1 } else { 0 }
    }

    /// The input's gradient, `[frames, in]`; `padded` is the output's, with [`Self::margin`] zero frames at each end.
    pub fn input_gradient(&self, padded: &[f32], backward_weight: &[f32], out: &mut [f32]) {
        if self.form.stride == 1 {
            // A valid convolution again: each input frame sees all output frames that saw it.
            return matmul(
                [self.frames, self.kernel * self.output, self.input],
                Matrix { data: padded, row_stride: self.output, column_stride: 1 },
                Matrix { data: backward_weight, row_stride: self.input, column_stride: 1 },
                MatrixMut { data: out, row_stride: self.input, column_stride: 1 },
                false,
            );
        }
        out.fill(0.0);
        for (k, tap) in backward_weight.chunks_exact(self.output * self.input).enumerate() {
            // Output frame r met input frame r * stride + k through tap k.
            matmul(
                [self.output_frames(), self.output, self.input],
                Matrix { data: padded, row_stride: self.output, column_stride: 1 },
                Matrix { data: tap, row_stride: self.input, column_stride: 1 },
                MatrixMut {
                    data: &mut out[k * self.input..],
                    row_stride: self.form.stride * self.input,
                    column_stride: 1,
                },
                true,
            );
        }
    }
}

struct ConvOp {
    form: Form,
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
        let d = Dims::new(l1.dims(), l2.dims(), self.form);
        let (batch, frames) = (l1.dims()[0], d.output_frames());
        let weight = d.forward_weight(weight);
        let mut out = vec![0.0; batch * frames * d.output];
        each_item(batch, x, &mut out, |_, x, out| {
            fill_rows(out, bias);
            d.add_forward(x, &weight, 0, out);
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
        let d = Dims::new(x.dims(), weight.dims(), self.form);
        let (batch, device) = (x.dim(0)?, x.device());
        let (x_len, grad_len) = (d.frames * d.input, d.output_frames() * d.output);
        let backward_weight = match x.track_op() {
            true => Some(with_slice(weight, |weight| d.backward_weight(weight))?),
            false => None,
        };
        let mut grad_x = vec![0.0; if x.track_op() { x.elem_count() } else { 0 }];
        let filter_len = d.output * d.window();
        let sum = with_slice(x, |x| {
            with_slice(grad, |grad| {
                sum_over_items(batch, filter_len + d.output, &mut grad_x, |item, grad_x, sum| {
                    let grad = &grad[item * grad_len..][..grad_len];
                    let (filter, bias) = sum.split_at_mut(filter_len);
                    d.add_weight_gradient(&x[item * x_len..][..x_len], grad, filter);
                    add_rows(grad, bias);
                    if let Some(weight) = &backward_weight {
                        match d.margin() * d.output {
                            0 => d.input_gradient(grad, weight, grad_x),
                            margin => {
                                let mut padded = vec![0.0; grad_len + 2 * margin];
                                padded[margin..margin + grad_len].copy_from_slice(grad);
                                d.input_gradient(&padded, weight, grad_x);
                            }
                        }
                    }
                })
            })
        })??;
        let (filter, grad_bias) = sum.split_at(filter_len);
        Ok((
            x.track_op().then(|| Tensor::from_vec(grad_x, x.shape(), device)).transpose()?,
            Some(Tensor::from_vec(d.gradient_of_weight(filter), weight.shape(), device)?),
            Some(Tensor::from_slice(grad_bias, bias.shape(), device)?),
        ))
    }
}
