//! Running the `trainer` binary, and small songs for it.

use std::path::Path;
use std::process::{Command, Output};

use engine::audio::{AudioBuffer, Format, write_wav};

/// The binary that cargo built for these tests.
pub fn trainer() -> Command {
    Command::new(env!("CARGO_BIN_EXE_trainer"))
}

/// Runs in a folder and waits.
pub fn run(folder: &Path, arguments: &[&str]) -> Output {
    trainer().current_dir(folder).args(arguments).output().expect("the binary starts")
}

/// Standard error as text.
pub fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The exit code is `code`, and the first line of standard error has all of `words`.
#[track_caller]
pub fn assert_fails(output: &Output, code: i32, words: &[&str]) {
    let text = errors(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in:\n{text}");
    }
    assert!(text.starts_with("error: ") && !text.contains("panicked"), "{text}");
}

/// The run succeeded.
#[track_caller]
pub fn assert_done(output: &Output) {
    assert!(output.status.success(), "{}", errors(output));
}

/// A tone with a little noise, so that no two stems are alike.
pub fn tone(channels: usize, frames: usize, hz: f32) -> AudioBuffer {
    let mut noise = 0.37f32;
    let channel = |c: usize| {
        (0..frames)
            .map(|n| {
                noise = (noise * 997.13 + 0.123).fract();
                0.2 * (n as f32 * hz * (1.0 + 0.01 * c as f32) * 1.4e-4).sin() + 0.02 * (noise - 0.5)
            })
            .collect()
    };
    let channels: Vec<Vec<f32>> = (0..channels).map(channel).collect();
    AudioBuffer::from_channels(channels).expect("equal lengths")
}

/// Writes a song's stems in MUSDB18-HQ layout.
pub fn write_song(folder: &Path, frames: usize) {
    std::fs::create_dir_all(folder).unwrap();
    for (stem, hz) in [("drums", 90.0), ("bass", 55.0), ("other", 440.0), ("vocals", 700.0)] {
        let path = folder.join(format!("{stem}.wav"));
        write_wav(&path, &tone(2, frames, hz), 44_100, Format::Int16).unwrap();
    }
}
