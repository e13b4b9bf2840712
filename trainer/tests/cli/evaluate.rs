//! `trainer evaluate`, as its users run it.

use std::path::Path;
use std::process::Output;

use engine::audio::{Format, write_wav};
use serde_json::Value;

use crate::common::{assert_done, assert_fails, run, tone, trainer};

const STEMS: [&str; 4] = ["drums", "bass", "other", "vocals"];

/// Generated songs in DIR/songs.
fn songs(folder: &Path, count: u32, seconds: f32) {
    let (count, seconds) = (count.to_string(), seconds.to_string());
    let arguments = ["synth", "--songs", &count, "--seconds", &seconds, "--seed", "40", "-o", "songs"];
    assert_done(&run(folder, &arguments));
}

/// Short filters and windows, so that it is fast.
fn evaluate(folder: &Path, more: &[&str]) -> Output {
    let few = ["evaluate", "--dataset", "songs", "--filters", "32", "--window", "0.5", "--hop", "0.5"];
    run(folder, &[&few, more].concat())
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    (n > 0).then(|| (values[(n - 1) / 2] + values[n / 2]) / 2.0)
}

/// The windows' figures of one stem of one track.
fn frames(track: &Value, stem: usize, metric: &str) -> Vec<f64> {
    let target = &track["targets"][stem];
    assert_eq!(target["name"], STEMS[stem]);
    target["frames"].as_array().unwrap().iter().filter_map(|f| f["metrics"][metric].as_f64()).collect()
}

#[test]
fn aggregates_are_those_of_the_tracks_and_knowing_the_stems_beats_doing_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    songs(folder.path(), 3, 2.0);
    let files = ["--json", "out.json", "--csv", "out.csv", "--plot", "out.png", "--tracks", "tracks"];
    let output =
        evaluate(folder.path(), &[&["--checkpoint", "mixture", "--compare", "irm"], &files[..]].concat());
    assert_done(&output);
    let table = String::from_utf8(output.stdout).unwrap();
    for words in ["median: over a song's windows, then over songs", "irm - mixture, SDR", "MDX", "museval"] {
        assert!(table.contains(words), "{words:?} is not in:\n{table}");
    }

    let json = read_json(&path("out.json"));
    let irm = &json["others"][0];
    assert_eq!((&json["checkpoint"], &irm["checkpoint"]), (&"mixture".into(), &"irm".into()));
    let definition = json["aggregate"]["definition"].as_str().unwrap();
    assert!(definition.contains("median over a song's windows, then median over songs"), "{definition}");
    for (index, stem) in STEMS.into_iter().enumerate() {
        for metric in ["SDR", "ISR", "SIR", "SAR"] {
            let tracks = json["tracks"].as_array().unwrap();
            let by_song = tracks.iter().filter_map(|track| median(frames(track, index, metric)));
            let wanted = median(by_song.collect());
            let found = json["aggregate"][stem][metric].as_f64();
            assert_eq!(found.is_some(), wanted.is_some(), "{stem} {metric}");
            assert!((found.unwrap_or(0.0) - wanted.unwrap_or(0.0)).abs() < 1e-4, "{found:?}, not {wanted:?}");
        }
    }
    for measure in ["SDR", "plain_SDR"] {
        let [ideal, nothing] = [irm, &json].map(|m| m["aggregate"]["mean"][measure].as_f64().unwrap());
        assert!(ideal > nothing + 3.0, "{measure}: {ideal} dB, the mixture has {nothing} dB");
    }
    let comparison = json["comparisons"].as_array().unwrap().iter().find(|c| c["stem"] == "mean").unwrap();
    let [low, middle, high] = ["low", "difference", "high"].map(|key| comparison[key].as_f64().unwrap());
    assert!(3.0 < low && low <= middle && middle <= high, "{comparison}");
    for comparison in json["comparisons"].as_array().unwrap() {
        let stem = comparison["stem"].as_str().unwrap();
        if (&comparison["measure"], &comparison["over_songs"]) != (&"plain_SDR".into(), &"median".into())
            || stem == "mean"
        {
            continue;
        }
        let plain = |method: &Value, song: usize| method["tracks"][song]["plain_SDR"][stem].as_f64();
        let gains = (0..3).filter_map(|song| Some(plain(irm, song)? - plain(&json, song)?)).collect();
        let (wanted, found) = (median(gains), comparison["difference"].as_f64());
        assert!((found.unwrap() - wanted.unwrap()).abs() < 1e-4, "{stem}: {found:?}, not {wanted:?}");
    }

    for (index, name) in ["song-00040", "song-00041", "song-00042"].into_iter().enumerate() {
        let track = read_json(&path("tracks/irm/test").join(format!("{name}.json")));
        assert_eq!(irm["tracks"][index]["name"], name);
        assert_eq!(track["targets"], irm["tracks"][index]["targets"]);
        assert_eq!(track["targets"][0]["frames"].as_array().unwrap().len(), 4);
    }
    let csv = std::fs::read_to_string(path("out.csv")).unwrap();
    assert!(csv.starts_with(
        "checkpoint,song,stem,windows,SDR,ISR,SIR,SAR,plain_SDR\nmixture,song-00040,drums,median,"
    ));
    assert_eq!(csv.lines().count(), 1 + 2 * 3 * 4 * 2);
    let png = std::fs::read(path("out.png")).unwrap();
    assert!(png.starts_with(b"\x89PNG") && png.len() > 10_000);
}

