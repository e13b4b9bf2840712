//! From a mixture to spectra, and from masked spectra to stems.

use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use realfft::num_complex::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use super::config::inputs_of;
use super::{BandDptConfig, Windows, plain};
use crate::STEMS;
use crate::model::layers::cpu::{slice, with_slice};
use crate::model::layers::plain::is_for;

/// Numbers of one bin: real and imaginary part of left and right.
const PARTS: usize = 4;
/// Mask values of one tap of one bin.
const MASKS: usize = STEMS * PARTS;
/// Below it (-120 dB of full scale) compression ends.
pub(crate) const FLOOR: f32 = 1e-12;
/// Mean square below which a band is not brought up to level any more.
pub(crate) const QUIET: f32 = 1e-4;

/// What a band sees of its level, the mean square of its compressed numbers: about as large as they are.
pub(crate) fn seen_level(mean_square: f32) -> f32 {
    0.4 * ((mean_square + QUIET).ln() + 5.0)
}

/// Why a transform cannot fail.
const OWN_BUFFERS: &str = "the buffers are the plan's own, and the ends of a spectrum are real";

/// Windows and transforms, ready to be run.
pub struct Framing {
    pub(super) config: BandDptConfig,
    pub(super) windows: Windows,
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    /// For cards, made when they are first needed.
    pub(super) waves: OnceLock<Tensor>,
}

impl Framing {
    /// For a checked configuration.
    pub fn new(config: &BandDptConfig) -> Self {
        let mut planner = RealFftPlanner::new();
        Self {
            windows: Windows::new(config.analysis_window, config.synthesis_window, config.hop),
            forward: planner.plan_fft_forward(config.analysis_window),
            inverse: planner.plan_fft_inverse(config.analysis_window),
            waves: OnceLock::new(),
            config: config.clone(),
        }
    }

    /// Numbers in one spectrum, `[bin][left, right][re, im]`.
    pub fn spectrum_len(&self) -> usize {
        self.config.bins() * PARTS
    }

    /// Spectra of all steps. Each item of `mixture`, `[batch][2][analysis_window - hop + steps * hop]`, begins with
    /// what came before the first step. Returns `[steps][batch][bin][left, right][re, im]`.
    pub fn analyse(&self, mixture: &[f32], batch: usize) -> Vec<f32> {
        let (window, hop) = (self.config.analysis_window, self.config.hop);
        let frames = mixture.len() / (2 * batch).max(1);
        let steps = (frames + hop - window) / hop;
        let mut spectra = vec![0.0; steps * batch * self.spectrum_len()];
        let make = || {
            (self.forward.make_input_vec(), self.forward.make_output_vec(), self.forward.make_scratch_vec())
        };
        let items = spectra.par_chunks_mut(self.spectrum_len()).enumerate();
        items.for_each_init(make, |(input, output, scratch), (index, spectrum)| {
            let (step, item) = (index / batch, index % batch);
            for channel in 0..2 {
                let frames = &mixture[(2 * item + channel) * frames + step * hop..][..window];
                let windowed = input.iter_mut().zip(frames).zip(&self.windows.analysis);
                windowed.for_each(|((to, x), w)| *to = x * w);
                self.forward.process_with_scratch(input, output, scratch).expect(OWN_BUFFERS);
                for (bin, z) in spectrum.chunks_exact_mut(PARTS).zip(&*output) {
                    bin[2 * channel] = z.re;
                    bin[2 * channel + 1] = z.im;
                }
            }
        });
        spectra
    }

