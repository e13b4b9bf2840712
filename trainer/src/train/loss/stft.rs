//! Distances between spectrograms at several resolutions.

use std::sync::{Arc, OnceLock};

use candle_core::{Device, Tensor};
use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use super::distance::Stereo;

/// One resolution: Hann windows a quarter of their length apart, so that every frame of the signal counts alike.
pub struct Resolution {
    hop: usize,
    /// Its squares add up to 1, so that noise has the same level in the spectrum as in time.
    window: Vec<f32>,
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    /// For cards, made when it is first needed.
    waves: OnceLock<Tensor>,
}

/// Memory for one transform.
struct Scratch {
    samples: Vec<f32>,
    spectrum: Vec<Complex<f32>>,
    work: Vec<Complex<f32>>,
}

impl Resolution {
    /// `size` frames in a window.
    pub fn new(size: usize) -> Self {
        let hann = |i: usize| 0.5 - 0.5 * (std::f64::consts::TAU * i as f64 / size as f64).cos();
        let energy: f64 = (0..size).map(|i| hann(i) * hann(i)).sum();
        let window = (0..size).map(|i| (hann(i) / energy.sqrt()) as f32).collect();
        let mut planner = RealFftPlanner::new();
        let (forward, inverse) = (planner.plan_fft_forward(size), planner.plan_fft_inverse(size));
        Self { hop: size / 4, window, forward, inverse, waves: OnceLock::new() }
    }

    /// Frames of a window.
    pub fn size(&self) -> usize {
        self.window.len()
    }

    /// Frames from one window to the next.
    pub fn hop(&self) -> usize {
        self.hop
    }

    /// What a window's frames are multiplied by to become a spectrum, `[size, 2 * bins]`: real parts, then imaginary.
    pub fn waves(&self, device: &Device) -> candle_core::Result<&Tensor> {
        if let Some(waves) = self.waves.get() {
            return Ok(waves);
        }
        let (size, bins) = (self.size(), self.bins());
        let turns: Vec<_> =
            (0..size).map(|n| (std::f64::consts::TAU * n as f64 / size as f64).sin_cos()).collect();
        let mut values = Vec::with_capacity(2 * size * bins);
        for (n, weight) in self.window.iter().enumerate() {
            let wave = |bin: usize| turns[bin * n % size];
            values.extend((0..bins).map(|bin| weight * wave(bin).1 as f32));
            values.extend((0..bins).map(|bin| -weight * wave(bin).0 as f32));
        }
        let waves = Tensor::from_vec(values, (size, 2 * bins), device)?;
        Ok(self.waves.get_or_init(|| waves))
    }

    /// Of a spectrum.
    pub fn bins(&self) -> usize {
        self.window.len() / 2 + 1
    }

    /// Where windows begin in a signal: the first ones before it, so that its first frame lies in four of them.
    pub fn starts(&self, frames: usize) -> impl Iterator<Item = isize> + use<> {
        let (size, hop) = (self.window.len() as isize, self.hop as isize);
        (0..).map(move |i| i * hop - size + hop).take_while(move |start| *start < frames as isize)
    }

    /// Number of values in a stereo spectrogram.
    fn count(&self, frames: usize) -> f64 {
        (2 * self.starts(frames).count() * self.bins()) as f64
    }

    fn scratch(&self) -> Scratch {
        let work = self.forward.get_scratch_len().max(self.inverse.get_scratch_len());
        Scratch {
            samples: self.forward.make_input_vec(),
            spectrum: self.forward.make_output_vec(),
            work: vec![Complex::default(); work],
        }
    }

    /// The spectrum of one window into `scratch.spectrum`; `sample` gives the signal's frames.
    fn analyse(&self, start: isize, frames: usize, sample: impl Fn(usize) -> f32, scratch: &mut Scratch) {
        for (i, (to, weight)) in scratch.samples.iter_mut().zip(&self.window).enumerate() {
            let at = usize::try_from(start + i as isize).ok().filter(|at| *at < frames);
            *to = at.map_or(0.0, |at| weight * sample(at));
        }
        let Scratch { samples, spectrum, work } = scratch;
        let done =
            self.forward.process_with_scratch(samples, spectrum, &mut work[..self.forward.get_scratch_len()]);
        debug_assert!(done.is_ok(), "the buffers have the transform's own lengths");
    }

