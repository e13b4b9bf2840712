//! Distances between a stem and its estimate as one operation with a gradient of its own.
//!
//! candle would build each from many elementwise operations, each with a full copy of the audio; its convolutions,
//! with which one would build spectrograms, have wrong gradients.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::si_sdr;
use super::stft::{Resolution, complex, magnitude};
use crate::train::recipe::{Distance, Term};

/// A stereo signal `[2][frames]`.
pub type Stereo<'a> = [&'a [f32]; 2];

/// A distance with all it needs.
pub enum Measure {
    L1,
    Mse,
    SiSdr,
    Stft(Vec<Resolution>),
    StftMagnitude(Vec<Resolution>),
}

impl Measure {
    /// The measure of a recipe's term.
    pub fn new(term: &Term) -> Self {
        let windows: &[usize] = if term.windows.is_empty() { &[2048, 1024, 512] } else { &term.windows };
        let resolutions = || windows.iter().map(|window| Resolution::new(*window)).collect();
        match term.kind {
            Distance::L1 => Self::L1,
            Distance::Mse => Self::Mse,
            Distance::SiSdr => Self::SiSdr,
            Distance::Stft => Self::Stft(resolutions()),
            Distance::StftMagnitude => Self::StftMagnitude(resolutions()),
        }
    }

    fn value(&self, estimate: Stereo<'_>, target: Stereo<'_>) -> f64 {
        match self {
            Self::L1 => mean(estimate, target, |d| f64::from(d.abs())),
            Self::Mse => mean(estimate, target, |d| f64::from(d * d)),
            Self::SiSdr => si_sdr::value(estimate, target),
            Self::Stft(resolutions) => complex::value(resolutions, estimate, target),
            Self::StftMagnitude(resolutions) => magnitude::value(resolutions, estimate, target),
        }
    }

    /// Writes `scale` times the gradient with respect to the estimate.
    fn gradient(&self, estimate: Stereo<'_>, target: Stereo<'_>, scale: f32, gradient: [&mut [f32]; 2]) {
        let scale_of_mean = scale / (2 * estimate[0].len()) as f32;
        match self {
            // The sign of no difference is 0, as in PyTorch.
            Self::L1 => each(estimate, target, gradient, |d| {
                if d == 0.0 { 0.0 } else { scale_of_mean.copysign(d * scale_of_mean) }
            }),
            Self::Mse => each(estimate, target, gradient, |d| 2.0 * scale_of_mean * d),
            Self::SiSdr => si_sdr::gradient(estimate, target, scale, gradient),
            Self::Stft(resolutions) => complex::gradient(resolutions, estimate, target, scale, gradient),
            Self::StftMagnitude(resolutions) => {
                magnitude::gradient(resolutions, estimate, target, scale, gradient);
            }
        }
    }
}

fn mean(estimate: Stereo<'_>, target: Stereo<'_>, of: impl Fn(f32) -> f64) -> f64 {
    let sum = |side: usize| estimate[side].iter().zip(target[side]).map(|(e, t)| of(e - t)).sum::<f64>();
    (sum(0) + sum(1)) / (2 * estimate[0].len()) as f64
}

fn each(estimate: Stereo<'_>, target: Stereo<'_>, gradient: [&mut [f32]; 2], of: impl Fn(f32) -> f32) {
    for (side, gradient) in gradient.into_iter().enumerate() {
        for ((g, e), t) in gradient.iter_mut().zip(estimate[side]).zip(target[side]) {
            *g = of(e - t);
        }
    }
}

/// `[batch, stems, 2, frames]` -> `[batch, stems]`: each stem's distance from its target, which has the same shape.
/// The first `skip` frames do not count.
pub struct DistanceOp {
    pub measure: Arc<Measure>,
    pub target: Tensor,
    pub skip: usize,
}

impl DistanceOp {
    /// Calls `work` with the target's samples, after a check of the shapes; `frames` is the last dimension.
    fn with_target<T>(&self, shape: &Shape, work: impl FnOnce(&[f32], usize) -> Result<T>) -> Result<T> {
        let (.., channels, frames) = shape.dims4()?;
        if shape != self.target.shape() || channels != 2 || self.skip >= frames {
            candle_core::bail!("the loss cannot compare {shape:?} with {:?}", self.target.shape());
        }
        let (storage, layout) = self.target.storage_and_layout();
        let candle_core::Storage::Cpu(storage) = &*storage else {
            candle_core::bail!("the loss is computed on the CPU");
        };
        work(samples(storage, layout)?, frames)
    }
}

/// The samples of a contiguous tensor.
fn samples<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&storage.as_slice::<f32>()?[from..to]),
        None => candle_core::bail!("the loss needs contiguous tensors"),
    }
}

/// What counts of a stem's samples, which lie channel after channel.
fn counted(samples: &[f32], frames: usize, skip: usize) -> Stereo<'_> {
    [&samples[skip..frames], &samples[frames + skip..]]
}

