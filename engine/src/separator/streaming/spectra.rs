//! Spectra of the newest frames, and stems from masked ones.

use std::sync::Arc;

use realfft::num_complex::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use super::masks::{MASKED, Masks};
use crate::STEMS;
use crate::audio::AudioBuffer;
use crate::kernels::Isa;
use crate::kernels::elementwise::{
    add_masked, add_product, compress, energy, multiply, scale, scale_and_measure, split_pairs,
};
use crate::model::{BandDptConfig, FLOOR, QUIET, Windows, inputs_of, seen_level};

/// Why a transform cannot fail.
const OWN_BUFFERS: &str = "the buffers are the plan's own, and the ends of a spectrum are real";

/// Real and imaginary parts of left and right, `[bins]` each.
type Planar = [Vec<f32>; 4];

/// From frames to spectra and to what the bands see of them.
pub struct Analysis {
    isa: Isa,
    hop: usize,
    window: Vec<f32>,
    /// Brings a sine at full scale to a magnitude of about one.
    scale: f32,
    bands: Vec<usize>,
    /// The newest frames, `[2][analysis_window]`.
    frames: [Vec<f32>; 2],
    transform: Arc<dyn RealToComplex<f32>>,
    windowed: Vec<f32>,
    spectrum: Vec<Complex32>,
    scratch: Vec<Complex32>,
    /// Of the last `taps` hops; the newest at `newest`.
    spectra: Vec<Planar>,
    newest: usize,
    /// Of each band, `[re, im of left, of right; magnitudes of left, of right][bin]`, the level and its rise.
    features: Vec<f32>,
    /// Of each band, of the newest hop.
    levels: Vec<f32>,
}

impl Analysis {
    /// For a checked configuration.
    pub fn new(isa: Isa, config: &BandDptConfig) -> Self {
        let windows = Windows::new(config.analysis_window, config.synthesis_window, config.hop);
        let transform = RealFftPlanner::new().plan_fft_forward(config.analysis_window);
        let planar = || [(); 4].map(|()| vec![0.0; config.bins()]);
        Self {
            isa,
            hop: config.hop,
            scale: windows.scale(),
            window: windows.analysis,
            bands: config.bands.clone(),
            frames: [(); 2].map(|()| vec![0.0; config.analysis_window]),
            windowed: transform.make_input_vec(),
            spectrum: transform.make_output_vec(),
            scratch: transform.make_scratch_vec(),
            transform,
            spectra: (0..config.taps).map(|_| planar()).collect(),
            newest: 0,
            features: vec![0.0; config.band_inputs().iter().sum()],
            levels: vec![seen_level(0.0); config.bands.len()],
        }
    }

    /// Takes a hop of one channel.
    pub fn push(&mut self, channel: usize, samples: impl Iterator<Item = f32>) {
        let frames = &mut self.frames[channel];
        frames.copy_within(self.hop.., 0);
        let first = frames.len() - self.hop;
        frames[first..].iter_mut().zip(samples).for_each(|(to, sample)| *to = sample);
    }

    /// The newest spectrum and features, once both channels are there.
    pub fn run(&mut self) {
        self.newest = (self.newest + 1) % self.spectra.len();
        let spectra = &mut self.spectra[self.newest];
        for (frames, parts) in self.frames.iter().zip(spectra.chunks_exact_mut(2)) {
            multiply(self.isa, frames, &self.window, &mut self.windowed);
            let Self { windowed, spectrum, scratch, .. } = self;
            self.transform.process_with_scratch(windowed, spectrum, scratch).expect(OWN_BUFFERS);
            let [re, im] = parts else { continue };
            split_pairs(self.isa, pairs(&self.spectrum), re, im);
        }
        let mut features = self.features.as_mut_slice();
        let mut first = 0;
        for (&width, before) in self.bands.iter().zip(&mut self.levels) {
            let (band, rest) = std::mem::take(&mut features).split_at_mut(inputs_of(width));
            features = rest;
            let (parts, rest) = band.split_at_mut(4 * width);
            let (magnitudes, level) = rest.split_at_mut(2 * width);
            for (channel, parts) in parts.chunks_exact_mut(2 * width).enumerate() {
                let (re, im) = parts.split_at_mut(width);
                let [from_re, from_im] =
                    [0, 1].map(|part| &spectra[2 * channel + part][first..first + width]);
                compress(self.isa, from_re, from_im, self.scale, FLOOR, re, im);
            }
            let square = energy(self.isa, parts) / (4 * width) as f32;
            let factor = 1.0 / (square + QUIET).sqrt();
            let sides = parts.chunks_exact_mut(2 * width).zip(magnitudes.chunks_exact_mut(width));
            for (parts, magnitudes) in sides {
                let (re, im) = parts.split_at_mut(width);
                scale_and_measure(self.isa, factor, re, im, magnitudes);
            }
            let seen = seen_level(square);
            level.copy_from_slice(&[seen, seen - *before]);
            *before = seen;
            first += width;
        }
    }

    /// What each band sees of the newest hop, from 0 Hz up.
    pub fn features(&self) -> impl Iterator<Item = &[f32]> {
        let mut rest = self.features.as_slice();
        self.bands.iter().map(move |&width| {
            let (band, later) = rest.split_at(inputs_of(width));
            rest = later;
            band
        })
    }