    /// The adjoint of [`Self::analyse`]: adds to `gradient` what the derivatives in `scratch.spectrum`, with respect
    /// to real and imaginary parts, mean for the signal.
    fn pull_back(&self, start: isize, gradient: &mut [f32], scratch: &mut Scratch) {
        let Scratch { samples, spectrum, work } = scratch;
        // The inverse transform counts all bins but the first and the last twice.
        let last = spectrum.len() - 1;
        spectrum[1..last].iter_mut().for_each(|x| *x *= 0.5);
        (spectrum[0].im, spectrum[last].im) = (0.0, 0.0);
        let done =
            self.inverse.process_with_scratch(spectrum, samples, &mut work[..self.inverse.get_scratch_len()]);
        debug_assert!(done.is_ok(), "the buffers have the transform's own lengths");
        for (i, (x, weight)) in samples.iter().zip(&self.window).enumerate() {
            if let Some(to) = usize::try_from(start + i as isize).ok().and_then(|at| gradient.get_mut(at)) {
                *to += weight * x;
            }
        }
    }
}

/// The mean absolute difference of real and imaginary parts, mean over resolutions (Lu et al., "Music source
/// separation with band-split RoPE transformer", 2024: the spectral part of its loss).
pub mod complex {
    use super::*;

    /// The distance.
    pub fn value(resolutions: &[Resolution], estimate: Stereo<'_>, target: Stereo<'_>) -> f64 {
        let frames = estimate[0].len();
        let mut sum = 0.0;
        for resolution in resolutions {
            let mut scratch = resolution.scratch();
            let mut own = 0.0;
            for (e, t) in estimate.into_iter().zip(target) {
                for start in resolution.starts(frames) {
                    resolution.analyse(start, frames, |at| e[at] - t[at], &mut scratch);
                    own += scratch.spectrum.iter().map(|d| f64::from(d.re.abs() + d.im.abs())).sum::<f64>();
                }
            }
            sum += own / resolution.count(frames);
        }
        sum / resolutions.len() as f64
    }

    /// `scale` times its gradient with respect to the estimate.
    pub fn gradient(
        resolutions: &[Resolution],
        estimate: Stereo<'_>,
        target: Stereo<'_>,
        scale: f32,
        gradient: [&mut [f32]; 2],
    ) {
        let frames = estimate[0].len();
        for ((gradient, e), t) in gradient.into_iter().zip(estimate).zip(target) {
            gradient.fill(0.0);
            for resolution in resolutions {
                let step = f64::from(scale) / (resolution.count(frames) * resolutions.len() as f64);
                let slope = |d: f32| if d == 0.0 { 0.0 } else { step as f32 * d.signum() };
                let mut scratch = resolution.scratch();
                for start in resolution.starts(frames) {
                    resolution.analyse(start, frames, |at| e[at] - t[at], &mut scratch);
                    scratch.spectrum.iter_mut().for_each(|d| *d = Complex::new(slope(d.re), slope(d.im)));
                    resolution.pull_back(start, gradient, &mut scratch);
                }
            }
        }
    }
}

/// Spectral convergence and log magnitude, mean over resolutions (Yamamoto et al., "Parallel WaveGAN", 2020,
/// equations 4 to 7): || |T| - |E| || / || |T| || + mean | log |T| - log |E| |.
pub mod magnitude {
    use super::*;

    /// Added to every squared magnitude: -70 dB.
    pub const FLOOR: f32 = 1e-7;
    /// A softer target counts in the convergence as if its mean square were this (-40 dB): the distance from
    /// silence would have no bounds otherwise.
    pub const SOFTEST: f64 = 1e-4;

    fn magnitude(x: Complex<f32>) -> f32 {
        (x.norm_sqr() + FLOOR).sqrt()
    }

    /// What the distance of one resolution is made of.
    struct Sums {
        count: f64,
        /// Square root of the squared differences' sum.
        difference: f64,
        /// That of the target's squares.
        target: f64,
        /// Sum of the absolute differences of logarithms.
        logarithm: f64,
    }

