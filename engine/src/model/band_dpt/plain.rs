//! From masks to stems by candle's own operations, for cards; as [`Framing::synthesise`].

use std::f64::consts::TAU;

use candle_core::{Device, Result, Tensor};

use super::spectra::Framing;
use crate::STEMS;
use crate::model::layers::plain::product;

/// Masks `[steps, batch, bins * taps * 16]` and spectra `[steps + taps - 1, batch, bins, 2, 2]` ->
/// `[batch, STEMS, 2, (steps - 1) * hop + synthesis_window]`.
pub fn synthesise(framing: &Framing, masks: &Tensor, spectra: Vec<f32>) -> Result<Tensor> {
    let (steps, batch, _) = masks.dims3()?;
    let (bins, taps) = (framing.config.bins(), framing.config.taps);
    let masks = masks.contiguous()?.reshape((steps, batch, bins, taps, STEMS, 4))?;
    let masks = masks.broadcast_sub(&masks.mean_keepdim(4)?)?;
    let spectra = Tensor::from_vec(spectra, (steps + taps - 1, batch, bins, 1, 2, 2), masks.device())?;
    // Of the mixture, each stem has its share of one: real and imaginary parts, [steps, batch, bins, 1, 2].
    let part = |x: &Tensor, index: usize| x.narrow(5, index, 1)?.squeeze(5);
    let now = spectra.narrow(0, taps - 1, steps)?;
    let mut re = (part(&now, 0)? / STEMS as f64)?;
    let mut im = (part(&now, 1)? / STEMS as f64)?;
    for tap in 0..taps {
        let x = spectra.narrow(0, taps - 1 - tap, steps)?;
        let mask = masks.narrow(3, tap, 1)?.reshape((steps, batch, bins, STEMS, 2, 2))?;
        let times = |a: usize, b: usize| part(&mask, a)?.broadcast_mul(&part(&x, b)?);
        re = (times(0, 0)? - times(1, 1)?)?.broadcast_add(&re)?;
        im = (times(0, 1)? + times(1, 0)?)?.broadcast_add(&im)?;
    }
    // [steps, batch, STEMS, 2, 2 * bins]
    let stems = Tensor::cat(&[re, im], 2)?.permute((0, 1, 3, 4, 2))?.contiguous()?;
    let window = framing.config.synthesis_window;
    let frames = product(&stems.reshape(((), 2 * bins))?, waves(framing, stems.device())?)?;
    overlap_add(&frames.reshape((steps, batch, STEMS * 2, window))?, framing.config.hop)?.reshape((
        batch,
        STEMS,
        2,
        (),
    ))
}

/// What a spectrum's real and imaginary parts, one behind the other, are multiplied by to become windowed frames,
/// `[2 * bins, synthesis_window]`.
fn waves<'a>(framing: &'a Framing, device: &Device) -> Result<&'a Tensor> {
    if let Some(waves) = framing.waves.get() {
        return Ok(waves);
    }
    let (config, bins) = (&framing.config, framing.config.bins());
    let (length, window) = (config.analysis_window, config.synthesis_window);
    let mut waves = Vec::with_capacity(2 * bins * window);
    for part in 0..2 {
        for bin in 0..bins {
            let is_end = bin == 0 || bin == bins - 1;
            // Every bin but the ends stands for two; a real signal has real ends.
            let weight =
                [if is_end { 1.0 } else { 2.0 }, if is_end { 0.0 } else { -2.0 }][part] / length as f64;
            waves.extend(framing.windows.synthesis.iter().enumerate().map(|(n, shape)| {
                let turns = (bin * (length - window + n) % length) as f64 / length as f64;
                let (sine, cosine) = (TAU * turns).sin_cos();
                (weight * [cosine, sine][part]) as f32 * shape
            }));
        }
    }
    let waves = Tensor::from_vec(waves, (2 * bins, window), device)?;
    Ok(framing.waves.get_or_init(|| waves))
}

/// `[steps, batch, voices, window]`, each step a hop later -> `[batch, voices, (steps - 1) * hop + window]`. The hop
/// divides the window.
fn overlap_add(x: &Tensor, hop: usize) -> Result<Tensor> {
    let (steps, batch, voices, window) = x.dims4()?;
    let parts = window / hop;
    let part = |index: usize| {
        let part = x.narrow(3, index * hop, hop)?;
        part.pad_with_zeros(0, index, parts - 1 - index)
    };
    let mut sum = part(0)?;
    for index in 1..parts {
        sum = (sum + part(index)?)?;
    }
    sum.permute((1, 2, 0, 3))?.contiguous()?.reshape((batch, voices, (steps + parts - 1) * hop))
}
