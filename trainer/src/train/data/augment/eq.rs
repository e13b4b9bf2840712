//! A random equaliser: peaking filters in a row.

use std::f32::consts::TAU;

use super::Stereo;
use crate::rng::Rng;
use crate::train::data::wav::RATE;
use crate::train::recipe::Eq;

/// Where filters may lie, Hz, and how wide they may be.
const HZ: [f32; 2] = [40.0, 16_000.0];
const Q: [f32; 2] = [0.4, 3.0];

impl Eq {
    /// Filters both sides alike.
    pub fn apply(&self, rng: &mut Rng, stem: &mut Stereo) {
        for _ in 0..self.bands {
            let hz = rng.log_range(HZ[0], HZ[1]);
            let q = rng.log_range(Q[0], Q[1]);
            let peak = Peak::new(hz, q, rng.range(self.decibels[0], self.decibels[1]));
            stem.iter_mut().for_each(|side| peak.apply(side));
        }
    }
}

/// A second-order peaking filter (R. Bristow-Johnson, "Audio EQ Cookbook").
struct Peak {
    forward: [f32; 3],
    back: [f32; 2],
}

impl Peak {
    fn new(hz: f32, q: f32, decibels: f32) -> Self {
        let amplitude = 10f32.powf(decibels / 40.0);
        let (sin, cos) = (TAU * hz / RATE as f32).sin_cos();
        let alpha = sin / (2.0 * q);
        let scale = 1.0 / (1.0 + alpha / amplitude);
        Self {
            forward: [1.0 + alpha * amplitude, -2.0 * cos, 1.0 - alpha * amplitude].map(|b| b * scale),
            back: [-2.0 * cos, 1.0 - alpha / amplitude].map(|a| a * scale),
        }
    }

    /// In transposed direct form II, from silence.
    fn apply(&self, samples: &mut [f32]) {
        let ([b0, b1, b2], [a1, a2]) = (self.forward, self.back);
        let (mut first, mut second) = (0.0, 0.0);
        for sample in samples {
            let x = *sample;
            let y = b0 * x + first;
            first = b1 * x - a1 * y + second;
            second = b2 * x - a2 * y;
            *sample = y;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Level of a tone after the filter, dB.
    fn response(peak: &Peak, hz: f32) -> f32 {
        let mut tone: Vec<f32> = (0..RATE).map(|n| (TAU * hz * n as f32 / RATE as f32).sin()).collect();
        peak.apply(&mut tone);
        let settled = &tone[RATE as usize / 2..];
        let power = settled.iter().map(|x| x * x).sum::<f32>() / settled.len() as f32;
        10.0 * (2.0 * power).log10()
    }

    #[test]
    fn a_peak_raises_its_frequency_and_leaves_those_far_away() {
        for decibels in [6.0, -6.0] {
            let peak = Peak::new(1_000.0, 2.0, decibels);
            assert!((response(&peak, 1_000.0) - decibels).abs() < 0.05);
            assert!(response(&peak, 60.0).abs() < 0.1 && response(&peak, 15_000.0).abs() < 0.1);
        }
    }

    #[test]
    fn both_sides_get_the_same_filters() {
        let mut stem = [vec![0.0; 500], vec![0.0; 500]];
        stem.iter_mut().for_each(|side| side[0] = 1.0);
        let eq = Eq { probability: 1.0, bands: 3, decibels: [3.0, 6.0] };
        eq.apply(&mut Rng::new(1, &[]), &mut stem);
        assert_eq!(stem[0], stem[1]);
        assert!(stem[0][1..].iter().any(|x| x.abs() > 1e-3));
    }
}
