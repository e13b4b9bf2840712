//! Products of a few rows with packed weights.
//!
//! Weights lie in panels of two vectors' width, depth by depth, in the order in which they are read: a network's
//! weights stream through once a hop. A tile of the result stays in registers meanwhile.

use super::Isa;
use super::vector::{Plain, Vector};

/// How packed weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats.
    F32,
    /// 16-bit floats, widened on reading: half the memory to read, weights rounded to 11 bits.
    F16,
}

/// What happens to a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It is the result.
    Store,
    /// It is added to what is there.
    Add,
}

/// A weight matrix `[inputs, outputs]` with a bias, packed.
pub struct Packed {
    isa: Isa,
    inputs: usize,
    outputs: usize,
    weights: Weights,
    /// `[outputs]`, and zeros up to whole panels.
    bias: Vec<f32>,
}

enum Weights {
    F32(Vec<f32>),
    F16(Vec<u16>),
}

/// Vectors of a panel.
const VECTORS: usize = 2;
/// The most rows of a tile.
const MAX_ROWS: usize = 8;

/// A matrix of the caller's, by its first number and the distance of rows.
#[derive(Clone, Copy)]
struct Rows<'a> {
    data: &'a [f32],
    stride: usize,
}

impl Packed {
    /// Packs `weight` `[outputs, inputs]`, as networks have it, and `bias` `[outputs]`, for `isa`.
    ///
    /// # Panics
    /// When the sizes do not fit.
    pub fn new(isa: Isa, precision: Precision, weight: &[f32], bias: &[f32], inputs: usize) -> Self {
        let outputs = bias.len();
        assert_eq!(weight.len(), inputs * outputs);
        let width = panel_width(isa);
        let panels = outputs.div_ceil(width);
        let mut packed = vec![0.0f32; panels * width * inputs];
        for (panel, packed) in packed.chunks_exact_mut((width * inputs).max(1)).enumerate() {
            for (depth, row) in packed.chunks_exact_mut(width).enumerate() {
                for (column, to) in row.iter_mut().enumerate() {
                    let output = panel * width + column;
                    *to = if output < outputs { weight[output * inputs + depth] } else { 0.0 };
                }
            }
        }
        let mut padded = bias.to_vec();
        padded.resize(panels * width, 0.0);
        let weights = match precision {
            Precision::F32 => Weights::F32(packed),
            Precision::F16 => {
                Weights::F16(packed.into_iter().map(|w| half::f16::from_f32(w).to_bits()).collect())
            }
        };
        Self { isa, inputs, outputs, weights, bias: padded }
    }

    /// Numbers in, per row.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Numbers out, per row.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// `out = x weights + bias` or `out += x weights + bias` for rows of `x` `[rows, inputs]` and `out`
    /// `[rows, outputs]`.
    ///
    /// # Panics
    /// When the sizes do not fit.
    pub fn apply(&self, x: &[f32], out: &mut [f32], then: Then) {
        let rows = x.len() / self.inputs;
        assert!(x.len() == rows * self.inputs && out.len() == rows * self.outputs);
        let x = Rows { data: x, stride: self.inputs };
        match self.isa {
            Isa::Portable => run::<Plain, 4>(self, x, rows, out, then, tile::<Plain, 4>),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => run::<std::arch::x86_64::__m256, 6>(self, x, rows, out, then, avx2),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => run::<std::arch::x86_64::__m512, 8>(self, x, rows, out, then, avx512),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => run::<std::arch::aarch64::float32x4_t, 8>(self, x, rows, out, then, neon),
        }
    }
}

fn panel_width(isa: Isa) -> usize {
    VECTORS
        * match isa {
            Isa::Portable => Plain::LANES,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => 8,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => 16,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => 4,
        }
}

/// One panel's tile of the result.
struct Tile<'a> {
    x: *const f32,
    x_stride: usize,
    depth: usize,
    weights: Panel<'a>,
    bias: *const f32,
    out: *mut f32,
    out_stride: usize,
    then: Then,
}

