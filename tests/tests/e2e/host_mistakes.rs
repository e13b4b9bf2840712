//! What hosts should not do, and do.

use anyhow::{Result, ensure};
use tests::play::Blocks;
use tests::plugin::{Format, Setup};

use crate::support::*;

in_both_hosts! {
    fn a_block_without_frames_carries_parameters(format: Format) {
        let signal = music(100, MODEL_RATE, 11);
        let mut plugin = activate(format, Setup::offline(MODEL_RATE, 512))?;
        let latency = plugin.latency()?;
        let bypass = bypass(&*plugin)?;
        plugin.set(&bypass, 1.0);
        plugin.process(&[&[], &[]])?;
        ensure!(plugin.value(&bypass)? == 1.0, "the change did not arrive");
        plugin.set(&bypass, 0.0);
        plugin.process(&[&[], &[]])?;
        let take = play_through(&mut *plugin, &signal, Blocks::Fixed(512))?;
        expect_delayed(&take.main, &signal, latency)?;
        expect_sum(&take, &signal, latency)
    }
}

/// VST3 only: clack and CLAP's own rules keep hosts from it.
#[test]
fn a_block_larger_than_promised_is_survived() {
    passes(break_the_promise());
}

fn break_the_promise() -> Result<()> {
    let signal = music(100, MODEL_RATE, 12);
    let setup = Setup { promised_block: 128, ..Setup::offline(MODEL_RATE, 512) };
    let mut plugin = activate(Format::Vst3, setup)?;
    let blocks: Vec<&[f32]> = signal.iter().map(|channel| &channel[..512]).collect();
    // An error is an answer, too.
    let refused = plugin.process(&blocks).is_err();
    if !refused {
        let finite = (0..2).all(|channel| plugin.output(0, channel).iter().all(|sample| sample.is_finite()));
        ensure!(finite, "frames beyond the promise were left as they were");
    }
    // Back to what was promised, everything is right again.
    plugin.reset();
    let latency = plugin.latency()?;
    let take = play_through(&mut *plugin, &signal, Blocks::Fixed(128))?;
    expect_delayed(&take.main, &signal, latency)?;
    expect_sum(&take, &signal, latency)
}
