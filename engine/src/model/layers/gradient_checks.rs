//! Every layer's gradient against finite differences, at batch 3.

use candle_core::{Device, Result, Tensor, Var};

use super::*;
pub(super) use crate::model::agreement::random;
use crate::model::agreement::small_band_dpt;
use crate::model::params::Init;
use crate::model::{
    BandDpt, ConvKind, Growth, Mode, Network, Params, Resampling, WaveUnetConfig, WaveUnetDptConfig,
};

/// Sum of the output weighted at random, in f64: a loss whose gradient exercises every output.
fn loss(output: &Tensor) -> Result<f64> {
    let weights = random(output.dims(), 99).flatten_all()?.to_vec1::<f32>()?;
    let output = output.flatten_all()?.to_vec1::<f32>()?;
    Ok(output.iter().zip(weights).map(|(y, w)| f64::from(*y) * f64::from(w)).sum())
}

/// Checks the gradients of the input and of every trained parameter along random directions.
pub(super) fn check<L>(
    build: impl Fn(&Params) -> Result<L>,
    shape: &[usize],
    forward: impl Fn(&L, &Tensor) -> Result<Tensor>,
) {
    check_along(random_direction, build, shape, forward);
}

fn random_direction(gradient: &Tensor, seed: u64) -> Tensor {
    random(gradient.dims(), seed)
}

/// The way up. Deep networks have so many kinks (ReLU) that only short steps measure a slope, and only along
/// the gradient does a short step stand out of f32's noise. A wrong gradient does not predict its own slope.
fn steepest_direction(gradient: &Tensor, _: u64) -> Tensor {
    (gradient * (0.2 / (norm(gradient) + 1e-9))).unwrap()
}

/// `build` makes the layer, `shape` is the input's. Slopes along directions are compared, not elements: one
/// number per tensor, which a wrong gradient of any element moves.
fn check_along<L>(
    direction: impl Fn(&Tensor, u64) -> Tensor,
    build: impl Fn(&Params) -> Result<L>,
    shape: &[usize],
    forward: impl Fn(&L, &Tensor) -> Result<Tensor>,
) {
    let params = Params::fresh(7, &Device::Cpu);
    let layer = build(&params).unwrap();
    let input = Var::from_tensor(&random(shape, 1)).unwrap();
    let mut variables = vec![("input".to_owned(), input.clone())];
    for (name, parameter) in params.into_variables() {
        // Away from the symmetric start, where some gradients vanish.
        let start = parameter.var.as_tensor().clone();
        let moved = (&start + (random(start.dims(), 3).detach() * 0.2).unwrap()).unwrap();
        parameter.var.set(&moved).unwrap();
        if parameter.trained {
            variables.push((name, parameter.var));
        }
    }

    let output = forward(&layer, input.as_tensor()).unwrap();
    let weighted = (&output * random(output.dims(), 99)).unwrap().sum_all().unwrap();
    let gradients = weighted.backward().unwrap();
    for (index, (name, var)) in variables.iter().enumerate() {
        let gradient = gradients.get(var.as_tensor()).unwrap_or_else(|| panic!("{name} has no gradient"));
        assert_eq!(gradient.dims(), var.dims(), "{name}");
        let start = var.as_tensor().copy().unwrap();
        for attempt in 0..3 {
            let direction = direction(gradient, 1000 + 10 * index as u64 + attempt);
            let predicted = loss_along(gradient, &direction);
            let at = |step: f64| {
                var.set(&(&start + (&direction * step).unwrap()).unwrap()).unwrap();
                loss(&forward(&layer, input.as_tensor()).unwrap()).unwrap()
            };
            // Richardson's combination of two central differences cancels the third-order term.
            let h = 2e-3;
            let (wide, narrow) = ((at(h) - at(-h)) / (2.0 * h), (at(h / 2.0) - at(-h / 2.0)) / h);
            let measured = (4.0 * narrow - wide) / 3.0;
            var.set(&start).unwrap();
            let scale = norm(gradient) + predicted.abs();
            assert!(
                (predicted - measured).abs() <= 0.01 * scale + 1e-3,
                "{name}: gradient says {predicted}, differences say {measured}"
            );
        }
    }
}

