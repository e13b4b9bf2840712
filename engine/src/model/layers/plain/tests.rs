//! Which operations are run.

use candle_core::Device;

use super::super::gradient_checks::random;
use super::super::{LayerNorm, clamp_to_full_scale};
use super::{is_for, unfused};
use crate::model::Params;

#[test]
fn the_cpu_runs_fused_operations_unless_it_is_told_otherwise() {
    let x = random(&[2], 1);
    assert!(!is_for(&x));
    unfused(|| {
        assert!(is_for(&x));
        unfused(|| assert!(is_for(&x)));
        assert!(is_for(&x));
    });
    assert!(!is_for(&x));
    // Sums in another order have other last bits.
    let params = Params::fresh(7, &Device::Cpu);
    let layer = LayerNorm::new(&params.root(), 67).unwrap();
    let run = || layer.forward(&random(&[30, 67], 1)).unwrap().to_vec2::<f32>().unwrap();
    assert_ne!(run(), unfused(run));
}

#[test]
fn clamping_is_the_same() {
    let clamped =
        || clamp_to_full_scale(&(random(&[5, 7], 2) * 2.0).unwrap()).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(clamped(), unfused(clamped));
}