#[test]
fn checkpoints_are_measured_alike_on_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    songs(folder.path(), 2, 2.0);
    let results = ["1", "2"].map(|threads| {
        let output = trainer()
            .current_dir(folder.path())
            .env("RAYON_NUM_THREADS", threads)
            .args(["evaluate", "--dataset", "songs", "--checkpoint", "studio", "--seconds", "1.2"])
            .args(["--filters", "16", "--jobs", threads, "--json", "out.json"])
            .output()
            .unwrap();
        assert_done(&output);
        read_json(&folder.path().join("out.json"))
    });
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0]["tracks"][1]["targets"][0]["frames"].as_array().unwrap().len(), 1);
    assert!(results[0]["aggregate"]["mean"]["plain_SDR"].as_f64().unwrap().is_finite());
    assert!(results[0].get("others").is_none());
}

#[test]
fn bad_data_sets_and_checkpoints_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mixture = |more: &[&str]| evaluate(folder.path(), &[&["--checkpoint", "mixture"], more].concat());
    assert_fails(&mixture(&[]), 1, &["songs"]);
    std::fs::create_dir_all(path("songs/test")).unwrap();
    assert_fails(&mixture(&[]), 1, &["songs has no songs", "did you mean songs/test?"]);

    songs(folder.path(), 1, 0.6);
    assert_done(&mixture(&[]));
    assert_fails(&mixture(&["--compare"]), 2, &["at least 2"]);
    assert_fails(&mixture(&["--compare", "mixture"]), 2, &["named twice"]);
    assert_fails(&mixture(&["--seconds", "0"]), 2, &["--seconds"]);
    assert_fails(&mixture(&["--jobs", "0"]), 2, &["--jobs"]);
    assert_fails(&mixture(&["--compare", "none.safetensors"]), 1, &["none.safetensors"]);
    assert_fails(&mixture(&["--json", "none/out.json"]), 1, &["none/out.json"]);
    assert_eq!(evaluate(folder.path(), &[]).status.code(), Some(2));

    let vocals = path("songs/song-00040/vocals.wav");
    write_wav(&vocals, &tone(2, 20_000, 90.0), 44_100, Format::Int16).unwrap();
    assert_fails(&mixture(&[]), 1, &["vocals.wav has 20000", "mixture.wav", "unequal length"]);
    std::fs::remove_file(&vocals).unwrap();
    assert_fails(&mixture(&[]), 1, &["song-00040 has no vocals.wav"]);
    std::fs::remove_file(path("songs/song-00040/mixture.wav")).unwrap();
    assert_fails(&mixture(&[]), 1, &["song-00040 has no mixture.wav"]);
}
