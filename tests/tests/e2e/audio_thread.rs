//! The audio thread is sacred. Allocations end every test in this folder (the development bundle sees to it);
//! here, system calls do, too: what a lock, a log line or a sleep come to when it matters.

use std::process::Command;

use anyhow::{Context, ensure};
use tests::bundles;
use tests::plugin::Format;

use crate::support::*;

in_both_hosts! {
    /// Blocks arrive as from a sound card, on a thread on which the kernel ends the program at a system call.
    #[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn playing_makes_no_system_call_on_the_audio_thread(format: Format) {
        let folder = tempfile::tempdir()?;
        let song = folder.path().join("song.wav");
        let rate = 48_000;
        engine::audio::write_wav(&song, &music(1_500, rate, 28), rate, engine::audio::Format::Float32)?;
        let output = Command::new(env!("CARGO_BIN_EXE_host"))
            .args(["--realtime", "--forbid-system-calls", "--block", "256", "--format", format.extension()])
            .arg("--bundle")
            .arg(bundles::for_tests(format)?)
            .arg("--input")
            .arg(&song)
            .arg("--output")
            .arg(folder.path())
            .output()
            .context("cannot start the host")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {errors}", output.status);
        let main = engine::audio::read(&folder.path().join("main.wav"))?.audio;
        ensure!(main.frames() == song_frames(rate), "the song is incomplete");
        Ok(())
    }
}

fn song_frames(rate: u32) -> usize {
    1_500 * rate as usize / 1000
}
