//! The ideal ratio mask: how well a mask could do that knows the stems.
//!
//! As the oracle of SiSEC 2018 computes it (sigsep-mus-oracle, IRM with alpha = 2): each channel by itself, a Hann
//! window of 2048 frames every 1024, mask = |stem|^2 / sum over the stems of |stem|^2, applied to the mixture.

use engine::STEMS;
use engine::audio::AudioBuffer;
use realfft::RealFftPlanner;
use realfft::num_complex::Complex;

/// What it is, for reports.
pub const DEFINITION: &str = "ideal ratio mask, power (alpha = 2), Hann window of 2048 frames every 1024, each \
                              channel by itself";

const WINDOW: usize = 2048;
const HOP: usize = WINDOW / 2;

/// Masks the mixture with the stems' own spectra; all signals have the same shape.
pub fn separate(mixture: &AudioBuffer, stems: &[AudioBuffer; STEMS]) -> [AudioBuffer; STEMS] {
    let mut estimates = std::array::from_fn(|_| AudioBuffer::new(mixture.channels(), mixture.frames()));
    for side in 0..mixture.channels() {
        let masked = channel(mixture.channel(side), &std::array::from_fn(|s| stems[s].channel(side)));
        for (estimate, masked) in estimates.iter_mut().zip(masked) {
            estimate.channel_mut(side).copy_from_slice(&masked);
        }
    }
    estimates
}

fn channel(mixture: &[f32], stems: &[&[f32]; STEMS]) -> [Vec<f32>; STEMS] {
    let mut planner = RealFftPlanner::<f32>::new();
    let (forward, inverse) = (planner.plan_fft_forward(WINDOW), planner.plan_fft_inverse(WINDOW));
    let window: Vec<f32> =
        (0..WINDOW).map(|n| 0.5 - 0.5 * (std::f32::consts::TAU * n as f32 / WINDOW as f32).cos()).collect();
    let mut time = forward.make_input_vec();
    let mut transform = |signal: &[f32], start: isize| {
        for (n, (to, weight)) in time.iter_mut().zip(&window).enumerate() {
            let at = usize::try_from(start + n as isize).ok();
            *to = at.and_then(|at| signal.get(at)).map_or(0.0, |sample| sample * weight);
        }
        let mut spectrum = forward.make_output_vec();
        // Fails only with buffers of a wrong length.
        let _ = forward.process(&mut time, &mut spectrum);
        spectrum
    };
    let mut masked = std::array::from_fn(|_| vec![0.0; mixture.len()]);
    let mut out = inverse.make_output_vec();
    // The first window is centred at the first frame, the last one reaches past the end.
    for start in (-(HOP as isize)..mixture.len() as isize).step_by(HOP) {
        let whole = transform(mixture, start);
        let parts: [Vec<Complex<f32>>; STEMS] = std::array::from_fn(|s| transform(stems[s], start));
        let total: Vec<f32> =
            (0..whole.len()).map(|bin| parts.iter().map(|part| part[bin].norm_sqr()).sum()).collect();
        for (part, masked) in parts.iter().zip(&mut masked) {
            let mut product: Vec<Complex<f32>> = whole
                .iter()
                .zip(part.iter().zip(&total))
                .map(|(x, (s, total))| x * (s.norm_sqr() / (total + f32::MIN_POSITIVE)))
                .collect();
            let _ = inverse.process(&mut product, &mut out);
            for (n, (sample, weight)) in out.iter().zip(&window).enumerate() {
                let at = usize::try_from(start + n as isize).ok();
                if let Some(to) = at.and_then(|at| masked.get_mut(at)) {
                    *to += sample * weight / WINDOW as f32;
                }
            }
        }
    }
    // Overlapping windows weigh each frame with the sum of their squares.
    let weights: Vec<f32> = (0..HOP).map(|n| window[n].powi(2) + window[n + HOP].powi(2)).collect();
    for masked in &mut masked {
        masked.iter_mut().enumerate().for_each(|(n, x)| *x /= weights[n % HOP]);
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::plain_sdr;
    use crate::synth::{Generator, mix};

    #[test]
    fn masked_stems_add_up_to_the_mixture_and_beat_it() {
        let stems = Generator::default().song(3, 2.0);
        let mixture = mix(&stems);
        let estimates = separate(&mixture, &stems);
        for (stem, estimate) in stems.iter().zip(&estimates) {
            let [ideal, nothing] = [estimate, &mixture].map(|e| plain_sdr::sdr(stem, e).unwrap_or(0.0));
            assert!(ideal > nothing + 1.0 || ideal == nothing, "{ideal} dB, the mixture has {nothing} dB");
        }
        let sum = mix(&estimates);
        for (sum, mixture) in sum.iter().flatten().zip(mixture.iter().flatten()) {
            assert!((sum - mixture).abs() < 1e-5, "{sum}, not {mixture}");
        }
    }

    #[test]
    fn stems_that_share_no_frequency_are_separated_well() {
        let tone = |hz: f32| {
            let sine = |n: usize| 0.2 * (std::f32::consts::TAU * hz * n as f32 / 44_100.0).sin();
            AudioBuffer::from_channels(vec![(0..20_000).map(sine).collect(); 2]).unwrap()
        };
        let stems = [110.0, 440.0, 1_760.0, 7_040.0].map(tone);
        for (stem, estimate) in stems.iter().zip(separate(&mix(&stems), &stems)) {
            let sdr = plain_sdr::sdr(stem, &estimate).unwrap();
            assert!(sdr > 30.0, "{sdr} dB");
        }
    }
}
