//! The stream on kernels against the network by candle's operations.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};

use super::*;
use crate::kernels::tests::noise;
use crate::model::{BandDpt, Mode, Network, Params};
use crate::separator::offline;

/// Small, and nothing a power of two.
fn small() -> BandDptConfig {
    BandDptConfig {
        analysis_window: 96,
        synthesis_window: 48,
        hop: 24,
        bands: vec![3, 5, 9, 32],
        size: 12,
        blocks: 2,
        heads: 3,
        attention_span: 7,
        time_hidden: 10,
        band_hidden: 5,
        mask_hidden: 9,
        taps: 2,
    }
}

/// Weights far from the start, where masks are nearly equal.
fn weights(config: &BandDptConfig) -> BTreeMap<String, Tensor> {
    let params = Params::fresh(3, &Device::Cpu);
    BandDpt::new(&params, config).unwrap();
    let moved = |(index, (name, parameter)): (usize, (String, crate::model::Parameter))| {
        let shape = parameter.var.shape().clone();
        let by = Tensor::from_vec(noise(shape.elem_count(), index as u64), &shape, &Device::Cpu).unwrap();
        (name, (parameter.var.as_tensor() + (by * 0.2).unwrap()).unwrap().detach())
    };
    params.into_variables().into_iter().enumerate().map(moved).collect()
}

/// Noise that swells and fades, with pauses.
fn music(frames: usize) -> AudioBuffer {
    let channels = [1, 2].map(|seed| {
        let samples = noise(frames, seed).into_iter().enumerate();
        let level = |n: usize| (0.5 + 0.5 * (n as f32 * 3e-4 * seed as f32).sin()).powi(4);
        samples.map(|(n, x)| if n % 20_000 < 18_000 { 0.7 * x * level(n) } else { 0.0 }).collect::<Vec<f32>>()
    });
    AudioBuffer::from_channels(channels.into()).unwrap()
}

/// Largest difference, and energy of the difference against the network's own output in dB.
fn difference(config: &BandDptConfig, isa: Isa, precision: Precision, frames: usize) -> (f32, f64) {
    let tensors = weights(config);
    let mixture = music(frames);
    let network = BandDpt::new(&Params::loaded(tensors.clone(), &Device::Cpu), config).unwrap();
    let whole = frames.next_multiple_of(config.hop) + config.latency().next_multiple_of(config.hop);
    let padded: Vec<f32> =
        mixture.iter().flat_map(|channel| channel.iter().copied().chain(vec![0.0; whole - frames])).collect();
    let input = Tensor::from_vec(padded, (1, 2, whole), &Device::Cpu).unwrap();
    let expected = network.forward(&input, Mode::Evaluate).unwrap();
    let expected = expected.flatten_to(2).unwrap().to_vec2::<f32>().unwrap();

    let mut separator = StreamingSeparator::with_isa(config, &tensors, 44_100, precision, isa).unwrap();
    let stems = offline::separate(&mut separator, &mixture, |_, _| ()).unwrap();
    let (mut largest, mut error, mut energy) = (0.0f32, 0.0, 0.0);
    for (found, expected) in stems.iter().flat_map(AudioBuffer::iter).zip(&expected) {
        for (a, b) in found.iter().zip(expected) {
            largest = largest.max((a - b).abs());
            error += f64::from(a - b).powi(2);
            energy += f64::from(*b).powi(2);
        }
    }
    assert!(energy > 1.0, "the network gives something to compare: {energy}");
    (largest, 10.0 * (error / energy).log10())
}

#[test]
fn a_stream_is_the_network_on_the_whole_file_in_every_instruction_set() {
    for &isa in Isa::available() {
        for config in [
            small(),
            BandDptConfig { taps: 1, attention_span: 0, ..small() },
            BandDptConfig { synthesis_window: 96, attention_span: 40, ..small() },
        ] {
            let (largest, decibels) = difference(&config, isa, Precision::F32, 9_000);
            assert!(largest <= 1e-4 && decibels <= -90.0, "{isa:?}: {largest} {decibels} dB");
        }
    }
}

#[test]
fn live_sizes_of_every_hop_are_the_network_and_half_precision_is_near() {
    let variants = [(512, 256), (256, 128), (1024, 512)];
    for (synthesis_window, hop) in variants {
        let config = BandDptConfig { synthesis_window, hop, blocks: 2, ..BandDptConfig::default() };
        let (largest, decibels) = difference(&config, Isa::best(), Precision::F32, 44_100);
        assert!(largest <= 1e-4 && decibels <= -90.0, "{hop}: {largest} {decibels} dB");
        let (_, decibels) = difference(&config, Isa::best(), Precision::F16, 22_050);
        assert!(decibels <= -60.0, "{hop}: {decibels} dB");
    }
}

#[test]
fn stems_add_up_silence_stays_silent_and_bad_input_leaves_no_trace() {
    let config = small();
    let tensors = weights(&config);
    let mut separator = StreamingSeparator::new(&config, &tensors, 44_100, Precision::F16).unwrap();
    let mut mixture = music(4_000);
    let stems = offline::separate(&mut separator, &mixture, |_, _| ()).unwrap();
    for (channel, mixed) in mixture.iter().enumerate() {
        for (n, mixed) in mixed.iter().enumerate() {
            let sum: f32 = stems.iter().map(|stem| stem.channel(channel)[n]).sum();
            assert!((sum - mixed).abs() < 1e-6);
        }
    }
    mixture.channel_mut(0)[1_000..1_500].fill(0.0);
    let clean = offline::separate(&mut separator, &mixture, |_, _| ()).unwrap();
    mixture.channel_mut(0)[1_000..1_500].fill(f32::NAN);
    let marred = offline::separate(&mut separator, &mixture, |_, _| ()).unwrap();
    assert!(clean == marred, "what is not finite counts as silence");

    let silence = AudioBuffer::new(2, config.hop);
    let mut out: [AudioBuffer; STEMS] = std::array::from_fn(|_| AudioBuffer::new(2, config.hop));
    for hop in 0..40 {
        separator.process(&silence, &mut out).unwrap();
        let quiet = out.iter().flat_map(AudioBuffer::iter).flatten().all(|x| *x == 0.0);
        assert!(quiet || hop < (config.analysis_window + config.synthesis_window) / config.hop);
    }
    separator.reset();
    let again = offline::separate(&mut separator, &mixture, |_, _| ()).unwrap();
    assert!(again == marred, "nothing is left after a reset");
}

#[test]
fn weights_that_do_not_fit_are_named() {
    let config = small();
    let mut tensors = weights(&config);
    let build = |tensors: &BTreeMap<String, Tensor>| {
        let built = StreamingSeparator::new(&config, tensors, 44_100, Precision::F32);
        built.err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(build(&tensors), "");
    tensors.insert("split.1.bias".into(), Tensor::zeros(3, candle_core::DType::F32, &Device::Cpu).unwrap());
    assert!(build(&tensors).contains("split.1.bias"), "{}", build(&tensors));
    let mut tensors = weights(&config);
    tensors.remove("blocks.0.time.gru.weight_hh");
    assert!(build(&tensors).contains("blocks.0.time.gru.weight_hh"));
}
