//! Resampling by a whole factor with one windowed-sinc filter per channel.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::cpu::{each_item, slice, sum_over_items, vectorised, with_slice};
use super::plain;
use crate::model::params::Scope;

/// Which way to resample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResampleDirection {
    /// `stride * n + 1` frames -> n + 1.
    Down,
    /// n + 1 frames -> `stride * n + 1`.
    Up,
}

/// Depthwise windowed-sinc resampler, reflecting at the edges: `[batch, frames, channels]`, frames as
/// [`ResampleDirection`] says.
#[derive(Debug)]
pub struct Resample {
    filter: Tensor,
    op: ResampleOp,
}

impl Resample {
    /// Takes `filter` `[channels, 1, taps]`; a fresh one is the sinc. `taps` must be odd.
    pub fn new(
        scope: &Scope<'_>,
        channels: usize,
        taps: usize,
        stride: usize,
        direction: ResampleDirection,
        trained: bool,
    ) -> Result<Self> {
        let shape = [channels, 1, taps];
        let sinc = || windowed_sinc(taps, 0.5 / stride as f64).repeat(channels);
        let filter = match trained {
            true => scope.get_from("filter", &shape, sinc)?,
            false => scope.get_fixed("filter", &shape, sinc)?.0,
        };
        Ok(Self { filter, op: ResampleOp { stride, direction } })
    }

    /// Errors: too few frames to reflect, or a count that the stride does not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, frames, _) = x.dims3()?;
        let (half, stride) = (self.filter.dim(2)? / 2, self.op.stride);
        let fits = self.op.direction == ResampleDirection::Up || frames % stride == 1 % stride;
        if frames <= half || !fits {
            candle_core::bail!("{frames} frames cannot be resampled by {stride} with {} taps", 2 * half + 1);
        }
        if plain::is_for(x) {
            return plain::resample(x, &self.filter, stride, self.op.direction);
        }
        x.contiguous()?.apply_op2(&self.filter, self.op)
    }
}

/// The original's filter, including its constant third term: it is cos(4 pi M), not cos(4 pi i / M).
/// Only the start of training depends on it.
fn windowed_sinc(taps: usize, cutoff: f64) -> Vec<f32> {
    use std::f64::consts::PI;
    let m = (taps - 1) as f64;
    let tap = |i: usize| {
        let x = i as f64 - m / 2.0;
        let sinc = if x == 0.0 { 2.0 * PI * cutoff } else { (2.0 * PI * cutoff * x).sin() / x };
        sinc * (0.42 - 0.5 * (2.0 * PI * i as f64 / m).cos() + 0.08 * (4.0 * PI * m).cos())
    };
    let sum: f64 = (0..taps).map(tap).sum();
    (0..taps).map(|i| (tap(i) / sum) as f32).collect()
}

#[derive(Debug, Clone, Copy)]
struct ResampleOp {
    stride: usize,
    direction: ResampleDirection,
}

impl ResampleOp {
    fn output_frames(&self, frames: usize) -> usize {
        match self.direction {
            ResampleDirection::Down => (frames - 1) / self.stride + 1,
            ResampleDirection::Up => (frames - 1) * self.stride + 1,
        }
    }

    /// The (input frame, tap) pairs that make output frame `out`, in a fixed order.
    #[inline(always)]
    fn products(&self, frames: usize, taps: usize, out: usize, products: &mut Vec<(usize, usize)>) {
        let (half, last, out) = ((taps / 2) as isize, frames as isize - 1, out as isize);
        // Reflection without repeating the edge; the caller made sure that one reflection is enough.
        let reflect = |t: isize| if t < 0 { -t } else if t > last { 2 * last - t } else { t } as usize;
        let stride = self.stride as isize;
        // The first input under the filter, the tap that meets it, and the step from tap to tap.
        let (first, tap, step) = match self.direction {
            ResampleDirection::Down => (out * stride - half, 0, 1),
            ResampleDirection::Up => {
                // The zero-stuffed signal has input i at i * stride; tap k meets it at out + half - i * stride.
                let first = -(half - out).div_euclid(stride);
                (first, out + half - first * stride, -stride)
            }
        };
        products.clear();
        let (mut i, mut k) = (first, tap);
        while (0..taps as isize).contains(&k) {
            products.push((reflect(i), k as usize));
            k += step;
            i += 1;
        }
    }
}

