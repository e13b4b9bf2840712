//! The chunked separator and offline separation.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};

use candle_core::{Device, Tensor};
use engine::audio::AudioBuffer;
use engine::checkpoint::{Checkpoint, FORMAT, Header, Provenance};
use engine::model::layers::Recurrence;
use engine::model::{Architecture, Mode, Network, Params, WaveUnetDptConfig, Window};
use engine::realtime::{Stream, StreamConfig};
use engine::separator::{ChunkPlan, ChunkedSeparator, WINDOWS_AT_ONCE, offline};
use engine::{STEMS, Separator, Stem};

use crate::networks::Filters;
use crate::support::Noise;

const RATE: u32 = 44_100;
const PLAN: ChunkPlan = ChunkPlan { hop: 100, lookahead: 40, crossfade: 30, context: 50 };

fn separator(network: Filters, plan: ChunkPlan) -> ChunkedSeparator {
    ChunkedSeparator::new(Arc::new(network), RATE, plan).expect("a plan that fits the network")
}

fn noise(seed: u64, frames: usize) -> AudioBuffer {
    AudioBuffer::from_channels(Noise::new(seed).stereo(frames).to_vec()).expect("equal lengths")
}

fn separate(separator: &mut dyn Separator, mixture: &AudioBuffer) -> [AudioBuffer; STEMS] {
    offline::separate(separator, mixture, |_, _| {}).expect("separates")
}

/// The largest difference between the sum of the stems and the mixture.
fn sum_error(stems: &[AudioBuffer; STEMS], mixture: &AudioBuffer) -> f32 {
    let mut worst = 0.0_f32;
    for (c, mixture) in mixture.iter().enumerate() {
        for (n, mixed) in mixture.iter().enumerate() {
            worst = worst.max((stems.iter().map(|stem| stem.channel(c)[n]).sum::<f32>() - mixed).abs());
        }
    }
    worst
}

#[test]
fn windows_of_any_layout_give_what_one_window_over_the_whole_file_would() {
    let (mixture, network) = (noise(1, 3_210), Filters::consistent());
    for plan in [
        PLAN,
        ChunkPlan { crossfade: 0, ..PLAN },
        ChunkPlan { hop: 1, lookahead: 21, crossfade: 1, context: 0 },
        ChunkPlan { hop: 64, lookahead: 500, crossfade: 64, context: 1_000 },
        ChunkPlan { hop: 5_000, ..PLAN },
    ] {
        let mut separator = separator(Filters::consistent(), plan);
        assert_eq!(separator.spec().latency, plan.lookahead + plan.crossfade);
        let stems = separate(&mut separator, &mixture);
        for (s, stem) in stems.iter().enumerate() {
            assert_eq!(stem.frames(), mixture.frames());
            for (c, channel) in stem.iter().enumerate() {
                for (n, &sample) in channel.iter().enumerate() {
                    let expected = network.apply(s, mixture.channel(c), n);
                    assert!((sample - expected).abs() < 1e-6, "{plan:?} stem {s} frame {n}");
                }
            }
        }
    }
}

#[test]
fn stems_add_up_to_the_mixture_even_if_the_network_s_do_not() {
    let mixture = noise(2, 5_000);
    let stems = separate(&mut separator(Filters::inconsistent(), PLAN), &mixture);
    assert!(sum_error(&stems, &mixture) < 1e-6);
    // The loudest stem of the network takes most of the residual, the silent one next to nothing.
    let energy = |stem: &AudioBuffer| stem.iter().flatten().map(|x| x * x).sum::<f32>();
    assert!(energy(&stems[0]) > 5.0 * energy(&stems[1]));
    assert!(energy(&stems[3]) < 0.01 * energy(&stems[0]));
}

#[test]
fn a_silent_stream_is_silent_without_running_the_network() {
    let network = Filters { bias: f32::NAN, ..Filters::consistent() };
    let mut mixture = AudioBuffer::new(2, 1_000);
    mixture.channel_mut(0).fill(9e-8);
    let stems = separate(&mut separator(network, PLAN), &mixture);
    assert!(stems.iter().flat_map(AudioBuffer::iter).flatten().all(|&x| x == 0.0));
}

