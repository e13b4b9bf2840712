//! Every layer and network by its fused operation and by candle's own: the same outputs, the same gradients.

use candle_core::{Device, Result, Tensor, Var};

use super::super::gradient_checks::{norm, random};
use super::super::*;
use super::{is_for, unfused};
use crate::model::params::Init;
use crate::model::{
    BandDpt, BandDptConfig, ConvKind, Growth, Mode, Network, Params, Resampling, WaveUnetConfig,
    WaveUnetDptConfig,
};

const TRAIN: Mode = Mode::Train { seed: 5, first_item: 0 };

/// The output, and the gradients of the input and of all trained parameters.
fn outcome<L>(
    build: &impl Fn(&Params) -> Result<L>,
    shape: &[usize],
    forward: &impl Fn(&L, &Tensor) -> Result<Tensor>,
) -> Vec<(String, Tensor)> {
    let params = Params::fresh(7, &Device::Cpu);
    let layer = build(&params).unwrap();
    let input = Var::from_tensor(&random(shape, 1)).unwrap();
    let mut variables = vec![("input".to_owned(), input.clone())];
    for (name, parameter) in params.into_variables() {
        let start = parameter.var.as_tensor().clone();
        parameter.var.set(&(&start + (random(start.dims(), 3) * 0.2).unwrap()).unwrap()).unwrap();
        if parameter.trained {
            variables.push((name, parameter.var));
        }
    }
    let output = forward(&layer, input.as_tensor()).unwrap();
    let weighted = (&output * random(output.dims(), 99)).unwrap().sum_all().unwrap();
    let gradients = weighted.backward().unwrap();
    let of = |(name, var): (String, Var)| Some((name, gradients.get(var.as_tensor())?.clone()));
    std::iter::once(("output".to_owned(), output)).chain(variables.into_iter().filter_map(of)).collect()
}

fn compare<L>(
    what: &str,
    build: impl Fn(&Params) -> Result<L>,
    shape: &[usize],
    forward: impl Fn(&L, &Tensor) -> Result<Tensor>,
) {
    let fused = outcome(&build, shape, &forward);
    let plain = unfused(|| outcome(&build, shape, &forward));
    let names = |all: &[(String, Tensor)]| all.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&fused), names(&plain), "{what}");
    for ((name, fused), (_, plain)) in fused.iter().zip(&plain) {
        assert_eq!(fused.dims(), plain.dims(), "{what}: {name}");
        let difference = norm(&(fused - plain).unwrap());
        assert!(difference <= 2e-5 * (1.0 + norm(fused)), "{what}: {name} differs by {difference}");
    }
}

#[test]
fn convolutions_are_the_same() {
    for stride in [1, 2, 3, 7] {
        let conv = |p: &Params| Conv::new(&p.root(), 3, 4, 5, stride);
        compare(&format!("conv, stride {stride}"), conv, &[3, 19, 3], |l, x| l.forward(x));
        let normed = |p: &Params| {
            let filter = Filter::Conv(Conv::new(&p.root().at("filter"), 3, 16, 5, stride)?);
            NormedConv::new(&p.root(), filter, 16, stride != 2)
        };
        compare(&format!("normed conv, stride {stride}"), normed, &[3, 19, 3], |l, x| l.forward(x));
    }
    for stride in [1, 2] {
        let conv = |p: &Params| TransposedConv::new(&p.root(), 3, 4, 5, stride);
        compare(&format!("transposed, stride {stride}"), conv, &[3, 11, 3], |l, x| l.forward(x));
        let normed = |p: &Params| {
            let filter = TransposedConv::new(&p.root().at("filter"), 3, 8, 5, stride)?;
            NormedConv::new(&p.root(), Filter::Transposed(filter), 8, false)
        };
        compare(&format!("normed transposed, stride {stride}"), normed, &[3, 11, 3], |l, x| l.forward(x));
    }
    compare("linear", |p| Linear::new(&p.root(), 7, 4), &[3, 7, 5], |l, x| l.forward(&x.transpose(1, 2)?));
}

#[test]
fn resampling_is_the_same() {
    for (taps, stride) in [(7, 3), (21, 4), (5, 2), (3, 5), (5, 1)] {
        for direction in [ResampleDirection::Down, ResampleDirection::Up] {
            let frames = if direction == ResampleDirection::Up { 12 } else { 12 * stride + 1 };
            compare(
                &format!("{taps} taps, stride {stride}, {direction:?}"),
                |p| Resample::new(&p.root(), 4, taps, stride, direction, true),
                &[3, frames, 4],
                |l, x| l.forward(x),
            );
        }
    }
}