    /// What the bands see of spectra, `[..][sum of band_inputs]`: numbers whose magnitudes are compressed by a square
    /// root, each band brought to the same level; these magnitudes, which no linear layer could make of real and
    /// imaginary parts; the level itself; and its rise since the step before. `levels`, `[batch][bands]`, are those of
    /// the step before the first, then of the last.
    pub fn features(&self, spectra: &[f32], levels: &mut [f32]) -> Vec<f32> {
        let len: usize = self.config.band_inputs().iter().sum();
        let scale = self.windows.scale();
        let mut features = vec![0.0; spectra.len() / self.spectrum_len() * len];
        let frames = features.par_chunks_mut(len).zip(spectra.par_chunks(self.spectrum_len()));
        frames.for_each(|(mut features, mut spectrum)| {
            for &width in &self.config.bands {
                let (band, rest) = std::mem::take(&mut features).split_at_mut(inputs_of(width));
                let (bins, spectrum_rest) = spectrum.split_at(PARTS * width);
                (features, spectrum) = (rest, spectrum_rest);
                let mut squares = 0.0;
                let parts = &mut band[..PARTS * width];
                for (to, z) in parts.as_chunks_mut::<2>().0.iter_mut().zip(bins.as_chunks::<2>().0) {
                    let [re, im] = z.map(|part| part * scale);
                    let compressed = (re * re + im * im + FLOOR).sqrt().sqrt().recip();
                    *to = [re * compressed, im * compressed];
                    squares += to[0] * to[0] + to[1] * to[1];
                }
                let level = squares / (PARTS * width) as f32;
                let (parts, rest) = band.split_at_mut(PARTS * width);
                let (magnitudes, last) = rest.split_at_mut(2 * width);
                let factor = (level + QUIET).sqrt().recip();
                for (z, magnitude) in parts.as_chunks_mut::<2>().0.iter_mut().zip(magnitudes) {
                    *z = z.map(|part| part * factor);
                    *magnitude = (z[0] * z[0] + z[1] * z[1]).sqrt();
                }
                last[0] = seen_level(level);
            }
        });
        let bands = self.config.bands.len();
        for step in features.chunks_exact_mut(len * levels.len() / bands) {
            for (mut features, levels) in step.chunks_exact_mut(len).zip(levels.chunks_exact_mut(bands)) {
                for (&width, before) in self.config.bands.iter().zip(levels) {
                    let (band, rest) = std::mem::take(&mut features).split_at_mut(inputs_of(width));
                    features = rest;
                    if let [.., level, rise] = band {
                        *rise = *level - *before;
                        *before = *level;
                    }
                }
            }
        }
        features
    }

    /// Applies masks `[steps, batch, bins * taps * 16]` to spectra, of which there are `taps - 1` steps more, from
    /// before the first, and adds up the windows: `[batch, STEMS, 2, (steps - 1) * hop + synthesis_window]`.
    pub fn synthesise(self: &Arc<Self>, masks: &Tensor, spectra: Vec<f32>) -> Result<Tensor> {
        if is_for(masks) {
            return plain::synthesise(self, masks, spectra);
        }
        masks.contiguous()?.apply_op1(Synthesis { framing: self.clone(), spectra: spectra.into() })
    }
}

/// Masks to stems; the spectra are given, and have no gradient.
struct Synthesis {
    framing: Arc<Framing>,
    spectra: Arc<[f32]>,
}

/// What the stems lack, or have too much of, to add up to `target`, shared equally. One tap of one bin, `[MASKS]`.
fn share(masks: &[f32; MASKS], target: f32) -> [f32; MASKS] {
    let mut shared = *masks;
    for part in 0..PARTS {
        let wanted = if part % 2 == 0 { target } else { 0.0 };
        let sum: f32 = (0..STEMS).map(|stem| masks[stem * PARTS + part]).sum();
        (0..STEMS).for_each(|stem| shared[stem * PARTS + part] += (wanted - sum) / STEMS as f32);
    }
    shared
}

impl Synthesis {
    /// `[steps, batch]` of masks.
    fn sizes(&self, dims: &[usize]) -> Result<[usize; 2]> {
        let taps = self.framing.config.taps;
        let [steps, batch, values] = dims else { candle_core::bail!("masks have three axes, not {dims:?}") };
        let spectra = (steps + taps - 1) * batch * self.framing.spectrum_len();
        if *values != self.framing.config.bins() * taps * MASKS
            || self.spectra.len() != spectra
            || *steps == 0
        {
            candle_core::bail!("masks {dims:?} do not fit {} numbers of spectra", self.spectra.len());
        }
        Ok([*steps, *batch])
    }

    /// The spectra that the masks of one step are for, newest first.
    fn seen(&self, step: usize, item: usize, batch: usize) -> impl Iterator<Item = &[f32]> {
        let (len, taps) = (self.framing.spectrum_len(), self.framing.config.taps);
        (0..taps).map(move |tap| &self.spectra[((step + taps - 1 - tap) * batch + item) * len..][..len])
    }

