//! The stems' balance, then one gain for everything, so that stems add up to the mixture exactly.

use engine::STEMS;

use super::super::dsp::{Biquad, gain};
use super::dynamics::limit;
use super::{Stereo, loud_power, power};
use crate::rng::Rng;

/// Means and deviations of the stems' levels, dB.
const LEVELS: [(f32, f32); STEMS] = [(0.5, 2.8), (-0.5, 2.8), (0.0, 2.8), (0.5, 2.8)];

/// Between these a stem's input SDR lies if at least one other stem sounds with it, dB.
const INPUT_SDR_DB: (f32, f32) = (-12.0, 2.0);

/// Sets the stems' levels as in real music, then one gain for all, so that the mixture peaks below full scale.
///
/// Every sample ends as a whole multiple of 2^-23, so stems add up to the mixture without any rounding, in any order.
pub fn master(rng: &mut Rng, stems: &mut [Stereo; STEMS]) {
    tone(rng, stems);
    balance(rng, stems);
    let length = stems[0][0].len();
    // The loudest of the mixture's two channels at each frame.
    let level: Vec<f32> = (0..length)
        .map(|n| {
            (0..2).map(|side| stems.iter().map(|stem| stem[side][n]).sum::<f32>().abs()).fold(0.0, f32::max)
        })
        .collect();
    let gains = if rng.chance(0.6) { limit(rng, &level) } else { vec![1.0; length] };
    let mut peak = 1e-9f32;
    for (n, g) in gains.iter().enumerate() {
        let loudest = stems.iter().flatten().fold(level[n], |peak, channel| peak.max(channel[n].abs()));
        peak = peak.max(loudest * g);
    }
    let master = rng.range(0.25, 0.97) / peak;
    const GRID: f32 = 8_388_608.0;
    for stem in stems.iter_mut() {
        for channel in stem.iter_mut() {
            for (x, g) in channel.iter_mut().zip(&gains) {
                *x = (*x * g * master * GRID).round() / GRID;
            }
        }
    }
}

/// The master's equaliser, the same for every stem: as it is linear, stems still add up.
fn tone(rng: &mut Rng, stems: &mut [Stereo; STEMS]) {
    let mut sections = Vec::new();
    if rng.chance(0.5) {
        sections.push(Biquad::peak(rng.log_range(60.0, 400.0), 0.6, 1.5 * rng.normal()));
        sections.push(Biquad::peak(rng.log_range(400.0, 4_000.0), 0.6, 1.5 * rng.normal()));
        sections.push(Biquad::high_shelf(rng.log_range(4_000.0, 10_000.0), 1.5 * rng.normal()));
    }
    if rng.chance(0.15) {
        // Tapes, broadcasts and codecs end somewhere.
        let hz = rng.range(10_000.0, 18_000.0);
        sections.extend([Biquad::low_pass(hz), Biquad::low_pass(hz)]);
    }
    if !sections.is_empty() {
        stems.iter_mut().for_each(|stem| Biquad::cascade(&sections, stem));
    }
}

/// Scales the stems to levels drawn for the song.
fn balance(rng: &mut Rng, stems: &mut [Stereo; STEMS]) {
    // Power over the whole song, as the input SDR sees it; a stem that plays in a few bars only is not blown up.
    let mut powers = [0f64; STEMS];
    let mut scales = [1f32; STEMS];
    for (s, stem) in stems.iter().enumerate() {
        let (mean, deviation) = LEVELS[s];
        let target = gain(mean + deviation * rng.normal().clamp(-2.0, 2.0));
        let (loud, whole) = (loud_power(stem), power(stem));
        if loud > 1e-10 {
            let share = (whole / loud).clamp(0.25, 1.0);
            scales[s] = target / (loud * share).sqrt();
            powers[s] = f64::from(whole * scales[s] * scales[s]);
        }
    }
    // A few rounds, because each correction changes the others' figures a little.
    for _ in 0..4 {
        for s in 0..STEMS {
            let rest: f64 = powers.iter().sum::<f64>() - powers[s];
            if powers[s] <= 0.0 || rest <= 1e-3 * powers[s] {
                continue;
            }
            let sdr = 10.0 * (powers[s] / rest).log10() as f32;
            let correction = sdr.clamp(INPUT_SDR_DB.0, INPUT_SDR_DB.1) - sdr;
            scales[s] *= gain(correction);
            powers[s] *= f64::from(gain(correction)).powi(2);
        }
    }
    for (stem, scale) in stems.iter_mut().zip(scales) {
        stem.iter_mut().flatten().for_each(|x| *x *= scale);
    }
}
