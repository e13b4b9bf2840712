//! Resampling: delay, passband, aliases; and separators at other rates.

use std::f64::consts::TAU;

use engine::audio::{AudioBuffer, StreamResampler, resample};
use engine::realtime::{Stream, StreamConfig};
use engine::separator::{HostRate, ResampledSeparator, at_rate, offline};
use engine::{STEMS, Separator};

use crate::support::{Noise, SHARES, Splitter};

fn sine(hertz: f64, rate: u32, frames: usize, delay: f64) -> Vec<f32> {
    (0..frames).map(|n| (TAU * hertz * (n as f64 - delay) / f64::from(rate)).sin() as f32).collect()
}

fn mono(samples: Vec<f32>) -> AudioBuffer {
    AudioBuffer::from_channels(vec![samples]).expect("one channel")
}

fn stereo(seed: u64, frames: usize) -> AudioBuffer {
    AudioBuffer::from_channels(Noise::new(seed).stereo(frames).to_vec()).expect("equal lengths")
}

/// Slow waves: nothing that resampling would lose.
fn band_limited(rate: u32, frames: usize) -> AudioBuffer {
    let waves = |hertz: [f64; 3]| {
        let parts = hertz.map(|hertz| sine(hertz, rate, frames, 0.0));
        (0..frames).map(|n| parts.iter().map(|part| 0.3 * part[n]).sum()).collect()
    };
    AudioBuffer::from_channels(vec![waves([100.0, 440.0, 1_234.0]), waves([55.0, 700.0, 2_345.0])])
        .expect("equal lengths")
}

/// A sine through a stream resampler; the output without the edges where the sine begins, and where it starts.
fn through(hertz: f64, from: u32, to: u32) -> (StreamResampler, usize, Vec<f32>) {
    let mut resampler = StreamResampler::new(1, from, to).expect("a handy ratio");
    let blocks = 8 + 4_096 / resampler.output_block();
    let input = sine(hertz, from, blocks * resampler.input_block(), 0.0);
    let (mut block_in, mut out) = (AudioBuffer::new(1, resampler.input_block()), Vec::new());
    let mut block_out = AudioBuffer::new(1, resampler.output_block());
    for block in input.chunks_exact(resampler.input_block()) {
        block_in.channel_mut(0).copy_from_slice(block);
        resampler.process(&block_in, &mut block_out).expect("right shapes");
        out.extend_from_slice(block_out.channel(0));
    }
    let edge = 2 * resampler.output_block();
    (resampler, edge, out[edge..].to_vec())
}

/// The amplitude of this frequency in the samples.
fn amplitude(samples: &[f32], hertz: f64, rate: u32) -> f64 {
    let (mut re, mut im, mut sum) = (0.0, 0.0, 0.0);
    for (n, &sample) in samples.iter().enumerate() {
        let window = 0.5 - 0.5 * (TAU * (n as f64 + 0.5) / samples.len() as f64).cos();
        let phase = TAU * hertz * n as f64 / f64::from(rate);
        re += window * f64::from(sample) * phase.cos();
        im += window * f64::from(sample) * phase.sin();
        sum += window;
    }
    2.0 * re.hypot(im) / sum
}

fn decibels(ratio: f64) -> f64 {
    20.0 * ratio.log10()
}

#[test]
fn the_delay_is_exactly_what_is_said_at_every_rate() {
    for (from, to) in [
        (44_100, 48_000),
        (48_000, 44_100),
        (44_100, 88_200),
        (96_000, 44_100),
        (44_100, 192_000),
        (384_000, 44_100),
        (8_000, 44_100),
        (44_100, 22_050),
        (32_000, 48_000),
    ] {
        for share in [0.01, 0.2, 0.7] {
            let hertz = share * f64::from(from.min(to)) / 2.0;
            let (resampler, edge, found) = through(hertz, from, to);
            assert_eq!(
                resampler.input_delay() as u64 * u64::from(to),
                resampler.output_delay() as u64 * u64::from(from)
            );
            let delay = resampler.output_delay() as f64 - edge as f64;
            let expected = sine(hertz, to, found.len(), delay);
            let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 2e-4, "{from} -> {to} Hz, {hertz} Hz: {worst}");
        }
    }
}

