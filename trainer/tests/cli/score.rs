//! `trainer score`, as its users run it.

use std::path::Path;

use engine::audio::{AudioBuffer, Format, write_wav};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde_json::Value;

use crate::common::{assert_done, assert_fails, errors, run, tone, write_song};

const STEMS: [&str; 4] = ["drums", "bass", "other", "vocals"];
const METRICS: [&str; 4] = ["SDR", "ISR", "SIR", "SAR"];

/// A tensor of museval's vector, flat.
fn numbers(vector: &SafeTensors, name: &str) -> Vec<f64> {
    let tensor = vector.tensor(name).unwrap();
    match tensor.dtype() {
        Dtype::F64 => {
            tensor.data().chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
        }
        Dtype::F16 => tensor
            .data()
            .chunks_exact(2)
            .map(|b| {
                let bits = u16::from_le_bytes(b.try_into().unwrap());
                let (sign, exponent) = (if bits >> 15 == 1 { -1.0 } else { 1.0 }, i32::from(bits >> 10 & 31));
                let fraction = f64::from(bits & 1023) / 1024.0;
                // Numbers below the smallest exponent have no leading one.
                let whole = if exponent == 0 { fraction } else { 1.0 + fraction };
                sign * whole * 2f64.powi(exponent.max(1) - 15)
            })
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_figures_of_wav_files_are_those_of_museval_in_its_layout() {
    let folder = tempfile::tempdir().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/museval_v4_short.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let vector = SafeTensors::deserialize(&bytes).unwrap();
    for kind in ["reference", "estimate"] {
        std::fs::create_dir(folder.path().join(kind)).unwrap();
        for stem in STEMS {
            let samples = numbers(&vector, &format!("{kind}.{stem}"));
            let (left, right) = samples.split_at(samples.len() / 2);
            let channels = [left, right].map(|c| c.iter().map(|x| *x as f32).collect());
            let audio = AudioBuffer::from_channels(channels.into()).unwrap();
            write_wav(&folder.path().join(kind).join(format!("{stem}.wav")), &audio, 8_000, Format::Float32)
                .unwrap();
        }
    }
    let output = run(folder.path(), &["score", "reference", "estimate", "--json", "out.json"]);
    assert_done(&output);
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("BSSEval v4") && table.contains("MDX") && table.contains("plain SDR"), "{table}");

    let json = read_json(&folder.path().join("out.json"));
    let targets = json["targets"].as_array().unwrap();
    assert_eq!(targets.iter().map(|t| t["name"].as_str().unwrap()).collect::<Vec<_>>(), STEMS);
    for target in targets {
        let frames = target["frames"].as_array().unwrap();
        for metric in METRICS {
            let wanted = numbers(&vector, &format!("{metric}.{}", target["name"].as_str().unwrap()));
            assert_eq!(frames.len(), wanted.len());
            assert_eq!(wanted.iter().filter(|x| x.is_nan()).count(), 1);
            for (index, (frame, wanted)) in frames.iter().zip(wanted).enumerate() {
                assert_eq!(
                    (frame["time"].as_f64(), frame["duration"].as_f64()),
                    (Some(index as f64), Some(1.0))
                );
                let found = &frame["metrics"][metric];
                match found.as_f64() {
                    Some(found) => assert!((found - wanted).abs() < 1e-4, "{metric}: {found}, not {wanted}"),
                    None => assert!(found.is_null() && wanted.is_nan(), "{metric}: {found}, not {wanted}"),
                }
            }
        }
    }
}

/// A song's stems as references, and the same files as estimates.
fn song_twice(folder: &Path) {
    write_song(&folder.join("true"), 20_000);
    write_song(&folder.join("made"), 20_000);
}

#[test]
fn any_names_of_stems_are_scored_and_mixtures_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    song_twice(folder.path());
    for (name, hz) in [("true/piano.wav", 300.0), ("made/piano.wav", 310.0), ("made/mixture.wav", 50.0)] {
        write_wav(&path(name), &tone(2, 20_000, hz), 44_100, Format::Int16).unwrap();
    }
    let few = ["--filters", "8", "--window", "0.1", "--hop", "0.05", "--json", "out.json"];
    let score = |more: &[&str]| run(folder.path(), &[&["score", "true", "made"], &few[..], more].concat());
    let names = || {
        let json = read_json(&path("out.json"));
        let targets = json["targets"].as_array().unwrap().clone();
        let frames = targets[0]["frames"].as_array().unwrap();
        // 20 000 frames hold (20 000 - 4 410) / 2 205 + 1 windows.
        assert_eq!((frames.len(), frames[1]["time"].as_f64()), (8, Some(0.05)));
        targets.iter().map(|t| t["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_done(&score(&[]));
    assert_eq!(names(), ["drums", "bass", "other", "vocals", "piano"]);
    assert_done(&score(&["--stems", "piano,bass"]));
    assert_eq!(names(), ["bass", "piano"]);
}

#[test]
fn estimates_of_another_length_or_of_silence_are_scored_and_it_is_said() {
    let folder = tempfile::tempdir().unwrap();
    song_twice(folder.path());
    write_wav(&folder.path().join("made/bass.wav"), &tone(2, 19_000, 55.0), 44_100, Format::Int16).unwrap();
    write_wav(&folder.path().join("made/drums.wav"), &tone(2, 21_000, 90.0), 44_100, Format::Int16).unwrap();
    let silence = AudioBuffer::new(2, 20_000);
    write_wav(&folder.path().join("made/other.wav"), &silence, 44_100, Format::Int16).unwrap();
    let output = run(folder.path(), &["score", "true", "made", "--filters", "8", "--window", "0.1"]);
    assert_done(&output);
    for words in
        ["made/bass.wav has 19000 frames", "made/drums.wav has 21000 frames", "made/other.wav is silent"]
    {
        assert!(errors(&output).contains(words), "{}", errors(&output));
    }
}

#[test]
fn bad_input_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    song_twice(folder.path());
    let score = |more: &[&str]| run(folder.path(), &[&["score", "true", "made"], more].concat());
    assert_fails(&score(&["--filters", "0"]), 2, &["--filters"]);
    assert_fails(&score(&["--window", "NaN"]), 2, &["--window"]);
    assert_fails(&score(&["--stems", "piano"]), 1, &["true", "piano"]);
    assert_fails(&run(folder.path(), &["score", "nothing", "made"]), 1, &["nothing"]);

    std::fs::remove_file(path("made/vocals.wav")).unwrap();
    assert_fails(&score(&[]), 1, &["made has no vocals", "--stems"]);
    write_wav(&path("made/vocals.wav"), &tone(2, 20_000, 90.0), 48_000, Format::Int16).unwrap();
    assert_fails(&score(&[]), 1, &["made/vocals.wav", "48000 Hz", "44100 Hz"]);
    write_wav(&path("made/vocals.wav"), &tone(1, 20_000, 90.0), 44_100, Format::Int16).unwrap();
    assert_fails(&score(&[]), 1, &["made/vocals.wav", "1 channel(s)"]);
    let mut broken = tone(2, 20_000, 90.0);
    broken.channel_mut(1)[500] = f32::NAN;
    write_wav(&path("made/vocals.wav"), &broken, 44_100, Format::Float32).unwrap();
    assert_fails(&score(&[]), 1, &["made/vocals.wav", "no numbers"]);
    write_wav(&path("true/bass.wav"), &tone(2, 19_999, 90.0), 44_100, Format::Int16).unwrap();
    assert_fails(&score(&[]), 1, &["true/bass.wav", "19999", "20000"]);
    std::fs::create_dir(path("empty")).unwrap();
    assert_fails(&run(folder.path(), &["score", "empty", "made"]), 1, &["empty has no stems"]);
}
