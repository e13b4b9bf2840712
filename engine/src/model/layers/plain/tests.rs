//! Which operations are run.

use candle_core::Device;

use super::super::gradient_checks::random;
use super::super::{Gru, LayerNorm, clamp_to_full_scale};
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

/// Graphs are gone through, and dropped, by recursion.
#[test]
fn long_recurrences_do_not_exhaust_the_stack() {
    let work = || {
        unfused(|| {
            let params = Params::fresh(7, &Device::Cpu);
            let root = params.root();
            let mut x = random(&[3_000, 2, 4], 1);
            for layer in 0..4 {
                x = Gru::new(&root.at(layer), 4, 4).unwrap().along_frames(&x, None).unwrap();
            }
            let gradients = x.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            drop(x);
            let weight = params.into_variables().remove("0.weight_hh").unwrap();
            assert!(gradients.get(&weight.var).is_some());
        });
    };
    // As much as a program's first thread has.
    std::thread::Builder::new().stack_size(8 << 20).spawn(work).unwrap().join().unwrap();
}
