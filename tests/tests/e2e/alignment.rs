//! The reported latency is the true one, at every rate and block size, for the main bus, for the stems' sum,
//! and for each stem by itself.

use anyhow::{Result, ensure};
use engine::Stem;
use engine::audio::AudioBuffer;
use tests::measure::peak_frame;
use tests::play::{Blocks, from_frame, padded};
use tests::plugin::{Format, Setup};

use crate::support::*;

const RATES: [u32; 3] = [44_100, 48_000, 96_000];
const BLOCKS: [Blocks; 5] =
    [Blocks::Fixed(32), Blocks::Fixed(64), Blocks::Fixed(512), Blocks::Fixed(2048), Blocks::Varying(2048)];

/// An impulse, silence, and a little music.
fn signal(sample_rate: u32) -> AudioBuffer {
    let mut signal = padded(&AudioBuffer::new(2, IMPULSE_WINDOW), sample_rate as usize / 5);
    let music = music(200, sample_rate, 3);
    let start = signal.frames() - music.frames();
    for (to, from) in signal.iter_mut().zip(music.iter()) {
        to[IMPULSE] = 0.5;
        to[start..].copy_from_slice(from);
    }
    signal
}

/// Where the impulse is, and where the silence behind it ends at the earliest.
const IMPULSE: usize = 777;
const IMPULSE_WINDOW: usize = 2_500;

fn check_rate(format: Format, sample_rate: u32) -> Result<()> {
    let signal = signal(sample_rate);
    for blocks in BLOCKS {
        let mut plugin = activate(format, Setup::offline(sample_rate, blocks.largest()))?;
        let latency = plugin.latency()?;
        let take = play_through(&mut *plugin, &signal, blocks)?;
        let early = |audio: &AudioBuffer| {
            let end = latency + IMPULSE_WINDOW;
            let channels = audio.iter().map(|channel| channel[..end].to_vec()).collect();
            AudioBuffer::from_channels(channels).unwrap_or_default()
        };
        for (name, audio) in [("main bus", &take.main), ("stems' sum", &take.sum()?)] {
            let found = peak_frame(&early(audio));
            ensure!(
                found == IMPULSE + latency,
                "{blocks:?}: the impulse in the {name} is at {found}, not at {IMPULSE} + {latency}"
            );
        }
        expect_delayed(&take.main, &signal, latency)?;
        expect_sum(&take, &signal, latency)?;
    }
    Ok(())
}

in_both_hosts! {
    fn main_bus_and_stems_are_late_by_the_reported_latency_at_44100_hz(format: Format) {
        check_rate(format, RATES[0])
    }

    fn main_bus_and_stems_are_late_by_the_reported_latency_at_48000_hz(format: Format) {
        check_rate(format, RATES[1])
    }

    fn main_bus_and_stems_are_late_by_the_reported_latency_at_96000_hz(format: Format) {
        check_rate(format, RATES[2])
    }
}

/// The stems add up to the input by construction, so their sum says nothing about each. At other rates than the
/// model's, each must lie where it lies at the model's rate.
#[test]
fn every_stem_at_48000_hz_lies_where_it_lies_at_the_models_rate() {
    passes(compare_rates());
}

fn compare_rates() -> Result<()> {
    let at_model_rate = music(1500, MODEL_RATE, 4);
    let at_host_rate = engine::audio::resample(&at_model_rate, MODEL_RATE, 48_000)?;
    let stems = |signal: &AudioBuffer, sample_rate: u32| -> Result<_> {
        let mut plugin = activate(Format::Clap, Setup::offline(sample_rate, 512))?;
        let latency = plugin.latency()?;
        let take = play_through(&mut *plugin, signal, Blocks::Fixed(512))?;
        Ok(take.stems()?.each_ref().map(|stem| from_frame(stem, latency)))
    };
    let expected = stems(&at_model_rate, MODEL_RATE)?;
    let found = stems(&at_host_rate, 48_000)?;
    for stem in Stem::ALL {
        let expected = engine::audio::resample(&expected[stem as usize], MODEL_RATE, 48_000)?;
        let lag = best_lag(&found[stem as usize], &expected, 300);
        ensure!(lag == 0, "the {stem} are late by {lag} frames");
    }
    Ok(())
}

/// By how many frames `found` is later than `expected`, by correlation.
fn best_lag(found: &AudioBuffer, expected: &AudioBuffer, most: isize) -> isize {
    let frames = found.frames().min(expected.frames()) as isize;
    let correlation = |lag: isize| -> f64 {
        let inside = most..frames - most;
        let products = |(found, expected): (&[f32], &[f32])| -> f64 {
            let product =
                |frame: isize| f64::from(found[frame as usize]) * f64::from(expected[(frame - lag) as usize]);
            inside.clone().map(product).sum()
        };
        found.iter().zip(expected.iter()).map(products).sum()
    };
    (-most..=most).max_by(|a, b| correlation(*a).total_cmp(&correlation(*b))).unwrap_or(0)
}
