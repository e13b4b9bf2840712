//! Unusual input: silence, samples that are no numbers, far too loud.

use anyhow::{Result, ensure};
use engine::audio::AudioBuffer;
use tests::measure::peak_db;
use tests::play::{Blocks, Take};
use tests::plugin::{Format, Setup};

use crate::support::*;

const BLOCKS: Blocks = Blocks::Fixed(512);

in_both_hosts! {
    fn silence_comes_out_of_silence(format: Format) {
        let silence = AudioBuffer::new(2, MODEL_RATE as usize);
        let take = play_alone(format, &silence)?;
        for (bus, audio) in std::iter::once(&take.main).chain(take.stems()?).enumerate() {
            ensure!(peak_db(audio) < -120.0, "output bus {bus} has {:.1} dB", peak_db(audio));
        }
        Ok(())
    }

    fn samples_that_are_no_numbers_count_as_silence_and_leave_no_trace(format: Format) {
        let mut gap = music(500, MODEL_RATE, 13);
        let mut poisoned = gap.clone();
        for ((frame, length), poison) in
            [(3_000, 1), (5_000, 700), (12_345, 3)].into_iter().zip([f32::NAN, f32::INFINITY, f32::NEG_INFINITY])
        {
            gap.iter_mut().for_each(|channel| channel[frame..frame + length].fill(0.0));
            poisoned.iter_mut().for_each(|channel| channel[frame..frame + length].fill(poison));
        }
        let found = play_alone(format, &poisoned)?;
        expect_finite(&found)?;
        expect_same(&found, &play_alone(format, &gap)?)
    }

    fn the_loudest_numbers_there_are_do_no_harm(format: Format) {
        let mut loud = music(300, MODEL_RATE, 14);
        loud.iter_mut().for_each(|channel| channel[4_000..4_100].fill(f32::MAX));
        let mut plugin = activate(format, Setup::offline(MODEL_RATE, 512))?;
        let latency = plugin.latency()?;
        expect_finite(&play_through(&mut *plugin, &loud, BLOCKS)?)?;
        plugin.reset();
        let signal = music(300, MODEL_RATE, 15);
        let take = play_through(&mut *plugin, &signal, BLOCKS)?;
        expect_delayed(&take.main, &signal, latency)?;
        expect_sum(&take, &signal, latency)
    }
}

fn play_alone(format: Format, signal: &AudioBuffer) -> Result<Take> {
    let mut plugin = activate(format, Setup::offline(MODEL_RATE, 512))?;
    play_through(&mut *plugin, signal, BLOCKS)
}