    /// Adds one step's stems to `out`, `[STEMS * 2][frames]`, from `start` on.
    fn add(
        &self,
        masks: &[f32],
        seen: &[&[f32]],
        out: &mut [f32],
        frames: usize,
        start: usize,
        work: &mut Work,
    ) {
        let Framing { config, windows, inverse, .. } = &*self.framing;
        let taps = config.taps;
        for (bin, masks) in masks.as_chunks::<MASKS>().0.chunks_exact(taps).enumerate() {
            let mut sums = [Complex32::default(); 2 * STEMS];
            for (tap, (masks, spectrum)) in masks.iter().zip(seen).enumerate() {
                let masks = share(masks, if tap == 0 { 1.0 } else { 0.0 });
                for (voice, sum) in sums.iter_mut().enumerate() {
                    let x = &spectrum[bin * PARTS + 2 * (voice % 2)..][..2];
                    *sum +=
                        Complex32::new(masks[2 * voice], masks[2 * voice + 1]) * Complex32::new(x[0], x[1]);
                }
            }
            work.spectra.iter_mut().zip(sums).for_each(|(spectrum, sum)| spectrum[bin] = sum);
        }
        let scale = 1.0 / config.analysis_window as f32;
        let tail = config.analysis_window - config.synthesis_window;
        for (voice, spectrum) in work.spectra.iter_mut().enumerate() {
            // A real signal has real ends.
            for end in [0, config.bins() - 1] {
                spectrum[end].im = 0.0;
            }
            inverse.process_with_scratch(spectrum, &mut work.frames, &mut work.scratch).expect(OWN_BUFFERS);
            let out = &mut out[voice * frames + start..][..config.synthesis_window];
            let windowed = work.frames[tail..].iter().zip(&windows.synthesis);
            out.iter_mut().zip(windowed).for_each(|(out, (y, w))| *out += y * w * scale);
        }
    }

    /// Gradient of one step's masks from that of the stems.
    fn gradient(
        &self,
        grad: &[f32],
        frames: usize,
        start: usize,
        seen: &[&[f32]],
        out: &mut [f32],
        work: &mut Work,
    ) {
        let Framing { config, windows, forward, .. } = &*self.framing;
        let (taps, last) = (config.taps, config.bins() - 1);
        let scale = 1.0 / config.analysis_window as f32;
        let tail = config.analysis_window - config.synthesis_window;
        for (voice, spectrum) in work.spectra.iter_mut().enumerate() {
            let grad = &grad[voice * frames + start..][..config.synthesis_window];
            work.frames[..tail].fill(0.0);
            let windowed = work.frames[tail..].iter_mut().zip(grad.iter().zip(&windows.synthesis));
            windowed.for_each(|(to, (g, w))| *to = g * w * scale);
            forward.process_with_scratch(&mut work.frames, spectrum, &mut work.scratch).expect(OWN_BUFFERS);
            // Every bin but the ends stands for two.
            spectrum[1..last].iter_mut().for_each(|z| *z *= 2.0);
            for end in [0, last] {
                spectrum[end].im = 0.0;
            }
        }
        for (bin, out) in out.as_chunks_mut::<MASKS>().0.chunks_exact_mut(taps).enumerate() {
            for (out, spectrum) in out.iter_mut().zip(seen) {
                for voice in 0..2 * STEMS {
                    let x = &spectrum[bin * PARTS + 2 * (voice % 2)..][..2];
                    let product = work.spectra[voice][bin] * Complex32::new(x[0], -x[1]);
                    (out[2 * voice], out[2 * voice + 1]) = (product.re, product.im);
                }
                *out = share(out, 0.0);
            }
        }
    }
}

/// Memory for one step.
struct Work {
    spectra: Vec<Vec<Complex32>>,
    frames: Vec<f32>,
    scratch: Vec<Complex32>,
}

impl Work {
    fn new(framing: &Framing) -> Self {
        let scratch = framing.forward.get_scratch_len().max(framing.inverse.get_scratch_len());
        Self {
            spectra: vec![framing.forward.make_output_vec(); 2 * STEMS],
            frames: framing.forward.make_input_vec(),
            scratch: vec![Complex32::default(); scratch],
        }
    }
}

