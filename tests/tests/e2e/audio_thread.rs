//! The audio thread is sacred. Allocations end every test in this folder (the development bundle sees to it);
//! here, system calls do, too: what a lock, a log line or a sleep come to when it matters.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use tests::bundles;
use tests::plugin::Format;

use crate::support::*;

/// Long enough for a worker to be busy while the audio thread plays, milliseconds.
const SONG: usize = 1_500;
const RATE: u32 = 48_000;

in_both_hosts! {
    fn playing_makes_no_system_call_on_the_audio_thread(format: Format) {
        play_guarded(format)
    }
}

/// Blocks arrive as from a sound card, on a thread on which the kernel ends the program at a system call.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
fn play_guarded(format: Format) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let song = folder.path().join("song.wav");
    let audio = music(SONG, RATE, 28);
    engine::audio::write_wav(&song, &audio, RATE, engine::audio::Format::Float32)?;
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
    expect_delayed(&main, &audio, 0)
}

/// Only Linux can forbid system calls to a thread; elsewhere the song is at least played.
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
fn play_guarded(format: Format) -> Result<()> {
    let mut plugin = activate(format, tests::plugin::Setup::offline(RATE, 256))?;
    let audio = music(SONG, RATE, 28);
    let latency = plugin.latency()?;
    let take = play_through(&mut *plugin, &audio, tests::play::Blocks::Fixed(256))?;
    expect_delayed(&take.main, &audio, latency)
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod guard {
    use super::*;

    #[test]
    fn a_system_call_on_a_guarded_thread_ends_the_program_and_is_named() {
        let test = std::env::current_exe().unwrap();
        let child = "audio_thread::guard::child_makes_a_system_call";
        let output =
            Command::new(test).args(["--exact", child, "--ignored", "--nocapture"]).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(i32::from(tests::syscalls::EXIT_CODE)), "{errors}");
        assert!(errors.contains(&format!("system call {:>4}", number_of_getppid())), "{errors}");
    }

    /// The number of the call that the child makes.
    fn number_of_getppid() -> i64 {
        if cfg!(target_arch = "x86_64") { 110 } else { 173 }
    }

    #[test]
    #[ignore = "ends the program; the test above runs it in one of its own"]
    fn child_makes_a_system_call() {
        tests::syscalls::forbid_on_this_thread().unwrap();
        let _ = std::os::unix::process::parent_id();
    }
}