impl CustomOp1 for DistanceOp {
    fn name(&self) -> &'static str {
        "distance"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, stems, ..) = layout.shape().dims4()?;
        let estimate = samples(storage, layout)?;
        let values: Vec<f32> = self.with_target(layout.shape(), |target, frames| {
            let values = estimate.par_chunks_exact(2 * frames).zip(target.par_chunks_exact(2 * frames)).map(
                |(estimate, target)| {
                    let part = |samples| counted(samples, frames, self.skip);
                    self.measure.value(part(estimate), part(target)) as f32
                },
            );
            Ok(values.collect())
        })?;
        Ok((CpuStorage::F32(values), (batch, stems).into()))
    }

    fn bwd(&self, estimate: &Tensor, _: &Tensor, scales: &Tensor) -> Result<Option<Tensor>> {
        let scales = scales.flatten_all()?.to_vec1::<f32>()?;
        let (storage, layout) = estimate.storage_and_layout();
        let candle_core::Storage::Cpu(storage) = &*storage else {
            candle_core::bail!("the loss is computed on the CPU");
        };
        let samples = samples(storage, layout)?;
        let mut gradient = vec![0f32; samples.len()];
        self.with_target(layout.shape(), |target, frames| {
            gradient
                .par_chunks_exact_mut(2 * frames)
                .zip(samples.par_chunks_exact(2 * frames).zip(target.par_chunks_exact(2 * frames)))
                .zip(scales.par_iter())
                .for_each(|((gradient, (estimate, target)), scale)| {
                    let (left, right) = gradient.split_at_mut(frames);
                    let gradient = [&mut left[self.skip..], &mut right[self.skip..]];
                    let part = |samples| counted(samples, frames, self.skip);
                    self.measure.gradient(part(estimate), part(target), *scale, gradient);
                });
            Ok(())
        })?;
        Ok(Some(Tensor::from_vec(gradient, estimate.shape(), estimate.device())?))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::rng::Rng;

    const SHAPE: (usize, usize, usize, usize) = (2, 4, 2, 600);

    fn noise(seed: u64, level: f32) -> Vec<f32> {
        let mut rng = Rng::new(seed, &[]);
        (0..2 * 4 * 2 * 600).map(|_| level * rng.range(-1.0, 1.0)).collect()
    }

    fn tensor(samples: &[f32]) -> Tensor {
        Tensor::from_vec(samples.to_vec(), SHAPE, &Device::Cpu).unwrap()
    }

    fn op(kind: Distance, target: &[f32]) -> DistanceOp {
        let term =
            Term { kind, weight: 1.0, windows: if kind == Distance::L1 { vec![] } else { vec![128, 64] } };
        DistanceOp { measure: Arc::new(Measure::new(&term)), target: tensor(target), skip: 11 }
    }

    /// Moves the estimate along random directions, and compares what the distances do with what their gradients say.
    #[test]
    fn gradients_agree_with_finite_differences() {
        let mut target = noise(1, 0.5);
        // The second stem is silent.
        target[1_200..2_400].fill(0.0);
        let estimate: Vec<f32> = target.iter().zip(noise(2, 0.3)).map(|(t, n)| 0.6 * t + n).collect();
        let factors: Vec<f32> = (0..8).map(|i| 0.5 + 0.25 * i as f32).collect();
        let weights = Tensor::from_vec(factors.clone(), (2, 4), &Device::Cpu).unwrap();
        for kind in [Distance::L1, Distance::Mse, Distance::SiSdr, Distance::Stft, Distance::StftMagnitude] {
            let sum = |estimate: &Tensor| {
                (estimate.apply_op1(op(kind, &target)).unwrap() * &weights).unwrap().sum_all().unwrap()
            };
            let var = Var::from_tensor(&tensor(&estimate)).unwrap();
            let gradients = sum(var.as_tensor()).backward().unwrap();
            let gradient = gradients.get(&var).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for seed in 3..6 {
                let direction = noise(seed, 1.0);
                let at = |step: f32| -> f64 {
                    let moved: Vec<f32> =
                        estimate.iter().zip(&direction).map(|(e, d)| e + step * d).collect();
                    let op = op(kind, &target);
                    let stems = moved.chunks_exact(1_200).zip(target.chunks_exact(1_200)).zip(&factors);
                    let part = |samples| counted(samples, 600, op.skip);
                    // In f64, because the difference of two values in f32 has too few digits.
                    stems
                        .map(|((e, t), factor)| f64::from(*factor) * op.measure.value(part(e), part(t)))
                        .sum()
                };
                // Some differences change their sign on the way, and softest magnitudes have the sharpest bends.
                let step = 3e-5;
                let measured = (at(step) - at(-step)) / f64::from(2.0 * step);
                let predicted: f64 =
                    gradient.iter().zip(&direction).map(|(g, d)| f64::from(*g) * f64::from(*d)).sum();
                let scale: f64 = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
                assert!(
                    (measured - predicted).abs() < 0.03 * scale,
                    "{kind:?}: {measured} measured, {predicted} predicted, gradient of length {scale}"
                );
            }
        }
    }

    #[test]
    fn equal_signals_have_no_distance_and_no_gradient() {
        let target = noise(1, 0.5);
        for kind in [Distance::L1, Distance::Mse, Distance::Stft, Distance::StftMagnitude] {
            let var = Var::from_tensor(&tensor(&target)).unwrap();
            let distance = var.as_tensor().apply_op1(op(kind, &target)).unwrap().sum_all().unwrap();
            assert_eq!(distance.to_scalar::<f32>().unwrap(), 0.0, "{kind:?}");
            let gradients = distance.backward().unwrap();
            let gradient = gradients.get(&var).unwrap().abs().unwrap().max_all().unwrap();
            assert_eq!(gradient.to_scalar::<f32>().unwrap(), 0.0, "{kind:?}");
        }
    }
}
