//! A limiter: one gain over time, found on the mixture and applied to all stems, so that they still add up.

use std::collections::VecDeque;

use engine::STEMS;

use super::Stereo;

/// How long before a peak the gain begins to fall, frames (4 ms).
const ATTACK: usize = 176;

/// In how many frames the gain recovers by 63% (80 ms).
const RELEASE: f32 = 3_528.0;

/// Lowers the mixture's peaks by `decibels`, then raises everything by as much.
pub fn apply(decibels: f32, stems: &mut [Stereo; STEMS]) {
    let frames = stems[0][0].len();
    let level = |n: usize| {
        let side = |side: usize| stems.iter().map(|stem| stem[side][n]).sum::<f32>().abs();
        side(0).max(side(1))
    };
    let levels: Vec<f32> = (0..frames).map(level).collect();
    let lowered = 10f32.powf(-decibels / 20.0);
    let ceiling = lowered * levels.iter().fold(0.0, |peak: f32, x| peak.max(*x));
    if ceiling <= 0.0 {
        return;
    }
    let gains = gains(&levels, ceiling);
    for samples in stems.iter_mut().flatten() {
        samples.iter_mut().zip(&gains).for_each(|(x, gain)| *x *= gain / lowered);
    }
}

/// The gain at each frame: low enough wherever the level is above the ceiling, and smooth.
fn gains(levels: &[f32], ceiling: f32) -> Vec<f32> {
    // The lowest gain that any of the next frames needs. Backwards, with the candidates in rising order of gain.
    let needed = |n: usize| (ceiling / levels[n]).min(1.0);
    let mut lowest = vec![1.0; levels.len()];
    let mut candidates: VecDeque<usize> = VecDeque::new();
    for n in (0..levels.len()).rev() {
        while candidates.back().is_some_and(|last| needed(*last) >= needed(n)) {
            candidates.pop_back();
        }
        candidates.push_back(n);
        while candidates.front().is_some_and(|first| *first > n + ATTACK) {
            candidates.pop_front();
        }
        lowest[n] = candidates.front().map_or(1.0, |first| needed(*first));
    }
    // It recovers slowly.
    let keep = (-1.0 / RELEASE).exp();
    let mut gain = 1.0;
    for lowest in &mut lowest {
        gain = lowest.min(1.0 - keep * (1.0 - gain));
        *lowest = gain;
    }
    // Averages over the last frames: each of them already knows of the peak that is here now.
    let mut sum = 0.0_f64;
    let average = |n: usize| {
        sum += f64::from(lowest[n]);
        if n > ATTACK {
            sum -= f64::from(lowest[n - ATTACK - 1]);
        }
        (sum / (n.min(ATTACK) + 1) as f64) as f32
    };
    (0..lowest.len()).map(average).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn mixture(stems: &[Stereo; STEMS]) -> Vec<f32> {
        (0..2 * stems[0][0].len()).map(|n| stems.iter().map(|stem| stem[n % 2][n / 2]).sum()).collect()
    }

    fn peak_and_power(samples: &[f32]) -> (f32, f32) {
        let peak = samples.iter().fold(0.0, |peak: f32, x| peak.max(x.abs()));
        (peak, samples.iter().map(|x| x * x).sum())
    }

    #[test]
    fn peaks_are_no_higher_the_whole_is_louder_and_stems_change_alike() {
        let mut rng = Rng::new(2, &[]);
        let mut bursts = || -> Vec<f32> {
            (0..20_000).map(|n| rng.normal() * if n % 5_000 < 30 { 0.2 } else { 0.05 }).collect()
        };
        let before: [Stereo; STEMS] = [(); STEMS].map(|()| [bursts(), bursts()]);
        let mut after = before.clone();
        apply(6.0, &mut after);
        let (peak_before, power_before) = peak_and_power(&mixture(&before));
        let (peak_after, power_after) = peak_and_power(&mixture(&after));
        assert!(peak_after < peak_before * 1.000_1 && peak_after > peak_before * 0.7, "{peak_after}");
        assert!(power_after > 1.5 * power_before, "{power_after} {power_before}");
        for n in (0..20_000).step_by(97) {
            let gain = |stem: usize, side: usize| after[stem][side][n] / before[stem][side][n];
            assert!((gain(0, 0) - gain(3, 1)).abs() < 1e-4 * gain(0, 0));
        }
    }

    #[test]
    fn nothing_to_lower_and_silence_leave_all_as_it_is() {
        let silent = [(); STEMS].map(|()| [vec![0.0; 100], vec![0.0; 100]]);
        let mut stems = silent.clone();
        apply(6.0, &mut stems);
        assert_eq!(stems, silent);
        let mut stems = [(); STEMS].map(|()| [vec![0.25; 100], vec![-0.125; 100]]);
        let before = stems.clone();
        apply(0.0, &mut stems);
        assert_eq!(stems, before);
    }
}
