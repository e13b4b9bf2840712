//! Convolutions as one product over windows that are laid side by side, and what follows them in a Wave-U-Net.

use candle_core::{Result, Tensor};
use candle_nn::ops::sigmoid;

use super::super::conv::Operands;
use super::super::group_norm::GROUP;
use super::super::norm::EPSILON;
use super::super::resample::ResampleDirection;
use super::{linear, product};

/// What each of `kernel` taps meets in `[batch, frames, channels]`: for each `[batch, frames', channels]`.
fn taps(x: &Tensor, kernel: usize, stride: usize) -> Result<Vec<Tensor>> {
    let (batch, frames, channels) = x.dims3()?;
    let output = (frames - kernel) / stride + 1;
    if stride == 1 {
        return (0..kernel).map(|tap| x.narrow(1, tap, output)).collect();
    }
    // Every stride-th frame from each of the first ones on, so that no tap has to skip frames.
    let rows = frames.div_ceil(stride);
    let x = x.pad_with_zeros(1, 0, rows * stride - frames)?.reshape((batch, rows, stride, channels))?;
    let phases = (0..stride.min(kernel)).map(|phase| x.narrow(2, phase, 1)?.squeeze(2)?.contiguous());
    let phases = phases.collect::<Result<Vec<_>>>()?;
    (0..kernel).map(|tap| phases[tap % stride].narrow(1, tap / stride, output)).collect()
}

/// As [`super::super::conv::convolve`], and its transposed form.
pub(in super::super) fn convolve(Operands { x, weight, bias, form }: &Operands) -> Result<Tensor> {
    let batch = x.dim(0)?;
    // [kernel, in, out]
    let weight = match form.transposed {
        true => weight.flip(&[2])?.permute((2, 0, 1))?,
        false => weight.permute((2, 1, 0))?,
    };
    let (kernel, input, output) = weight.dims3()?;
    let weight = weight.contiguous()?.reshape((kernel * input, output))?;
    let windows = Tensor::cat(&taps(x, kernel, form.stride)?, 2)?.contiguous()?;
    let rows = windows.reshape(((), kernel * input))?;
    product(&rows, &weight)?.broadcast_add(bias)?.reshape((batch, (), output))
}

/// As [`super::super::NormedConv`]: `norm` and `gate` are weight and bias.
pub(in super::super) fn normed_convolve(
    operands: &Operands,
    norm: &[Tensor; 2],
    gate: Option<&[Tensor; 2]>,
) -> Result<Tensor> {
    let x = convolve(operands)?;
    let (batch, frames, channels) = x.dims3()?;
    let groups = x.reshape((batch, frames, channels / GROUP, GROUP))?;
    let mean = groups.mean_keepdim((1, 3))?;
    let centred = groups.broadcast_sub(&mean)?;
    let deviation = (centred.sqr()?.mean_keepdim((1, 3))? + f64::from(EPSILON))?.sqrt()?;
    let normed = centred.broadcast_div(&deviation)?.reshape((batch, frames, channels))?;
    let x = normed.broadcast_mul(&norm[0])?.broadcast_add(&norm[1])?.relu()?;
    match gate {
        Some([weight, bias]) => {
            let gated = linear(&x, &weight.squeeze(2)?, bias)?;
            gated.narrow(2, 0, channels)? * sigmoid(&gated.narrow(2, channels, channels)?.contiguous()?)?
        }
        None => Ok(x),
    }
}

/// `margin` frames more at each end of `[batch, frames, channels]`, reflected without repeating the edge.
fn reflected(x: &Tensor, margin: usize) -> Result<Tensor> {
    let frames = x.dim(1)?;
    let side = |indices: Vec<u32>| {
        let count = indices.len();
        x.contiguous()?.index_select(&Tensor::from_vec(indices, count, x.device())?, 1)
    };
    let before = side((1..=margin as u32).rev().collect())?;
    let after = side((1..=margin).map(|i| (frames - 1 - i) as u32).collect())?;
    Tensor::cat(&[&before, x, &after], 1)
}

/// As [`super::super::Resample`] with its filter, `[channels, 1, taps]`.
pub(in super::super) fn resample(
    x: &Tensor,
    filter: &Tensor,
    stride: usize,
    direction: ResampleDirection,
) -> Result<Tensor> {
    let (batch, frames, channels) = x.dims3()?;
    let (count, half) = (filter.dim(2)?, filter.dim(2)? / 2);
    let weights = filter.squeeze(1)?.t()?.contiguous()?;
    let weights = (0..count).map(|tap| weights.get(tap)).collect::<Result<Vec<_>>>()?;
    let filtered = |products: Vec<(Tensor, usize)>| {
        let mut sum: Option<Tensor> = None;
        for (frames, tap) in products {
            let product = frames.broadcast_mul(&weights[tap])?;
            sum = Some(match sum {
                Some(sum) => (sum + product)?,
                None => product,
            });
        }
        match sum {
            Some(sum) => Ok(sum),
            // More frames between two of the input's than the filter is long.
            None => x.zeros_like(),
        }
    };
    match direction {
        ResampleDirection::Down => {
            let taps = taps(&reflected(x, half)?, count, stride)?;
            filtered(taps.into_iter().zip(0..).collect())
        }
        ResampleDirection::Up => {
            // The zero-stuffed signal has input i at i * stride; tap k of output o meets it at o + half - k.
            let margin = half.div_ceil(stride);
            let x = reflected(x, margin)?;
            let phase = |phase: usize| {
                let met =
                    (0..count).filter(|tap| (phase + half + count * stride - tap).is_multiple_of(stride));
                let met = met.map(|tap| {
                    let first = (margin * stride + phase + half - tap) / stride;
                    Ok((x.narrow(1, first, frames)?, tap))
                });
                filtered(met.collect::<Result<_>>()?)
            };
            let phases = (0..stride).map(phase).collect::<Result<Vec<_>>>()?;
            let all = Tensor::stack(&phases, 2)?.reshape((batch, frames * stride, channels))?;
            all.narrow(1, 0, (frames - 1) * stride + 1)
        }
    }
}
