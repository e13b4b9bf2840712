//! From features to masks that add up to one over the stems.

use super::block::{Memory, Norm};
use super::weights::Weights;
use crate::kernels::elementwise::{share, tanh_in_place};
use crate::kernels::{Isa, Packed, Then};
use crate::model::BandDptConfig;
use crate::{Result, STEMS};

/// Real and imaginary parts of left and right.
const PARTS: usize = 4;

/// The layers of all bands, and the masks of this hop.
pub struct Masks {
    isa: Isa,
    norm: Norm,
    bands: Vec<Band>,
    taps: usize,
    /// `[bands][mask_hidden]`.
    hidden: Vec<f32>,
    /// Of each band, `[tap][stem][channel][re, im][bin]`.
    values: Vec<f32>,
}

struct Band {
    hidden: Packed,
    output: Packed,
    width: usize,
}

impl Masks {
    /// Takes `masks.*`.
    pub fn new(weights: &Weights<'_>, config: &BandDptConfig) -> Result<Self> {
        let BandDptConfig { size, mask_hidden, taps, .. } = *config;
        let band = |(band, &width): (usize, &usize)| {
            let name = |layer: &str, part: &str| format!("masks.{band}.{layer}.{part}");
            let outputs = width * taps * STEMS * PARTS;
            let weight = weights.get(&name("output", "weight"), &[outputs, mask_hidden])?;
            let bias = weights.get(&name("output", "bias"), &[outputs])?;
            // The network has them bin by bin.
            let mut turned = (weight.clone(), bias.clone());
            for (index, to) in turned.0.chunks_exact_mut(mask_hidden).enumerate() {
                let (bin, value) = (index % width, index / width);
                let from = bin * taps * STEMS * PARTS + value;
                to.copy_from_slice(&weight[from * mask_hidden..][..mask_hidden]);
                turned.1[index] = bias[from];
            }
            Ok(Band {
                hidden: weights.pack_for_one(
                    &weights.get(&name("hidden", "weight"), &[mask_hidden, size])?,
                    &weights.get(&name("hidden", "bias"), &[mask_hidden])?,
                    size,
                ),
                output: weights.pack_for_one(&turned.0, &turned.1, mask_hidden),
                width,
            })
        };
        Ok(Self {
            isa: weights.isa,
            norm: Norm::new(weights, "masks.norm", size)?,
            bands: config.bands.iter().enumerate().map(band).collect::<Result<_>>()?,
            taps,
            hidden: vec![0.0; config.bands.len() * mask_hidden],
            values: vec![0.0; config.bins() * taps * STEMS * PARTS],
        })
    }

    /// Makes the masks of a hop from its features, `[bands][size]`.
    pub fn run(&mut self, x: &[f32], memory: &mut Memory) {
        self.norm.run(x, memory);
        let width = self.hidden.len() / self.bands.len();
        let size = x.len() / self.bands.len();
        let rows = memory.normal.chunks_exact(size).zip(self.hidden.chunks_exact_mut(width));
        for (band, (x, hidden)) in self.bands.iter().zip(rows) {
            band.hidden.apply(x, hidden, Then::Store);
        }
        tanh_in_place(self.isa, &mut self.hidden);
        let mut rest = self.values.as_mut_slice();
        for (band, hidden) in self.bands.iter().zip(self.hidden.chunks_exact(width)) {
            let (values, later) = rest.split_at_mut(band.output.outputs());
            rest = later;
            band.output.apply(hidden, values, Then::Store);
            let stem = PARTS * band.width;
            for (tap, values) in values.chunks_exact_mut(STEMS * stem).enumerate() {
                for part in 0..PARTS {
                    let target = if tap == 0 && part % 2 == 0 { 1.0 } else { 0.0 };
                    share(self.isa, &mut values[part * band.width..], stem, band.width, target);
                }
            }
        }
    }

    /// Each band's width and masks, `[tap][stem][channel][re, im][bin]`, from 0 Hz up.
    pub fn bands(&self) -> impl Iterator<Item = (usize, &[f32])> {
        let mut rest = self.values.as_slice();
        self.bands.iter().map(move |band| {
            let (values, later) = rest.split_at(band.width * self.taps * STEMS * PARTS);
            rest = later;
            (band.width, values)
        })
    }
}