#[test]
fn silence_follows_the_music_and_nothing_precedes_it() {
    let mut mixture = noise(3, 4_000);
    mixture.iter_mut().for_each(|c| c[2_000..].fill(0.0));
    let mut separator = separator(Filters::inconsistent(), PLAN);
    let stems = separate(&mut separator, &mixture);
    assert!(sum_error(&stems, &mixture) < 1e-6);
    // The window is 37 + 160 + 21 frames long, and a crossfade follows it.
    assert!(stems.iter().flat_map(AudioBuffer::iter).all(|c| c[2_400..].iter().all(|&x| x == 0.0)));

    separator.reset();
    let (mut hop, latency) = (AudioBuffer::new(2, PLAN.hop), PLAN.latency());
    hop.iter_mut().for_each(|c| c.fill(0.5));
    let mut stems: [AudioBuffer; STEMS] = std::array::from_fn(|_| AudioBuffer::new(2, PLAN.hop));
    separator.process(&hop, &mut stems).expect("separates");
    for channel in stems.iter().flat_map(AudioBuffer::iter) {
        assert!(channel[..latency].iter().all(|&x| x == 0.0), "silence before the first frame");
    }
    let sum: f32 = stems.iter().map(|stem| stem.channel(0)[latency]).sum();
    assert!((sum - 0.5).abs() < 1e-6);
}

#[test]
fn a_network_s_nan_costs_one_window_and_no_input_poisons_the_next() {
    let mut mixture = noise(4, 6_000);
    mixture.channel_mut(1)[1_000] = 2.0;
    let network = || Filters { nan_above: 1.5, ..Filters::inconsistent() };
    let stems = separate(&mut separator(network(), PLAN), &mixture);
    assert!(sum_error(&stems, &mixture) < 1e-6);
    let quarter = mixture.channel(1)[1_000] / STEMS as f32;
    assert!(stems.iter().any(|stem| (stem.channel(1)[1_000] - quarter).abs() < 1e-6));

    let mut bad = mixture.clone();
    bad.channel_mut(0)[3_000] = f32::NAN;
    bad.channel_mut(1)[3_001] = f32::NEG_INFINITY;
    let mut clean = mixture;
    clean.channel_mut(0)[3_000] = 0.0;
    clean.channel_mut(1)[3_001] = 0.0;
    let good = separate(&mut separator(network(), PLAN), &clean);
    assert!(separate(&mut separator(network(), PLAN), &bad) == good);
}

#[test]
fn a_reset_separator_is_a_fresh_one() {
    let mixture = noise(5, 1_234);
    let mut used = separator(Filters::inconsistent(), PLAN);
    let mut hop_out: [AudioBuffer; STEMS] = std::array::from_fn(|_| AudioBuffer::new(2, PLAN.hop));
    for seed in 0..5 {
        used.process(&noise(seed, PLAN.hop), &mut hop_out).expect("separates");
    }
    let fresh = separate(&mut separator(Filters::inconsistent(), PLAN), &mixture);
    assert!(separate(&mut used, &mixture) == fresh);
}

#[test]
fn a_stream_of_any_blocks_gives_the_bits_of_offline_separation() {
    let frames = 4_000;
    let mixture = noise(6, frames);
    let expected = separate(&mut separator(Filters::inconsistent(), PLAN), &mixture);
    for max_block in [1, 64, 333] {
        let config = StreamConfig { sample_rate: RATE, max_block, offline: true };
        let mut stream =
            Stream::start(Box::new(separator(Filters::inconsistent(), PLAN)), config).expect("starts");
        let delay = stream.latency().total() as usize;
        let (mut sizes, mut at) = (Noise::new(7), 0);
        let silence = vec![0.0; max_block];
        while at < frames + delay {
            let n = sizes.size(max_block).min(frames.saturating_sub(at)).max(usize::from(at >= frames));
            let input = [0, 1].map(|c| mixture.channel(c).get(at..at + n).unwrap_or(&silence[..n]));
            let out = stream.process(input);
            for i in 0..n {
                let Some(k) = (at + i).checked_sub(delay) else { continue };
                for (s, stem) in expected.iter().enumerate() {
                    (0..2).for_each(|c| assert_eq!(out.stems[s][c][i], stem.channel(c)[k], "frame {k}"));
                }
            }
            at += n;
        }
    }
}

#[test]
fn windows_that_overlap_more_are_as_long_and_give_the_same_song_of_a_network_without_edges() {
    let plan = PLAN.with_overlap(0.5).expect("a half is possible");
    assert_eq!(plan.hop + plan.crossfade, PLAN.hop + PLAN.crossfade);
    assert!(plan.crossfade > PLAN.crossfade && plan.hop < PLAN.hop);
    let mixture = noise(9, 1_234);
    let [usual, overlapping] =
        [PLAN, plan].map(|plan| separate(&mut separator(Filters::consistent(), plan), &mixture));
    for (usual, overlapping) in usual.iter().zip(&overlapping) {
        for (usual, overlapping) in usual.iter().flatten().zip(overlapping.iter().flatten()) {
            assert!((usual - overlapping).abs() < 1e-5, "{usual} {overlapping}");
        }
    }
    assert!(PLAN.with_overlap(0.51).is_err() && PLAN.with_overlap(f64::NAN).is_err());
}

