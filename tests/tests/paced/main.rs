//! Playing in real time: blocks come as from a sound card, and no stem may be missing from any.
//!
//! These tests have a program of their own, because cargo runs one program at a time, and play one after the
//! other: the machine is theirs. Still, it may be busy with something that is none of ours, and a processor that
//! was taken away for a moment is a dropout that says nothing about the plugin. So one clean run is enough, and
//! runs are repeated until there is one or the verdict is clear: [`ENOUGH`] runs with dropouts on a machine that was
//! ours. On a machine that never was ours there is no verdict, and the test says so.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::plugin::Format;
use tests::{bundles, signals};

/// The rate of the built-in checkpoints, Hz.
const RATE: u32 = 44_100;
const SONG_SECONDS: f64 = 1.5;
/// So many runs at most.
const TRIES: usize = 6;
/// So many runs with dropouts, while the machine was ours, are a failure.
const ENOUGH: usize = 3;
/// The machine is ours if others use no more of it than this, cores.
const LITTLE: f64 = 0.15;

/// One at a time.
static STAGE: Mutex<()> = Mutex::new(());

/// Plays with the default model; the host's report.
fn report(format: Format, folder: &Path, block: u32, instances: u32) -> Result<Value> {
    let song = folder.join("song.wav");
    let json = folder.join("report.json");
    let audio = signals::music((SONG_SECONDS * f64::from(RATE)) as usize, RATE, 33);
    engine::audio::write_wav(&song, &audio, RATE, engine::audio::Format::Float32)?;
    let output = Command::new(env!("CARGO_BIN_EXE_host"))
        .args(["--realtime", "--format", format.extension()])
        .args(["--block", &block.to_string(), "--instances", &instances.to_string()])
        .arg("--bundle")
        .arg(bundles::for_tests(format)?)
        .arg("--input")
        .arg(&song)
        .arg("--output")
        .arg(folder)
        .arg("--json")
        .arg(&json)
        .output()
        .context("cannot start the host")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_str(&std::fs::read_to_string(&json)?)?)
}

fn plays_without_dropouts(format: Format, block: u32, instances: u32) -> Result<()> {
    let _stage = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir()?;
    let mut found = Vec::new();
    let mut undisturbed = 0;
    while found.len() < TRIES && undisturbed < ENOUGH {
        let report = report(format, folder.path(), block, instances)?;
        let number = |key: &str| report[key].as_u64().with_context(|| format!("no {key} in {report}"));
        ensure!(number("instances")? == u64::from(instances), "{report}");
        let (dropouts, late_calls) = (number("dropouts")?, number("late_calls")?);
        if dropouts == 0 {
            let null_db = report["null_db"].as_f64().context("no null_db")?;
            ensure!(null_db <= -90.0, "no dropouts, but the stems add up at {null_db:.1} dB only");
            return Ok(());
        }
        let others = report["others_cores"].as_f64().unwrap_or(0.0);
        undisturbed += usize::from(others <= LITTLE);
        found.push(format!("{dropouts} dropouts, {late_calls} late calls, {others:.2} cores used by others"));
    }
    let found = found.join("; ");
    ensure!(undisturbed < ENOUGH, "no clean run: {found}");
    // Not by a macro: what those write is only shown for tests that fail.
    writeln!(std::io::stderr(), "NO VERDICT: the machine was never ours, and no run was clean: {found}")?;
    Ok(())
}

/// Makes a test of each line.
macro_rules! paced {
    ($($name:ident: $format:ident, $block:literal, $instances:literal;)*) => {$(
        #[test]
        fn $name() {
            if let Err(error) = plays_without_dropouts(Format::$format, $block, $instances) {
                panic!("{error:#}");
            }
        }
    )*};
}

paced! {
    one_in_clap_with_blocks_of_64: Clap, 64, 1;
    one_in_clap_with_blocks_of_128: Clap, 128, 1;
    one_in_clap_with_blocks_of_512: Clap, 512, 1;
    one_in_vst3_with_blocks_of_64: Vst3, 64, 1;
    four_at_once_in_clap: Clap, 128, 4;
    four_at_once_in_vst3: Vst3, 128, 4;
}
