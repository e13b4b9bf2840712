//! Activations.

use candle_core::{Result, Tensor};

use super::cpu::vectorised;
use crate::kernels::elementwise;

/// `max(x, 0.01 x)`, PyTorch's default slope.
pub fn leaky_relu(x: &Tensor) -> Result<Tensor> {
    x.maximum(&x.affine(0.01, 0.0)?)
}

/// 1 / (1 + e^-x); the same bits on every processor, as all here: nothing is fused.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    elementwise::sigmoid::<false>(x)
}

/// Hyperbolic tangent.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    elementwise::tanh::<false>(x)
}

/// e^x.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    elementwise::exp::<false>(x)
}

vectorised! {
    /// Gated linear unit: `[.., 2 * channels]` -> `[.., channels]`, first half times sigmoid of the second.
    pub fn glu_rows(x: &[f32], channels: usize, out: &mut [f32]) {
        for (out, x) in out.chunks_exact_mut(channels).zip(x.chunks_exact(2 * channels)) {
            let (value, gate) = x.split_at(channels);
            for ((out, value), gate) in out.iter_mut().zip(value).zip(gate) {
                *out = value * sigmoid(*gate);
            }
        }
    }
}

vectorised! {
    /// Gradient of the gated linear unit's input, `[.., 2 * channels]`, into `out`.
    pub fn glu_gradient(x: &[f32], grad: &[f32], channels: usize, out: &mut [f32]) {
        let rows = out.chunks_exact_mut(2 * channels).zip(x.chunks_exact(2 * channels));
        for ((out, x), grad) in rows.zip(grad.chunks_exact(channels)) {
            let (out_value, out_gate) = out.split_at_mut(channels);
            let (value, gate) = x.split_at(channels);
            let outputs = out_value.iter_mut().zip(out_gate);
            for (((out_value, out_gate), grad), (value, gate)) in outputs.zip(grad).zip(value.iter().zip(gate)) {
                let s = sigmoid(*gate);
                *out_value = grad * s;
                *out_gate = grad * value * s * (1.0 - s);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sigmoid_and_tanh_agree_with_the_standard_library() {
        for i in -4000..=4000 {
            let x = i as f32 * 0.01;
            let exact = 1.0 / (1.0 + (-f64::from(x)).exp());
            assert!((f64::from(sigmoid(x)) - exact).abs() <= 3e-7 * exact.max(1e-6), "sigmoid({x})");
            assert!((f64::from(tanh(x)) - f64::from(x).tanh()).abs() < 4e-7, "tanh({x})");
        }
        assert_eq!(sigmoid(f32::INFINITY), 1.0);
        assert!(sigmoid(f32::NEG_INFINITY) < 1e-30);
    }
}
