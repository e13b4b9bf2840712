//! Window by window: what the filtered references leave of an estimate.

use std::ops::Range;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use super::{Options, Ratios, all_silent};

/// One target's distortion filters, `taps` coefficients each.
pub struct Filters {
    /// Which of the references' channels are its own.
    pub references: Range<usize>,
    /// From its own channels: by the estimate's channel, then by own channel.
    pub own: Vec<Vec<Vec<f64>>>,
    /// From all channels: by the estimate's channel, then by the references' channel.
    pub all: Vec<Vec<Vec<f64>>>,
}

/// Where the windows lie.
pub struct Framing {
    options: Options,
    frames: usize,
}

impl Framing {
    /// Windows over a song of so many frames.
    pub fn new(options: Options, frames: usize) -> Self {
        Self { options, frames }
    }

    /// How many whole windows there are; a song shorter than a window is one.
    pub fn windows(&self) -> usize {
        let Options { window, hop, .. } = self.options;
        if window < self.frames { (self.frames - window) / hop + 1 } else { 1 }
    }

    fn window(&self, index: usize) -> Range<usize> {
        let start = index * self.options.hop;
        start..start.saturating_add(self.options.window).min(self.frames)
    }

    /// Ratios by target, then by window. `targets` are the estimates' channels, in the order of `filters`.
    pub fn measure(
        &self,
        references: &[&[f32]],
        targets: &[&[f32]],
        filters: &[Filters],
        taps: usize,
    ) -> Vec<Vec<Ratios>> {
        let mut bank = Bank::new(filters, taps);
        let channels = targets.len() / filters.len().max(1);
        let any_silent = |signals: &[&[f32]], window: &Range<usize>| {
            signals.chunks(channels).any(|signal| all_silent(signal, window.clone()))
        };
        let mut scores = vec![Vec::with_capacity(self.windows()); filters.len()];
        for index in 0..self.windows() {
            let window = self.window(index);
            if any_silent(references, &window) || any_silent(targets, &window) {
                scores.iter_mut().for_each(|scores| scores.push(Ratios::NONE));
                continue;
            }
            let cut = |signals: &[&[f32]]| -> Vec<Vec<f64>> {
                signals.iter().map(|s| s[window.clone()].iter().map(|&x| f64::from(x)).collect()).collect()
            };
            let energies = bank.energies(filters, &cut(references), &cut(targets));
            for (scores, energies) in scores.iter_mut().zip(energies) {
                scores.push(energies.ratios());
            }
        }
        scores
    }
}

/// Of one target in one window, over its channels: sums of squares.
#[derive(Debug, Clone, Copy, Default)]
struct Energies {
    /// The reference.
    reference: f64,
    /// What the estimate differs from it by.
    distortion: f64,
    /// The reference filtered.
    own: f64,
    /// What filtering changed in the reference.
    spatial: f64,
    /// All references filtered.
    all: f64,
    /// What the other references added.
    interference: f64,
    /// What remains of the estimate.
    artifacts: f64,
}

impl Energies {
    fn ratios(&self) -> Ratios {
        let db = |signal: f64, distortion: f64| {
            if distortion == 0.0 { f64::INFINITY } else { 10.0 * (signal / distortion).log10() }
        };
        Ratios {
            sdr: db(self.reference, self.distortion),
            isr: db(self.reference, self.spatial),
            sir: db(self.own, self.interference),
            sar: db(self.all, self.artifacts),
        }
    }
}

/// Filters as spectra, and what applying them block by block needs.
struct Bank {
    taps: usize,
    /// Frames that one transform gives; the rest of it is what the filters remember.
    block: usize,
    forward: Arc<dyn RealToComplex<f64>>,
    inverse: Arc<dyn ComplexToReal<f64>>,
    /// By target, estimate's channel and own channel, in this order.
    own: Vec<Vec<Complex<f64>>>,
    /// By target, estimate's channel and references' channel, in this order.
    all: Vec<Vec<Complex<f64>>>,
    sum: Vec<Complex<f64>>,
    filtered: [Vec<f64>; 2],
    /// Of the forward and the inverse transform.
    scratch: [Vec<Complex<f64>>; 2],
}

