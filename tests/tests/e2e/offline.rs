//! Bouncing: complete, repeatable, and the same as the command line's result.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use engine::Stem;
use engine::audio::AudioFile;
use tests::bundles;
use tests::measure::first_difference;
use tests::model::{Model, choose};
use tests::play::{Blocks, from_frame};
use tests::plugin::{Format, Setup};

use crate::support::*;

in_both_hosts! {
    fn two_renders_of_a_song_are_the_same_whatever_the_blocks(format: Format) {
        let song = music(800, MODEL_RATE, 22);
        let render = |blocks: Blocks| {
            let mut plugin = activate(format, Setup::offline(MODEL_RATE, 512))?;
            play_through(&mut *plugin, &song, blocks)
        };
        let first = render(Blocks::Fixed(512))?;
        expect_same(&render(Blocks::Fixed(512))?, &first)?;
        expect_same(&render(Blocks::Varying(512))?, &first)
    }

    fn a_render_is_what_the_trainer_separates(format: Format) {
        compare_with_trainer(format, Model::Live, "live")
    }

    fn a_render_by_studio_is_what_the_trainer_separates(format: Format) {
        compare_with_trainer(format, Model::Studio, "studio")
    }
}

fn compare_with_trainer(format: Format, model: Model, name: &str) -> Result<()> {
    let song = music(1_000, MODEL_RATE, 23);
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("song.wav");
    engine::audio::write_wav(&file, &song, MODEL_RATE, engine::audio::Format::Float32)?;
    let output = Command::new(bundles::program("trainer")?)
        .arg("separate")
        .arg(&file)
        .arg("-o")
        .arg(folder.path().join("separated"))
        .args(["--checkpoint", name])
        .output()
        .context("cannot start the trainer")?;
    ensure!(output.status.success(), "trainer separate: {}", String::from_utf8_lossy(&output.stderr));

    let setup = Setup::offline(MODEL_RATE, 512);
    let mut plugin = load(format)?;
    choose(&mut *plugin, setup, model)?;
    plugin.activate(setup)?;
    let latency = plugin.latency()?;
    let take = play_through(&mut *plugin, &song, Blocks::Fixed(512))?;
    for (stem, found) in Stem::ALL.iter().zip(take.stems()?) {
        let file = folder.path().join("separated/song").join(stem.name()).with_extension("wav");
        let AudioFile { audio: expected, sample_rate: rate } = engine::audio::read(&file)?;
        ensure!(rate == MODEL_RATE, "{} has {rate} Hz", file.display());
        let difference = first_difference(&from_frame(found, latency), &expected);
        ensure!(difference.is_none(), "the {stem} differ from frame {difference:?} on");
    }
    Ok(())
}
