//! A plugin's life: several at once, on and off, transport jumps, different rates.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use tests::play::{Blocks, Take, play};
use tests::plugin::{Format, Setup};

use crate::support::*;

const BLOCKS: Blocks = Blocks::Fixed(512);

in_both_hosts! {
    fn two_instances_at_once_do_what_each_does_alone(format: Format) {
        let songs = [music(400, MODEL_RATE, 16), music(400, MODEL_RATE, 17)];
        let alone = |index: usize| -> Result<Take> {
            let mut plugin = activate(format, Setup::offline(MODEL_RATE, 512))?;
            play_through(&mut *plugin, &songs[index], BLOCKS)
        };
        let expected = [alone(0)?, alone(1)?];
        let setup = Setup::offline(MODEL_RATE, 512);
        let mut plugins = [activate(format, setup)?, activate(format, setup)?];
        let inputs = [with_tail(&songs[0], &*plugins[0])?, with_tail(&songs[1], &*plugins[1])?];
        let frames = inputs[0].frames();
        let mut takes = [Take::new(2, true, frames), Take::new(2, true, frames)];
        for start in (0..frames).step_by(512) {
            for ((plugin, input), take) in plugins.iter_mut().zip(&inputs).zip(&mut takes) {
                let end = frames.min(start + 512);
                let block: Vec<&[f32]> = input.iter().map(|channel| &channel[start..end]).collect();
                plugin.process(&block)?;
                take.record(&**plugin, start);
            }
        }
        expect_same(&takes[0], &expected[0])?;
        expect_same(&takes[1], &expected[1])
    }

    fn after_a_change_of_rate_all_is_as_in_a_new_instance(format: Format) {
        let signal = music(300, MODEL_RATE, 18);
        let mut new = activate(format, Setup::offline(MODEL_RATE, 512))?;
        let expected = play_through(&mut *new, &signal, BLOCKS)?;
        let mut used = activate(format, Setup::offline(96_000, 128))?;
        let other_latency = used.latency()?;
        play_through(&mut *used, &music(50, 96_000, 19), Blocks::Fixed(128))?;
        used.deactivate();
        used.activate(Setup::offline(MODEL_RATE, 512))?;
        ensure!(used.latency()? == new.latency()?, "the latency is still that of the other rate");
        ensure!(used.latency()? != other_latency, "latencies in frames differ between 96 and 44.1 kHz");
        expect_same(&play_through(&mut *used, &signal, BLOCKS)?, &expected)
    }

    fn a_transport_jump_leaves_nothing_of_the_old_place(format: Format) {
        let signal = music(300, MODEL_RATE, 20);
        let mut new = activate(format, Setup::offline(MODEL_RATE, 512))?;
        let expected = play_through(&mut *new, &signal, BLOCKS)?;
        let mut used = activate(format, Setup::offline(MODEL_RATE, 512))?;
        // Stopped in the middle: all rings and windows are full.
        play(&mut *used, &music(700, MODEL_RATE, 21), BLOCKS, false)?;
        used.reset();
        expect_same(&play_through(&mut *used, &signal, BLOCKS)?, &expected)
    }

    fn instances_come_and_go_without_being_used(format: Format) {
        for _ in 0..3 {
            load(format)?;
            activate(format, Setup::offline(48_000, 64))?;
            let mut plugin = activate(format, Setup { offline: false, ..Setup::offline(48_000, 64) })?;
            plugin.reset();
            plugin.deactivate();
            plugin.activate(Setup::offline(44_100, 32))?;
        }
        Ok(())
    }
}

/// A panic on one of the plugin's own threads is only seen in what it logs, so that is what is read.
#[test]
fn no_thread_of_the_plugin_panics_while_instances_come_and_go() {
    // Alone, the plugin is unloaded and loaded again each time; in a crowd, hardly ever.
    for members in ["life::crowd::first_in_vst3", "life::crowd::first_in_clap", "life::crowd"] {
        let test = std::env::current_exe().unwrap();
        let options = ["--test-threads", "8", "--nocapture", "--ignored", members];
        let output = Command::new(test).args(options).output().unwrap();
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{members}: {log}");
        assert!(!log.contains("panicked"), "{members}: {log}");
    }
}

mod crowd {
    use super::*;

    fn come_and_go(format: Format) {
        let once = || -> Result<()> {
            load(format)?;
            let mut plugin = activate(format, Setup::offline(MODEL_RATE, 64))?;
            plugin.process(&[&[0.1; 64], &[0.1; 64]])
        };
        for _ in 0..20 {
            passes(once().context("in a crowd"));
        }
        // What the plugin's threads still have to do, they do within a second or so.
        std::thread::sleep(std::time::Duration::from_secs(2));
    }

    /// Makes tests that run at the same time.
    macro_rules! members {
        ($($name:ident: $format:expr;)*) => {$(
            #[test]
            #[ignore = "the test above runs them together"]
            fn $name() {
                come_and_go($format);
            }
        )*};
    }

    members! {
        first_in_clap: Format::Clap;
        second_in_clap: Format::Clap;
        third_in_clap: Format::Clap;
        first_in_vst3: Format::Vst3;
        second_in_vst3: Format::Vst3;
        third_in_vst3: Format::Vst3;
    }
}
