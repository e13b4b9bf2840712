//! `trainer train`, as its users run it.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common::{assert_done, assert_fails, errors, run, tone, trainer, write_song};
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

fn log_lines(run: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(run.join("log.jsonl")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Step, loss and gradient of each step.
fn curve(run: &Path) -> Vec<[String; 3]> {
    let steps = log_lines(run).into_iter().filter(|line| line["kind"] == "step");
    steps.map(|line| ["step", "loss", "gradient_norm"].map(|key| line[key].to_string())).collect()
}

#[test]
fn a_run_killed_in_mid_step_and_resumed_ends_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["whole", "killed"] {
        write_recipe(folder.path(), name, 24, GENERATED);
    }
    assert_done(&run(folder.path(), &["train", "whole.toml"]));

    let killed = folder.path().join("runs/killed");
    let mut child = trainer()
        .current_dir(folder.path())
        .args(["train", "killed.toml"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while curve(&killed).len() < 7 {
        assert!(begun.elapsed() < Duration::from_secs(120), "seven steps take too long");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().code(), None, "it ended before it could be killed");
    assert!(!killed.join("best.safetensors").exists());

    assert_done(&run(folder.path(), &["train", "killed.toml", "--resume"]));
    let whole = folder.path().join("runs/whole");
    assert_eq!(curve(&whole), curve(&killed));
    assert_eq!(curve(&whole).len(), 24);
    let read = |run: &Path| {
        let bytes = std::fs::read(run.join("state.safetensors")).unwrap();
        let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        assert!(metadata.tensors().len() > 40);
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut all: Vec<_> =
            tensors.iter().map(|(name, view)| (name.to_owned(), view.data().to_vec())).collect();
        all.sort();
        all
    };
    assert!(read(&whole) == read(&killed), "weights, moments or averages differ");
}

#[test]
fn a_run_stopped_by_the_clock_can_be_resumed_but_not_started_again() {
    let folder = tempfile::tempdir().unwrap();
    write_recipe(folder.path(), "short", 4, GENERATED);
    let stopped = run(folder.path(), &["train", "short.toml", "--minutes", "0"]);
    assert_done(&stopped);
    assert_eq!(curve(&folder.path().join("runs/short")).len(), 1);
    assert_fails(&run(folder.path(), &["train", "short.toml"]), 2, &["already has a run", "--resume"]);
    assert_done(&run(folder.path(), &["train", "short.toml", "--resume"]));
    let log = log_lines(&folder.path().join("runs/short"));
    let validation = log.iter().find(|line| line["kind"] == "validation").unwrap();
    assert_eq!(validation["step"], 4);
    assert!(validation["definition"].as_str().unwrap().starts_with("plain SDR"));
    assert!(folder.path().join("runs/short/best.safetensors").exists());
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
fn unknown_keys_and_impossible_values_in_recipes_are_wrong_use() {
    let folder = tempfile::tempdir().unwrap();
    let train = |text: String| {
        std::fs::write(folder.path().join("r.toml"), text).unwrap();
        run(folder.path(), &["train", "r.toml"])
    };
    let good = recipe("r", 1, GENERATED);
    assert_fails(&train(good.replace("batch = 3", "batchsize = 3")), 2, &["r.toml", "batchsize"]);
    assert_fails(&train(good.replace("batch = 3", "batch = 0")), 2, &["data.batch"]);
    assert_fails(&train(good.replace("name = \"r\"", "name = \"../r\"")), 2, &["name"]);
    assert_fails(&train(good.replace("lookahead = 512", "lookahead = 1")), 2, &["lookahead"]);
    assert_fails(&run(folder.path(), &["train", "nothing.toml"]), 2, &["nothing.toml"]);
}

#[test]
fn an_unwritable_folder_for_runs_is_an_error_before_the_first_step() {
    let folder = tempfile::tempdir().unwrap();
    write_recipe(folder.path(), "r", 1, GENERATED);
    std::fs::write(folder.path().join("runs"), b"a file, not a folder").unwrap();
    assert_fails(&run(folder.path(), &["train", "r.toml"]), 1, &["cannot create", "runs/r"]);
}

/// A limit on the size of files stands in for a full disk: writing fails in the middle of the file.
#[cfg(unix)]
#[test]
fn a_disk_that_is_full_at_a_checkpoint_leaves_the_last_good_one() {
    let folder = tempfile::tempdir().unwrap();
    write_recipe(folder.path(), "full", 6, GENERATED);
    assert_done(&run(folder.path(), &["train", "full.toml", "--minutes", "0"]));
    let files =
        ["state.safetensors", "last.safetensors"].map(|name| folder.path().join("runs/full").join(name));
    let before = files.each_ref().map(|file| std::fs::read(file).unwrap());

    let limited = std::process::Command::new("sh")
        .current_dir(folder.path())
        .args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$0\" train full.toml --resume"])
        .arg(env!("CARGO_BIN_EXE_trainer"))
        .output()
        .unwrap();
    assert_fails(&limited, 1, &["cannot write", ".safetensors"]);
    assert!(before == files.each_ref().map(|file| std::fs::read(file).unwrap()));
    let left: Vec<_> =
        std::fs::read_dir(folder.path().join("runs/full")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(left.len(), 3, "{left:?}");

    let resumed = run(folder.path(), &["train", "full.toml", "--resume"]);
    assert!(resumed.status.success(), "{}", errors(&resumed));
}