#[test]
fn recurrences_are_the_same() {
    compare("lstm", |p| BiLstm::new(&p.root(), 4, 5, 2), &[3, 6, 4], |l, x| l.forward(x));
    compare("gru", |p| Gru::new(&p.root(), 3, 4), &[7, 5, 3], |l, x| l.along_frames(x, None));
    compare("gru across bands", |p| BiGru::new(&p.root(), 3, 4), &[6, 5, 3], |l, x| l.across_bands(x));
    let before = random(&[5, 4], 6);
    compare(
        "a gru that goes on",
        |p| Gru::new(&p.root(), 3, 4),
        &[7, 5, 3],
        |l, x| l.along_frames(x, Some(&before)),
    );
}

#[test]
fn attention_is_the_same() {
    for span in [1, 3, 20] {
        let layer = |p: &Params| TimeAttention::new(&p.root(), 6, 2, span);
        compare("along time", layer, &[7, 3, 6], |l, x| Ok(l.forward(x, None)?.0));
        let past = random(&[2, 3, 18], 6);
        compare("a stream", layer, &[4, 3, 6], |l, x| Ok(l.forward(x, Some(&past))?.0));
    }
    compare("across bands", |p| BandAttention::new(&p.root(), 6, 2), &[3, 5, 6], |l, x| l.forward(x));
}

#[test]
fn small_layers_are_the_same() {
    let sizes = || vec![[3, 2], [1, 4], [5, 1]];
    let bands = |p: &Params| BandLinear::new(&p.root(), "", sizes(), |_| Init::Uniform(0.5));
    compare("bands", bands, &[3, 30, 9], |l, x| l.forward(x));
    compare("layer norm", |p| LayerNorm::new(&p.root(), 8), &[3, 9, 8], |l, x| l.forward(x));
    let none = |_: &Params| Ok(());
    compare("scaled", none, &[3, 4, 5], |(), x| scale_items(x, vec![0.5, -2.0, 3.0]));
    let mixture = random(&[3, 2, 5], 8);
    compare("shared", none, &[3, 4, 2, 5], |(), x| share_remainder(x, &mixture));
    let other = random(&[3, 5, 2], 4);
    compare("joined", none, &[3, 9, 4], |(), x| join_cropped(x, &other));
    let clamped = |x: &Tensor| clamp_to_full_scale(&(x * 2.0).unwrap()).unwrap().to_vec2::<f32>().unwrap();
    let x = random(&[5, 7], 2);
    assert_eq!(clamped(&x), unfused(|| clamped(&x)));
}

#[test]
fn networks_are_the_same() {
    for (resampling, conv) in [(Resampling::Fixed, ConvKind::Gn), (Resampling::Learned, ConvKind::Normal)] {
        let config = WaveUnetConfig {
            features: 8,
            growth: Growth::Add,
            levels: 3,
            stride: 2,
            resampling,
            conv,
            separate: conv == ConvKind::Normal,
            ..Default::default()
        };
        compare_networks("Wave-U-Net", |p| config.build(p));
    }
    let config =
        WaveUnetDptConfig { features: 8, levels: 3, normalise: true, add_up: true, ..Default::default() };
    compare_networks("the seed", |p| config.build(p));
    for taps in [1, 2] {
        let config = BandDptConfig {
            analysis_window: 32,
            synthesis_window: 16,
            hop: 8,
            bands: vec![2, 5, 10],
            size: 8,
            blocks: 2,
            heads: 2,
            attention_span: 3,
            time_hidden: 6,
            band_hidden: 5,
            mask_hidden: 7,
            taps,
        };
        compare_networks("Live", |p| BandDpt::new(p, &config));
    }
}

/// The input is a factor: networks take their mixture's level as given.
fn compare_networks<N: Network>(what: &str, build: impl Fn(&Params) -> Result<N>) {
    let frames = build(&Params::fresh(7, &Device::Cpu)).unwrap().window(200).input;
    let mixture = random(&[3, 2, frames], 1);
    let scaled = |n: &N, x: &Tensor| n.forward(&mixture, TRAIN)?.broadcast_mul(x);
    compare(what, build, &[1], scaled);
}

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