fn loss_along(gradient: &Tensor, direction: &Tensor) -> f64 {
    let g = gradient.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let d = direction.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    g.iter().zip(d).map(|(g, d)| f64::from(*g) * f64::from(d)).sum()
}

pub(super) fn norm(x: &Tensor) -> f64 {
    let values = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt()
}

const TRAIN: Mode = Mode::Train { seed: 5, first_item: 0 };

#[test]
fn conv_gradients_are_right_at_stride_1_and_3() {
    for stride in [1, 3] {
        check(|p| Conv::new(&p.root(), 3, 4, 5, stride), &[3, 17, 3], |l, x| l.forward(x));
    }
}

#[test]
fn transposed_conv_gradients_are_right_at_stride_1_and_2() {
    for stride in [1, 2] {
        check(|p| TransposedConv::new(&p.root(), 3, 4, 5, stride), &[3, 11, 3], |l, x| l.forward(x));
    }
}

#[test]
fn linear_gradients_are_right_for_a_transposed_input_too() {
    check(|p| Linear::new(&p.root(), 5, 4), &[3, 7, 5], |l, x| l.forward(x));
    check(|p| Linear::new(&p.root(), 7, 4), &[3, 7, 5], |l, x| l.forward(&x.transpose(1, 2)?));
}

#[test]
fn gradients_of_a_layer_for_each_band_are_right() {
    // More rows than are worked on at a time.
    let sizes = || vec![[3, 2], [1, 4], [5, 1]];
    check(
        |p| BandLinear::new(&p.root(), "", sizes(), |_| Init::Uniform(0.5)),
        &[3, 30, 9],
        |l, x| l.forward(x),
    );
    let params = Params::fresh(7, &Device::Cpu);
    let bands = BandLinear::new(&params.root(), "", sizes(), |_| Init::Uniform(0.5)).unwrap();
    let (x, variables) = (random(&[2, 70, 9], 2), params.into_variables());
    let mut start = [0, 0];
    for (band, [input, output]) in sizes().into_iter().enumerate() {
        let part = x.narrow(2, start[0], input).unwrap().reshape((140, input)).unwrap();
        let value = |name: &str| variables[&format!("{band}.{name}")].var.as_tensor();
        let expected =
            part.matmul(&value("weight").t().unwrap()).unwrap().broadcast_add(value("bias")).unwrap();
        let found = bands.forward(&x).unwrap().narrow(2, start[1], output).unwrap();
        assert!(norm(&(found.reshape((140, output)).unwrap() - expected).unwrap()) < 1e-5, "band {band}");
        start = [start[0] + input, start[1] + output];
    }
}

#[test]
fn leaky_relu_gradients_are_right() {
    check(|_| Ok(()), &[3, 5, 8], |(), x| leaky_relu(x));
}

#[test]
fn normed_conv_gradients_are_right_in_every_form() {
    for (stride, gated) in [(1, true), (1, false), (3, true)] {
        let layer = |p: &Params| {
            let filter = Filter::Conv(Conv::new(&p.root().at("filter"), 3, 16, 5, stride)?);
            NormedConv::new(&p.root(), filter, 16, gated)
        };
        check_along(steepest_direction, layer, &[3, 17, 3], |l, x| l.forward(x));
    }
    for stride in [1, 2] {
        let layer = |p: &Params| {
            let filter = TransposedConv::new(&p.root().at("filter"), 3, 8, 5, stride)?;
            NormedConv::new(&p.root(), Filter::Transposed(filter), 8, false)
        };
        check_along(steepest_direction, layer, &[3, 17, 3], |l, x| l.forward(x));
    }
}

#[test]
fn normed_conv_works_in_blocks_without_a_seam() {
    // Longer than one block, so that sums and gradients are put together from several.
    let layer = |p: &Params| {
        let filter = Filter::Conv(Conv::new(&p.root().at("filter"), 2, 8, 3, 1)?);
        NormedConv::new(&p.root(), filter, 8, true)
    };
    check_along(steepest_direction, layer, &[2, 1300, 2], |l, x| l.forward(x));
}

