//! `trainer separate`, as its users run it.

use std::path::Path;

use crate::common::{assert_done, assert_fails, run, tone};
use engine::audio::{Format, read, write_wav};

const STEMS: [&str; 4] = ["drums", "bass", "other", "vocals"];

#[test]
fn stems_have_the_rate_and_length_of_their_mixture_and_add_up_to_it() {
    let folder = tempfile::tempdir().unwrap();
    for (name, rate, frames) in [("own.wav", 44_100, 50_000), ("other.wav", 48_000, 30_001)] {
        let mixture = tone(2, frames, 300.0);
        write_wav(&folder.path().join(name), &mixture, rate, Format::Float32).unwrap();
        assert_done(&run(folder.path(), &["separate", name, "-o", "out"]));
        let song = folder.path().join("out").join(Path::new(name).file_stem().unwrap());
        let stems = STEMS.map(|stem| read(&song.join(format!("{stem}.wav"))).unwrap());
        for stem in &stems {
            assert_eq!((stem.sample_rate, stem.audio.frames(), stem.audio.channels()), (rate, frames, 2));
        }
        for side in 0..2 {
            for frame in 0..frames {
                let sum: f32 = stems.iter().map(|stem| stem.audio.channel(side)[frame]).sum();
                let wanted = mixture.channel(side)[frame];
                assert!((sum - wanted).abs() < 1e-6, "{name}, frame {frame}: {sum} for {wanted}");
            }
        }
    }
}

#[test]
fn mono_files_become_stereo_stems_and_integers_are_written_on_demand() {
    let folder = tempfile::tempdir().unwrap();
    write_wav(&folder.path().join("mono.wav"), &tone(1, 20_000, 300.0), 44_100, Format::Int16).unwrap();
    assert_done(&run(folder.path(), &["separate", "mono.wav", "-o", "out", "--format", "int24"]));
    let path = folder.path().join("out/mono/vocals.wav");
    let stem = read(&path).unwrap();
    assert_eq!((stem.audio.channels(), stem.audio.frames()), (2, 20_000));
    assert!(std::fs::metadata(&path).unwrap().len() < 20_000 * 2 * 3 + 200);
}

#[test]
fn bad_inputs_are_named_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_wav(&path("good.wav"), &tone(2, 10_000, 300.0), 44_100, Format::Int16).unwrap();
    std::fs::write(path("text.xyz"), b"no audio at all, but long enough to be looked at as if it were")
        .unwrap();
    let with = |input: &str| run(folder.path(), &["separate", "good.wav", input, "-o", "out"]);
    assert_fails(&with("text.xyz"), 1, &["text.xyz"]);
    assert_fails(&with("missing.wav"), 1, &["missing.wav"]);
    assert!(!path("out").exists());
    assert_fails(&run(folder.path(), &["separate", "good.wav", "good.wav", "-o", "out"]), 2, &["good"]);
    assert_eq!(run(folder.path(), &["separate", "-o", "out"]).status.code(), Some(2));
}

#[test]
fn a_wav_cut_off_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.wav");
    write_wav(&path, &tone(2, 30_000, 300.0), 44_100, Format::Int16).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert_fails(&run(folder.path(), &["separate", "cut.wav", "-o", "out"]), 1, &["cut.wav"]);
}

#[test]
fn broken_checkpoints_and_unwritable_folders_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_wav(&path("good.wav"), &tone(2, 10_000, 300.0), 44_100, Format::Int16).unwrap();
    std::fs::write(path("broken.safetensors"), b"nothing of use").unwrap();
    let broken = ["separate", "good.wav", "-o", "out", "--checkpoint", "broken.safetensors"];
    assert_fails(&run(folder.path(), &broken), 1, &["broken.safetensors"]);
    std::fs::write(path("file"), b"not a folder").unwrap();
    assert_fails(&run(folder.path(), &["separate", "good.wav", "-o", "file"]), 1, &["file"]);
}
