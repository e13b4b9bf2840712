//! The `host` program: its files, its report, its complaints.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::bundles;
use tests::plugin::Format;

use crate::support::*;

const FILES: [&str; 5] = ["main", "drums", "bass", "other", "vocals"];

/// Runs the program on the development bundle.
fn host(format: Format, input: &Path, output: &Path, options: &[&str]) -> Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_host"))
        .args(["--format", format.extension(), "--bundle"])
        .arg(bundles::for_tests(format)?)
        .arg("--input")
        .arg(input)
        .arg("--output")
        .arg(output)
        .args(options)
        .output()
        .context("cannot start the host")
}

/// Plays a second of music with some options; the report.
fn report(format: Format, folder: &Path, options: &[&str]) -> Result<Value> {
    let song = folder.join("song.wav");
    let audio = music(1_000, MODEL_RATE, 29);
    engine::audio::write_wav(&song, &audio, MODEL_RATE, engine::audio::Format::Float32)?;
    let json = folder.join("report.json");
    let json = json.to_str().context("a path in UTF-8")?;
    let output = host(format, &song, folder, &[options, &["--json", json]].concat())?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_str(&std::fs::read_to_string(json)?)?)
}

in_both_hosts! {
    fn a_bounce_leaves_five_files_and_a_report(format: Format) {
        let folder = tempfile::tempdir()?;
        let report = report(format, folder.path(), &["--offline", "--rate", "48000", "--block", "333"])?;
        for name in FILES {
            let file = engine::audio::read(&folder.path().join(name).with_extension("wav"))?;
            ensure!(file.sample_rate == 48_000 && file.audio.frames() == 48_000, "{name} is not the song's length");
        }
        let number = |key: &str| report[key].as_f64().with_context(|| format!("no {key} in {report}"));
        ensure!(number("latency_frames")? > 0.0);
        ensure!((number("latency_ms")? - number("latency_frames")? / 48.0).abs() < 1e-6);
        ensure!(number("null_db")? <= -90.0);
        ensure!(number("main_null_db")? <= -300.0);
        ensure!(number("dropouts")? == 0.0);
        ensure!(number("real_time_factor")? > 0.0);
        let buses = report["buses"].as_array().context("no buses")?;
        let names: Vec<&str> = buses.iter().filter_map(|bus| bus["name"].as_str()).collect();
        ensure!(names == FILES, "{names:?}");
        ensure!(buses.iter().all(|bus| bus["peak_db"].as_f64() > bus["rms_db"].as_f64()), "{buses:?}");
        Ok(())
    }

    fn without_the_stems_buses_nothing_is_said_about_stems(format: Format) {
        let folder = tempfile::tempdir()?;
        let report = report(format, folder.path(), &["--offline", "--mono", "--buses", "main"])?;
        ensure!(report["null_db"].is_null() && report["dropouts"].is_null(), "{report}");
        ensure!(report["main_null_db"].as_f64() == Some(-300.0), "{report}");
        ensure!(!folder.path().join("drums.wav").exists(), "there are no drums to write");
        Ok(())
    }
}

#[test]
fn what_cannot_be_played_is_named_and_fails_with_code_1() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.wav");
    std::fs::write(&text, "no audio").unwrap();
    for input in [text, folder.path().join("absent.wav")] {
        let output = host(Format::Clap, &input, folder.path(), &["--offline"]).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        let name = input.file_name().unwrap().to_str().unwrap();
        assert!(errors.starts_with("error: ") && errors.contains(name), "{errors}");
    }
}

#[test]
fn wrong_use_fails_with_code_2() {
    let folder = tempfile::tempdir().unwrap();
    for options in
        [&["--offline", "--realtime"][..], &["--block", "0"], &["--rate", "1"], &["--buses", "none"]]
    {
        let output = host(Format::Vst3, &folder.path().join("song.wav"), folder.path(), options).unwrap();
        assert_eq!(output.status.code(), Some(2), "{options:?}");
    }
}