impl CustomOp1 for Synthesis {
    fn name(&self) -> &'static str {
        "band-synthesis"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let masks = slice(storage, layout)?;
        let [steps, batch] = self.sizes(layout.dims())?;
        let config = &self.framing.config;
        let frames = (steps - 1) * config.hop + config.synthesis_window;
        let values = masks.len() / (steps * batch).max(1);
        let mut out = vec![0.0; batch * STEMS * 2 * frames];
        out.par_chunks_mut((STEMS * 2 * frames).max(1)).enumerate().for_each(|(item, out)| {
            let mut work = Work::new(&self.framing);
            for step in 0..steps {
                let masks = &masks[(step * batch + item) * values..][..values];
                let seen: Vec<_> = self.seen(step, item, batch).collect();
                self.add(masks, &seen, out, frames, step * config.hop, &mut work);
            }
        });
        Ok((CpuStorage::F32(out), (batch, STEMS, 2, frames).into()))
    }

    fn bwd(&self, masks: &Tensor, res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let [_, batch] = self.sizes(masks.dims())?;
        let (frames, hop) = (res.dim(3)?, self.framing.config.hop);
        let mut out = vec![0.0; masks.elem_count()];
        let values = masks.dim(2)?;
        with_slice(grad, |grad| {
            let steps = out.par_chunks_mut(values.max(1)).enumerate();
            steps.for_each_init(
                || Work::new(&self.framing),
                |work, (index, out)| {
                    let (step, item) = (index / batch, index % batch);
                    let seen: Vec<_> = self.seen(step, item, batch).collect();
                    let grad = &grad[item * STEMS * 2 * frames..][..STEMS * 2 * frames];
                    self.gradient(grad, frames, step * hop, &seen, out, work);
                },
            );
        })?;
        Tensor::from_vec(out, masks.shape(), masks.device()).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn small(taps: usize) -> BandDptConfig {
        BandDptConfig {
            analysis_window: 32,
            synthesis_window: 16,
            hop: 8,
            bands: vec![2, 5, 10],
            taps,
            ..BandDptConfig::default()
        }
    }

    fn noise(count: usize, seed: u64) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
    }

    #[test]
    fn stems_add_up_to_the_mixture_whatever_the_masks() {
        let framing = Arc::new(Framing::new(&small(2)));
        let (batch, steps, past) = (2, 9, 24);
        let mut mixture = noise(batch * 2 * (past + steps * 8), 1);
        mixture.chunks_exact_mut(past + steps * 8).for_each(|channel| channel[..past].fill(0.0));
        let spectra = framing.analyse(&mixture, batch);
        let before = vec![0.0; batch * framing.spectrum_len()];
        let masks = noise(steps * batch * 17 * 2 * MASKS, 2);
        let masks = Tensor::from_vec(masks, (steps, batch, 17 * 2 * MASKS), &Device::Cpu).unwrap();
        let stems = framing.synthesise(&masks, [before, spectra].concat()).unwrap();
        let sum = stems.sum(1).unwrap().flatten_to(1).unwrap().to_vec2::<f32>().unwrap();
        for (channel, sum) in mixture.chunks_exact(past + steps * 8).zip(sum) {
            // The first and the last window overlap with nothing.
            for (x, y) in channel[past..].iter().zip(&sum[8..steps * 8]) {
                assert!((x - y).abs() < 2e-6, "{x} {y}");
            }
        }
    }

    #[test]
    fn gradients_of_masks_are_right() {
        for taps in [1, 3] {
            let framing = Arc::new(Framing::new(&small(taps)));
            let (batch, steps) = (2, 4);
            let spectra = noise((steps + taps - 1) * batch * framing.spectrum_len(), 3);
            let shape = (steps, batch, 17 * taps * MASKS);
            let tensor =
                |seed| Tensor::from_vec(noise(steps * batch * 17 * taps * MASKS, seed), shape, &Device::Cpu);
            let masks = Var::from_tensor(&tensor(4).unwrap()).unwrap();
            let output = framing.synthesise(&masks, spectra.clone()).unwrap();
            let weights =
                Tensor::from_vec(noise(output.elem_count(), 5), output.shape(), &Device::Cpu).unwrap();
            let loss = |masks: &Tensor| {
                let stems = framing.synthesise(masks, spectra.clone())?;
                (stems * &weights)?.sum_all()
            };
            let gradients = loss(&masks).unwrap().backward().unwrap();
            let (gradient, direction) = (gradients.get(&masks).unwrap(), tensor(6).unwrap());
            let predicted = (gradient * &direction).unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
            // The op is affine in the masks, so that a long step is exact.
            let at = |sign: f64| {
                let moved = (masks.as_tensor() + (&direction * sign).unwrap()).unwrap();
                loss(&moved).unwrap().to_scalar::<f32>().unwrap()
            };
            let measured = (at(1.0) - at(-1.0)) / 2.0;
            assert!((predicted - measured).abs() < 2e-3 * (1.0 + measured.abs()), "{predicted} {measured}");
            assert!(measured.abs() > 0.1, "{measured}");
        }
    }
}
