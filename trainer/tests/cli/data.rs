//! Training data as users have it: splits, layouts, formats, and files that turn bad.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use crate::common::{assert_done, assert_fails, errors, run, tone, trainer, write_song};
use engine::audio::{Format, write_wav};

/// A recipe for a tiny network; `data` are keys of `[data]` with its sources, `validation` is a source.
fn write_recipe(folder: &Path, steps: u64, data: &str, validation: &str) {
    let text = format!(
        r#"
        name = "r"
        seed = 7
        steps = {steps}
        threads = 2
        [architecture]
        name = "wave_unet"
        features = 8
        growth = "add"
        levels = 2
        [chunk]
        hop = 2048
        lookahead = 512
        crossfade = 256
        context = 2048
        [data]
        batch = 2
        prefetch = 1
        {data}
        [validation]
        every = {steps}
        source = {validation}
        "#
    );
    std::fs::write(folder.join("r.toml"), text).unwrap();
}

fn train(folder: &Path, steps: u64, data: &str, validation: &str) -> Output {
    write_recipe(folder, steps, data, validation);
    let output = run(folder, &["train", "r.toml"]);
    std::fs::remove_dir_all(folder.join("runs")).ok();
    output
}

const GENERATED: &str = r#"{ kind = "generated", songs = 1, seconds = 1.0, seed = 1 }"#;

#[test]
fn one_folder_is_split_into_training_and_validation_songs_that_never_overlap() {
    let folder = tempfile::tempdir().unwrap();
    for song in ["a", "b", "c", "d"] {
        write_song(&folder.path().join("songs").join(song), 20_000);
    }
    let source = |hold_out: &str| {
        format!("[[data.source]]\nkind = \"folder\"\npath = \"songs\"\nhold_out = {hold_out}")
    };
    let held_out = r#"{ kind = "hold_out", seconds = 0.2 }"#;
    assert_done(&train(folder.path(), 1, &source("{ songs = 1 }"), held_out));

    // A song that cannot be read stops whoever reads it: training alone reads three, validation alone the fourth.
    let stopped_by = |validation: &str, hold_out: &str| {
        let mut songs = Vec::new();
        for song in ["a", "b", "c", "d"] {
            let path = folder.path().join("songs").join(song).join("bass.wav");
            let whole = std::fs::read(&path).unwrap();
            std::fs::write(&path, &whole[..1_000]).unwrap();
            let output = train(folder.path(), 1, &source(hold_out), validation);
            std::fs::write(&path, whole).unwrap();
            if !output.status.success() {
                assert!(errors(&output).contains("bass.wav is cut off"), "{}", errors(&output));
                songs.push(song);
            }
        }
        songs
    };
    assert_eq!(stopped_by(GENERATED, "{ names = ['b', 'd'] }"), ["a", "c"]);
    assert_eq!(stopped_by(held_out, "{ names = ['b', 'd'] }"), ["a", "b", "c", "d"]);

    let wrong = train(folder.path(), 1, &source("{ names = ['x'] }"), held_out);
    assert_fails(&wrong, 1, &["hold_out", "\"x\"", "not in songs"]);
    assert_fails(&train(folder.path(), 1, &source("{ songs = 4 }"), held_out), 1, &["none is left"]);
    assert_fails(
        &train(folder.path(), 1, &source("{}"), held_out),
        2,
        &["no song to validate on", "hold_out"],
    );
}

#[test]
fn songs_with_other_files_formats_and_rates_are_converted_when_the_recipe_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let song = folder.path().join("songs/one");
    std::fs::create_dir_all(song.join("drums")).unwrap();
    let write = |name: &str, channels: usize, rate: u32| {
        let frames = rate as usize / 2;
        write_wav(&song.join(name), &tone(channels, frames, 90.0), rate, Format::Int16).unwrap();
    };
    write("drums/kick.wav", 2, 44_100);
    write("drums/snare.wav", 1, 44_100);
    write("low.wav", 2, 48_000);
    write("lead.wav", 2, 44_100);
    let data = |more: &str| {
        format!(
            "cache = \"decoded\"\n[[data.source]]\nkind = \"folder\"\npath = \"songs\"\n
            files = {{ drums = \"drums/*.wav\", bass = \"low.wav\", other = [], vocals = [\"lead.wav\"] }}\n{more}"
        )
    };
    let refused = train(folder.path(), 1, &data(""), GENERATED);
    assert_fails(&refused, 1, &["snare.wav has 1 channel", "stereo", "convert = true"]);
    assert_done(&train(folder.path(), 1, &data("convert = true"), GENERATED));
    let decoded = || std::fs::read_dir(folder.path().join("decoded")).unwrap().count();
    assert_eq!(decoded(), 2, "the mono and the 48 kHz file");
    let validation = r#"{ kind = "folder", path = "songs", convert = true, seconds = 0.2,
        files = { drums = "drums/*.wav", bass = "low.wav", other = [], vocals = "lead.wav" } }"#
        .replace('\n', " ");
    assert_done(&train(folder.path(), 1, &data("convert = true"), &validation));
    assert_eq!(decoded(), 2);
    let missing = data("convert = true").replace("low.wav", "sub.flac");
    assert_fails(&train(folder.path(), 1, &missing, GENERATED), 1, &["sub.flac is missing"]);
    let outside = data("").replace("low.wav", "../low.wav");
    assert_fails(&train(folder.path(), 1, &outside, GENERATED), 2, &["relative to a song's folder"]);
}

