//! What the tests share.

use anyhow::{Context, Result, ensure};
use engine::STEMS;
use engine::audio::AudioBuffer;
use tests::measure::{FLOOR_DB, first_difference, null_db};
use tests::play::{Blocks, Take, delayed, has_stems, padded, play};
use tests::plugin::{self, Format, Parameter, Plugin, Setup};
use tests::{bundles, signals};

/// The rate of the built-in checkpoints, Hz.
pub const MODEL_RATE: u32 = 44_100;

/// Makes two tests of one function, one in each host.
macro_rules! in_both_hosts {
    ($($(#[$attribute:meta])* fn $name:ident($format:ident: $kind:ty) $body:block)*) => {$(
        $(#[$attribute])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            fn check($format: $kind) -> anyhow::Result<()> $body

            #[test]
            fn in_clap() {
                $crate::support::passes(check(<$kind>::Clap));
            }

            #[test]
            fn in_vst3() {
                $crate::support::passes(check(<$kind>::Vst3));
            }
        }
    )*};
}
pub(crate) use in_both_hosts;

/// Says what is wrong in one line; where it was found does not matter.
pub fn passes(result: Result<()>) {
    if let Err(error) = result {
        panic!("{error:#}");
    }
}

/// The development bundle, loaded.
pub fn load(format: Format) -> Result<Box<dyn Plugin>> {
    plugin::load(format, &bundles::for_tests(format)?)
}

/// The same, activated.
pub fn activate(format: Format, setup: Setup) -> Result<Box<dyn Plugin>> {
    let mut plugin = load(format)?;
    plugin.activate(setup)?;
    Ok(plugin)
}

/// So many milliseconds of something that sounds like music, at a rate.
pub fn music(milliseconds: usize, sample_rate: u32, seed: u64) -> AudioBuffer {
    signals::music(milliseconds * sample_rate as usize / 1000, sample_rate, seed)
}

/// A signal with room for the plugin's tail behind it.
pub fn with_tail(signal: &AudioBuffer, plugin: &dyn Plugin) -> Result<AudioBuffer> {
    Ok(padded(signal, plugin.latency()?))
}

/// Plays a signal and its tail through an active plugin, all buses connected.
pub fn play_through(plugin: &mut dyn Plugin, signal: &AudioBuffer, blocks: Blocks) -> Result<Take> {
    let input = with_tail(signal, plugin)?;
    ensure!(has_stems(plugin, usize::MAX)?, "the plugin offers no stems");
    play(plugin, &input, blocks, true)
}

/// Checks that the main bus is the input, late by the reported latency: the same samples.
pub fn expect_delayed(main: &AudioBuffer, signal: &AudioBuffer, latency: usize) -> Result<()> {
    let expected = delayed(&padded(signal, main.frames() - signal.frames()), latency);
    let null = null_db(main, &expected);
    ensure!(null == FLOOR_DB, "the main bus nulls against the delayed input at {null:.1} dB only");
    Ok(())
}

/// Checks that the stems add up to the input, late by the reported latency, within -90 dB.
pub fn expect_sum(take: &Take, signal: &AudioBuffer, latency: usize) -> Result<()> {
    let expected = delayed(&padded(signal, take.main.frames() - signal.frames()), latency);
    let null = null_db(&take.sum()?, &expected);
    ensure!(null <= -90.0, "the stems' sum nulls against the delayed input at {null:.1} dB only");
    Ok(())
}

/// Checks that two recordings are the same, bit for bit.
pub fn expect_same(found: &Take, expected: &Take) -> Result<()> {
    let pairs = found.stems()?.iter().zip(expected.stems()?);
    for (bus, (found, expected)) in std::iter::once((&found.main, &expected.main)).chain(pairs).enumerate() {
        if let Some(frame) = first_difference(found, expected) {
            anyhow::bail!("output bus {bus} differs from frame {frame} on");
        }
    }
    Ok(())
}

/// A parameter by its name, in any case.
pub fn parameter(plugin: &dyn Plugin, name: &str) -> Result<Parameter> {
    let all = plugin.parameters()?;
    let names: Vec<&str> = all.iter().map(|parameter| parameter.name.as_str()).collect();
    let found = all.iter().find(|parameter| parameter.name.eq_ignore_ascii_case(name));
    found.cloned().with_context(|| format!("no parameter \"{name}\" among {names:?}"))
}

/// The parameter that hosts tie their bypass button to.
pub fn bypass(plugin: &dyn Plugin) -> Result<Parameter> {
    plugin.parameters()?.into_iter().find(|parameter| parameter.bypass).context("no bypass parameter")
}

/// Every sample of a take is a finite number.
pub fn expect_finite(take: &Take) -> Result<()> {
    let stems: &[AudioBuffer; STEMS] = take.stems()?;
    for (bus, audio) in std::iter::once(&take.main).chain(stems).enumerate() {
        let found = audio.iter().find_map(|channel| channel.iter().position(|sample| !sample.is_finite()));
        if let Some(frame) = found {
            anyhow::bail!("output bus {bus} has a sample that is no number at frame {frame}");
        }
    }
    Ok(())
}
