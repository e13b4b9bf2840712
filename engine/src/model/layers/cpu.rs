//! Access to tensors on the CPU for our custom operations, and the one matrix product that they use.

use candle_core::{CpuStorage, Device, Error, Layout, Result, Storage, Tensor};
use gemm::Parallelism;
use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::product;

/// The elements of a contiguous f32 operand.
pub fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let (start, end) =
        layout.contiguous_offsets().ok_or(Error::RequiresContiguous { op: "tributary custom op" }.bt())?;
    Ok(&storage.as_slice::<f32>()?[start..end])
}

/// Runs `f` on the elements of a tensor, in row-major order; one on a card is fetched.
pub fn with_slice<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    with_slices([tensor], |[tensor]| f(tensor))
}

/// The same for several tensors.
pub fn with_slices<const N: usize, R>(tensors: [&Tensor; N], f: impl FnOnce([&[f32]; N]) -> R) -> Result<R> {
    let fetched = tensors.into_iter().map(|tensor| tensor.contiguous()?.to_device(&Device::Cpu));
    let tensors = fetched.collect::<Result<Vec<_>>>()?;
    let storages: Vec<_> = tensors.iter().map(Tensor::storage_and_layout).collect();
    let slices = storages.iter().map(|(storage, layout)| match &**storage {
        Storage::Cpu(storage) => slice(storage, layout),
        _ => candle_core::bail!("a tensor on the CPU is not on the CPU: a defect of candle"),
    });
    let slices = slices.collect::<Result<Vec<_>>>()?;
    Ok(f(std::array::from_fn(|index| slices[index])))
}

/// Defines a function that runs with the widest vectors that this processor has. Results are the same bits
/// either way: nothing is reordered or fused.
macro_rules! vectorised {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $return:ty)? $body:block) => {
        $(#[$meta])*
        $visibility fn $name($($arg: $type),*) $(-> $return)? {
            #[inline(always)]
            fn portable($($arg: $type),*) $(-> $return)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
                fn avx512($($arg: $type),*) $(-> $return)? {
                    portable($($arg),*)
                }
                #[target_feature(enable = "avx2")]
                fn avx2($($arg: $type),*) $(-> $return)? {
                    portable($($arg),*)
                }
                if is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                {
                    // SAFETY: the processor has just been asked.
                    return unsafe { avx512($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has just been asked.
                    return unsafe { avx2($($arg),*) };
                }
            }
            portable($($arg),*)
        }
    };
}
pub(super) use vectorised;

/// A matrix inside a slice: element (r, c) lies at `r * row_stride + c * column_stride`. Rows may overlap.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    /// The elements.
    pub data: &'a [f32],
    /// Distance between rows.
    pub row_stride: usize,
    /// Distance between columns.
    pub column_stride: usize,
}

/// As [`Matrix`], to be written. Rows must not overlap.
pub struct MatrixMut<'a> {
    /// The elements.
    pub data: &'a mut [f32],
    /// Distance between rows.
    pub row_stride: usize,
    /// Distance between columns.
    pub column_stride: usize,
}