vectorised! {
    /// One item through its `[taps, channels]` filter, into `out`.
    fn filter_item(op: ResampleOp, frames: usize, filter: &[f32], channels: usize, x: &[f32], out: &mut [f32]) {
        let mut products = Vec::new();
        for (o, row) in out.chunks_exact_mut(channels).enumerate() {
            op.products(frames, filter.len() / channels, o, &mut products);
            row.fill(0.0);
            for &(i, k) in &products {
                let inputs = x[i * channels..][..channels].iter().zip(&filter[k * channels..][..channels]);
                row.iter_mut().zip(inputs).for_each(|(y, (x, f))| *y += x * f);
            }
        }
    }
}

vectorised! {
    /// Gradients of one item: the input's added to `grad_x`, the filter's `[taps, channels]` to `grad_filter`.
    fn item_gradient(
        op: ResampleOp,
        channels: usize,
        filter: &[f32],
        x: &[f32],
        grad: &[f32],
        grad_x: &mut [f32],
        grad_filter: &mut [f32],
    ) {
        let frames = x.len() / channels;
        let mut products = Vec::new();
        for (o, grad) in grad.chunks_exact(channels).enumerate() {
            op.products(frames, filter.len() / channels, o, &mut products);
            for &(i, k) in &products {
                let inputs = x[i * channels..][..channels].iter().zip(&filter[k * channels..][..channels]);
                let outputs = grad_x[i * channels..][..channels]
                    .iter_mut()
                    .zip(&mut grad_filter[k * channels..][..channels]);
                for (((grad_x, grad_filter), (x, filter)), grad) in outputs.zip(inputs).zip(grad) {
                    *grad_x += grad * filter;
                    *grad_filter += grad * x;
                }
            }
        }
    }
}

/// `[channels, taps]` -> `[taps, channels]`, or back when the numbers are swapped.
fn transpose(x: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..rows * columns).map(|i| x[(i % rows) * columns + i / rows]).collect()
}

impl CustomOp2 for ResampleOp {
    fn name(&self) -> &'static str {
        "resample"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, filter) = (slice(s1, l1)?, slice(s2, l2)?);
        let (batch, frames, channels) = l1.shape().dims3()?;
        let taps = filter.len() / channels;
        let filter = transpose(filter, channels, taps);
        let output_frames = self.output_frames(frames);
        let mut out = vec![0.0f32; batch * output_frames * channels];
        each_item(batch, x, &mut out, |_, x, out| filter_item(*self, frames, &filter, channels, x, out));
        Ok((CpuStorage::F32(out), (batch, output_frames, channels).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        filter: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (batch, frames, channels) = x.dims3()?;
        let (taps, output_frames) = (filter.dim(2)?, grad.dim(1)?);
        let mut grad_x = vec![0.0f32; x.elem_count()];
        let sum = with_slice(x, |x| {
            with_slice(filter, |filter| {
                with_slice(grad, |grad| {
                    let filter = transpose(filter, channels, taps);
                    sum_over_items(batch, taps * channels, &mut grad_x, |item, grad_x, sum| {
                        let x = &x[item * frames * channels..][..frames * channels];
                        let grad = &grad[item * output_frames * channels..][..output_frames * channels];
                        item_gradient(*self, channels, &filter, x, grad, grad_x, sum);
                    })
                })
            })
        })???;
        Ok((
            Some(Tensor::from_vec(grad_x, x.shape(), x.device())?),
            Some(Tensor::from_vec(transpose(&sum, taps, channels), filter.shape(), x.device())?),
        ))
    }
}
