//! How fast this core multiplies matrices at best: what kernels are measured against.

use std::time::{Duration, Instant};

use gemm::Parallelism;

use super::{Isa, Packed, Precision, Then};

/// Rows, depth and columns: all factors fit the second-level cache together, and divide into tiles.
const SIZE: usize = 252;

/// The best of a general library's product and our own, in GFLOP/s of f32 on this thread, over about this long.
pub fn gemm_peak_gflops(time: Duration) -> f64 {
    let ones = vec![1.0f32; SIZE * SIZE];
    let mut out = vec![0.0f32; SIZE * SIZE];
    let packed = Packed::new(Isa::best(), Precision::F32, &ones, &ones[..SIZE], SIZE);
    let ours = fastest(time / 2, || packed.apply(&ones, &mut out, Then::Store));
    let library = fastest(time / 2, || general(&ones, &mut out));
    2.0 * (SIZE * SIZE * SIZE) as f64 / ours.min(library) / 1e9
}

/// Seconds of the fastest run.
fn fastest(time: Duration, mut run: impl FnMut()) -> f64 {
    let (begun, mut fastest) = (Instant::now(), f64::INFINITY);
    while begun.elapsed() < time {
        let started = Instant::now();
        run();
        fastest = fastest.min(started.elapsed().as_secs_f64());
    }
    fastest
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
