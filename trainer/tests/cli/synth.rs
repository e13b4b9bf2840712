//! `trainer synth`, as its users run it.

use std::path::Path;
use std::process::Output;

use crate::common::{assert_done, assert_fails, run, trainer};
use engine::audio::{AudioBuffer, Format, read, write_wav};

#[test]
fn songs_are_musdb_folders_whose_stems_add_up_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let synth = |output: &str| {
        run(folder.path(), &["synth", "--songs", "2", "--seconds", "2", "--seed", "5", "-o", output])
    };
    assert_done(&synth("first"));
    assert_done(&synth("second"));
    for song in ["song-00005", "song-00006"] {
        let file = |name: &str| read(&folder.path().join("first").join(song).join(name)).unwrap();
        let mixture = file("mixture.wav");
        assert_eq!(
            (mixture.sample_rate, mixture.audio.channels(), mixture.audio.frames()),
            (44_100, 2, 88_200)
        );
        let stems = ["drums.wav", "bass.wav", "other.wav", "vocals.wav"].map(file);
        for side in 0..2 {
            for (frame, x) in mixture.audio.channel(side).iter().enumerate() {
                assert_eq!(stems.iter().map(|s| s.audio.channel(side)[frame]).sum::<f32>(), *x);
            }
        }
        for name in ["mixture.wav", "drums.wav", "vocals.wav"] {
            let bytes = |run: &str| std::fs::read(folder.path().join(run).join(song).join(name)).unwrap();
            assert!(bytes("first") == bytes("second"), "{song}/{name} differs between two runs");
        }
    }
}

#[test]
fn impossible_lengths_and_splits_are_wrong_use() {
    let folder = tempfile::tempdir().unwrap();
    assert_fails(&run(folder.path(), &["synth", "--seconds", "0", "-o", "x"]), 2, &["--seconds"]);
    assert_fails(&run(folder.path(), &["synth", "--split", "1:2", "-o", "x"]), 2, &["8:1:1"]);
    std::fs::write(folder.path().join("file"), b"").unwrap();
    assert_fails(&run(folder.path(), &["synth", "--seconds", "1", "-o", "file"]), 1, &["file"]);
}

/// The line of standard output that begins with a word.
#[track_caller]
fn line(output: &Output, word: &str) -> String {
    assert_done(output);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .find(|line| line.starts_with(word))
        .unwrap_or_else(|| panic!("no {word}:\n{text}"))
        .to_owned()
}

/// A recording of so many seconds.
fn record(folder: &Path, file: &str, seconds: f32, wave: impl FnMut(f32) -> f32) {
    let path = folder.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let channel: Vec<f32> =
        (0..(seconds * 22_050.0) as usize).map(|n| n as f32 / 22_050.0).map(wave).collect();
    // Half our rate: it has to be resampled.
    write_wav(&path, &AudioBuffer::from_channels(vec![channel]).unwrap(), 22_050, Format::Int16).unwrap();
}

/// A small pack: a kit, a bass, a piano, a speaker.
fn write_pack(folder: &Path) {
    let sine = |hz: f32, t: f32| (std::f32::consts::TAU * hz * t).sin();
    let mut noise = 0.4f32;
    let mut hiss = move || {
        noise = (noise * 997.13 + 0.123).fract();
        noise - 0.5
    };
    record(folder, "kick.wav", 0.3, |t| sine(55.0, t) * (-12.0 * t).exp());
    record(folder, "snare.wav", 0.2, |t| hiss() * (-20.0 * t).exp());
    record(folder, "bass.wav", 1.0, |t| 0.5 * sine(82.4, t) + 0.2 * sine(164.8, t));
    record(folder, "piano.wav", 1.0, |t| 0.6 * sine(261.6, t) * (-4.0 * t).exp());
    // Syllables of 0.25 s: a buzz of 120 Hz that comes and goes.
    record(folder, "words.wav", 2.0, |t| {
        let open = (std::f32::consts::PI * (t * 4.0).fract()).sin().powi(2);
        0.1 * open * (1..12).map(|n| sine(120.0 * n as f32, t)).sum::<f32>()
    });
    std::fs::write(
        folder.join("manifest.csv"),
        "file,family,instrument,articulation,midi,f0_hz,velocity\n\
         kick.wav,drums/kick,kit,,,,\n\
         snare.wav,drums/snare,kit,,,,\n\
         bass.wav,bass/electric,finger,,40,,\n\
         piano.wav,other/piano,upright,,60,,\n\
         words.wav,vocals/speech,anna,,,120,\n",
    )
    .unwrap();
}

