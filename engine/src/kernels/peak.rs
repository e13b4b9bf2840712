//! How fast this core multiplies matrices at best: what kernels are measured against.

use std::time::{Duration, Instant};

use gemm::Parallelism;

use super::{Isa, Packed, Precision, Then};

/// Products that are tried to find the faster way.
const TRIALS: usize = 50;

/// Rows, depth and columns: all factors fit the second-level cache together, and divide into tiles.
const SIZE: usize = 252;

/// A product of matrices to be run again and again: by a general library or by our own kernel, whichever is faster here.
pub struct PeakProduct {
    ones: Vec<f32>,
    out: Vec<f32>,
    packed: Packed,
    by_library: bool,
}

impl PeakProduct {
    /// Takes some milliseconds to find out which is faster.
    pub fn new() -> Self {
        let ones = vec![1.0f32; SIZE * SIZE];
        let packed = Packed::new(Isa::best(), Precision::F32, &ones, &ones[..SIZE], SIZE);
        let mut product = Self { out: vec![0.0; SIZE * SIZE], packed, ones, by_library: false };
        let mut fastest = |by_library| {
            product.by_library = by_library;
            (0..TRIALS).map(|_| product.run()).min().unwrap_or_default()
        };
        let (ours, library) = (fastest(false), fastest(true));
        Self { by_library: library < ours, ..product }
    }

    /// How long one product takes on this thread.
    pub fn run(&mut self) -> Duration {
        let begun = Instant::now();
        if self.by_library {
            general(&self.ones, &mut self.out);
        } else {
            self.packed.apply(&self.ones, &mut self.out, Then::Store);
        }
        begun.elapsed()
    }

    /// Floating-point operations of one product.
    pub fn operations(&self) -> f64 {
        2.0 * (SIZE * SIZE * SIZE) as f64
    }
}

impl Default for PeakProduct {
    fn default() -> Self {
        Self::new()
    }
}

fn general(factor: &[f32], out: &mut [f32]) {
    let stride = SIZE as isize;
    // SAFETY: all three matrices hold SIZE rows of SIZE numbers, and `out` is borrowed exclusively.
    unsafe {
        gemm::gemm(
            SIZE,
            SIZE,
            SIZE,
            out.as_mut_ptr(),
            1,
            stride,
            false,
            factor.as_ptr(),
            1,
            stride,
            factor.as_ptr(),
            1,
            stride,
            0.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
