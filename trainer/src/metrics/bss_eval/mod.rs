//! BSSEval v4, with the definitions and the framing of museval.
//!
//! An estimate is explained in two steps by filtered references: its own reference alone (spatial distortion), then
//! all references (interference); what neither explains are artifacts. The filters are those of least squares over
//! the whole song. Vincent et al., "First stereo audio source separation evaluation campaign", 2007, for the four
//! ratios; Stöter, Liutkus and Ito, "The 2018 signal separation evaluation campaign", 2018, for version 4.

mod correlation;
mod frames;
mod projection;

use anyhow::ensure;
use engine::audio::AudioBuffer;

use correlation::Correlations;
use frames::{Filters, Framing};
use projection::Projection;

/// What the figures are, for tables and JSON.
pub const DEFINITION: &str = "BSSEval v4 as museval defines it: distortion filters of least squares over the whole \
                              song, ratios per frame";

/// How a song is measured, in frames of audio and in filter taps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Length of what one set of ratios covers.
    pub window: usize,
    /// From the start of one window to that of the next.
    pub hop: usize,
    /// Length of the distortion filters.
    pub taps: usize,
}

/// The ratios of one stem in one window, in dB. All are NaN where any reference or estimate is silent; one is
/// infinite where what it counts as distortion is exactly zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratios {
    /// Signal to distortion: of any kind.
    pub sdr: f64,
    /// Image to spatial distortion: filtering of the stem itself.
    pub isr: f64,
    /// Signal to interference: other stems, filtered or not.
    pub sir: f64,
    /// Signal to artifacts: what no filtered reference explains.
    pub sar: f64,
}

impl Ratios {
    /// Nothing to be measured.
    pub const NONE: Self = Self { sdr: f64::NAN, isr: f64::NAN, sir: f64::NAN, sar: f64::NAN };

    /// Their names in tables and JSON.
    pub const NAMES: [&str; 4] = ["SDR", "ISR", "SIR", "SAR"];

    /// In the order of [`NAMES`](Self::NAMES).
    pub fn all(self) -> [f64; 4] {
        [self.sdr, self.isr, self.sir, self.sar]
    }
}

/// The references of one song, ready to score any number of estimates of it.
pub struct BssEval<'a> {
    references: &'a [AudioBuffer],
    options: Options,
    /// Which references are not silent throughout; the others explain nothing.
    audible: Vec<usize>,
    /// Onto the filtered channels of all audible references, in their order.
    joint: Projection,
    /// Onto those of each audible reference alone.
    own: Vec<Projection>,
}

impl<'a> BssEval<'a> {
    /// Correlates the references and factors their normal equations, once for all estimates.
    /// `references[stem]` are of one shape, `[channels][frames]`.
    ///
    /// A reference that is silent throughout is left out, as if the stem did not exist; museval refuses such songs.
    ///
    /// # Errors
    /// No references, different shapes, or options of zero.
    pub fn new(references: &'a [AudioBuffer], options: Options) -> anyhow::Result<Self> {
        let shape = references.first().map(|r| (r.channels(), r.frames()));
        ensure!(shape.is_some_and(|(channels, frames)| channels * frames > 0), "there is nothing to score");
        ensure!(same_shape(references, shape), "the references have different lengths or channels");
        ensure!(
            options.window > 0 && options.hop > 0 && options.taps > 0,
            "window, hop and filters must be at least one frame long"
        );
        let audible: Vec<usize> = (0..references.len()).filter(|&s| !silent(&references[s])).collect();
        let signals = channels(audible.iter().map(|&s| &references[s]));
        let correlations = Correlations::new(&signals, &signals, options.taps);
        let count = references[0].channels();
        let joint = Projection::new(&correlations, 0..signals.len(), options.taps);
        let own = (0..audible.len())
            .map(|i| Projection::new(&correlations, i * count..(i + 1) * count, options.taps))
            .collect();
        Ok(Self { references, options, audible, joint, own })
    }

    /// Ratios by stem, then by window; `estimates[stem]` belongs to `references[stem]` and has its shape.
    ///
    /// # Errors
    /// Another number of estimates, or another shape.
    pub fn score(&self, estimates: &[AudioBuffer]) -> anyhow::Result<Vec<Vec<Ratios>>> {
        let (count, frames) = (self.references[0].channels(), self.references[0].frames());
        ensure!(
            estimates.len() == self.references.len() && same_shape(estimates, Some((count, frames))),
            "the estimates differ from the references in number, length or channels"
        );
        let framing = Framing::new(self.options, frames);
        let mut scores = vec![vec![Ratios::NONE; framing.windows()]; estimates.len()];
        // Estimates without a sound have no ratios, and must not take those of the other stems away.
        let scored: Vec<usize> =
            self.audible.iter().copied().filter(|&stem| !silent(&estimates[stem])).collect();
        if scored.is_empty() {
            return Ok(scores);
        }
        let references = channels(self.audible.iter().map(|&s| &self.references[s]));
        let targets = channels(scored.iter().map(|&s| &estimates[s]));
        let correlations = Correlations::new(&references, &targets, self.options.taps);
        let all = self.joint.filters(&correlations, 0..targets.len());
        let mut filters = Vec::with_capacity(scored.len());
        for (target, stem) in scored.iter().enumerate() {
            let outputs = target * count..(target + 1) * count;
            let at = self.audible.iter().position(|s| s == stem).unwrap_or_default();
            let own = self.own[at].filters(&correlations, outputs.clone());
            filters.push(Filters {
                references: at * count..(at + 1) * count,
                own,
                all: all[outputs].to_vec(),
            });
        }
        let measured = framing.measure(&references, &targets, &filters, self.options.taps);
        for (stem, ratios) in scored.into_iter().zip(measured) {
            scores[stem] = ratios;
        }
        Ok(scores)
    }
}

/// Scores one set of estimates.
///
/// # Errors
/// See [`BssEval::new`] and [`BssEval::score`].
pub fn evaluate(
    references: &[AudioBuffer],
    estimates: &[AudioBuffer],
    options: Options,
) -> anyhow::Result<Vec<Vec<Ratios>>> {
    BssEval::new(references, options)?.score(estimates)
}

fn same_shape(signals: &[AudioBuffer], shape: Option<(usize, usize)>) -> bool {
    signals.iter().all(|signal| Some((signal.channels(), signal.frames())) == shape)
}

/// The channels of all signals, one after another.
fn channels<'a>(signals: impl Iterator<Item = &'a AudioBuffer>) -> Vec<&'a [f32]> {
    signals.flat_map(AudioBuffer::iter).collect()
}

/// museval's idea of silence throughout, which a signal with opposite channels meets too: the channels' sum is always zero.
pub fn silent(signal: &AudioBuffer) -> bool {
    let channels: Vec<&[f32]> = signal.iter().collect();
    all_silent(&channels, 0..signal.frames())
}

fn all_silent(channels: &[&[f32]], mut frames: std::ops::Range<usize>) -> bool {
    frames.all(|n| channels.iter().map(|channel| f64::from(channel[n])).sum::<f64>() == 0.0)
}

#[cfg(test)]
mod tests;
