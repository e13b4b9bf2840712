//! Layers over sequences: the same as plain operations, longer than one block, in two halves, on any number of threads.

use candle_core::{D, Device, Result, Tensor, Var};

use super::gradient_checks::{check, norm, random};
use super::*;
use crate::model::Params;

/// Parameters moved away from where they start, some of which are the same.
fn moved(params: Params) {
    for (index, parameter) in params.into_variables().into_values().enumerate() {
        let start = parameter.var.as_tensor().clone();
        let far = random(start.dims(), 50 + index as u64);
        parameter.var.set(&(start + far).unwrap()).unwrap();
    }
}

fn assert_near(found: &Tensor, expected: &Tensor, what: &str) {
    assert_eq!(found.dims(), expected.dims(), "{what}");
    let difference = norm(&(found - expected).unwrap());
    assert!(difference <= 1e-5 * (1.0 + norm(expected)), "{what}: {difference}");
}

#[test]
fn gradients_are_right_over_several_blocks_and_groups() {
    for (frames, span) in [(53, 5), (30, 1), (50, 100)] {
        let layer = |p: &Params| TimeAttention::new(&p.root(), 6, 2, span);
        check(layer, &[frames, 5, 6], |l, x| Ok(l.forward(x, None)?.0));
    }
    check(|p| BandAttention::new(&p.root(), 6, 3), &[34, 35, 6], |l, x| l.forward(x));
    check(|p| BandAttention::new(&p.root(), 5, 1), &[2, 1, 5], |l, x| l.forward(x));
    check(|p| Gru::new(&p.root(), 5, 3), &[9, 61, 5], |l, x| l.along_frames(x, None));
    check(|p| BiGru::new(&p.root(), 2, 17), &[61, 6, 2], |l, x| l.across_bands(x));
    check(|p| LayerNorm::new(&p.root(), 35), &[5, 103, 35], |l, x| l.forward(x));
}

#[test]
fn a_layer_norm_is_what_plain_operations_give() {
    for size in [1, 15, 16, 64, 67] {
        let params = Params::fresh(7, &Device::Cpu);
        let layer = LayerNorm::new(&params.root(), size).unwrap();
        let weight = params.into_variables().remove("weight").unwrap();
        weight.var.set(&random(&[size], 4)).unwrap();
        let x = (random(&[300, 2, size], 2) + 0.5).unwrap();
        let plain = || -> Result<Tensor> {
            let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
            let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
            centred.broadcast_div(&(variance + 1e-5)?.sqrt()?)?.broadcast_mul(weight.var.as_tensor())
        };
        assert_near(&layer.forward(&x).unwrap(), &plain().unwrap(), &format!("size {size}"));
    }
}

#[test]
fn a_gru_goes_on_from_its_last_state() {
    let params = Params::fresh(7, &Device::Cpu);
    let gru = Gru::new(&params.root(), 5, 6).unwrap();
    moved(params);
    let x = random(&[11, 33, 5], 2);
    let whole = gru.along_frames(&x, None).unwrap();
    for frames in [1, 4, 10] {
        let first = gru.along_frames(&x.narrow(0, 0, frames).unwrap(), None).unwrap();
        let state = first.get(frames - 1).unwrap();
        let second = gru.along_frames(&x.narrow(0, frames, 11 - frames).unwrap(), Some(&state)).unwrap();
        assert_near(&Tensor::cat(&[first, second], 0).unwrap(), &whole, &format!("{frames} frames first"));
    }
    assert!(gru.along_frames(&x, Some(&random(&[32, 6], 3))).is_err());
    assert!(gru.along_frames(&random(&[11, 33, 4], 2), None).is_err());
}

#[test]
fn two_ways_across_bands_are_two_grus_along_time() {
    let params = Params::fresh(7, &Device::Cpu);
    let both = BiGru::new(&params.root(), 5, 6).unwrap();
    let names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"];
    let variables = params.into_variables();
    for (index, parameter) in variables.values().enumerate() {
        parameter.var.set(&random(parameter.var.dims(), 50 + index as u64)).unwrap();
    }
    let alone = |scope: &str| {
        let named = |name: &str| {
            (name.to_owned(), variables[&format!("{scope}.{name}")].var.as_tensor().copy().unwrap())
        };
        let params = Params::loaded(names.map(named).into(), &Device::Cpu);
        Gru::new(&params.root(), 5, 6).unwrap()
    };
    let x = random(&[33, 7, 5], 2);
    let along = x.transpose(0, 1).unwrap().contiguous().unwrap();
    let back = Tensor::new(&[6u32, 5, 4, 3, 2, 1, 0], &Device::Cpu).unwrap();
    let turned = |x: &Tensor| x.index_select(&back, 0).unwrap();
    let forward = alone("gru").along_frames(&along, None).unwrap();
    let reverse = turned(&alone("gru_reverse").along_frames(&turned(&along), None).unwrap());
    let expected = Tensor::cat(&[forward, reverse], 2).unwrap().transpose(0, 1).unwrap();
    let found = both.across_bands(&x).unwrap();
    assert_near(&found, &expected.contiguous().unwrap(), "both ways");
}

#[test]
fn a_stream_attends_as_the_whole_does() {
    for span in [1, 4, 30, 80] {
        let params = Params::fresh(7, &Device::Cpu);
        let layer = TimeAttention::new(&params.root(), 6, 2, span).unwrap();
        moved(params);
        let x = random(&[70, 5, 6], 2);
        let (whole, projected) = layer.forward(&x, None).unwrap();
        for frames in [1, 25, 69] {
            let kept = frames.min(span - 1);
            let past = (kept > 0).then(|| projected.narrow(0, frames - kept, kept).unwrap());
            let rest = x.narrow(0, frames, 70 - frames).unwrap();
            let (found, _) = layer.forward(&rest, past.as_ref()).unwrap();
            let expected = whole.narrow(0, frames, 70 - frames).unwrap();
            assert_near(&found, &expected, &format!("span {span} after {frames} frames"));
        }
    }
}

#[test]
fn layers_over_sequences_give_the_same_bits_on_any_number_of_threads() {
    let bits = |threads: usize| -> Vec<u32> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let params = Params::fresh(7, &Device::Cpu);
            let root = params.root();
            let run = || -> Result<(Tensor, Var)> {
                let input = Var::from_tensor(&random(&[37, 70, 8], 1))?;
                let x = LayerNorm::new(&root.at("norm"), 8)?.forward(input.as_tensor())?;
                let x = TimeAttention::new(&root.at("time"), 8, 2, 6)?.forward(&x, None)?.0;
                let x = Gru::new(&root.at("gru"), 8, 8)?.along_frames(&x, None)?;
                let x = BandAttention::new(&root.at("bands"), 8, 2)?.forward(&x)?;
                Ok((BiGru::new(&root.at("bigru"), 8, 5)?.across_bands(&x)?, input))
            };
            let (output, input) = run().unwrap();
            let gradients = output.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            let mut variables: Vec<_> = params.into_variables().into_values().map(|p| p.var).collect();
            variables.push(input);
            let gradients = variables.iter().map(|var| gradients.get(var.as_tensor()).unwrap());
            let numbers = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            std::iter::once(&output).chain(gradients).flat_map(numbers).map(f32::to_bits).collect()
        })
    };
    let one = bits(1);
    assert!(one == bits(2) && one == bits(3));
}
