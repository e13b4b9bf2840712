//! The layers by candle's own operations, for cards.
//!
//! Our fused operations work in the host's memory. On a card the same mathematics are put together from operations that
//! candle has kernels and right gradients for: products of matrices, narrowing, joining, elementwise functions.
//! [`crate::model::agreement`] holds both together, outputs and gradients, layer by layer.

mod attention;
mod convolution;
mod elementwise;
mod recurrence;
#[cfg(test)]
mod tests;

use std::cell::Cell;

use candle_core::{DType, Result, Tensor};

use crate::device::{MatmulPrecision, matmul_precision};

pub use attention::attend;
pub(super) use convolution::{convolve, normed_convolve, resample};
pub use elementwise::{
    clamp_to_full_scale, join_cropped, layer_norm, per_band, scale_items, share_remainder,
};
pub use recurrence::{Way, gru, lstm};

thread_local! {
    static EVERYWHERE: Cell<bool> = const { Cell::new(false) };
}

/// Whether a layer is to be run by these operations rather than by its fused one.
pub fn is_for(x: &Tensor) -> bool {
    !x.device().is_cpu() || EVERYWHERE.get()
}

/// Runs `work` with these operations on the CPU, too: they can then be checked where there is no card. Only layers that
/// run in the calling thread are meant.
pub fn unfused<R>(work: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            EVERYWHERE.set(self.0);
        }
    }
    let _restore = Restore(EVERYWHERE.replace(true));
    work()
}

/// The product of two matrices, or of two stacks of them, in the precision that was chosen for cards; f32 in and out.
pub fn product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if matmul_precision() != MatmulPrecision::Bf16 || !is_for(a) {
        return a.matmul(b);
    }
    let (a, b) = (a.to_dtype(DType::BF16)?, b.to_dtype(DType::BF16)?);
    // candle's CPU has no such product; what a card makes of the same rounded numbers is the same up to one rounding.
    match a.device().is_cpu() {
        true => a.to_dtype(DType::F32)?.matmul(&b.to_dtype(DType::F32)?),
        false => a.matmul(&b)?.to_dtype(DType::F32),
    }
}

/// `[.., in]` times the transpose of `weight`, `[out, in]`, plus `bias`, `[out]`: `[.., out]`.
fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (output, input) = weight.dims2()?;
    let mut dims = x.dims().to_vec();
    if let Some(last) = dims.last_mut() {
        *last = output;
    }
    let rows = x.contiguous()?.reshape(((), input))?;
    product(&rows, &weight.t()?)?.broadcast_add(bias)?.reshape(dims)
}