/// One past the last element that an `rows` x `columns` matrix touches.
fn extent(rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> usize {
    if rows == 0 || columns == 0 { 0 } else { (rows - 1) * row_stride + (columns - 1) * column_stride + 1 }
}

/// `out (+)= a b` with a: `[m, k]`, b: `[k, n]`, out: `[m, n]`, on the calling thread.
///
/// # Panics
/// When a matrix reaches past its slice.
pub fn matmul([m, k, n]: [usize; 3], a: Matrix<'_>, b: Matrix<'_>, mut out: MatrixMut<'_>, accumulate: bool) {
    assert!(extent(m, k, a.row_stride, a.column_stride) <= a.data.len());
    assert!(extent(k, n, b.row_stride, b.column_stride) <= b.data.len());
    assert!(extent(m, n, out.row_stride, out.column_stride) <= out.data.len());
    #[cfg(target_arch = "x86_64")]
    if b.column_stride == 1 && out.column_stride == 1 && product::available() {
        // SAFETY: the processor has just been asked, and the assertions keep every access inside its slice.
        return unsafe { product::matmul([m, k, n], a, b, &mut out, accumulate) };
    }
    // SAFETY: the assertions keep every access inside its slice, and `out` is borrowed exclusively.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.data.as_mut_ptr(),
            out.column_stride as isize,
            out.row_stride as isize,
            accumulate,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// Runs `f(item, x, out)` for each item of a batch, on several threads when there are several items.
pub fn each_item(items: usize, x: &[f32], out: &mut [f32], f: impl Fn(usize, &[f32], &mut [f32]) + Sync) {
    if items == 1 {
        f(0, x, out);
    } else if items > 1 {
        let (x_len, out_len) = (x.len() / items, out.len() / items);
        let pairs = x.par_chunks(x_len).zip(out.par_chunks_mut(out_len)).enumerate();
        pairs.for_each(|(item, (x, out))| f(item, x, out));
    }
}

/// At least so many items are worked on at a time, however large their sums.
const MIN_LANES: usize = 4;
/// All partial sums together hold about so many numbers, if that leaves enough of them.
const LANES_LEN: usize = 1 << 22;

/// Runs `f(item, out, sum)` for each item, where `out` is the item's share of `out` and `f` adds to `sum`, `[len]`;
/// returns the sum over all items. Several items are worked on at a time, but which numbers are added in which order
/// follows from the sizes alone, never from the number of threads.
pub fn sum_over_items(
    items: usize,
    len: usize,
    out: &mut [f32],
    f: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
) -> Vec<f32> {
    let lanes = (LANES_LEN / len.max(1)).max(MIN_LANES).min(items);
    let out_len = out.len() / items.max(1);
    let mut work: Vec<Vec<(usize, &mut [f32])>> = (0..lanes).map(|_| Vec::new()).collect();
    let mut rest = out;
    for item in 0..items {
        let (out, later) = rest.split_at_mut(out_len);
        work[item % lanes].push((item, out));
        rest = later;
    }
    let partial: Vec<Vec<f32>> = work
        .into_par_iter()
        .map(|lane| {
            let mut sum = vec![0.0; len];
            lane.into_iter().for_each(|(item, out)| f(item, out, &mut sum));
            sum
        })
        .collect();
    let mut partial = partial.into_iter();
    let mut sum = partial.next().unwrap_or_else(|| vec![0.0; len]);
    for part in partial {
        const CHUNK: usize = 1 << 14;
        let chunks = sum.par_chunks_mut(CHUNK).zip(part.par_chunks(CHUNK));
        chunks.for_each(|(sum, part)| sum.iter_mut().zip(part).for_each(|(s, p)| *s += p));
    }
    sum
}

vectorised! {
    /// Adds all rows of `[rows, sum.len()]` to `sum`.
    pub fn add_rows(rows: &[f32], sum: &mut [f32]) {
        for row in rows.chunks_exact(sum.len()) {
            sum.iter_mut().zip(row).for_each(|(s, x)| *s += x);
        }
    }
}

/// Sets every row of `[rows, row.len()]` to `row`.
pub fn fill_rows(rows: &mut [f32], row: &[f32]) {
    let mut done = row.len().min(rows.len());
    rows[..done].copy_from_slice(&row[..done]);
    // A few long copies instead of many short ones.
    while done > 0 && done < rows.len() {
        let more = done.min(rows.len() - done);
        rows.copy_within(..more, done);
        done += more;
    }
}

/// A dense array of shape `dims` whose element (a, b, c) is `x[start + a strides[0] + b strides[1] + c strides[2]]`.
///
/// # Panics
/// When that lies outside `x`.
pub fn permuted(x: &[f32], dims: [usize; 3], start: usize, strides: [isize; 3]) -> Vec<f32> {
    // Small tiles, so that neither side touches more cache lines than the first level holds.
    const TILE: usize = 16;
    let [_, rows, columns] = dims;
    let mut out = vec![0.0; dims.iter().product()];
    for row in (0..rows).step_by(TILE) {
        for column in (0..columns).step_by(TILE) {
            for (a, plane) in out.chunks_exact_mut(rows * columns).enumerate() {
                for b in row..(row + TILE).min(rows) {
                    let first = start as isize + a as isize * strides[0] + b as isize * strides[1];
                    let last = (column + TILE).min(columns);
                    for (c, y) in (column..last).zip(&mut plane[b * columns + column..b * columns + last]) {
                        *y = x[(first + c as isize * strides[2]) as usize];
                    }
                }
            }
        }
    }
    out
}
