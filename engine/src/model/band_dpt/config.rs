//! Hyper-parameters of the Live network, and what makes them sound.

use candle_core::Result;
use serde::{Deserialize, Serialize};

use crate::STEMS;

/// Sizes come from files of strangers: no network may ask for more than this.
const MAX_WINDOW: usize = 16_384;
const MAX_BANDS: usize = 128;
const MAX_SIZE: usize = 512;
const MAX_BLOCKS: usize = 16;
const MAX_SPAN: usize = 1_024;
const MAX_TAPS: usize = 8;

/// The improved transformer across bands and along time, causal; see [`super::BandDpt`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BandDptConfig {
    /// Frames of the analysis window: frequency resolution.
    pub analysis_window: usize,
    /// Frames of the synthesis window: latency.
    pub synthesis_window: usize,
    /// Frames per step.
    pub hop: usize,
    /// Width of each band in bins, from 0 Hz up; together `analysis_window / 2 + 1`.
    pub bands: Vec<usize>,
    /// Features of a band.
    pub size: usize,
    /// Dual-path blocks: a layer along time, then one across bands.
    pub blocks: usize,
    /// Attention heads.
    pub heads: usize,
    /// Steps that attention along time looks at, the newest included; 0 for none.
    pub attention_span: usize,
    /// GRU units along time.
    pub time_hidden: usize,
    /// GRU units across bands, per direction.
    pub band_hidden: usize,
    /// Units between a band's features and its masks.
    pub mask_hidden: usize,
    /// Steps that a mask is applied to, the newest included (deep filtering, Mack and Habets 2020).
    pub taps: usize,
}

impl Default for BandDptConfig {
    fn default() -> Self {
        // Narrow below 1 kHz, where pitch and bass live; 28 bands of a 2048 window at 44.1 kHz.
        let runs = [(4, 10), (8, 6), (16, 5), (48, 3), (178, 3), (179, 1)];
        Self {
            analysis_window: 2_048,
            synthesis_window: 512,
            hop: 256,
            bands: runs.iter().flat_map(|&(width, count)| std::iter::repeat_n(width, count)).collect(),
            size: 64,
            blocks: 4,
            heads: 4,
            attention_span: 32,
            time_hidden: 64,
            band_hidden: 32,
            mask_hidden: 32,
            taps: 1,
        }
    }
}

impl BandDptConfig {
    /// # Errors
    /// Sizes that make no network; the text says which and why.
    pub fn check(&self) -> Result<()> {
        let Self {
            analysis_window, synthesis_window, hop, bands, size, blocks, heads, attention_span, ..
        } = self;
        let widths: usize = bands.iter().fold(0, |sum, &width| sum.saturating_add(width));
        let hidden = [self.time_hidden, self.band_hidden, self.mask_hidden];
        if !(16..=MAX_WINDOW).contains(analysis_window) || !analysis_window.is_multiple_of(2) {
            candle_core::bail!(
                "`analysis_window` must be even and lie in 16..={MAX_WINDOW}, not {analysis_window}"
            )
        } else if *hop == 0
            || !synthesis_window.is_multiple_of(*hop)
            || synthesis_window / hop < 2
            || !synthesis_window.is_multiple_of(2)
            || synthesis_window > analysis_window
        {
            candle_core::bail!(
                "`synthesis_window` must be even, at least two whole hops and at most the analysis window; it is \
                 {synthesis_window} with hops of {hop}"
            )
        } else if widths != self.bins() || bands.contains(&0) || bands.len() > MAX_BANDS {
            candle_core::bail!(
                "`bands` must be at most {MAX_BANDS} widths, none 0, that add up to {} bins, not {widths}",
                self.bins()
            )
        } else if !(1..=MAX_SIZE).contains(size) || hidden.iter().any(|n| !(1..=MAX_SIZE).contains(n)) {
            candle_core::bail!("`size` and the hidden sizes must lie in 1..={MAX_SIZE}")
        } else if *heads == 0 || !size.is_multiple_of(*heads) {
            candle_core::bail!("features of {size} cannot have {heads} heads")
        } else if !(1..=MAX_BLOCKS).contains(blocks) {
            candle_core::bail!("`blocks` must lie in 1..={MAX_BLOCKS}, not {blocks}")
        } else if *attention_span > MAX_SPAN || !(1..=MAX_TAPS).contains(&self.taps) {
            candle_core::bail!("`attention_span` may be at most {MAX_SPAN}, and `taps` lie in 1..={MAX_TAPS}")
        } else {
            Ok(())
        }
    }

    /// Bins of a spectrum.
    pub fn bins(&self) -> usize {
        self.analysis_window / 2 + 1
    }

    /// Stem frame n of the stream belongs to mixture frame n - latency.
    pub fn latency(&self) -> usize {
        self.synthesis_window - self.hop
    }

    /// Multiply-accumulate operations of one step: products, attention and masks; neither transforms nor norms.
    pub fn macs_per_step(&self) -> u64 {
        let Self { size, time_hidden, band_hidden, mask_hidden, attention_span, .. } = *self;
        let bands = self.bands.len();
        let attention = |seen: usize| 4 * size * size + 2 * seen * size;
        let time = if attention_span > 0 { attention(attention_span) } else { 0 };
        let time = time + 3 * time_hidden * (size + time_hidden) + time_hidden * size;
        let across = attention(bands) + 6 * band_hidden * (size + band_hidden) + 2 * band_hidden * size;
        let split: usize = self.band_inputs().iter().map(|inputs| inputs * size).sum();
        let masks: usize = self.band_outputs().iter().map(|outputs| outputs * mask_hidden).sum();
        // A complex product is four real ones.
        let applied = 4 * self.bins() * self.taps * STEMS * 2;
        (bands * (self.blocks * (time + across) + size * mask_hidden) + split + masks + applied) as u64
    }

    /// What is seen of each band: real and imaginary parts of both channels `[bin][left, right][re, im]`, their
    /// magnitudes `[bin][left, right]`, the level, and its rise since the step before.
    pub fn band_inputs(&self) -> Vec<usize> {
        self.bands.iter().copied().map(inputs_of).collect()
    }

    /// Mask values of each band, ordered `[bin][tap][stem][channel][re, im]`.
    pub fn band_outputs(&self) -> Vec<usize> {
        self.bands.iter().map(|width| width * self.taps * STEMS * 4).collect()
    }
}

/// Numbers that are seen of a band of so many bins: see [`BandDptConfig::band_inputs`].
pub(crate) fn inputs_of(width: usize) -> usize {
    6 * width + 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_sound_and_broken_sizes_are_named() {
        let good = BandDptConfig::default();
        good.check().unwrap();
        let broken = [
            (BandDptConfig { hop: 0, ..good.clone() }, "synthesis_window"),
            (BandDptConfig { synthesis_window: 256, ..good.clone() }, "two whole hops"),
            (BandDptConfig { bands: vec![usize::MAX, 2], ..good.clone() }, "bands"),
            (BandDptConfig { heads: 7, ..good.clone() }, "7 heads"),
            (BandDptConfig { size: 1 << 40, ..good.clone() }, "size"),
            (BandDptConfig { attention_span: 1 << 40, ..good.clone() }, "attention_span"),
            (BandDptConfig { analysis_window: 1 << 40, ..good }, "analysis_window"),
        ];
        for (config, part) in broken {
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