#[test]
fn the_passband_is_flat_to_20_khz_and_nothing_is_mirrored_into_it() {
    for (from, to) in [(48_000, 44_100), (44_100, 48_000), (96_000, 44_100), (44_100, 96_000)] {
        for hertz in [500.0, 2_000.0, 10_000.0, 18_000.0, 20_000.0] {
            let (_, _, found) = through(hertz, from, to);
            let gain = decibels(amplitude(&found, hertz, to));
            assert!(gain.abs() < 0.01, "{from} -> {to} Hz: {gain} dB at {hertz} Hz");
        }
    }
    for hertz in [22_100.0, 23_900.0] {
        let (_, _, found) = through(hertz, 48_000, 44_100);
        let loudest = found.iter().fold(0.0_f32, |loudest, x| loudest.max(x.abs()));
        assert!(decibels(f64::from(loudest)) < -120.0, "{hertz} Hz comes back at {loudest}");
    }
}

#[test]
fn a_resampled_file_keeps_its_length_and_place() {
    for (from, to, frames) in
        [(44_100, 48_000, 20_000), (48_000, 44_100, 20_001), (44_100, 8_000, 7), (22_050, 44_100, 0)]
    {
        let resampled = resample(&mono(sine(500.0, from, frames, 0.0)), from, to).expect("a handy ratio");
        let expected = (frames as f64 * f64::from(to) / f64::from(from)).round() as usize;
        assert_eq!(resampled.frames(), expected, "{from} -> {to} Hz");
        let ideal = sine(500.0, to, expected, 0.0);
        let inside = 3_000..expected.saturating_sub(3_000).max(3_000);
        for n in inside {
            assert!((resampled.channel(0)[n] - ideal[n]).abs() < 1e-4, "{from} -> {to} Hz, frame {n}");
        }
    }
    let same = stereo(1, 100);
    assert!(resample(&same, 44_100, 44_100).expect("nothing to do") == same);
}

#[test]
fn rates_without_a_handy_ratio_are_refused() {
    for (from, to) in [(44_100, 44_056), (44_100, 0), (0, 44_100), (44_100, 99_991)] {
        let refused = StreamResampler::new(1, from, to).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(refused.contains(&from.to_string()) && refused.contains(&to.to_string()), "{refused}");
    }
    let (separator, _) = Splitter::boxed(44_100, 512, 0);
    let config = StreamConfig { sample_rate: 44_056, max_block: 64, offline: false };
    assert!(Stream::start(separator, config).is_err());
}

#[test]
fn a_separator_at_any_rate_is_aligned_and_its_stems_add_up() {
    for rate in [8_000, 22_050, 32_000, 48_000, 88_200, 96_000, 176_400, 192_000, 384_000] {
        for (hop, latency) in [(64, 0), (1_000, 333), (4_096, 1_764)] {
            let (inner, _) = Splitter::boxed(44_100, hop, latency);
            let mut separator = ResampledSeparator::new(inner, rate).expect("a common rate");
            let delay = separator.spec().latency;
            let least = latency as f64 * f64::from(rate) / 44_100.0;
            assert!(delay as f64 >= least && separator.spec().sample_rate == rate);

            let frames = 3 * delay + 2_000;
            let mixture = band_limited(rate, frames);
            let stems = offline::separate(&mut separator, &mixture, |_, _| {}).expect("separates");
            for (stem, share) in stems.iter().zip(SHARES) {
                for (found, mixed) in stem.iter().zip(mixture.iter()) {
                    // The first and last moments, where the waves begin and end, are not band-limited.
                    for n in delay.max(1_000)..frames - 1_000 {
                        let error = (found[n] - share * mixed[n]).abs();
                        assert!(error < 2e-4, "{rate} Hz, hop {hop}, frame {n}: {error}");
                    }
                }
            }

            // White noise has what the model's rate cannot hold; still nothing is lost.
            let mixture = stereo(7, frames);
            let stems = offline::separate(&mut separator, &mixture, |_, _| {}).expect("separates");
            for (c, mixed) in mixture.iter().enumerate() {
                for (n, mixed) in mixed.iter().enumerate() {
                    let sum: f32 = stems.iter().map(|stem| stem.channel(c)[n]).sum();
                    assert!((sum - mixed).abs() < 1e-6, "{rate} Hz, hop {hop}, frame {n}");
                }
            }
        }
    }
}

