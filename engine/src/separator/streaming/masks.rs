//! From features to masks. Masks add up to one over the stems, so that the last stem's need not be made: that stem is
//! what the others leave of the mixture.

use super::block::{Memory, Norm};
use super::weights::Weights;
use crate::kernels::elementwise::tanh_in_place;
use crate::kernels::{Isa, Packed, Then};
use crate::model::BandDptConfig;
use crate::{Result, STEMS};

/// Stems that have masks.
pub const MASKED: usize = STEMS - 1;

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
    /// Of each band, `[tap][MASKED][channel][re, im][bin]`.
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
            let (weight, bias) = fold(&weight, &bias, mask_hidden, width);
            Ok(Band {
                hidden: weights.pack_for_one(
                    &weights.get(&name("hidden", "weight"), &[mask_hidden, size])?,
                    &weights.get(&name("hidden", "bias"), &[mask_hidden])?,
                    size,
                ),
                output: weights.pack_wide(&weight, &bias, mask_hidden),
                width,
            })
        };
        Ok(Self {
            isa: weights.isa,
            norm: Norm::new(weights, "masks.norm", size)?,
            bands: config.bands.iter().enumerate().map(band).collect::<Result<_>>()?,
            taps,
            hidden: vec![0.0; config.bands.len() * mask_hidden],
            values: vec![0.0; config.bins() * taps * MASKED * PARTS],
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
        }
    }

    /// Each band's width and masks, `[tap][MASKED][channel][re, im][bin]`, from 0 Hz up.
    pub fn bands(&self) -> impl Iterator<Item = (usize, &[f32])> {
        let mut rest = self.values.as_slice();
        self.bands.iter().map(move |band| {
            let (values, later) = rest.split_at(band.width * self.taps * MASKED * PARTS);
            rest = later;
            (band.width, values)
        })
    }
}

/// A band's layer with outputs `[bin][tap][STEMS][PARTS]` becomes one with outputs `[tap][MASKED][PARTS][bin]`. What all
/// masks lack to one (imaginary parts and earlier taps: to zero) is shared equally; as that is linear, the new layer
/// does it.
fn fold(weight: &[f32], bias: &[f32], inputs: usize, bins: usize) -> (Vec<f32>, Vec<f32>) {
    let taps = bias.len() / (bins * STEMS * PARTS);
    let (mut weights, mut biases) = (Vec::new(), Vec::new());
    for (tap, stem) in (0..taps).flat_map(|tap| (0..MASKED).map(move |stem| (tap, stem))) {
        for (part, bin) in (0..PARTS).flat_map(|part| (0..bins).map(move |bin| (part, bin))) {
            let row = |stem: usize| ((bin * taps + tap) * STEMS + stem) * PARTS + part;
            let mean =
                |value: &dyn Fn(usize) -> f32| (0..STEMS).map(|s| value(row(s))).sum::<f32>() / STEMS as f32;
            weights.extend((0..inputs).map(|input| {
                let at = |row: usize| weight[row * inputs + input];
                at(row(stem)) - mean(&at)
            }));
            let target = if tap == 0 && part % 2 == 0 { 1.0 / STEMS as f32 } else { 0.0 };
            biases.push(bias[row(stem)] - mean(&|row| bias[row]) + target);
        }
    }
    (weights, biases)
}
