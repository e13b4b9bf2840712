//! A machine that is too slow: blocks come faster than the network can follow, and nobody has told the plugin
//! that it may wait.

use std::thread;
use std::time::Duration;

use anyhow::ensure;
use engine::audio::AudioBuffer;
use tests::measure::{FLOOR_DB, dropouts, null_db, sum};
use tests::play::{Take, delayed};
use tests::plugin::{Format, Setup};

use crate::support::*;

const BLOCK: usize = 512;
/// The end is looked at in so many parts, ...
const WINDOWS: usize = 8;
/// ... each of so many frames.
const WINDOW: usize = 5_000;

/// Frames `from..to`.
fn part(audio: &AudioBuffer, from: usize, to: usize) -> AudioBuffer {
    let channels = audio.iter().map(|channel| channel[from..to].to_vec()).collect();
    AudioBuffer::from_channels(channels).unwrap_or_default()
}

in_both_hosts! {
    fn a_worker_that_is_late_costs_stems_but_neither_the_main_bus_nor_the_alignment(format: Format) {
        let mut plugin = activate(format, Setup { offline: false, ..Setup::offline(MODEL_RATE, BLOCK) })?;
        let latency = plugin.latency()?;
        let rate = MODEL_RATE as usize;
        let overload = (3 * rate).next_multiple_of(BLOCK);
        let recovery = (2 * latency + rate / 2 + WINDOWS * WINDOW).next_multiple_of(BLOCK);
        let frames = overload + recovery;
        let input = music(1000 * frames / rate + 1, MODEL_RATE, 30);
        let input = part(&input, 0, frames);
        let mut take = Take::new(2, true, frames);
        for start in (0..frames).step_by(BLOCK) {
            let block: Vec<&[f32]> = input.iter().map(|channel| &channel[start..start + BLOCK]).collect();
            plugin.process(&block)?;
            take.record(&*plugin, start);
            if start >= overload {
                // Half as fast as a sound card, for a machine that has other things to do, too.
                thread::sleep(Duration::from_secs_f64(2.0 * BLOCK as f64 / f64::from(MODEL_RATE)));
            }
        }
        let expected = delayed(&input, latency);
        ensure!(null_db(&take.main, &expected) == FLOOR_DB, "the main bus is not the delayed input");
        expect_finite(&take)?;
        let total = sum(take.stems()?);
        let all = dropouts(&total, &expected, MODEL_RATE);
        ensure!(all.events > 0, "three seconds in no time, and nobody was late?");
        // Dropouts may go on if the machine is busy, but what is played must be in its place.
        let window = |index: usize, audio: &AudioBuffer| {
            let end = frames - index * WINDOW;
            part(audio, end - WINDOW, end)
        };
        let nulls = (0..WINDOWS).map(|index| null_db(&window(index, &total), &window(index, &expected)));
        let null = nulls.reduce(f64::min).unwrap_or(0.0);
        ensure!(null <= -90.0, "the stems have not found back to their place: {null:.1} dB");
        Ok(())
    }
}