#[test]
fn a_resampled_separator_after_a_reset_is_a_fresh_one_and_starts_with_silence() {
    let make =
        || ResampledSeparator::new(Splitter::boxed(44_100, 1_024, 500).0, 48_000).expect("a common rate");
    let (mut used, mixture) = (make(), stereo(2, 9_999));
    let hop = used.spec().hop;
    let mut stems: [AudioBuffer; STEMS] = std::array::from_fn(|_| AudioBuffer::new(2, hop));
    for seed in 0..7 {
        used.process(&stereo(seed, hop), &mut stems).expect("separates");
    }
    let [fresh, again] =
        [&mut make(), &mut used].map(|s| offline::separate(s, &mixture, |_, _| {}).expect("separates"));
    assert!(fresh == again);

    used.reset();
    let mut heard = Vec::new();
    for seed in 0..30 {
        used.process(&stereo(seed, hop), &mut stems).expect("separates");
        heard.extend_from_slice(stems[0].channel(0));
    }
    let latency = used.spec().latency;
    assert!(heard[..latency].iter().all(|&x| x == 0.0));
    assert!(heard[latency..latency + 100].iter().any(|&x| x != 0.0));
}

#[test]
fn a_stream_at_another_rate_gives_the_bits_of_offline_separation_and_adds_up() {
    for (rate, max_block) in [(48_000, 512), (96_000, 2_048), (32_000, 33)] {
        let HostRate { separator: mut offline_separator, step, .. } =
            at_rate(Splitter::boxed(44_100, 2_000, 700).0, rate).expect("a common rate");
        let frames = 12_000;
        let mut mixture = stereo(3, frames);
        // Where numbers become denormal, every thread must compute alike.
        mixture.iter_mut().for_each(|c| c[6_000..].iter_mut().for_each(|x| *x *= 1e-37));
        let expected = offline::separate(&mut offline_separator, &mixture, |_, _| {}).expect("separates");

        let config = StreamConfig { sample_rate: rate, max_block, offline: true };
        let mut stream = Stream::start(Splitter::boxed(44_100, 2_000, 700).0, config).expect("starts");
        let budget = stream.latency();
        assert_eq!(budget.slack as usize, max_block.max(step));
        assert_eq!(budget.separator as u64, (700 * u64::from(rate)).div_ceil(44_100));
        assert!(budget.resampling > 0 && budget.hop as u64 >= 2_000 * u64::from(rate) / 44_100);
        let (delay, silence, mut at) = (budget.total() as usize, vec![0.0; max_block], 0);
        while at < frames + delay {
            let n = max_block.min(frames.saturating_sub(at));
            let n = if n == 0 { max_block } else { n };
            let out =
                stream.process([0, 1].map(|c| mixture.channel(c).get(at..at + n).unwrap_or(&silence[..n])));
            for i in 0..n {
                let Some(k) = (at + i).checked_sub(delay).filter(|&k| k < frames) else { continue };
                for c in 0..2 {
                    assert_eq!(out.dry[c][i], mixture.channel(c)[k]);
                    let sum: f32 = out.stems.iter().map(|stem| stem[c][i]).sum();
                    assert!((sum - out.dry[c][i]).abs() < 1e-6);
                    (0..STEMS).for_each(|s| assert_eq!(out.stems[s][c][i], expected[s].channel(c)[k], "{k}"));
                }
            }
            at += n;
        }
    }
}