#[test]
fn songs_are_the_same_on_any_number_of_threads_with_and_without_recordings() {
    let folder = tempfile::tempdir().unwrap();
    write_pack(&folder.path().join("pack"));
    let hash = |threads: &str, more: &[&str]| {
        let output = trainer()
            .current_dir(folder.path())
            .env("RAYON_NUM_THREADS", threads)
            .args(["synth", "--songs", "3", "--seconds", "2", "--seed", "9", "-o", "songs"])
            .args(more)
            .output()
            .unwrap();
        line(&output, "hash ")
    };
    let ours = hash("1", &[]);
    assert_eq!(ours, hash("2", &[]));
    let recorded = hash("1", &["--pack", "pack", "--pack-share", "1"]);
    assert_eq!(recorded, hash("2", &["--pack", "pack", "--pack-share", "1"]));
    assert_ne!(ours, recorded);
    assert_eq!(ours, hash("2", &["--pack", "pack", "--pack-share", "0"]), "recordings that never play");
}

#[test]
fn recordings_play_the_parts_and_the_stems_still_add_up() {
    let folder = tempfile::tempdir().unwrap();
    write_pack(&folder.path().join("pack"));
    let synth = |output: &str, more: &[&str]| {
        let output = ["synth", "--songs", "5", "--seconds", "4", "--seed", "30", "-o", output];
        assert_done(&run(folder.path(), &[&output, more].concat()));
    };
    synth("ours", &[]);
    synth("theirs", &["--pack", "pack", "--pack-share", "1"]);
    let mut sounding = [0; 4];
    for song in 30..35 {
        let file = |run: &str, name: &str| {
            read(&folder.path().join(run).join(format!("song-{song:05}")).join(format!("{name}.wav")))
                .unwrap()
                .audio
        };
        let names = ["drums", "bass", "other", "vocals"];
        let stems = names.map(|name| file("theirs", name));
        for side in 0..2 {
            for (frame, x) in file("theirs", "mixture").channel(side).iter().enumerate() {
                assert_eq!(stems.iter().map(|stem| stem.channel(side)[frame]).sum::<f32>(), *x);
            }
        }
        for (index, name) in names.into_iter().enumerate() {
            let silent = |audio: &AudioBuffer| audio.iter().flatten().all(|x| *x == 0.0);
            let ours = file("ours", name);
            assert!(silent(&ours) || ours != stems[index], "{name} of song {song} is not played by the pack");
            sounding[index] += usize::from(!silent(&stems[index]));
        }
    }
    assert!(sounding.iter().all(|n| *n > 0), "stems that sound: {sounding:?}");
}

