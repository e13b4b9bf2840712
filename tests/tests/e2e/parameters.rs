//! Gains, mutes and solos act on the main bus only, and never on time.

use anyhow::{Result, ensure};
use engine::audio::AudioBuffer;
use engine::{STEMS, Stem};
use tests::measure::{first_difference, null_db, sum};
use tests::play::Blocks;
use tests::plugin::{Format, Setup};

use crate::support::*;

/// Long enough for every gain to have arrived after a change, frames.
const SETTLED: usize = 8_820;

/// Plays with some parameters changed, named by stem; returns the main bus and the stems, settled.
fn play_with(format: Format, changes: &[(Stem, &str, f64)]) -> Result<(AudioBuffer, [AudioBuffer; STEMS])> {
    let mut plugin = activate(format, Setup::offline(MODEL_RATE, 512))?;
    for (stem, what, value) in changes {
        let parameter = parameter(&*plugin, &format!("{stem} {what}"))?;
        plugin.set(&parameter, *value);
    }
    let take = play_through(&mut *plugin, &music(500, MODEL_RATE, 24), Blocks::Fixed(512))?;
    let settled =
        |audio: &AudioBuffer| tests::play::from_frame(audio, plugin.latency().unwrap_or(0) + SETTLED);
    Ok((settled(&take.main), take.stems()?.each_ref().map(settled)))
}

in_both_hosts! {
    fn a_muted_stem_is_missing_from_the_main_bus_and_stays_on_its_own(format: Format) {
        let (_, plain) = play_with(format, &[])?;
        let (main, stems) = play_with(format, &[(Stem::Bass, "mute", 1.0)])?;
        for stem in Stem::ALL {
            let same = first_difference(&stems[stem as usize], &plain[stem as usize]).is_none();
            ensure!(same, "the mute changes the bus of the {stem}");
        }
        let rest = sum([&stems[0], &stems[2], &stems[3]]);
        let null = null_db(&main, &rest);
        ensure!(null < -90.0, "the other three add up to the main bus at {null:.1} dB only");
        Ok(())
    }

    fn a_solo_leaves_one_stem_on_the_main_bus(format: Format) {
        let (main, stems) = play_with(format, &[(Stem::Vocals, "solo", 1.0)])?;
        let null = null_db(&main, &stems[Stem::Vocals as usize]);
        ensure!(null < -80.0, "the main bus is not the vocals: {null:.1} dB");
        Ok(())
    }

    fn all_gains_at_their_lowest_silence_the_main_bus(format: Format) {
        let changes = Stem::ALL.map(|stem| (stem, "gain", 0.0));
        let (main, stems) = play_with(format, &changes)?;
        let level = tests::measure::rms_db(&main) - tests::measure::rms_db(&sum(&stems));
        ensure!(level < -55.0, "the main bus is at {level:.1} dB of the input");
        Ok(())
    }
}
