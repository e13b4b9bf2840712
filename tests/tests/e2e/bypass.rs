//! Bypass is the delayed input: nothing moves in time when it is switched.

use engine::audio::AudioBuffer;
use tests::measure::null_db;
use tests::play::{Blocks, delayed, play};
use tests::plugin::{Format, Setup};

use crate::support::*;

in_both_hosts! {
    fn bypass_keeps_the_latency(format: Format) {
        let signal = music(300, MODEL_RATE, 9);
        let mut plugin = activate(format, Setup::offline(MODEL_RATE, 512))?;
        let latency = plugin.latency()?;
        let bypass = bypass(&*plugin)?;
        plugin.set(&bypass, 1.0);
        let take = play_through(&mut *plugin, &signal, Blocks::Fixed(512))?;
        anyhow::ensure!(plugin.latency()? == latency, "the latency changed with the bypass");
        anyhow::ensure!(plugin.value(&bypass)? == 1.0, "the bypass is not on");
        expect_delayed(&take.main, &signal, latency)
    }

    fn switching_the_bypass_in_a_song_is_not_heard_at_unity_gains(format: Format) {
        let signal = music(400, MODEL_RATE, 10);
        let mut plugin = activate(format, Setup::offline(MODEL_RATE, 256))?;
        let latency = plugin.latency()?;
        let input = with_tail(&signal, &*plugin)?;
        let bypass = bypass(&*plugin)?;
        let mut found: Vec<Vec<f32>> = vec![Vec::new(); 2];
        for (index, start) in (0..input.frames()).step_by(256).enumerate() {
            if index % 7 == 0 {
                plugin.set(&bypass, f64::from(u8::from(index % 2 == 0)));
            }
            let end = input.frames().min(start + 256);
            let channels = input.iter().map(|channel| channel[start..end].to_vec()).collect();
            let block = AudioBuffer::from_channels(channels).unwrap_or_default();
            let take = play(&mut *plugin, &block, Blocks::Fixed(256), false)?;
            found.iter_mut().zip(take.main.iter()).for_each(|(all, block)| all.extend_from_slice(block));
        }
        let main = AudioBuffer::from_channels(found).unwrap_or_default();
        // Crossfading between two equal signals rounds.
        let null = null_db(&main, &delayed(&input, latency));
        anyhow::ensure!(null < -120.0, "switching leaves {null:.1} dB");
        Ok(())
    }
}