#[derive(Clone, Copy)]
enum Panel<'a> {
    F32(&'a [f32]),
    F16(&'a [u16]),
}

type Kernel = unsafe fn(&Tile<'_>, usize);

/// Goes through the panels; rows in groups of at most `R`. Each panel is read from memory once.
fn run<V: Vector, const R: usize>(
    packed: &Packed,
    x: Rows<'_>,
    rows: usize,
    out: &mut [f32],
    then: Then,
    kernel: Kernel,
) {
    let (width, depth) = (VECTORS * V::LANES, packed.inputs);
    let mut edge = [0.0f32; MAX_ROWS * VECTORS * 16];
    // Rows in groups of about the same size.
    let group = rows.div_ceil(rows.div_ceil(R).max(1));
    for (panel, bias) in packed.bias.chunks_exact(width).enumerate() {
        let span = panel * width * depth..(panel + 1) * width * depth;
        let weights = match &packed.weights {
            Weights::F32(weights) => Panel::F32(&weights[span]),
            Weights::F16(weights) => Panel::F16(&weights[span]),
        };
        let column = panel * width;
        let used = width.min(packed.outputs - column);
        for first in (0..rows).step_by(group.max(1)) {
            let count = group.min(rows - first);
            let whole = used == width;
            let at = first * packed.outputs + column;
            if !whole && then == Then::Add {
                for (edge, out) in
                    edge.chunks_exact_mut(width).zip(out[at..].chunks(packed.outputs)).take(count)
                {
                    edge[..used].copy_from_slice(&out[..used]);
                }
            }
            let (to, out_stride) =
                if whole { (out[at..].as_mut_ptr(), packed.outputs) } else { (edge.as_mut_ptr(), width) };
            let tile = Tile {
                x: x.data[first * x.stride..].as_ptr(),
                x_stride: x.stride,
                depth,
                weights,
                bias: bias.as_ptr(),
                out: to,
                out_stride,
                then,
            };
            // SAFETY: `apply` has checked the sizes: rows first..first + count and a whole panel lie in `x` and in
            // `out` or `edge`; the processor has the instructions that the weights were packed for.
            unsafe { kernel(&tile, count) };
            if !whole {
                for (edge, out) in
                    edge.chunks_exact(width).zip(out[at..].chunks_mut(packed.outputs)).take(count)
                {
                    out[..used].copy_from_slice(&edge[..used]);
                }
            }
        }
    }
}

/// Calls the body for so many rows, so that each has registers of its own.
macro_rules! by_rows {
    ($vector:ty, $tile:expr, $rows:expr, $($count:literal)+) => {
        match $rows {
            // SAFETY: the caller's promises are passed on.
            $($count => unsafe { body::<$vector, $count>($tile) },)+
            _ => {}
        }
    };
}

/// # Safety
/// As [`body`]; `rows` is at most `R`.
unsafe fn tile<V: Vector, const R: usize>(tile: &Tile<'_>, rows: usize) {
    by_rows!(V, tile, rows, 1 2 3 4);
}

/// # Safety
/// As [`body`]; at most 6 rows.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn avx2(tile: &Tile<'_>, rows: usize) {
    by_rows!(std::arch::x86_64::__m256, tile, rows, 1 2 3 4 5 6);
}

/// # Safety
/// As [`body`]; at most 8 rows: with more the compiler keeps some sums in memory.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,f16c")]
unsafe fn avx512(tile: &Tile<'_>, rows: usize) {
    by_rows!(std::arch::x86_64::__m512, tile, rows, 1 2 3 4 5 6 7 8);
}

/// # Safety
/// As [`body`]; at most 8 rows.
#[cfg(target_arch = "aarch64")]
unsafe fn neon(tile: &Tile<'_>, rows: usize) {
    by_rows!(std::arch::aarch64::float32x4_t, tile, rows, 1 2 3 4 5 6 7 8);
}

/// `R` rows of one panel.
///
/// # Safety
/// The processor has `V`'s instructions; `x` holds `R` rows of `depth` numbers, the panel `depth` rows of its width,
/// `bias` one of these and `out` `R`, at their strides.
// Plain indices, because the compiler keeps the sums in registers only when it unrolls every inner loop.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
unsafe fn body<V: Vector, const R: usize>(tile: &Tile<'_>) {
    // SAFETY: for the whole body, the caller vouches for the processor and the sizes.
    unsafe {
        let mut sums = [[V::zero(); VECTORS]; R];
        for r in 0..R {
            for v in 0..VECTORS {
                sums[r][v] = V::load(tile.bias.add(v * V::LANES));
                if tile.then == Then::Add {
                    sums[r][v] = sums[r][v].add(V::load(tile.out.add(r * tile.out_stride + v * V::LANES)));
                }
            }
        }
        match tile.weights {
            Panel::F32(weights) => {
                let weights = weights.as_ptr();
                for p in 0..tile.depth {
                    let row = weights.add(p * VECTORS * V::LANES);
                    let b: [V; VECTORS] = [V::load(row), V::load(row.add(V::LANES))];
                    for r in 0..R {
                        let x = V::splat(*tile.x.add(r * tile.x_stride + p));
                        for v in 0..VECTORS {
                            sums[r][v] = x.madd(b[v], sums[r][v]);
                        }
                    }
                }
            }
            Panel::F16(weights) => {
                let weights = weights.as_ptr();
                for p in 0..tile.depth {
                    let row = weights.add(p * VECTORS * V::LANES);
                    let b: [V; VECTORS] = [V::load_half(row), V::load_half(row.add(V::LANES))];
                    for r in 0..R {
                        let x = V::splat(*tile.x.add(r * tile.x_stride + p));
                        for v in 0..VECTORS {
                            sums[r][v] = x.madd(b[v], sums[r][v]);
                        }
                    }
                }
            }
        }
        for r in 0..R {
            for v in 0..VECTORS {
                sums[r][v].store(tile.out.add(r * tile.out_stride + v * V::LANES));
            }
        }
    }
}

/// `out = x weight + bias` for one `x` `[depth]`, by weights `[depth, out.len()]` as they lie: for products so small
/// that weights stay in the first-level cache.
///
/// # Panics
/// When the sizes do not fit.
pub fn narrow(isa: Isa, x: &[f32], weight: &[f32], bias: &[f32], out: &mut [f32]) {
    assert!(weight.len() == x.len() * out.len() && bias.len() == out.len());
    // SAFETY: the sizes have just been checked, and an `Isa` is only made where the processor has it.
    unsafe {
        match isa {
            Isa::Portable => narrow_body::<Plain>(x, weight, bias, out),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => narrow_avx2(x, weight, bias, out),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => narrow_avx512(x, weight, bias, out),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => narrow_body::<std::arch::aarch64::float32x4_t>(x, weight, bias, out),
        }
    }
}

/// # Safety
/// As [`narrow_body`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn narrow_avx2(x: &[f32], weight: &[f32], bias: &[f32], out: &mut [f32]) {
    // SAFETY: the caller's promises are passed on.
    unsafe { narrow_body::<std::arch::x86_64::__m256>(x, weight, bias, out) }
}

