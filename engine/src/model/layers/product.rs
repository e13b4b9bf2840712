//! Matrix products in 512-bit vectors, for the shapes that convolutions have.
//!
//! General libraries copy both factors into an order of their own first. Here one factor is read number by number
//! and the other row by row, as they lie: with few channels the copies would cost as much as the sums.

use std::arch::x86_64::{
    __m512, __mmask16, _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_storeu_ps,
    _mm512_maskz_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps,
};

use super::cpu::{Matrix, MatrixMut};

/// Numbers in a vector.
const LANES: usize = 16;
/// Rows and vectors of a tile of the result: 24 sums and 4 vectors of `b` fit the 32 registers.
const ROWS: usize = 6;
const VECTORS: usize = 4;
const COLUMNS: usize = VECTORS * LANES;
/// Products that are summed before the result is touched: a panel of `b` then stays in the second-level cache.
const DEPTH: usize = 256;
/// Rows that share a panel: the part of `a` that they read stays in the second-level cache, too.
const BLOCK: usize = 80 * ROWS;

/// Whether this processor can.
pub fn available() -> bool {
    is_x86_feature_detected!("avx512f")
}

/// `out (+)= a b`, as [`super::cpu::matmul`], for rows of `b` and `out` whose numbers are neighbours.
///
/// # Safety
/// [`available`] has said yes, and the matrices lie inside their slices.
pub unsafe fn matmul(
    [m, k, n]: [usize; 3],
    a: Matrix<'_>,
    b: Matrix<'_>,
    out: &mut MatrixMut<'_>,
    accumulate: bool,
) {
    // Rows of `b` that lie a large power of two apart would push each other out of the cache.
    let copy = m > 4 * ROWS && b.row_stride >= 4 * COLUMNS;
    let mut panel = vec![0.0f32; if copy { DEPTH * COLUMNS } else { 0 }];
    for first_row in (0..m).step_by(BLOCK) {
        let last_row = (first_row + BLOCK).min(m);
        for p in (0..k).step_by(DEPTH) {
            let depth = DEPTH.min(k - p);
            for j in (0..n).step_by(COLUMNS) {
                let width = COLUMNS.min(n - j);
                let (mut rows, mut row_stride) = (&b.data[p * b.row_stride + j..], b.row_stride);
                if copy {
                    for (to, from) in
                        panel.chunks_exact_mut(COLUMNS).zip(rows.chunks(b.row_stride)).take(depth)
                    {
                        to[..width].copy_from_slice(&from[..width]);
                    }
                    (rows, row_stride) = (&panel, COLUMNS);
                }
                let vectors = width.div_ceil(LANES);
                let used = width - (vectors - 1) * LANES;
                for i in (first_row..last_row).step_by(ROWS) {
                    let tile = TILES[ROWS.min(last_row - i) - 1][vectors - 1];
                    // SAFETY: the caller vouches for the processor and the sizes; the last vector is masked.
                    unsafe {
                        tile(
                            depth,
                            a.data.as_ptr().add(i * a.row_stride + p * a.column_stride),
                            [a.row_stride, a.column_stride],
                            rows.as_ptr(),
                            row_stride,
                            out.data.as_mut_ptr().add(i * out.row_stride + j),
                            out.row_stride,
                            (u16::MAX >> (LANES - used)) as __mmask16,
                            accumulate || p > 0,
                        );
                    }
                }
            }
        }
    }
}

type Tile = unsafe fn(usize, *const f32, [usize; 2], *const f32, usize, *mut f32, usize, __mmask16, bool);

/// By rows and vectors, from 1 on.
const TILES: [[Tile; VECTORS]; ROWS] = [
    [tile::<1, 1>, tile::<1, 2>, tile::<1, 3>, tile::<1, 4>],
    [tile::<2, 1>, tile::<2, 2>, tile::<2, 3>, tile::<2, 4>],
    [tile::<3, 1>, tile::<3, 2>, tile::<3, 3>, tile::<3, 4>],
    [tile::<4, 1>, tile::<4, 2>, tile::<4, 3>, tile::<4, 4>],
    [tile::<5, 1>, tile::<5, 2>, tile::<5, 3>, tile::<5, 4>],
    [tile::<6, 1>, tile::<6, 2>, tile::<6, 3>, tile::<6, 4>],
];

