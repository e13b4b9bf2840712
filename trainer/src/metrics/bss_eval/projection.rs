//! Least squares: which filters of the references come closest to a signal.

use std::ops::Range;

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{cholesky_in_place, cholesky_in_place_scratch};
use faer::linalg::cholesky::llt::solve::solve_in_place;
use faer::{Mat, Par};

use super::correlation::Correlations;

/// What is added to the diagonal, in parts of each channel's energy, until rounding leaves the equations solvable.
///
/// They are singular where a channel follows from others by a filter: a mono stem stored as stereo, a pure tone, a
/// low-pass without dither. museval adds 2e-16 of full scale, and takes any least-squares solution where that is
/// not enough. A ridge takes the smallest one.
const RIDGES: [f64; 5] = [0.0, 1e-13, 1e-12, 1e-11, 1e-10];

/// The factored normal equations of some references' channels, each delayed by 0 to `taps - 1` frames.
pub struct Projection {
    /// Channels among the correlations' first signals.
    channels: Range<usize>,
    taps: usize,
    /// One over the root of each channel's energy: the equations are solved for channels of energy 1. 0 for a silent
    /// channel, which takes no part.
    scales: Vec<f64>,
    /// Lower triangle of the Cholesky factor, `[channels * taps]` squared.
    factor: Mat<f64>,
}

impl Projection {
    /// Factors the equations of these channels, whose correlations with each other are given.
    pub fn new(correlations: &Correlations, channels: Range<usize>, taps: usize) -> Self {
        let zero = correlations.zero();
        let scale = |energy: f64| if energy > 0.0 { 1.0 / energy.sqrt() } else { 0.0 };
        let scales: Vec<f64> = channels.clone().map(|c| scale(correlations.of(c, c)[zero])).collect();
        let size = channels.len() * taps;
        let mut equations = Mat::zeros(size, size);
        for column in 0..size {
            let (i, b) = (column / taps, column % taps);
            for j in i..channels.len() {
                let pair = correlations.of(channels.start + i, channels.start + j);
                let scale = scales[i] * scales[j];
                let first = if i == j { b } else { 0 };
                // The product of channel j delayed by a with channel i delayed by b.
                for a in first..taps {
                    equations[(j * taps + a, column)] = scale * pair[zero + b - a];
                }
            }
            if scales[i] == 0.0 {
                equations[(column, column)] = 1.0;
            }
        }
        let factor = RIDGES.into_iter().find_map(|ridge| cholesky(&equations, ridge)).unwrap_or(equations);
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

/// The lower Cholesky factor of the lower triangle, or `None` when that is not positive definite.
fn cholesky(equations: &Mat<f64>, ridge: f64) -> Option<Mat<f64>> {
    let mut factor = equations.clone();
    factor.diagonal_mut().column_vector_mut().iter_mut().for_each(|x| *x += ridge);
    let scratch = cholesky_in_place_scratch::<f64>(factor.nrows(), Par::Seq, Default::default());
    let (mut memory, options) = (MemBuffer::new(scratch), Default::default());
    let stack = MemStack::new(&mut memory);
    cholesky_in_place(factor.as_mut(), options, Par::Seq, stack, Default::default()).ok()?;
    Some(factor)
}
