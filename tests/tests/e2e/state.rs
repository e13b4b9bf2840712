//! Saving and loading, and states that somebody else has written.

use anyhow::{Result, ensure};
use tests::play::Blocks;
use tests::plugin::{Format, Plugin, Setup};
use tests::signals::Noise;

use crate::support::*;

in_both_hosts! {
    fn a_saved_state_restores_every_parameter(format: Format) {
        let mut plugin = activate(format, Setup::offline(MODEL_RATE, 512))?;
        let parameters = plugin.parameters()?;
        let defaults = values(&*plugin)?;
        for (index, parameter) in parameters.iter().enumerate() {
            plugin.set(parameter, (index + 1) as f64 / (parameters.len() + 1) as f64);
        }
        plugin.process(&[&[0.0; 64], &[0.0; 64]])?;
        let changed = values(&*plugin)?;
        ensure!(changed != defaults, "no parameter has changed");
        let state = plugin.save()?;
        let mut other = load(format)?;
        other.load(&state)?;
        ensure!(values(&*other)? == changed, "{:?} became {:?}", changed, values(&*other)?);
        let mut active = activate(format, Setup::offline(MODEL_RATE, 512))?;
        active.load(&state)?;
        active.process(&[&[0.0; 64], &[0.0; 64]])?;
        ensure!(values(&*active)? == changed, "loading into a running plugin differs");
        Ok(())
    }

    fn the_parameters_are_those_that_projects_know(format: Format) {
        let names: Vec<String> = load(format)?.parameters()?.into_iter().map(|it| it.name).collect();
        let stems = ["Drums", "Bass", "Other", "Vocals"];
        let strips = stems.iter().flat_map(|stem| ["Gain", "Mute", "Solo"].map(|it| format!("{stem} {it}")));
        let expected: Vec<String> =
            strips.chain(["Bypass", "Stem Outputs", "Model"].map(str::to_owned)).collect();
        ensure!(names == expected, "{names:?}");
        Ok(())
    }

    fn a_state_that_is_none_is_refused_and_changes_nothing(format: Format) {
        let mut plugin = activate(format, Setup::offline(MODEL_RATE, 512))?;
        let valid = plugin.save()?;
        let before = values(&*plugin)?;
        let mut noise = Noise::new(25);
        let mut random = |length: usize| -> Vec<u8> {
            (0..length).map(|_| (noise.sample() * 127.0) as i8 as u8).collect()
        };
        let mut huge_length = u64::MAX.to_le_bytes().to_vec();
        huge_length.extend_from_slice(&valid);
        let mut large_length = 0x7FFF_FFFF_u64.to_le_bytes().to_vec();
        large_length.extend_from_slice(&valid);
        let mut garbage = vec![
            Vec::new(),
            vec![0],
            vec![0; 8],
            vec![0xFF; 8],
            huge_length,
            large_length,
            valid[..valid.len() / 2].to_vec(),
            valid[..valid.len() - 1].to_vec(),
            b"[".repeat(100_000),
        ];
        garbage.extend([1, 7, 8, 9, 100, 5_000, 100_000].map(&mut random));
        for (index, state) in garbage.iter().enumerate() {
            ensure!(plugin.load(state).is_err(), "garbage number {index} was accepted");
            ensure!(values(&*plugin)? == before, "garbage number {index} has changed something");
        }
        expect_alive(&mut *plugin)
    }

    fn a_damaged_state_does_not_crash(format: Format) {
        let mut plugin = activate(format, Setup::offline(MODEL_RATE, 512))?;
        let valid = plugin.save()?;
        let mut noise = Noise::new(26);
        for _ in 0..300 {
            let mut state = valid.clone();
            for _ in 0..noise.at_most(8) {
                let at = noise.at_most(state.len()) - 1;
                state[at] ^= 1 << (noise.at_most(8) - 1);
            }
            // What is still a state may be accepted.
            let _ = plugin.load(&state);
        }
        plugin.load(&valid)?;
        expect_alive(&mut *plugin)
    }
}

fn values(plugin: &dyn Plugin) -> Result<Vec<f64>> {
    plugin.parameters()?.iter().map(|parameter| plugin.value(parameter)).collect()
}

fn expect_alive(plugin: &mut dyn Plugin) -> Result<()> {
    let signal = music(100, MODEL_RATE, 27);
    plugin.reset();
    let latency = plugin.latency()?;
    let take = play_through(plugin, &signal, Blocks::Fixed(512))?;
    expect_delayed(&take.main, &signal, latency)?;
    expect_sum(&take, &signal, latency)
}