    /// Calls `work` with the channel, where it begins, and the spectra of each window.
    fn each_window(
        resolution: &Resolution,
        [estimate, target]: [Stereo<'_>; 2],
        mut work: impl FnMut(usize, isize, &mut Scratch, &[Complex<f32>]),
    ) {
        let frames = estimate[0].len();
        let (mut scratch, mut other) = (resolution.scratch(), resolution.scratch());
        for (side, (e, t)) in estimate.into_iter().zip(target).enumerate() {
            for start in resolution.starts(frames) {
                resolution.analyse(start, frames, |at| t[at], &mut other);
                resolution.analyse(start, frames, |at| e[at], &mut scratch);
                work(side, start, &mut scratch, &other.spectrum);
            }
        }
    }

    impl Sums {
        fn of(resolution: &Resolution, signals: [Stereo<'_>; 2]) -> Self {
            let (mut difference, mut own, mut logarithm) = (0.0, 0.0, 0.0);
            each_window(resolution, signals, |_, _, scratch, target| {
                for (e, t) in scratch.spectrum.iter().zip(target) {
                    let (e, t) = (f64::from(magnitude(*e)), f64::from(magnitude(*t)));
                    difference += (e - t) * (e - t);
                    own += t * t;
                    logarithm += (e / t).ln().abs();
                }
            });
            let count = resolution.count(signals[0][0].len());
            let target = own.max(SOFTEST * count).sqrt();
            Self { count, difference: difference.sqrt(), target, logarithm }
        }
    }

    /// The distance.
    pub fn value(resolutions: &[Resolution], estimate: Stereo<'_>, target: Stereo<'_>) -> f64 {
        let own = |resolution| {
            let sums = Sums::of(resolution, [estimate, target]);
            sums.difference / sums.target + sums.logarithm / sums.count
        };
        resolutions.iter().map(own).sum::<f64>() / resolutions.len() as f64
    }

    /// `scale` times its gradient with respect to the estimate.
    pub fn gradient(
        resolutions: &[Resolution],
        estimate: Stereo<'_>,
        target: Stereo<'_>,
        scale: f32,
        mut gradient: [&mut [f32]; 2],
    ) {
        gradient.iter_mut().for_each(|side| side.fill(0.0));
        let scale = f64::from(scale) / resolutions.len() as f64;
        for resolution in resolutions {
            let sums = Sums::of(resolution, [estimate, target]);
            let convergence =
                if sums.difference > 0.0 { scale / (sums.difference * sums.target) } else { 0.0 };
            each_window(resolution, [estimate, target], |side, start, scratch, target| {
                for (e, t) in scratch.spectrum.iter_mut().zip(target) {
                    let (own, wanted) = (f64::from(magnitude(*e)), f64::from(magnitude(*t)));
                    let sign = if own == wanted { 0.0 } else { (own - wanted).signum() };
                    let by_magnitude = convergence * (own - wanted) + scale * sign / (own * sums.count);
                    *e *= (by_magnitude / own) as f32;
                }
                resolution.pull_back(start, gradient[side], scratch);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_has_about_the_same_level_in_both_domains_at_every_resolution() {
        let mut rng = crate::rng::Rng::new(4, &[]);
        let noise: Vec<f32> = (0..60_000).map(|_| 0.1 * rng.normal()).collect();
        let silence = vec![0.0; 60_000];
        for size in [256, 512, 2048] {
            let value = complex::value(&[Resolution::new(size)], [&noise, &noise], [&silence, &silence]);
            // Real and imaginary parts have half the power each, and a mean of sqrt(2 / pi) deviations.
            let expected = 0.1 * 2.0 * (1.0 / std::f64::consts::PI).sqrt();
            assert!((value / expected - 1.0).abs() < 0.1, "{value} at {size}, {expected} expected");
        }
    }

    #[test]
    fn halved_magnitudes_differ_by_half_and_by_the_logarithm_of_two() {
        let mut rng = crate::rng::Rng::new(5, &[]);
        let noise: Vec<f32> = (0..4_000).map(|_| rng.normal()).collect();
        let half: Vec<f32> = noise.iter().map(|x| 0.5 * x).collect();
        let value = magnitude::value(&[Resolution::new(512)], [&half, &half], [&noise, &noise]);
        assert!((value - 0.5 - 2f64.ln()).abs() < 0.01, "{value}");
    }
}