#[test]
fn joining_gradients_are_right() {
    let x = random(&[3, 5, 2], 4);
    check(|_| Ok(()), &[3, 9, 4], |(), shortcut| join_cropped(shortcut, &x));
    check(|_| Ok(()), &[3, 5, 2], |(), x| join_cropped(&random(&[3, 9, 4], 5), x));
}

#[test]
fn scaling_and_sharing_gradients_are_right_and_shared_stems_add_up() {
    check(|_| Ok(()), &[3, 4, 5], |(), x| scale_items(x, vec![0.5, -2.0, 3.0]));
    let mixture = random(&[3, 2, 5], 8);
    check(|_| Ok(()), &[3, 4, 2, 5], |(), x| share_remainder(x, &mixture));
    let sum = share_remainder(&random(&[3, 4, 2, 5], 2), &mixture).unwrap().sum(1).unwrap();
    assert!(norm(&(sum - mixture).unwrap()) < 1e-6);
}

#[test]
fn normalisation_gradients_are_right() {
    check(|p| BatchNorm::new(&p.root(), 6), &[3, 9, 6], |l, x| l.forward(x, TRAIN));
    check(|p| LayerNorm::new(&p.root(), 8), &[3, 9, 8], |l, x| l.forward(x));
}

#[test]
fn resampling_gradients_are_right_both_ways() {
    use ResampleDirection::{Down, Up};
    check(|p| Resample::new(&p.root(), 4, 7, 3, Down, true), &[3, 22, 4], |l, x| l.forward(x));
    check(|p| Resample::new(&p.root(), 4, 7, 3, Up, true), &[3, 8, 4], |l, x| l.forward(x));
}

#[test]
fn lstm_gradients_are_right_through_two_layers() {
    check(|p| BiLstm::new(&p.root(), 4, 5, 2), &[3, 6, 4], |l, x| l.forward(x));
}

#[test]
fn gru_gradients_are_right_along_frames_and_across_bands() {
    // More sequences than are worked on at a time.
    check(|p| Gru::new(&p.root(), 3, 4), &[5, 35, 3], |l, x| l.along_frames(x, None));
    check(|p| BiGru::new(&p.root(), 3, 4), &[35, 5, 3], |l, x| l.across_bands(x));
    let before = random(&[3, 4], 6);
    check(|p| Gru::new(&p.root(), 3, 4), &[4, 3, 3], |l, x| l.along_frames(x, Some(&before)));
}

#[test]
fn a_gru_is_the_equations_of_its_gates() {
    let params = Params::fresh(7, &Device::Cpu);
    let gru = Gru::new(&params.root(), 3, 4).unwrap();
    let (x, variables) = (random(&[6, 2, 3], 2), params.into_variables());
    let value = |name: &str| variables[name].var.as_tensor();
    let product = |x: &Tensor, side: &str| -> Result<Vec<Tensor>> {
        let all = x
            .matmul(&value(&format!("weight_{side}")).t()?)?
            .broadcast_add(value(&format!("bias_{side}")))?;
        all.chunk(3, 1)
    };
    let step = |x: &Tensor, state: &Tensor| -> Result<Tensor> {
        let (x, h) = (product(x, "ih")?, product(state, "hh")?);
        let gate = |i: usize| candle_nn::ops::sigmoid(&(&x[i] + &h[i])?);
        let (reset, update) = (gate(0)?, gate(1)?);
        let new = (&x[2] + (reset * &h[2])?)?.tanh()?;
        &new + (update * (state - &new)?)?
    };
    let found = gru.along_frames(&x, None).unwrap();
    let mut state = Tensor::zeros((2, 4), candle_core::DType::F32, &Device::Cpu).unwrap();
    for frame in 0..6 {
        state = step(&x.get(frame).unwrap(), &state).unwrap();
        assert!(norm(&(found.get(frame).unwrap() - &state).unwrap()) < 1e-6, "frame {frame}");
    }
}

