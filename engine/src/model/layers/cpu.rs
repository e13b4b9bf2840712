//! Access to tensors on the CPU for our custom operations, and the one matrix product that they use.

use candle_core::{CpuStorage, Error, Layout, Result, Storage, Tensor};
use gemm::Parallelism;

/// The elements of a contiguous f32 operand.
pub fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let (start, end) =
        layout.contiguous_offsets().ok_or(Error::RequiresContiguous { op: "tributary custom op" }.bt())?;
    Ok(&storage.as_slice::<f32>()?[start..end])
}

/// Runs `f` on the elements of a tensor on the CPU, in row-major order.
pub fn with_slice<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => Ok(f(slice(storage, layout)?)),
        _ => candle_core::bail!("this layer runs on the CPU only"),
    }
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
                #[target_feature(enable = "avx2")]
                fn avx2($($arg: $type),*) $(-> $return)? {
                    portable($($arg),*)
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
pub fn matmul([m, k, n]: [usize; 3], a: Matrix<'_>, b: Matrix<'_>, out: MatrixMut<'_>, accumulate: bool) {
    assert!(extent(m, k, a.row_stride, a.column_stride) <= a.data.len());
    assert!(extent(k, n, b.row_stride, b.column_stride) <= b.data.len());
    assert!(extent(m, n, out.row_stride, out.column_stride) <= out.data.len());
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
