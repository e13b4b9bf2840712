//! `trainer synth`, as its users run it.

use crate::common::{assert_done, assert_fails, run};
use engine::audio::read;

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
