//! Random rooms: convolution with noise that dies away.

use std::sync::{Arc, Mutex, PoisonError};

use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use super::Stereo;
use crate::rng::Rng;
use crate::train::data::wav::RATE;
use crate::train::recipe::Reverb;

/// Time before the first reflection, seconds.
const PRE_DELAY: [f32; 2] = [0.002, 0.03];

/// Above this frequency the tail is darker, Hz.
const DARKNESS: [f32; 2] = [2_000.0, 12_000.0];

/// Keeps the tables of the Fourier transforms, which all rooms share.
#[derive(Default)]
pub struct Rooms {
    planner: Mutex<RealFftPlanner<f32>>,
}

impl Rooms {
    /// Adds a random room's tail to a stem; the tail goes on to the end of the excerpt.
    pub fn apply(&self, reverb: &Reverb, rng: &mut Rng, stem: &mut Stereo) {
        let seconds = rng.range(reverb.seconds[0], reverb.seconds[1]);
        let level = 10f32.powf(rng.range(reverb.decibels[0], reverb.decibels[1]) / 20.0);
        let delay = (rng.range(PRE_DELAY[0], PRE_DELAY[1]) * RATE as f32) as usize;
        let darkness = rng.log_range(DARKNESS[0], DARKNESS[1]);
        for side in stem {
            let tail = tail(rng, seconds, darkness);
            let (forward, backward) = self.plan(side.len() + tail.len());
            let wet = convolve(side, &tail, forward.as_ref(), backward.as_ref());
            for (dry, wet) in side.iter_mut().skip(delay).zip(&wet) {
                *dry += level * wet;
            }
        }
    }

    /// Transforms of at least this length.
    fn plan(&self, length: usize) -> (Arc<dyn RealToComplex<f32>>, Arc<dyn ComplexToReal<f32>>) {
        // Lengths without large prime factors are fast.
        let power = length.next_power_of_two();
        let length = [power / 8 * 5, power / 4 * 3].into_iter().find(|fast| *fast >= length).unwrap_or(power);
        let mut planner = self.planner.lock().unwrap_or_else(PoisonError::into_inner);
        (planner.plan_fft_forward(length), planner.plan_fft_inverse(length))
    }
}

/// Noise that falls by 60 dB in so many seconds, of energy 1.
fn tail(rng: &mut Rng, seconds: f32, darkness_hz: f32) -> Vec<f32> {
    let frames = (seconds * RATE as f32) as usize;
    let decay = 0.001f32.powf(1.0 / frames.max(1) as f32);
    let smooth = (-std::f32::consts::TAU * darkness_hz / RATE as f32).exp();
    let (mut envelope, mut low) = (1.0, 0.0);
    let mut tail: Vec<f32> = (0..frames)
        .map(|_| {
            low += (1.0 - smooth) * (rng.range(-1.0, 1.0) - low);
            envelope *= decay;
            low * envelope
        })
        .collect();
    let energy = tail.iter().map(|x| x * x).sum::<f32>().max(1e-20);
    tail.iter_mut().for_each(|x| *x /= energy.sqrt());
    tail
}

/// The beginning of the convolution, as long as `signal`.
fn convolve(
    signal: &[f32],
    response: &[f32],
    forward: &dyn RealToComplex<f32>,
    backward: &dyn ComplexToReal<f32>,
) -> Vec<f32> {
    let spectrum = |samples: &[f32]| {
        let mut padded = forward.make_input_vec();
        padded[..samples.len()].copy_from_slice(samples);
        let mut spectrum = forward.make_output_vec();
        forward.process(&mut padded, &mut spectrum).expect("the buffers are the plan's own");
        spectrum
    };
    let mut product = spectrum(signal);
    product.iter_mut().zip(spectrum(response)).for_each(|(x, h)| *x *= h);
    // Those of a real signal have no imaginary part; rounding may leave one.
    let last = product.len() - 1;
    product[0].im = 0.0;
    if forward.len().is_multiple_of(2) {
        product[last].im = 0.0;
    }
    let mut result = backward.make_output_vec();
    backward.process(&mut product, &mut result).expect("the buffers are the plan's own");
    result.truncate(signal.len());
    let scale = 1.0 / forward.len() as f32;
    result.iter_mut().for_each(|x| *x *= scale);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn convolution_is_the_sum_of_shifted_responses() {
        let mut rng = Rng::new(1, &[]);
        let signal: Vec<f32> = (0..37).map(|_| rng.normal()).collect();
        let response: Vec<f32> = (0..11).map(|_| rng.normal()).collect();
        let (forward, backward) = Rooms::default().plan(signal.len() + response.len());
        let found = convolve(&signal, &response, forward.as_ref(), backward.as_ref());
        for (n, found) in found.iter().enumerate() {
            let expected: f32 = (0..=n.min(10)).map(|k| response[k] * signal[n - k]).sum();
            assert!((found - expected).abs() < 1e-4, "{n}: {found} {expected}");
        }
    }

    #[test]
    fn a_click_gets_a_tail_of_the_level_and_length_asked_for() {
        let reverb = Reverb { probability: 1.0, seconds: [0.5, 0.5], decibels: [-12.0, -12.0] };
        let mut stem = [vec![0.0; 40_000], vec![0.0; 40_000]];
        stem.iter_mut().for_each(|side| side[100] = 1.0);
        Rooms::default().apply(&reverb, &mut Rng::new(4, &[]), &mut stem);
        for side in &stem {
            let level = |range: std::ops::Range<usize>| {
                10.0 * side[range].iter().map(|x| x * x).sum::<f32>().max(1e-20).log10()
            };
            assert!((side[100] - 1.0).abs() < 1e-3 && level(0..100) < -80.0, "nothing before the click");
            assert!((level(101..40_000) + 12.0).abs() < 0.1, "{}", level(101..40_000));
            assert!(level(12_000..14_000) < level(1_500..3_500) - 20.0);
        }
        assert_ne!(stem[0], stem[1], "a room is wide");
    }
}