    /// The spectrum of so many hops ago.
    fn spectrum(&self, tap: usize) -> &Planar {
        let count = self.spectra.len();
        &self.spectra[(self.newest + count - tap) % count]
    }

    /// A hop of frames that came `latency` frames before the newest hop.
    pub fn delayed(&self, channel: usize, latency: usize) -> &[f32] {
        let frames = &self.frames[channel];
        &frames[frames.len() - self.hop - latency..][..self.hop]
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.frames.iter_mut().for_each(|frames| frames.fill(0.0));
        self.spectra.iter_mut().flatten().for_each(|part| part.fill(0.0));
        self.levels.fill(seen_level(0.0));
    }
}

/// From masks to stems, but for the last, which has none.
pub struct Synthesis {
    isa: Isa,
    hop: usize,
    /// `[synthesis_window]`, with the transform's scale.
    window: Vec<f32>,
    transform: Arc<dyn ComplexToReal<f32>>,
    /// Of left and right of each masked stem.
    spectra: Vec<Vec<Complex32>>,
    frames: Vec<f32>,
    scratch: Vec<Complex32>,
    /// Windows that are not over yet, `[MASKED * 2][synthesis_window]`.
    tails: Vec<Vec<f32>>,
}

impl Synthesis {
    /// For a checked configuration.
    pub fn new(isa: Isa, config: &BandDptConfig) -> Self {
        let windows = Windows::new(config.analysis_window, config.synthesis_window, config.hop);
        let transform = RealFftPlanner::new().plan_fft_inverse(config.analysis_window);
        let mut window = vec![0.0; config.synthesis_window];
        scale(isa, &windows.synthesis, 1.0 / config.analysis_window as f32, &mut window);
        Self {
            isa,
            hop: config.hop,
            window,
            spectra: vec![transform.make_input_vec(); MASKED * 2],
            frames: transform.make_output_vec(),
            scratch: transform.make_scratch_vec(),
            transform,
            tails: vec![vec![0.0; config.synthesis_window]; MASKED * 2],
        }
    }

    /// Masks the spectra and adds a window of each stem.
    pub fn run(&mut self, analysis: &Analysis, masks: &Masks) {
        for (voice, spectrum) in self.spectra.iter_mut().enumerate() {
            spectrum.fill(Complex32::default());
            let channel = voice % 2;
            let mut first = 0;
            for (width, masks) in masks.bands() {
                let out = &mut spectrum[first..first + width];
                for (tap, masks) in masks.chunks_exact(MASKED * 4 * width).enumerate() {
                    let (mask_re, rest) = masks[2 * voice * width..].split_at(width);
                    let from = analysis.spectrum(tap);
                    let [re, im] = [0, 1].map(|part| &from[2 * channel + part][first..first + width]);
                    add_masked(self.isa, mask_re, &rest[..width], re, im, pairs_mut(out));
                }
                first += width;
            }
            // A real signal has real ends.
            spectrum[0].im = 0.0;
            spectrum[first - 1].im = 0.0;
            self.transform
                .process_with_scratch(spectrum, &mut self.frames, &mut self.scratch)
                .expect(OWN_BUFFERS);
            let newest = &self.frames[self.frames.len() - self.window.len()..];
            add_product(self.isa, newest, &self.window, &mut self.tails[voice]);
        }
    }

    /// The hop that is over, `[STEMS][2][hop]`; the last stem is what the others leave of the mixture, whose left and
    /// right these stems belong to. Whether all of it is finite.
    pub fn give(&mut self, mixture: [&[f32]; 2], stems: &mut [AudioBuffer; STEMS]) -> bool {
        let [masked @ .., last] = stems;
        for (channel, mixture) in mixture.into_iter().enumerate() {
            last.channel_mut(channel).copy_from_slice(mixture);
        }
        for (voice, tail) in self.tails.iter_mut().enumerate() {
            let (stem, channel) = (&mut masked[voice / 2], voice % 2);
            stem.channel_mut(channel).copy_from_slice(&tail[..self.hop]);
            last.channel_mut(channel).iter_mut().zip(&*tail).for_each(|(last, stem)| *last -= stem);
            tail.copy_within(self.hop.., 0);
            let kept = tail.len() - self.hop;
            tail[kept..].fill(0.0);
        }
        // What is not finite in a stem is not finite here either. Zero times anything finite; a sum of squares would
        // overflow sooner.
        last.iter().flatten().map(|x| x * 0.0).sum::<f32>() == 0.0
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.tails.iter_mut().for_each(|tail| tail.fill(0.0));
    }
}

/// Complex numbers as pairs.
fn pairs(numbers: &[Complex32]) -> &[[f32; 2]] {
    // SAFETY: a complex number is `repr(C)`: its real part, then its imaginary part.
    unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast(), numbers.len()) }
}

/// As [`pairs`].
fn pairs_mut(numbers: &mut [Complex32]) -> &mut [[f32; 2]] {
    // SAFETY: see above; borrowed exclusively.
    unsafe { std::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), numbers.len()) }
}
