//! `trainer train`, as its users run it.

mod options;
mod recipes;
mod stops;
mod tensorboard;

use std::path::Path;

use crate::common::{assert_done, assert_fails, run, tone, write_song};
use engine::audio::{Format, write_wav};

/// A recipe for a network of a few thousand weights.
fn recipe(name: &str, steps: u64, source: &str) -> String {
    format!(
        r#"
        name = "{name}"
        seed = 7
        steps = {steps}
        threads = 2
        [architecture]
        name = "wave_unet_dpt"
        features = 8
        growth = "add"
        levels = 3
        hidden = 8
        dropout = 0.1
        [chunk]
        hop = 2048
        lookahead = 512
        crossfade = 256
        context = 2048
        [data]
        batch = 3
        [[data.source]]
        {source}
        [augment]
        remix = 0.5
        gain = [0.5, 1.2]
        swap_channels = 0.5
        flip_sign = 0.5
        [optimizer]
        rate = 1e-3
        clip = 1.0
        ema = 0.9
        [validation]
        every = {steps}
        source = {{ kind = "generated", songs = 1, seconds = 1.0, seed = 1 }}
        [checkpoint]
        every = 3
        "#
    )
}

const GENERATED: &str = r#"kind = "generated"
        seconds = 1.5
        songs = 2
        fresh_per_step = 0.25
        seed = 50"#;

fn folder_source(path: &str) -> String {
    format!("kind = \"folder\"\npath = \"{path}\"")
}

fn write_recipe(folder: &Path, name: &str, steps: u64, source: &str) {
    std::fs::write(folder.join(format!("{name}.toml")), recipe(name, steps, source)).unwrap();
}

pub fn log_lines(run: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(run.join("log.jsonl")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Step, loss and gradient of each step.
fn curve(run: &Path) -> Vec<[String; 3]> {
    let steps = log_lines(run).into_iter().filter(|line| line["kind"] == "step");
    steps.map(|line| ["step", "loss", "gradient_norm"].map(|key| line[key].to_string())).collect()
}

#[test]
fn musdb_layout_trains_and_the_loss_falls() {
    let folder = tempfile::tempdir().unwrap();
    for song in ["a", "b"] {
        write_song(&folder.path().join("songs").join(song), 20_000);
    }
    write_recipe(folder.path(), "folder", 30, &folder_source("songs"));
    assert_done(&run(folder.path(), &["train", "folder.toml"]));
    let losses: Vec<f64> = log_lines(&folder.path().join("runs/folder"))
        .iter()
        .filter_map(|line| line["loss"].as_f64())
        .collect();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    assert!(mean(&losses[20..]) < 0.9 * mean(&losses[..10]), "{losses:?}");
}

/// Trains on `songs/` after `spoil` has changed the song in it.
fn train_on_spoilt(spoil: impl Fn(&Path)) -> std::process::Output {
    let folder = tempfile::tempdir().unwrap();
    let song = folder.path().join("songs/one");
    write_song(&song, 20_000);
    spoil(&song);
    write_recipe(folder.path(), "spoilt", 1, &folder_source("songs"));
    run(folder.path(), &["train", "spoilt.toml"])
}

#[test]
fn a_folder_without_stems_is_refused() {
    let output = train_on_spoilt(|song| {
        std::fs::remove_dir_all(song).unwrap();
        std::fs::create_dir_all(song).unwrap();
    });
    assert_fails(&output, 1, &["songs has no songs", "drums.wav"]);
}

#[test]
fn a_missing_stem_is_refused_unless_the_recipe_says_silence() {
    let folder = tempfile::tempdir().unwrap();
    let song = folder.path().join("songs/one");
    write_song(&song, 20_000);
    std::fs::remove_file(song.join("bass.wav")).unwrap();
    write_recipe(folder.path(), "missing", 1, &folder_source("songs"));
    let refused = run(folder.path(), &["train", "missing.toml"]);
    assert_fails(&refused, 1, &["bass.wav is missing", "missing_is_silence"]);
    let source = folder_source("songs") + "\nmissing_is_silence = true";
    write_recipe(folder.path(), "missing", 1, &source);
    assert_done(&run(folder.path(), &["train", "missing.toml"]));
}

#[test]
fn a_wav_cut_off_is_refused_by_name() {
    let output = train_on_spoilt(|song| {
        let path = song.join("other.wav");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    });
    assert_fails(&output, 1, &["other.wav is cut off"]);
}

#[test]
fn stems_of_unequal_length_are_refused() {
    let output = train_on_spoilt(|song| {
        write_wav(&song.join("vocals.wav"), &tone(2, 19_000, 5.0), 44_100, Format::Int16).unwrap();
    });
    assert_fails(&output, 1, &["unequal length", "20000", "19000", "vocals.wav"]);
}

#[test]
fn stems_at_another_rate_are_refused() {
    let output = train_on_spoilt(|song| {
        write_wav(&song.join("bass.wav"), &tone(2, 20_000, 5.0), 48_000, Format::Int16).unwrap();
    });
    assert_fails(&output, 1, &["bass.wav", "48000 Hz", "44100"]);
}

#[test]
fn mono_stems_are_refused() {
    let output = train_on_spoilt(|song| {
        write_wav(&song.join("drums.wav"), &tone(1, 20_000, 5.0), 44_100, Format::Int16).unwrap();
    });
    assert_fails(&output, 1, &["drums.wav", "1 channel", "stereo"]);
}

#[test]
fn a_file_that_is_no_wav_is_refused() {
    let output = train_on_spoilt(|song| std::fs::write(song.join("drums.wav"), b"ID3 not a wav").unwrap());
    assert_fails(&output, 1, &["drums.wav", "WAV"]);
}

#[test]
fn an_unwritable_folder_for_runs_is_an_error_before_the_first_step() {
    let folder = tempfile::tempdir().unwrap();
    write_recipe(folder.path(), "r", 1, GENERATED);
    std::fs::write(folder.path().join("runs"), b"a file, not a folder").unwrap();
    assert_fails(&run(folder.path(), &["train", "r.toml"]), 1, &["cannot create", "runs/r"]);
}
