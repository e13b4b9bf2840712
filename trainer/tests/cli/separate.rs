//! `trainer separate`, as its users run it.

use std::path::Path;

use crate::common::{assert_done, assert_fails, errors, run, tone, trainer};
use engine::audio::{AudioBuffer, Format, read, write_wav};

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

/// Stems of `good.wav` with some options.
fn stems_with(options: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_wav(&folder.path().join("good.wav"), &tone(2, 60_000, 300.0), 44_100, Format::Float32).unwrap();
    assert_done(&run(folder.path(), &[&["separate", "good.wav", "-o", "out"], options].concat()));
    folder
}

#[test]
fn flac_holds_what_wav_of_the_same_bits_holds() {
    for bits in ["16", "24"] {
        let [wav, flac] = ["int", "flac"].map(|kind| stems_with(&["--format", &format!("{kind}{bits}")]));
        for stem in STEMS {
            let wav = read(&wav.path().join(format!("out/good/{stem}.wav"))).unwrap();
            let flac = read(&flac.path().join(format!("out/good/{stem}.flac"))).unwrap();
            assert!(wav == flac, "{stem}, {bits} bits");
        }
    }
}

#[test]
fn chosen_stems_and_the_rest_add_up_to_the_mixture() {
    let folder = stems_with(&["--stems", "vocals,drums", "--rest"]);
    let song = folder.path().join("out/good");
    let mut names: Vec<_> = std::fs::read_dir(&song).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["drums.wav", "rest.wav", "vocals.wav"]);
    let files = names.iter().map(|name| read(&song.join(name)).unwrap().audio).collect::<Vec<_>>();
    let mixture = read(&folder.path().join("good.wav")).unwrap().audio;
    for frame in 0..mixture.frames() {
        let sum: f32 = files.iter().map(|file| file.channel(1)[frame]).sum();
        assert!((sum - mixture.channel(1)[frame]).abs() < 1e-6);
    }
    let wrong = run(folder.path(), &["separate", "good.wav", "-o", "out", "--stems", "guitar"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(errors(&wrong).contains("guitar is not a stem"), "{}", errors(&wrong));
}

#[test]
fn overlap_changes_the_stems_but_not_their_sum_and_has_limits() {
    let studio = ["--checkpoint", "studio"];
    let [usual, overlapping] =
        [&[][..], &["--overlap", "0.4"]].map(|more| stems_with(&[&studio, more].concat()));
    let stem = |folder: &tempfile::TempDir| read(&folder.path().join("out/good/bass.wav")).unwrap().audio;
    assert_eq!(stem(&usual).frames(), stem(&overlapping).frames());
    assert!(stem(&usual) != stem(&overlapping));
    let separate = ["separate", "good.wav", "-o", "out"];
    let wrong = run(usual.path(), &[&separate[..], &studio, &["--overlap", "0.9"]].concat());
    assert_fails(&wrong, 2, &["0.9", "0.5"]);
    // Live has no windows that could overlap.
    let wrong = run(usual.path(), &[&separate[..], &["--overlap", "0.4"]].concat());
    assert_fails(&wrong, 2, &["hop by hop"]);
}

#[test]
fn a_folder_is_separated_song_by_song() {
    let folder = tempfile::tempdir().unwrap();
    for song in ["test/one/mixture.wav", "test/one/drums.wav", "two.wav"] {
        let path = folder.path().join("songs").join(song);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_wav(&path, &tone(2, 5_000, 300.0), 44_100, Format::Int16).unwrap();
    }
    assert_done(&run(folder.path(), &["separate", "songs", "-o", "out"]));
    for stem in ["out/test/one/vocals.wav", "out/two/vocals.wav"] {
        assert!(folder.path().join(stem).is_file(), "{stem}");
    }
    assert!(!folder.path().join("out/test/one/drums").exists());
}

/// Peak memory of the process, from Linux' own accounting: the same for a song ten times as long.
#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_song() {
    let folder = tempfile::tempdir().unwrap();
    let peak_kib = |seconds: usize| -> u64 {
        let path = folder.path().join("long.wav");
        // Silence costs no network time.
        write_wav(&path, &AudioBuffer::new(2, seconds * 44_100), 44_100, Format::Int16).unwrap();
        let mut child = trainer()
            .current_dir(folder.path())
            .args(["separate", "long.wav", "-o", "out", "--format", "flac16"])
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let status = format!("/proc/{}/status", child.id());
        let mut peak = 0;
        while child.try_wait().unwrap().is_none() {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
            peak = peak.max(line.trim().trim_end_matches(" kB").parse().unwrap_or(0));
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        assert!(child.wait().unwrap().success() && peak > 1_000, "{peak}");
        peak
    };
    let (short, long) = (peak_kib(20), peak_kib(400));
    // The long song alone is 140 MiB in memory, its stems 560 MiB.
    assert!(long < short + 30_000, "{short} KiB for 20 s, {long} KiB for 400 s");
}