#[test]
fn a_song_that_comes_block_by_block_gives_the_bits_of_the_whole() {
    let mixture = noise(10, 950);
    let whole = separate(&mut separator(Filters::inconsistent(), PLAN), &mixture);
    let mut taken = 0;
    let mut stems = [const { [Vec::new(), Vec::new()] }; STEMS];
    let source = |hop: &mut AudioBuffer| {
        let count = hop.frames().min(950 - taken);
        for (hop, mixture) in hop.iter_mut().zip(mixture.iter()) {
            hop[..count].copy_from_slice(&mixture[taken..taken + count]);
            // What a source leaves behind its frames is not part of the song.
            hop[count..].fill(0.5);
        }
        taken += count;
        Ok(count)
    };
    let sink = |hops: &[AudioBuffer; STEMS], frames: std::ops::Range<usize>| {
        for (stem, hop) in stems.iter_mut().zip(hops) {
            stem.iter_mut().zip(hop.iter()).for_each(|(stem, hop)| stem.extend(&hop[frames.clone()]));
        }
        Ok(())
    };
    offline::stream(&mut separator(Filters::inconsistent(), PLAN), source, sink).expect("separates");
    let stems = stems.map(|channels| AudioBuffer::from_channels(channels.into()).expect("equal lengths"));
    assert!(stems == whole);
}

#[test]
fn progress_ends_with_everything_done() {
    let mut calls = Vec::new();
    let mut separator = separator(Filters::consistent(), PLAN);
    offline::separate(&mut separator, &noise(8, 950), |done, all| calls.push((done, all)))
        .expect("separates");
    assert!(calls.is_sorted());
    assert_eq!(calls.last(), Some(&(950, 950)));
    let empty = offline::separate(&mut separator, &AudioBuffer::new(2, 0), |_, _| {}).expect("separates");
    assert!(empty.iter().all(|stem| stem.frames() == 0));
    assert!(offline::separate(&mut separator, &AudioBuffer::new(1, 100), |_, _| {}).is_err());
}

#[test]
fn plans_that_cannot_run_are_refused_with_the_reason() {
    for (plan, reason) in [
        (ChunkPlan { hop: 0, crossfade: 0, ..PLAN }, "at least one frame"),
        (ChunkPlan { crossfade: 101, ..PLAN }, "at least the crossfade"),
        (ChunkPlan { lookahead: 20, ..PLAN }, "lookahead of at least 21"),
        (ChunkPlan { context: usize::MAX, ..PLAN }, "longer than"),
    ] {
        let refused = ChunkedSeparator::new(Arc::new(Filters::consistent()), RATE, plan);
        let error = refused.err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains(reason), "{plan:?}: {error}");
    }
    let mut separator = separator(Filters::consistent(), PLAN);
    let mut stems: [AudioBuffer; STEMS] = std::array::from_fn(|_| AudioBuffer::new(2, PLAN.hop));
    assert!(separator.process(&AudioBuffer::new(2, PLAN.hop + 1), &mut stems).is_err());
    assert!(separator.process(&AudioBuffer::new(1, PLAN.hop), &mut stems).is_err());
}

/// Another network's work, until it fails: a card that is lost in mid-stream.
struct FailsAfter {
    network: Filters,
    windows: AtomicUsize,
}

impl Network for FailsAfter {
    fn window(&self, output_frames: usize) -> Window {
        self.network.window(output_frames)
    }

    fn forward(&self, mixture: &Tensor, mode: Mode) -> candle_core::Result<Tensor> {
        let count = mixture.dim(0)?;
        let left = self.windows.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(count));
        if left.is_err() {
            candle_core::bail!("the card has fallen off the bus");
        }
        self.network.forward(mixture, mode)
    }

    fn macs(&self, input_frames: usize) -> u64 {
        self.network.macs(input_frames)
    }
}

#[test]
fn a_card_that_fails_in_mid_stream_leaves_no_trace_in_the_stems() {
    let mixture = noise(8, 2_345);
    let expected = separate(&mut separator(Filters::consistent(), PLAN), &mixture);
    // Other filters on the card would be heard, so whose windows are whose is certain, too.
    for (card, same) in [(Filters::consistent(), true), (Filters::inconsistent(), false)] {
        let card = Arc::new(FailsAfter { network: card, windows: AtomicUsize::new(1 + 4) });
        let mut separator = separator(Filters::consistent(), PLAN);
        separator
            .use_card(card.clone(), Device::Cpu, WINDOWS_AT_ONCE)
            .expect("the first window is within its life");
        let stems = separate(&mut separator, &mixture);
        assert_eq!(card.windows.load(SeqCst), 0);
        assert_eq!(stems == expected, same);
        for (stem, expected) in stems.iter().zip(&expected) {
            // Four windows of 100 frames, 70 of latency, and the last one's crossfade.
            assert_eq!(stem.channel(0)[400..], expected.channel(0)[400..]);
        }
    }
    let dead = Arc::new(FailsAfter { network: Filters::consistent(), windows: AtomicUsize::new(0) });
    let mut separator = separator(Filters::consistent(), PLAN);
    assert!(separator.use_card(dead, Device::Cpu, WINDOWS_AT_ONCE).is_err());
    assert!(separate(&mut separator, &mixture) == expected);
}