/// # Safety
/// As [`narrow_body`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,f16c")]
unsafe fn narrow_avx512(x: &[f32], weight: &[f32], bias: &[f32], out: &mut [f32]) {
    // SAFETY: the caller's promises are passed on.
    unsafe { narrow_body::<std::arch::x86_64::__m512>(x, weight, bias, out) }
}

/// # Safety
/// The processor has `V`'s instructions, and the sizes are those of [`narrow`].
#[inline(always)]
unsafe fn narrow_body<V: Vector>(x: &[f32], weight: &[f32], bias: &[f32], out: &mut [f32]) {
    let (width, mut done) = (out.len(), 0);
    // SAFETY: for all of this, `done` and what is read from there lie within the width.
    unsafe {
        while done + 6 * V::LANES <= width {
            strip::<V, 6>(x, weight, bias, out, done);
            done += 6 * V::LANES;
        }
        while done + V::LANES <= width {
            strip::<V, 1>(x, weight, bias, out, done);
            done += V::LANES;
        }
    }
    for (column, out) in out.iter_mut().enumerate().skip(done) {
        *out = bias[column]
            + x.iter().zip(weight[column..].iter().step_by(width)).map(|(x, w)| x * w).sum::<f32>();
    }
}

/// `C` vectors of the result, from column `first` on.
///
/// # Safety
/// As [`narrow_body`]; the columns lie within the width.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
unsafe fn strip<V: Vector, const C: usize>(
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    out: &mut [f32],
    first: usize,
) {
    let width = out.len();
    // SAFETY: the caller vouches for the processor and the sizes.
    unsafe {
        let mut sums = [V::zero(); C];
        for c in 0..C {
            sums[c] = V::load(bias.as_ptr().add(first + c * V::LANES));
        }
        let mut row = weight.as_ptr().add(first);
        for value in x {
            let value = V::splat(*value);
            for c in 0..C {
                sums[c] = value.madd(V::load(row.add(c * V::LANES)), sums[c]);
            }
            row = row.wrapping_add(width);
        }
        for c in 0..C {
            sums[c].store(out.as_mut_ptr().add(first + c * V::LANES));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::tests::noise;

    #[test]
    fn narrow_products_are_plain_sums_at_any_width() {
        for &isa in Isa::available() {
            for (depth, width) in [(1, 1), (5, 15), (32, 96), (7, 205)] {
                let (x, weight, bias) = (noise(depth, 1), noise(depth * width, 2), noise(width, 3));
                let mut out = vec![0.0; width];
                narrow(isa, &x, &weight, &bias, &mut out);
                for (column, found) in out.iter().enumerate() {
                    let products =
                        (0..depth).map(|d| f64::from(x[d]) * f64::from(weight[d * width + column]));
                    let expected = products.sum::<f64>() + f64::from(bias[column]);
                    assert!((f64::from(*found) - expected).abs() < 1e-5, "{isa:?} {depth} {width}");
                }
            }
        }
    }

    #[test]
    fn products_of_all_sizes_are_plain_sums_in_every_instruction_set() {
        for &isa in Isa::available() {
            for (rows, inputs, outputs) in
                [(1, 1, 1), (1, 9, 70), (3, 5, 31), (28, 64, 192), (15, 7, 33), (29, 16, 64), (0, 4, 4)]
            {
                let (weight, bias) = (noise(inputs * outputs, 1), noise(outputs, 2));
                let (x, before) = (noise(rows * inputs, 3), noise(rows * outputs, 4));
                for (precision, limit) in [(Precision::F32, 2e-6), (Precision::F16, 2e-3)] {
                    let packed = Packed::new(isa, precision, &weight, &bias, inputs);
                    for then in [Then::Store, Then::Add] {
                        let mut out = before.clone();
                        packed.apply(&x, &mut out, then);
                        for (index, found) in out.iter().enumerate() {
                            let (row, output) = (index / outputs, index % outputs);
                            let products = (0..inputs).map(|i| {
                                f64::from(x[row * inputs + i]) * f64::from(weight[output * inputs + i])
                            });
                            let mut expected = products.sum::<f64>() + f64::from(bias[output]);
                            if then == Then::Add {
                                expected += f64::from(before[index]);
                            }
                            let error = (f64::from(*found) - expected).abs();
                            assert!(
                                error < limit * (inputs as f64).sqrt() * 2.0,
                                "{isa:?} {precision:?}: {error}"
                            );
                        }
                    }
                }
            }
        }
    }
}
