//! The Live network as a stream, on our own kernels: the same function as [`crate::model::BandDpt`], hop by hop, on one
//! thread, without allocation after construction.

mod block;
mod masks;
mod spectra;
mod weights;

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::{Separator, SeparatorSpec};
use crate::audio::{AudioBuffer, sanitise};
use crate::kernels::{Isa, Packed, Precision, Then};
use crate::model::{BandDptConfig, inputs_of};
use crate::realtime::FlushDenormals;
use crate::{Result, STEMS};
use block::{Block, Memory};
use masks::Masks;
use spectra::{Analysis, Synthesis};
use weights::Weights;

/// A causal network with carried state. Stem frame n belongs to mixture frame n - latency, the latency being the
/// synthesis window less one hop.
pub struct StreamingSeparator {
    spec: SeparatorSpec,
    analysis: Analysis,
    /// From each band's numbers to its features.
    split: Vec<Packed>,
    blocks: Vec<Block>,
    masks: Masks,
    synthesis: Synthesis,
    /// Features of all bands, `[bands][size]`.
    x: Vec<f32>,
    memory: Memory,
}

impl StreamingSeparator {
    /// `tensors` as a [`crate::model::BandDpt`] of these sizes has them; `sample_rate` in Hz.
    ///
    /// # Errors
    /// Sizes that make no network; tensors that are missing or of another shape.
    pub fn new(
        config: &BandDptConfig,
        tensors: &BTreeMap<String, Tensor>,
        sample_rate: u32,
        precision: Precision,
    ) -> Result<Self> {
        Self::with_isa(config, tensors, sample_rate, precision, Isa::best())
    }

    fn with_isa(
        config: &BandDptConfig,
        tensors: &BTreeMap<String, Tensor>,
        sample_rate: u32,
        precision: Precision,
        isa: Isa,
    ) -> Result<Self> {
        config.check()?;
        let weights = Weights { tensors, isa, precision };
        let bands = config.bands.len();
        let split =
            config.bands.iter().enumerate().map(|(band, &width)| split(&weights, band, width, config.size));
        let blocks = (0..config.blocks).map(|n| Block::new(&weights, &format!("blocks.{n}"), config));
        Ok(Self {
            spec: SeparatorSpec { sample_rate, hop: config.hop, latency: config.latency() },
            analysis: Analysis::new(isa, config),
            split: split.collect::<Result<_>>()?,
            blocks: blocks.collect::<Result<_>>()?,
            masks: Masks::new(&weights, config)?,
            synthesis: Synthesis::new(isa, config),
            x: vec![0.0; bands * config.size],
            memory: Memory::new(isa, config),
        })
    }
}

/// A band's layer, for numbers part by part where the network has them bin by bin.
fn split(weights: &Weights<'_>, band: usize, width: usize, size: usize) -> Result<Packed> {
    let inputs = inputs_of(width);
    let weight = weights.get(&format!("split.{band}.weight"), &[size, inputs])?;
    let mut turned = weight.clone();
    for (to, from) in turned.chunks_exact_mut(inputs).zip(weight.chunks_exact(inputs)) {
        for bin in 0..width {
            (0..4).for_each(|part| to[part * width + bin] = from[4 * bin + part]);
            (0..2).for_each(|side| to[(4 + side) * width + bin] = from[4 * width + 2 * bin + side]);
        }
    }
    Ok(weights.pack_for_one(&turned, &weights.get(&format!("split.{band}.bias"), &[size])?, inputs))
}

impl Separator for StreamingSeparator {
    fn spec(&self) -> SeparatorSpec {
        self.spec
    }

    fn process(&mut self, mixture: &AudioBuffer, stems: &mut [AudioBuffer; STEMS]) -> Result<()> {
        super::check_hop(self.spec.hop, mixture, stems)?;
        let _flush = FlushDenormals::new();
        for (channel, samples) in mixture.iter().enumerate() {
            self.analysis.push(channel, samples.iter().map(|&sample| sanitise(sample)));
        }
        self.analysis.run();
        let size = self.x.len() / self.split.len();
        let bands = self.split.iter().zip(self.analysis.features());
        for ((layer, features), x) in bands.zip(self.x.chunks_exact_mut(size)) {
            layer.apply(features, x, Then::Store);
        }
        for block in &mut self.blocks {
            block.step(&mut self.x, &mut self.memory);
        }
        self.masks.run(&self.x, &mut self.memory);
        self.synthesis.run(&self.analysis, &self.masks);

        let delayed = [0, 1].map(|channel| self.analysis.delayed(channel, self.spec.latency));
        if !self.synthesis.give(delayed, stems) {
            self.reset();
            stems.iter_mut().for_each(AudioBuffer::clear);
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.analysis.reset();
        self.blocks.iter_mut().for_each(Block::reset);
        self.synthesis.reset();
    }

    fn state_rms(&self, out: &mut Vec<f32>) {
        out.extend(self.blocks.iter().map(Block::state_rms));
    }
}

#[cfg(test)]
mod tests;
