//! Live and Studio: what is chosen runs after a restart by the host, and never before it.

use anyhow::{Context, Result, ensure};
use engine::audio::AudioBuffer;
use serde_json::Value;
use tests::model::{self, Model, choose};
use tests::play::{Blocks, play};
use tests::plugin::{Format, Plugin, Setup};

use crate::support::*;

const BLOCKS: Blocks = Blocks::Fixed(512);
const SETUP: Setup = Setup {
    sample_rate: MODEL_RATE,
    promised_block: 512,
    largest_block: 512,
    offline: true,
    mono: false,
    wiring: tests::plugin::Wiring::All,
};

/// The latency of a new instance that has a model from its first activation on, frames.
fn latency_of(format: Format, model: Model) -> Result<usize> {
    let mut plugin = load(format)?;
    choose(&mut *plugin, SETUP, model)?;
    plugin.activate(SETUP)?;
    plugin.latency()
}

in_both_hosts! {
    fn studio_begins_with_the_restart_that_it_asks_for(format: Format) {
        let studio = latency_of(format, Model::Studio)?;
        let mut plugin = activate(format, SETUP)?;
        let live = plugin.latency()?;
        ensure!(live < studio, "Live has {live} frames of latency and Studio {studio}");
        ensure!(!plugin.wants_restart(), "a restart is asked for with nothing to be changed");

        let signal = music(300, MODEL_RATE, 31);
        let (first, second) = halves(&signal);
        let mut main = main_of(&mut *plugin, &first)?;
        let parameter = model::parameter(&*plugin)?;
        plugin.set(&parameter, Model::Studio.value());
        let input = with_tail(&second, &*plugin)?;
        main = joined(&main, &main_of(&mut *plugin, &input)?);
        ensure!(plugin.wants_restart(), "no restart is asked for");
        ensure!(!plugin.wants_restart(), "one choice, and two restarts asked for");
        ensure!(plugin.latency()? == live, "the latency has changed without a restart");
        expect_delayed(&main, &signal, live)?;

        plugin.deactivate();
        plugin.activate(SETUP)?;
        ensure!(plugin.latency()? == studio, "{} frames after the restart", plugin.latency()?);
        ensure!(!plugin.wants_restart(), "one restart after another");
        let take = play_through(&mut *plugin, &signal, BLOCKS)?;
        expect_delayed(&take.main, &signal, studio)?;
        expect_sum(&take, &signal, studio)
    }

    fn a_choice_that_is_taken_back_needs_no_other_latency(format: Format) {
        let mut plugin = activate(format, SETUP)?;
        let live = plugin.latency()?;
        let parameter = model::parameter(&*plugin)?;
        for model in [Model::Studio, Model::Live] {
            plugin.set(&parameter, model.value());
            plugin.process(&[&[0.0; 64], &[0.0; 64]])?;
        }
        plugin.wants_restart();
        plugin.deactivate();
        plugin.activate(SETUP)?;
        ensure!(plugin.latency()? == live, "Studio runs though Live is chosen");
        Ok(())
    }

    fn a_state_brings_its_model(format: Format) {
        let studio = latency_of(format, Model::Studio)?;
        let mut plugin = load(format)?;
        choose(&mut *plugin, SETUP, Model::Studio)?;
        let state = plugin.save()?;

        let mut inactive = load(format)?;
        inactive.load(&state)?;
        inactive.activate(SETUP)?;
        ensure!(inactive.latency()? == studio, "the state of an inactive instance");

        let signal = music(200, MODEL_RATE, 32);
        let mut playing = activate(format, SETUP)?;
        let live = playing.latency()?;
        playing.load(&state)?;
        ensure!(playing.wants_restart(), "a state with another model asks for no restart");
        ensure!(playing.latency()? == live, "the latency has changed while the plugin is active");
        playing.reset();
        let take = play_through(&mut *playing, &signal, BLOCKS)?;
        expect_delayed(&take.main, &signal, live)?;
        playing.deactivate();
        playing.activate(SETUP)?;
        ensure!(playing.latency()? == studio, "the restart did not bring the state's model");
        Ok(())
    }

    fn a_state_from_before_the_models_means_live(format: Format) {
        let mut plugin = load(format)?;
        choose(&mut *plugin, SETUP, Model::Studio)?;
        let old = without_model(format, &plugin.save()?)?;
        plugin.load(&old)?;
        let parameter = model::parameter(&*plugin)?;
        ensure!(plugin.value(&parameter)? == Model::Live.value(), "Studio stays chosen");
        plugin.activate(SETUP)?;
        ensure!(plugin.latency()? == latency_of(format, Model::Live)?, "the latency is not Live's");
        Ok(())
    }

    fn live_is_the_default_and_answers_in_time(format: Format) {
        for (block, limit_ms) in [(128, 20.0), (512, 35.0)] {
            let plugin = activate(format, Setup { offline: false, ..Setup::offline(MODEL_RATE, block) })?;
            let milliseconds = plugin.latency()? as f64 / f64::from(MODEL_RATE) * 1e3;
            ensure!(milliseconds <= limit_ms, "{milliseconds:.1} ms with blocks of {block}; at most {limit_ms}");
        }
        Ok(())
    }
}

/// What comes out of the main bus for an input.
fn main_of(plugin: &mut dyn Plugin, input: &AudioBuffer) -> Result<AudioBuffer> {
    Ok(play(plugin, input, BLOCKS, false)?.main)
}

/// The signal up to a border between blocks, and the rest.
fn halves(signal: &AudioBuffer) -> (AudioBuffer, AudioBuffer) {
    let border = (signal.frames() / 2).next_multiple_of(SETUP.largest_block);
    let part = |range: std::ops::Range<usize>| {
        AudioBuffer::from_channels(signal.iter().map(|channel| channel[range.clone()].to_vec()).collect())
            .unwrap_or_default()
    };
    (part(0..border), part(border..signal.frames()))
}

fn joined(first: &AudioBuffer, second: &AudioBuffer) -> AudioBuffer {
    let channels = first.iter().zip(second.iter()).map(|(a, b)| [a, b].concat()).collect();
    AudioBuffer::from_channels(channels).unwrap_or_default()
}

/// A state as it was before there were models to choose.
fn without_model(format: Format, state: &[u8]) -> Result<Vec<u8>> {
    // CLAP's streams do not know their length, so nice-plug writes it in front.
    let head = match format {
        Format::Clap => size_of::<u64>(),
        Format::Vst3 => 0,
    };
    let mut json: Value = serde_json::from_slice(state.get(head..).context("a state of some length")?)?;
    let params = json["params"].as_object_mut().context("a state with parameters")?;
    ensure!(params.remove("model").is_some(), "the model is not in the state: {params:?}");
    let body = serde_json::to_vec(&json)?;
    let mut old = if head > 0 { (body.len() as u64).to_le_bytes().to_vec() } else { Vec::new() };
    old.extend(body);
    Ok(old)
}
