//! Live as the plugin plays it, against its network by candle's operations on the whole file.

use candle_core::{Device, Tensor};
use engine::STEMS;
use engine::audio::AudioBuffer;
use engine::model::Mode;
use engine::realtime::{Stream, StreamConfig};
use engine::separator::Precision;

use super::*;
use crate::metrics::plain_sdr::sdr;
use crate::rng::Rng;
use crate::synth::Generator;

type Stems = [AudioBuffer; STEMS];

/// Live with weights as training has them, before they are rounded to the file's half precision.
fn unrounded() -> Checkpoint {
    let live = checkpoint("live").unwrap();
    let mut rng = Rng::new(1, &[]);
    let tensors = live.tensors().iter().map(|(name, tensor)| {
        let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        // Up to half a unit in the last of a half's 11 bits.
        let moved: Vec<f32> = values.into_iter().map(|w| w * (1.0 + rng.range(-1.0, 1.0) / 2048.0)).collect();
        (name.clone(), Tensor::from_vec(moved, tensor.shape(), &Device::Cpu).unwrap())
    });
    Checkpoint::new(live.header().clone(), tensors.collect(), "unrounded").unwrap()
}

/// The network on the whole mixture at once.
fn whole(checkpoint: &Checkpoint, mixture: &AudioBuffer) -> Stems {
    let network = checkpoint.network();
    let window = network.window(mixture.frames());
    let padded = mixture.iter().flat_map(|channel| {
        channel.iter().copied().chain(std::iter::repeat_n(0.0, window.input - mixture.frames()))
    });
    let input = Tensor::from_vec(padded.collect(), (1, 2, window.input), &Device::Cpu).unwrap();
    let stems = network.forward(&input, Mode::Evaluate).unwrap().squeeze(0).unwrap();
    std::array::from_fn(|stem| {
        let channels = stems.get(stem).unwrap().narrow(1, 0, mixture.frames()).unwrap();
        AudioBuffer::from_channels(channels.to_vec2::<f32>().unwrap()).unwrap()
    })
}

/// What comes out of the plugin's stream when a host plays the mixture in blocks of random sizes.
fn played(checkpoint: &Checkpoint, precision: Precision, mixture: &AudioBuffer) -> Stems {
    let config = StreamConfig { sample_rate: 44_100, max_block: 2_000, offline: true };
    let mut stream = Stream::start(checkpoint.streaming(precision).unwrap(), config).unwrap();
    let latency = stream.latency().total() as usize;
    let silence = vec![0.0; latency];
    let input = [0, 1].map(|channel| [mixture.channel(channel), &silence].concat());
    let mut stems = [(); STEMS].map(|()| [Vec::new(), Vec::new()]);
    let (mut rng, mut done) = (Rng::new(2, &[]), 0);
    while done < input[0].len() {
        let end = (done + rng.below(config.max_block + 1)).min(input[0].len());
        let block = stream.process([&input[0][done..end], &input[1][done..end]]);
        for (stem, played) in stems.iter_mut().zip(block.stems) {
            stem.iter_mut().zip(played).for_each(|(all, new)| all.extend(new));
        }
        done = end;
    }
    stems.map(|stem| AudioBuffer::from_channels(stem.map(|c| c[latency..].to_vec()).into()).unwrap())
}

/// Largest difference, and energy of the difference against that of what is expected, in dB.
fn difference(found: &Stems, expected: &Stems) -> (f32, f64) {
    let samples = |stems: &'_ Stems| stems.iter().flat_map(AudioBuffer::iter).flatten().copied().collect();
    let (found, expected): (Vec<f32>, Vec<f32>) = (samples(found), samples(expected));
    assert_eq!(found.len(), expected.len());
    let largest = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let error: f64 = found.iter().zip(&expected).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    let energy: f64 = expected.iter().map(|x| f64::from(*x).powi(2)).sum();
    (largest, 10.0 * (error / energy).log10())
}

#[test]
fn a_minute_in_blocks_of_any_size_is_the_network_on_the_whole_and_half_precision_costs_no_quality() {
    let live = unrounded();
    let song = Generator::default().song(5, 60.0);
    let mut mixture = AudioBuffer::new(2, song[0].frames());
    for (mixed, stem) in song.iter().flat_map(|stem| stem.iter().enumerate()) {
        mixture.channel_mut(mixed).iter_mut().zip(stem).for_each(|(mixed, x)| *mixed += x);
    }
    let expected = whole(&live, &mixture);
    let exact = played(&live, Precision::F32, &mixture);
    let (largest, decibels) = difference(&exact, &expected);
    println!("f32: largest difference {largest:e}, {decibels:.1} dB");
    assert!(largest <= 1e-4 && decibels <= -90.0, "{largest} {decibels} dB");

    let half = played(&live, Precision::F16, &mixture);
    let (_, decibels) = difference(&half, &expected);
    println!("f16: {decibels:.1} dB");
    assert!((-120.0..=-60.0).contains(&decibels), "weights were rounded, and it hardly shows: {decibels} dB");
    for (stem, reference) in song.iter().enumerate() {
        let of = |stems: &Stems| sdr(reference, &stems[stem]).expect("this song has all stems");
        println!("stem {stem}: {:.3} dB in f32, {:.3} dB in f16", of(&exact), of(&half));
        assert!((of(&half) - of(&exact)).abs() <= 0.02);
    }
}