#[test]
fn attention_along_time_and_across_bands_has_the_right_gradients() {
    for span in [1, 3, 20] {
        let layer = |p: &Params| TimeAttention::new(&p.root(), 6, 2, span);
        check(layer, &[7, 3, 6], |l, x| Ok(l.forward(x, None)?.0));
        let past = random(&[2, 3, 18], 6);
        check(layer, &[4, 3, 6], |l, x| Ok(l.forward(x, Some(&past))?.0));
    }
    check(|p| BandAttention::new(&p.root(), 6, 2), &[3, 5, 6], |l, x| l.forward(x));
}

#[test]
fn attention_is_a_softmax_over_what_is_seen() {
    let (size, heads, span, frames) = (4, 2, 3, 6);
    let params = Params::fresh(7, &Device::Cpu);
    let time = TimeAttention::new(&params.root().at("time"), size, heads, span).unwrap();
    let bands = BandAttention::new(&params.root().at("bands"), size, heads).unwrap();
    let variables = params.into_variables();
    let bias = random(&[heads, span], 9);
    variables["time.distance_bias"].var.set(&bias).unwrap();
    let x = random(&[frames, 5, size], 2);
    let reference = |name: &str, x: &Tensor, row: usize, causal: bool| -> Result<Vec<Vec<f32>>> {
        let value = |part: &str| variables[&format!("{name}.{part}")].var.as_tensor();
        let x = if causal { x.narrow(1, row, 1)?.squeeze(1)? } else { x.get(row)? };
        let qkv = x
            .matmul(&value("in_proj_weight").t()?)?
            .broadcast_add(value("in_proj_bias"))?
            .to_vec2::<f32>()?;
        let bias = bias.to_vec2::<f32>()?;
        let d = size / heads;
        let mut mixed = vec![vec![0.0f32; size]; qkv.len()];
        for (entry, mixed) in mixed.iter_mut().enumerate() {
            for head in 0..heads {
                let seen = if causal { (entry + 1).saturating_sub(span)..entry + 1 } else { 0..qkv.len() };
                let score = |other: usize| {
                    let dot: f32 =
                        (0..d).map(|i| qkv[entry][head * d + i] * qkv[other][size + head * d + i]).sum();
                    dot / (d as f32).sqrt() + if causal { bias[head][entry - other] } else { 0.0 }
                };
                let sum: f32 = seen.clone().map(|other| score(other).exp()).sum();
                for other in seen {
                    let weight = score(other).exp() / sum;
                    (0..d).for_each(|i| mixed[head * d + i] += weight * qkv[other][2 * size + head * d + i]);
                }
            }
        }
        let mixed = Tensor::new(mixed, &Device::Cpu)?;
        mixed.matmul(&value("out_proj.weight").t()?)?.broadcast_add(value("out_proj.bias"))?.to_vec2()
    };
    let near = |found: Tensor, expected: Vec<Vec<f32>>| {
        let difference =
            (found.contiguous().unwrap() - Tensor::new(expected, &Device::Cpu).unwrap()).unwrap();
        assert!(norm(&difference) < 1e-5);
    };
    let (found, projected) = time.forward(&x, None).unwrap();
    for row in 0..5 {
        near(found.narrow(1, row, 1).unwrap().squeeze(1).unwrap(), reference("time", &x, row, true).unwrap());
    }
    // A stream that goes on with what it has seen gives the same.
    let past = projected.narrow(0, 2, 2).unwrap();
    let (later, _) = time.forward(&x.narrow(0, 4, 2).unwrap(), Some(&past)).unwrap();
    assert!(norm(&(later - found.narrow(0, 4, 2).unwrap()).unwrap()) < 1e-6);
    let found = bands.forward(&x).unwrap();
    for row in 0..frames {
        near(found.get(row).unwrap(), reference("bands", &x, row, false).unwrap());
    }
}

#[test]
fn attention_gradients_are_right() {
    check(|p| SelfAttention::new(&p.root(), 8, 2), &[3, 6, 8], |l, x| l.forward(x));
}

#[test]
fn dropout_passes_gradients_through_its_mask() {
    check(|_| Ok(Dropout::new(0.4, 1)), &[3, 6, 8], |l, x| l.forward(x, TRAIN));
}