impl Bank {
    fn new(filters: &[Filters], taps: usize) -> Self {
        let size = (8 * taps).next_power_of_two().max(1 << 12);
        let mut planner = RealFftPlanner::new();
        let (forward, inverse) = (planner.plan_fft_forward(size), planner.plan_fft_inverse(size));
        let spectrum = |taps: &Vec<f64>| {
            let mut time = forward.make_input_vec();
            // The inverse transform multiplies by the size.
            time.iter_mut().zip(taps).for_each(|(to, tap)| *to = tap / size as f64);
            let mut spectrum = forward.make_output_vec();
            let _ = forward.process(&mut time, &mut spectrum);
            spectrum
        };
        let own = filters.iter().flat_map(|f| f.own.iter().flatten()).map(spectrum).collect();
        let all = filters.iter().flat_map(|f| f.all.iter().flatten()).map(spectrum).collect();
        Self {
            taps,
            block: size + 1 - taps,
            own,
            all,
            sum: inverse.make_input_vec(),
            filtered: [inverse.make_output_vec(), inverse.make_output_vec()],
            scratch: [forward.make_scratch_vec(), inverse.make_scratch_vec()],
            forward,
            inverse,
        }
    }

    /// Energies by target. The window's signals start from silence and ring out, as museval's do.
    fn energies(
        &mut self,
        filters: &[Filters],
        references: &[Vec<f64>],
        targets: &[Vec<f64>],
    ) -> Vec<Energies> {
        let frames = references.first().map_or(0, Vec::len);
        let memory = self.taps - 1;
        let channels = targets.len() / filters.len();
        let mut energies = vec![Energies::default(); filters.len()];
        let mut time = self.forward.make_input_vec();
        let mut spectra = vec![self.forward.make_output_vec(); references.len()];
        for start in (0..frames + memory).step_by(self.block) {
            for (reference, spectrum) in references.iter().zip(&mut spectra) {
                // The transform's input begins `memory` frames before what it gives.
                let before = memory.saturating_sub(start);
                let from = (start + before - memory).min(frames);
                let there = (frames - from).min(time.len() - before);
                time.fill(0.0);
                time[before..before + there].copy_from_slice(&reference[from..from + there]);
                let _ = self.forward.process_with_scratch(&mut time, spectrum, &mut self.scratch[0]);
            }
            let count = self.block.min(frames + memory - start);
            for (index, (filters, energies)) in filters.iter().zip(&mut energies).enumerate() {
                let own_spectra = &spectra[filters.references.clone()];
                for channel in 0..channels {
                    let output = index * channels + channel;
                    self.apply(0, output * channels, own_spectra);
                    self.apply(1, output * references.len(), &spectra);
                    let at = |signal: &Vec<f64>, n: usize| signal.get(n).copied().unwrap_or(0.0);
                    let reference = &references[filters.references.start + channel];
                    for n in 0..count {
                        let (own, all) = (self.filtered[0][memory + n], self.filtered[1][memory + n]);
                        let (s, e) = (at(reference, start + n), at(&targets[output], start + n));
                        energies.reference += s * s;
                        energies.distortion += (e - s) * (e - s);
                        energies.own += own * own;
                        energies.spatial += (own - s) * (own - s);
                        energies.all += all * all;
                        energies.interference += (all - own) * (all - own);
                        energies.artifacts += (e - all) * (e - all);
                    }
                }
            }
        }
        energies
    }

    /// Filters `spectra` by as many of the own (0) or all (1) filters, from `first` on, and adds the results up.
    fn apply(&mut self, which: usize, first: usize, spectra: &[Vec<Complex<f64>>]) {
        let bank = if which == 0 { &self.own } else { &self.all };
        self.sum.fill(Complex::default());
        for (filter, spectrum) in bank[first..].iter().zip(spectra) {
            for ((sum, filter), bin) in self.sum.iter_mut().zip(filter).zip(spectrum) {
                *sum += filter * bin;
            }
        }
        let last = self.sum.len() - 1;
        for edge in [0, last] {
            self.sum[edge].im = 0.0;
        }
        let _ =
            self.inverse.process_with_scratch(&mut self.sum, &mut self.filtered[which], &mut self.scratch[1]);
    }
}