#[test]
fn stem_mp4_files_train_and_validate() {
    let folder = tempfile::tempdir().unwrap();
    let musdb = folder.path().join("musdb18/train");
    std::fs::create_dir_all(&musdb).unwrap();
    let tones = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tones.stem.mp4");
    for song in ["A - One", "B - Two", "C - Three"] {
        std::fs::copy(&tones, musdb.join(format!("{song}.stem.mp4"))).unwrap();
    }
    let data = "[[data.source]]\nkind = \"stem_mp4\"\npath = \"musdb18/train\"\nhold_out = { names = [\"B - Two\"] }";
    assert_done(&train(folder.path(), 2, data, r#"{ kind = "hold_out" }"#));
    assert_eq!(std::fs::read_dir(folder.path().join("cache")).unwrap().count(), 12);
    // A full disk is not the songs' fault: it stops even where bad songs are skipped.
    std::fs::remove_dir_all(folder.path().join("cache")).unwrap();
    std::fs::write(folder.path().join("cache"), b"in the way").unwrap();
    let data = format!("on_bad_file = \"skip\"\n{data}");
    let full = train(folder.path(), 2, &data, r#"{ kind = "hold_out" }"#);
    assert_fails(&full, 1, &["cannot keep the decoded", "in cache", "data.cache"]);
}

/// Starts training on two songs, and removes a file of one of them after some steps.
fn train_and_remove(on_bad_file: &str, steps: u64) -> (tempfile::TempDir, Output) {
    let folder = tempfile::tempdir().unwrap();
    for song in ["a", "b"] {
        write_song(&folder.path().join("songs").join(song), 20_000);
    }
    let data =
        format!("on_bad_file = \"{on_bad_file}\"\n[[data.source]]\nkind = \"folder\"\npath = \"songs\"");
    write_recipe(folder.path(), steps, &data, GENERATED);
    let child = trainer()
        .current_dir(folder.path())
        .args(["train", "r.toml"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = folder.path().join("runs/r/log.jsonl");
    let begun = Instant::now();
    while std::fs::read_to_string(&log).unwrap_or_default().lines().count() < 3 {
        assert!(begun.elapsed() < Duration::from_secs(60), "three steps take too long");
        std::thread::sleep(Duration::from_millis(2));
    }
    std::fs::write(folder.path().join("songs/b/other.wav"), b"RIFF, cut off").unwrap();
    let output = child.wait_with_output().unwrap();
    (folder, output)
}

#[test]
fn a_file_that_breaks_in_the_middle_of_training_is_skipped_and_reported_once() {
    let (folder, output) = train_and_remove("skip", 20);
    assert_done(&output);
    let text = errors(&output);
    assert_eq!(text.matches("songs/b/other.wav has changed").count(), 1, "{text}");
    let log = std::fs::read_to_string(folder.path().join("runs/r/log.jsonl")).unwrap();
    assert_eq!(log.matches("\"left_out\"").count(), 1);
    assert_eq!(log.matches("\"kind\":\"step\"").count(), 20);
    // From then on it is left out before the first step, and named again.
    write_recipe(
        folder.path(),
        2,
        "on_bad_file = \"skip\"\n[[data.source]]\nkind = \"folder\"\npath = \"songs\"",
        GENERATED,
    );
    let again = run(folder.path(), &["train", "r.toml", "--runs", "again"]);
    assert_done(&again);
    assert!(errors(&again).contains("left out: cannot read songs/b/other.wav"), "{}", errors(&again));
}

#[test]
fn a_file_that_breaks_in_the_middle_of_training_stops_it_by_name() {
    let (folder, output) = train_and_remove("stop", 5_000);
    assert_fails(&output, 1, &["cannot read a song", "on_bad_file", "songs/b/other.wav has changed"]);
    assert!(folder.path().join("runs/r/log.jsonl").exists());
}