#[test]
fn improved_transformer_gradients_are_right_on_both_axes() {
    for recurrence in [Recurrence::Frame, Recurrence::Time] {
        let config = ImprovedTransformerConfig {
            size: 8,
            heads: 2,
            hidden: 6,
            lstm_layers: 1,
            recurrence,
            dropout: 0.1,
        };
        check(|p| ImprovedTransformer::new(&p.root(), config), &[3, 6, 8], |l, x| l.forward(x, TRAIN));
    }
}

#[test]
fn network_gradients_are_right_for_every_kind() {
    for (resampling, conv) in [(Resampling::Fixed, ConvKind::Gn), (Resampling::Learned, ConvKind::Normal)] {
        let config = WaveUnetConfig {
            features: 8,
            growth: Growth::Add,
            levels: 2,
            stride: 2,
            resampling,
            conv,
            separate: conv == ConvKind::Normal,
            ..Default::default()
        };
        check_network(|p| config.build(p), false);
    }
    for extras in [false, true] {
        let config = WaveUnetDptConfig {
            features: 8,
            growth: Growth::Add,
            levels: 2,
            stride: 2,
            normalise: extras,
            add_up: extras,
            ..Default::default()
        };
        check_network(|p| config.build(p), extras);
    }
}

#[test]
fn band_network_gradients_are_right() {
    let config = small_band_dpt(2);
    check_network(|p| BandDpt::new(p, &config), true);
}

/// With `frozen_mixture` only the parameters' gradients are checked: the network takes the mixture's level as given.
fn check_network<N: Network>(build: impl Fn(&Params) -> Result<N>, frozen_mixture: bool) {
    let frames = build(&Params::fresh(7, &Device::Cpu)).unwrap().window(24).input;
    let shape = [3, 2, frames];
    if frozen_mixture {
        let mixture = random(&shape, 1);
        let scaled = |n: &N, x: &Tensor| n.forward(&mixture, TRAIN)?.broadcast_mul(x);
        check_along(steepest_direction, build, &[1], scaled);
    } else {
        check_along(steepest_direction, build, &shape, |n, x| n.forward(x, TRAIN));
    }
}

#[test]
fn outputs_and_gradients_do_not_depend_on_the_number_of_threads() {
    let config = WaveUnetDptConfig { features: 8, levels: 3, ..Default::default() };
    let bits = |threads: usize| -> Vec<u32> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let params = Params::fresh(7, &Device::Cpu);
            let network = config.build(&params).unwrap();
            let output = network.forward(&random(&[5, 2, network.window(900).input], 1), TRAIN).unwrap();
            let gradients = output.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            let variables = params.into_variables();
            let gradients = variables.values().map(|p| gradients.get(p.var.as_tensor()).unwrap());
            let numbers = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            std::iter::once(&output).chain(gradients).flat_map(numbers).map(f32::to_bits).collect()
        })
    };
    assert!(bits(1) == bits(3));
}

#[test]
fn windows_are_what_the_networks_take_and_give() {
    for resampling in [Resampling::Fixed, Resampling::Learned] {
        for levels in [2, 3, 4] {
            let config = WaveUnetConfig {
                features: 8,
                growth: Growth::Add,
                levels,
                resampling,
                separate: false,
                ..Default::default()
            };
            let network = config.build(&Params::fresh(1, &Device::Cpu)).unwrap();
            for frames in [1, 50, 3000] {
                let window = network.window(frames);
                assert!(window.output >= frames && window.input == window.output + 2 * window.output_start);
                let output = network.forward(&random(&[1, 2, window.input], 1), Mode::Evaluate).unwrap();
                assert_eq!(output.dims(), [1, 4, 2, window.output]);
            }
        }
    }
    // The seed's published window.
    let seed = WaveUnetDptConfig::default().build(&Params::fresh(1, &Device::Cpu)).unwrap();
    let window = seed.window(132_300);
    assert_eq!((window.input, window.output, window.output_start), (137_897, 132_441, 2_728));
}