#[test]
fn instruments_that_are_left_out_of_a_pack_never_play() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_pack(&path("small"));
    write_pack(&path("large"));
    record(&path("large"), "kick2.wav", 0.3, |t| (400.0 * t).sin() * (-9.0 * t).exp());
    record(&path("large"), "bass2.wav", 1.0, |t| (2.0 * (518.0 * t).fract() - 1.0) * 0.4);
    let manifest = std::fs::read_to_string(path("large/manifest.csv")).unwrap();
    let more = "kick2.wav,drums/kick,b_kit,,,,\nbass2.wav,bass/electric,b_pick,,40,,\n";
    std::fs::write(path("large/manifest.csv"), manifest + more).unwrap();
    let hash = |more: &[&str]| {
        let songs =
            ["synth", "--songs", "2", "--seconds", "2", "--seed", "9", "--pack-share", "1", "-o", "x"];
        line(&run(folder.path(), &[&songs, more].concat()), "hash ")
    };
    let small = hash(&["--pack", "small"]);
    assert_ne!(small, hash(&["--pack", "large"]), "the others would play");
    assert_eq!(small, hash(&["--pack", "large", "--pack-without", "b_*"]));
    assert_eq!(small, hash(&["--pack", "large", "--pack-only", "kit,finger,upright,anna"]));
    assert_eq!(small, hash(&["--pack", "large", "--pack-only", "*i*,anna", "--pack-without", "b_*"]));

    let synth = |more: &[&str]| run(folder.path(), &[&["synth", "--seconds", "1", "-o", "y"], more].concat());
    assert_fails(&synth(&["--pack", "large", "--pack-only", "anne"]), 2, &["manifest.csv", "anne"]);
    assert_fails(&synth(&["--pack", "large", "--pack-without", "*"]), 2, &["large", "no instrument is left"]);
}

#[test]
fn material_that_is_missing_or_broken_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let synth = |more: &[&str]| run(folder.path(), &[&["synth", "--seconds", "1", "-o", "x"], more].concat());
    assert_fails(&synth(&["--pack", "nowhere"]), 1, &["nowhere/manifest.csv"]);
    assert_fails(&synth(&["--pack", "nowhere", "--pack-share", "1.5"]), 2, &["0..=1"]);
    let pack = folder.path().join("pack");
    write_pack(&pack);
    let manifest = std::fs::read_to_string(pack.join("manifest.csv")).unwrap();
    std::fs::write(pack.join("manifest.csv"), manifest.replace(",40,", ",E2,")).unwrap();
    assert_fails(&synth(&["--pack", "pack"]), 1, &["line 4", "midi", "E2"]);
    std::fs::write(pack.join("manifest.csv"), &manifest).unwrap();
    std::fs::remove_file(pack.join("snare.wav")).unwrap();
    assert_fails(&synth(&["--pack", "pack"]), 1, &["pack", "snare.wav", "No such file"]);
    std::fs::write(pack.join("snare.wav"), b"RIFF").unwrap();
    assert_fails(&synth(&["--pack", "pack"]), 1, &["snare.wav"]);
    assert_fails(&synth(&["--soundfont", "pack/manifest.csv"]), 1, &["manifest.csv", ".sf2"]);
    assert_fails(&synth(&["--soundfont", "nowhere.sf2"]), 1, &["nowhere.sf2"]);
    assert!(!folder.path().join("x").exists(), "nothing is written before everything is read");
}

#[test]
fn splits_reports_and_pictures_are_written_beside_the_songs() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(
        folder.path(),
        &[
            "synth",
            "--songs",
            "3",
            "--seconds",
            "1",
            "--split",
            "1:1:1",
            "--report",
            "--picture",
            "-o",
            "set",
        ],
    );
    assert!(line(&output, "3 songs").contains("times real time"));
    assert!(line(&output, "drums").contains('('), "a deviation from real music");
    let set = folder.path().join("set");
    for file in ["report.json", "report.png", "song-00000.png"] {
        assert!(set.join(file).is_file(), "{file}");
    }
    for (part, song) in [("train", 0), ("valid", 1), ("test", 2)] {
        for name in ["mixture", "drums", "bass", "other", "vocals"] {
            assert!(set.join(part).join(format!("song-{song:05}/{name}.wav")).is_file(), "{part} {name}");
        }
    }
}

/// A limit on the size of files stands in for a full disk: writing fails in the middle of the first file.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_and_leaves_no_half_songs() {
    let folder = tempfile::tempdir().unwrap();
    let command = "trap '' XFSZ; ulimit -f 64; exec \"$0\" synth --songs 2 --seconds 1 -o songs";
    let output = std::process::Command::new("sh")
        .args(["-c", command])
        .arg(env!("CARGO_BIN_EXE_trainer"))
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_fails(&output, 1, &["cannot write", ".wav", "File too large"]);
    assert_eq!(std::fs::read_dir(folder.path().join("songs")).unwrap().count(), 0);
}