/// The LSTM along the batch, as the seed was released, hears each item in the next.
#[test]
fn a_network_that_mixes_items_gets_its_windows_one_by_one_on_a_card_too() {
    let mixture = noise(8, 44_100);
    for (recurrence, at_once) in [(Recurrence::Frame, 1), (Recurrence::Time, WINDOWS_AT_ONCE)] {
        let config = WaveUnetDptConfig { features: 8, levels: 3, recurrence, ..Default::default() };
        let architecture = Architecture::WaveUnetDpt(config);
        let params = Params::fresh(7, &Device::Cpu);
        let network = architecture.build(&params).unwrap();
        let tensors =
            params.into_variables().into_iter().map(|(name, p)| (name, p.var.as_detached_tensor())).collect();
        let plan = ChunkPlan { hop: 2_048, lookahead: 512, crossfade: 256, context: 2_048 };
        let provenance = Provenance {
            data: String::new(),
            data_licence: String::new(),
            recipe: String::new(),
            seed: 0,
            steps: 0,
            trainer: String::new(),
            date: String::new(),
        };
        let header = Header {
            format: FORMAT,
            architecture,
            sample_rate: RATE,
            channels: 2,
            stems: Stem::ALL.to_vec(),
            consistency: true,
            chunk: Some(plan),
            provenance,
            metrics: Vec::new(),
        };
        let checkpoint = Checkpoint::new(header, tensors, "test").unwrap();
        assert_eq!(checkpoint.windows_at_once(), at_once);
        let chunked = || ChunkedSeparator::new(network.clone(), RATE, plan).unwrap();
        let mut on_card = chunked();
        on_card.use_card(network.clone(), Device::Cpu, checkpoint.windows_at_once()).unwrap();
        let (expected, found) = (separate(&mut chunked(), &mixture), separate(&mut on_card, &mixture));
        for (expected, found) in expected.iter().zip(&found) {
            for (x, y) in expected.iter().flatten().zip(found.iter().flatten()) {
                assert!((x - y).abs() < 1e-5, "{recurrence:?}: {x} and {y}");
            }
        }
    }
}

/// What a network is asked for, and how often.
struct Counted {
    network: Filters,
    /// Windows of each call.
    calls: Mutex<Vec<usize>>,
    /// More windows than this at once are refused, as by a card without the memory for them.
    most: usize,
}

impl Network for Counted {
    fn window(&self, output_frames: usize) -> Window {
        self.network.window(output_frames)
    }

    fn forward(&self, mixture: &Tensor, mode: Mode) -> candle_core::Result<Tensor> {
        self.calls.lock().unwrap().push(mixture.dim(0)?);
        if mixture.dim(0)? > self.most {
            candle_core::bail!("out of memory");
        }
        self.network.forward(mixture, mode)
    }

    fn macs(&self, input_frames: usize) -> u64 {
        self.network.macs(input_frames)
    }
}

#[test]
fn offline_a_card_gets_several_windows_at_once_and_fewer_when_its_memory_is_short() {
    // Silence between two sounds: windows that are silent are not run at all.
    let mut mixture = noise(8, 4_345);
    mixture.iter_mut().for_each(|channel| channel[1_200..2_400].fill(0.0));
    let expected =
        offline::separate(&mut separator(Filters::consistent(), PLAN), &mixture, |_, _| ()).unwrap();
    for (most, first) in [(usize::MAX, vec![1, 8]), (5, vec![1, 8, 1, 1])] {
        let card = Arc::new(Counted { network: Filters::consistent(), calls: Mutex::default(), most });
        let mut separator = separator(Filters::consistent(), PLAN);
        separator.use_card(card.clone(), Device::Cpu, WINDOWS_AT_ONCE).unwrap();
        let mut progress = Vec::new();
        let stems = offline::separate(&mut separator, &mixture, |done, _| progress.push(done)).unwrap();
        assert!(stems == expected);
        let calls = card.calls.lock().unwrap().clone();
        assert!(calls.starts_with(&first), "{calls:?}");
        // 45 hops of 100 frames, of which 10 are silent: one window each, and the one of warming up.
        let run: usize = calls.iter().filter(|count| **count <= most).sum();
        assert_eq!(run, 1 + 35, "{calls:?}");
        assert!(progress.is_sorted() && progress.last() == Some(&mixture.frames()));
    }
}
