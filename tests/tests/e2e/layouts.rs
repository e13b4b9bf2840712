//! What hosts connect: all buses, some, one channel instead of two, input and output in the same memory.

use anyhow::{Result, ensure};
use engine::audio::AudioBuffer;
use tests::measure::{FLOOR_DB, first_difference, null_db};
use tests::play::{Blocks, delayed, play};
use tests::plugin::{Format, Setup, Wiring};

use crate::support::*;

const BLOCKS: Blocks = Blocks::Fixed(512);

in_both_hosts! {
    fn a_main_bus_and_four_named_stereo_stems_are_offered(format: Format) {
        let plugin = load(format)?;
        let names: Vec<(String, usize)> =
            plugin.outputs()?.into_iter().map(|bus| (bus.name, bus.channels)).collect();
        ensure!(names.len() == 5 && names.iter().all(|(_, channels)| *channels == 2), "{names:?}");
        let stems: Vec<&str> = names[1..].iter().map(|(name, _)| name.as_str()).collect();
        ensure!(stems == ["Drums", "Bass", "Other", "Vocals"], "{stems:?}");
        Ok(())
    }

    fn the_main_bus_alone_is_the_delayed_input(format: Format) {
        check_main_only(format, Wiring::First(1))
    }

    fn null_pointers_for_the_stems_leave_the_main_bus_right(format: Format) {
        check_main_only(format, Wiring::NullChannels)
    }

    fn null_channel_lists_for_the_stems_leave_the_main_bus_right(format: Format) {
        check_main_only(format, Wiring::NullLists)
    }

    fn three_buses_carry_what_they_carry_among_five(format: Format) {
        let signal = music(300, MODEL_RATE, 5);
        let mut all = activate(format, Setup::offline(MODEL_RATE, 512))?;
        let expected = play_through(&mut *all, &signal, BLOCKS)?;
        let wiring = Wiring::First(3);
        let mut some = activate(format, Setup { wiring, ..Setup::offline(MODEL_RATE, 512) })?;
        let input = with_tail(&signal, &*some)?;
        let mut start = 0;
        while start < input.frames() {
            let end = input.frames().min(start + 512);
            let block: Vec<&[f32]> = input.iter().map(|channel| &channel[start..end]).collect();
            some.process(&block)?;
            let expected_buses = std::iter::once(&expected.main).chain(expected.stems()?).take(3);
            for (bus, expected) in expected_buses.enumerate() {
                for (channel, samples) in expected.iter().enumerate() {
                    ensure!(some.output(bus, channel) == &samples[start..end], "bus {bus}, frame {start}");
                }
            }
            start = end;
        }
        Ok(())
    }

    fn a_mono_track_is_separated_as_the_same_sound_on_both_sides(format: Format) {
        let stereo = music(300, MODEL_RATE, 6);
        let mono = AudioBuffer::from_channels(vec![stereo.channel(0).to_vec()]).unwrap_or_default();
        let both =
            AudioBuffer::from_channels(vec![stereo.channel(0).to_vec(); 2]).unwrap_or_default();
        let mut plugin = activate(format, Setup { mono: true, ..Setup::offline(MODEL_RATE, 512) })?;
        let latency = plugin.latency()?;
        let take = play_through(&mut *plugin, &mono, BLOCKS)?;
        let expected_main = if take.main.channels() == 1 { &mono } else { &both };
        expect_delayed(&take.main, expected_main, latency)?;
        expect_sum(&take, &both, latency)?;
        let mut stereo_plugin = activate(format, Setup::offline(MODEL_RATE, 512))?;
        let expected = play_through(&mut *stereo_plugin, &both, BLOCKS)?;
        for (found, expected) in take.stems()?.iter().zip(expected.stems()?) {
            ensure!(first_difference(found, expected).is_none(), "mono is not separated as dual mono");
        }
        Ok(())
    }

    fn input_and_main_output_may_share_memory(format: Format) {
        let signal = music(300, MODEL_RATE, 7);
        let mut apart = activate(format, Setup::offline(MODEL_RATE, 512))?;
        let expected = play_through(&mut *apart, &signal, BLOCKS)?;
        let wiring = Wiring::InPlace;
        let mut shared = activate(format, Setup { wiring, ..Setup::offline(MODEL_RATE, 512) })?;
        let found = play_through(&mut *shared, &signal, BLOCKS)?;
        expect_same(&found, &expected)
    }
}

fn check_main_only(format: Format, wiring: Wiring) -> Result<()> {
    let signal = music(300, MODEL_RATE, 8);
    let mut plugin = activate(format, Setup { wiring, ..Setup::offline(MODEL_RATE, 512) })?;
    let input = with_tail(&signal, &*plugin)?;
    let latency = plugin.latency()?;
    let take = play(&mut *plugin, &input, BLOCKS, false)?;
    ensure!(latency > 0, "a separator has a latency");
    ensure!(null_db(&take.main, &delayed(&input, latency)) == FLOOR_DB, "not the delayed input");
    Ok(())
}
