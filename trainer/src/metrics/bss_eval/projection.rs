//! Least squares: which filters of the references come closest to a signal.

use std::ops::Range;

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{LltRegularization, cholesky_in_place, cholesky_in_place_scratch};
use faer::linalg::cholesky::llt::solve::solve_in_place;
use faer::{Mat, Par};

use super::correlation::Correlations;

/// A delayed channel is left out when less than this part of its energy is news beside the channels before it: its
/// share of the solution would be rounding noise. So a mono stem stored as stereo is no singular system.
const NEWS: f64 = 1e-14;

/// The factored normal equations of some references' channels, each delayed by 0 to `taps - 1` frames.
pub struct Projection {
    /// Channels among the correlations' first signals.
    channels: Range<usize>,
    taps: usize,
    /// One over the root of each channel's energy: the equations are solved for channels of energy 1.
    scales: Vec<f64>,
    /// Lower triangle of the Cholesky factor, `[channels * taps]` squared.
    factor: Mat<f64>,
}

impl Projection {
    /// Factors the equations of these channels, whose correlations with each other are given.
    pub fn new(correlations: &Correlations, channels: Range<usize>, taps: usize) -> Self {
        let zero = correlations.zero();
        let scales: Vec<f64> = channels.clone().map(|c| 1.0 / correlations.of(c, c)[zero].sqrt()).collect();
        let size = channels.len() * taps;
        let mut factor = Mat::zeros(size, size);
        for column in 0..size {
            let (i, b) = (column / taps, column % taps);
            for j in i..channels.len() {
                let pair = correlations.of(channels.start + i, channels.start + j);
                let scale = scales[i] * scales[j];
                let first = if i == j { b } else { 0 };
                // The product of channel j delayed by a with channel i delayed by b.
                for a in first..taps {
                    factor[(j * taps + a, column)] = scale * pair[zero + b - a];
                }
            }
        }
        // A pivot below the limit becomes so large that its unknown vanishes.
        let regularization = LltRegularization {
            dynamic_regularization_epsilon: NEWS,
            dynamic_regularization_delta: 1e200,
        };
        let mut memory = MemBuffer::new(cholesky_in_place_scratch::<f64>(size, Par::Seq, Default::default()));
        // With the regularisation, only numbers that are not finite make it fail; their solutions are no numbers too.
        let _ = cholesky_in_place(
            factor.as_mut(),
            regularization,
            Par::Seq,
            MemStack::new(&mut memory),
            Default::default(),
        );
        Self { channels, taps, scales, factor }
    }

    /// The filters that bring the references closest to the correlations' second signals `outputs`:
    /// by output, then by channel, `taps` coefficients.
    pub fn filters(&self, correlations: &Correlations, outputs: Range<usize>) -> Vec<Vec<Vec<f64>>> {
        let zero = correlations.zero();
        let mut solution = Mat::from_fn(self.channels.len() * self.taps, outputs.len(), |row, output| {
            let (channel, delay) = (row / self.taps, row % self.taps);
            let pair = correlations.of(self.channels.start + channel, outputs.start + output);
            self.scales[channel] * pair[zero + delay]
        });
        let mut memory = MemBuffer::new(Default::default());
        solve_in_place(self.factor.as_ref(), solution.as_mut(), Par::Seq, MemStack::new(&mut memory));
        let tap = |output: usize, channel: usize, delay: usize| {
            self.scales[channel] * solution[(channel * self.taps + delay, output)]
        };
        (0..outputs.len())
            .map(|output| {
                (0..self.channels.len())
                    .map(|channel| (0..self.taps).map(|delay| tap(output, channel, delay)).collect())
                    .collect()
            })
            .collect()
    }
}