/// `R` rows and `V` vectors of the result; of the last vector only what `last` says.
///
/// # Safety
/// The processor has AVX-512F; `a` holds `[R, depth]`, `b` `[depth, ..]` and `out` `[R, ..]` at these strides.
// Plain indices, because the compiler keeps the sums in registers only when it unrolls every inner loop.
#[allow(clippy::needless_range_loop, clippy::too_many_arguments)]
#[target_feature(enable = "avx512f")]
unsafe fn tile<const R: usize, const V: usize>(
    depth: usize,
    a: *const f32,
    [a_row, a_column]: [usize; 2],
    b: *const f32,
    b_row: usize,
    out: *mut f32,
    out_row: usize,
    last: __mmask16,
    accumulate: bool,
) {
    let mut sums = [[_mm512_setzero_ps(); V]; R];
    for p in 0..depth {
        let mut row: [__m512; V] = [_mm512_setzero_ps(); V];
        for v in 0..V {
            // SAFETY: the caller vouches for the sizes.
            row[v] = unsafe {
                let at = b.add(p * b_row + v * LANES);
                if v + 1 == V { _mm512_maskz_loadu_ps(last, at) } else { _mm512_loadu_ps(at) }
            };
        }
        for r in 0..R {
            // SAFETY: the caller vouches for the sizes.
            let x = _mm512_set1_ps(unsafe { *a.add(r * a_row + p * a_column) });
            for v in 0..V {
                sums[r][v] = _mm512_fmadd_ps(x, row[v], sums[r][v]);
            }
        }
    }
    for r in 0..R {
        for v in 0..V {
            let mask = if v + 1 == V { last } else { __mmask16::MAX };
            // SAFETY: the caller vouches for the sizes.
            unsafe {
                let at = out.add(r * out_row + v * LANES);
                let before = if accumulate { _mm512_maskz_loadu_ps(mask, at) } else { _mm512_setzero_ps() };
                _mm512_mask_storeu_ps(at, mask, _mm512_add_ps(before, sums[r][v]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_every_edge_are_those_of_plain_sums() {
        if !available() {
            return;
        }
        let number = |i: usize| ((i * 7919) % 31) as f32 - 15.0;
        let sizes =
            [[1, 1, 1], [6, 3, 16], [7, 300, 65], [5, 2, 80], [500, 5, 17], [30, 257, 300], [13, 1, 63]];
        for [m, k, n] in sizes {
            for (row_stride, column_stride) in [(k, 1), (1, m)] {
                for b_stride in [n, 300.max(n)] {
                    let a: Vec<f32> = (0..m * k).map(number).collect();
                    let b: Vec<f32> = (0..k * b_stride).map(|i| number(i + 3)).collect();
                    let mut out = vec![1.0; m * n];
                    let mut expected = vec![1.0f64; m * n];
                    for (i, expected) in expected.iter_mut().enumerate() {
                        let (r, c) = (i / n, i % n);
                        for p in 0..k {
                            let x = f64::from(a[r * row_stride + p * column_stride]);
                            *expected += x * f64::from(b[p * b_stride + c]);
                        }
                    }
                    let a = Matrix { data: &a, row_stride, column_stride };
                    let b = Matrix { data: &b, row_stride: b_stride, column_stride: 1 };
                    let mut matrix = MatrixMut { data: &mut out, row_stride: n, column_stride: 1 };
                    // SAFETY: the processor has been asked, and the sizes fit.
                    unsafe { matmul([m, k, n], a, b, &mut matrix, true) };
                    let far = |(x, e): (&f32, &f64)| (f64::from(*x) - e).abs() > 1e-2;
                    assert!(!out.iter().zip(&expected).any(far), "{m} x {k} x {n}, stride {b_stride}");
                }
            }
        }
    }
}
