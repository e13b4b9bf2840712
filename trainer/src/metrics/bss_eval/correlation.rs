//! Correlations of many signals at short lags, by transforms of blocks.

use realfft::RealFftPlanner;
use realfft::num_complex::Complex;

/// Sums of `a[n] * b[n + lag]` over whole signals, for pairs of signals and lags below the number of taps.
pub struct Correlations {
    taps: usize,
    seconds: usize,
    /// By first signal and second signal; lags from `1 - taps` to `taps - 1`.
    sums: Vec<Vec<f64>>,
}

impl Correlations {
    /// Of each of `first` with each of `second`; all have the same length.
    pub fn new(first: &[&[f32]], second: &[&[f32]], taps: usize) -> Self {
        let frames = first.iter().chain(second).map(|s| s.len()).next().unwrap_or(0);
        let reach = taps - 1;
        // Long enough that most of a transform is not overlap, short enough for the caches.
        let size = (8 * taps).next_power_of_two().max(1 << 12);
        let block = size - 2 * reach;
        let mut planner = RealFftPlanner::<f64>::new();
        let (forward, inverse) = (planner.plan_fft_forward(size), planner.plan_fft_inverse(size));
        let mut time = forward.make_input_vec();
        let mut scratch = forward.make_scratch_vec();
        let mut transform = |signal: &[f32], from: isize, range: std::ops::Range<usize>| {
            time.fill(0.0);
            for (n, to) in (from..).zip(&mut time) {
                *to = usize::try_from(n)
                    .ok()
                    .filter(|n| range.contains(n))
                    .map_or(0.0, |n| f64::from(signal[n]));
            }
            let mut spectrum = forward.make_output_vec();
            // Fails only with buffers of a wrong length.
            let _ = forward.process_with_scratch(&mut time, &mut spectrum, &mut scratch);
            spectrum
        };
        let mut products = vec![vec![Complex::default(); size / 2 + 1]; first.len() * second.len()];
        for start in (0..frames).step_by(block) {
            // A block of `a` starts where the circle does; `b` also has what lies within reach before and after it.
            let end = (start + block).min(frames);
            let around = start.saturating_sub(reach)..(end + reach).min(frames);
            let a: Vec<_> = first.iter().map(|s| transform(s, start as isize, start..end)).collect();
            let b: Vec<_> = second
                .iter()
                .map(|s| transform(s, start as isize - reach as isize, around.clone()))
                .collect();
            for (pair, sum) in products.iter_mut().enumerate() {
                let (a, b) = (&a[pair / second.len()], &b[pair % second.len()]);
                for ((sum, a), b) in sum.iter_mut().zip(a).zip(b) {
                    *sum += a.conj() * b;
                }
            }
        }
        let mut lags = inverse.make_output_vec();
        let sums = products
            .into_iter()
            .map(|mut product| {
                // Fails only when the first or last bin, which are real by construction, are not.
                for edge in [0, size / 2] {
                    product[edge].im = 0.0;
                }
                let _ = inverse.process(&mut product, &mut lags);
                lags[..2 * taps - 1].iter().map(|sum| sum / size as f64).collect()
            })
            .collect();
        Self { taps, seconds: second.len(), sums }
    }

    /// The sum of `first[n] * second[n + lag]` for lags from `1 - taps` up to `taps - 1`.
    pub fn of(&self, first: usize, second: usize) -> &[f64] {
        &self.sums[first * self.seconds + second]
    }

    /// Where lag 0 is in [`of`](Self::of).
    pub fn zero(&self) -> usize {
        self.taps - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn sums_are_those_of_the_definition_across_blocks() {
        let mut rng = Rng::new(1, &[]);
        let mut noise = || (0..9_000).map(|_| rng.range(-1.0, 1.0)).collect::<Vec<f32>>();
        let (a, b) = (noise(), noise());
        let taps = 7;
        let correlations = Correlations::new(&[&a, &b], &[&a, &b], taps);
        for (i, x) in [&a, &b].into_iter().enumerate() {
            for (j, y) in [&a, &b].into_iter().enumerate() {
                for (k, found) in correlations.of(i, j).iter().enumerate() {
                    let lag = k as isize - correlations.zero() as isize;
                    let at = |n: usize| usize::try_from(n as isize + lag).ok().and_then(|n| y.get(n));
                    let product = |n: usize| f64::from(x[n]) * at(n).map_or(0.0, |&y| f64::from(y));
                    let wanted: f64 = (0..x.len()).map(product).sum();
                    assert!((found - wanted).abs() < 1e-9, "{i} {j} {lag}: {found}, not {wanted}");
                }
            }
        }
    }
}
