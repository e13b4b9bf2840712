//! Runs that stop: killed, out of time, out of disk, or because nothing gets better.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::{GENERATED, curve, log_lines, recipe, write_recipe};
use crate::common::{assert_done, assert_fails, errors, run, trainer};

#[test]
fn a_run_killed_in_mid_step_and_resumed_ends_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["whole", "killed"] {
        let recipe = recipe(name, 16, GENERATED)
            .replace("[architecture]", "steps_per_epoch = 6\n[architecture]")
            .replace("[optimizer]", "[optimizer]\naccumulate = 2\nschedule = \"cyclic\"");
        std::fs::write(folder.path().join(format!("{name}.toml")), recipe).unwrap();
    }
    assert_done(&run(folder.path(), &["train", "whole.toml"]));

    let killed = folder.path().join("runs/killed");
    let mut child = trainer()
        .current_dir(folder.path())
        .args(["train", "killed.toml"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while curve(&killed).len() < 7 {
        assert!(begun.elapsed() < Duration::from_secs(120), "seven steps take too long");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().code(), None, "it ended before it could be killed");
    assert!(!killed.join("best.safetensors").exists());

    assert_done(&run(folder.path(), &["train", "killed.toml", "--resume"]));
    let whole = folder.path().join("runs/whole");
    assert_eq!(curve(&whole), curve(&killed));
    assert_eq!(curve(&whole).len(), 16);
    let read = |run: &Path| {
        let bytes = std::fs::read(run.join("state.safetensors")).unwrap();
        let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        assert!(metadata.tensors().len() > 40);
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut all: Vec<_> =
            tensors.iter().map(|(name, view)| (name.to_owned(), view.data().to_vec())).collect();
        all.sort();
        all
    };
    assert!(read(&whole) == read(&killed), "weights, moments or averages differ");
}

#[test]
fn a_run_stopped_by_the_clock_can_be_resumed_but_not_started_again() {
    let folder = tempfile::tempdir().unwrap();
    write_recipe(folder.path(), "short", 4, GENERATED);
    let stopped = run(folder.path(), &["train", "short.toml", "--minutes", "0"]);
    assert_done(&stopped);
    assert_eq!(curve(&folder.path().join("runs/short")).len(), 1);
    assert_fails(&run(folder.path(), &["train", "short.toml"]), 2, &["already has a run", "--resume"]);
    assert_done(&run(folder.path(), &["train", "short.toml", "--resume"]));
    let log = log_lines(&folder.path().join("runs/short"));
    let validation = log.iter().find(|line| line["kind"] == "validation").unwrap();
    assert_eq!(validation["step"], 4);
    assert!(validation["definition"].as_str().unwrap().starts_with("plain SDR"));
    assert!(folder.path().join("runs/short/best.safetensors").exists());
}

/// A limit on the size of files stands in for a full disk: writing fails in the middle of the file.
#[cfg(unix)]
#[test]
fn a_disk_that_is_full_at_a_checkpoint_leaves_the_last_good_one() {
    let folder = tempfile::tempdir().unwrap();
    write_recipe(folder.path(), "full", 6, GENERATED);
    assert_done(&run(folder.path(), &["train", "full.toml", "--minutes", "0"]));
    let files =
        ["state.safetensors", "last.safetensors"].map(|name| folder.path().join("runs/full").join(name));
    let before = files.each_ref().map(|file| std::fs::read(file).unwrap());

    let limited = std::process::Command::new("sh")
        .current_dir(folder.path())
        .args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$0\" train full.toml --resume"])
        .arg(env!("CARGO_BIN_EXE_trainer"))
        .output()
        .unwrap();
    assert_fails(&limited, 1, &["cannot write", ".safetensors"]);
    assert!(before == files.each_ref().map(|file| std::fs::read(file).unwrap()));
    let left: Vec<_> =
        std::fs::read_dir(folder.path().join("runs/full")).unwrap().map(|e| e.unwrap().path()).collect();
    // State, checkpoint, log, and an event file for each start; no half of anything else.
    assert_eq!(left.len(), 5, "{left:?}");

    let resumed = run(folder.path(), &["train", "full.toml", "--resume"]);
    assert!(resumed.status.success(), "{}", errors(&resumed));
}

/// The event file is the first to be written at a step that is over, and a small limit stands in for a full disk.
#[cfg(unix)]
#[test]
fn a_disk_that_is_full_at_an_event_stops_the_run_by_name_and_can_be_resumed() {
    let folder = tempfile::tempdir().unwrap();
    write_recipe(folder.path(), "full", 4, GENERATED);
    assert_done(&run(folder.path(), &["train", "full.toml", "--minutes", "0"]));
    let state = folder.path().join("runs/full/state.safetensors");
    let before = std::fs::read(&state).unwrap();
    let limited = std::process::Command::new("sh")
        .current_dir(folder.path())
        .args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" train full.toml --resume"])
        .arg(env!("CARGO_BIN_EXE_trainer"))
        .output()
        .unwrap();
    assert_fails(&limited, 1, &["cannot write", "runs/full"]);
    assert!(
        errors(&limited).contains("events.out") || errors(&limited).contains("log.jsonl"),
        "{}",
        errors(&limited)
    );
    assert!(before == std::fs::read(&state).unwrap());
    assert_done(&run(folder.path(), &["train", "full.toml", "--resume"]));
    assert_eq!(curve(&folder.path().join("runs/full")).len(), 4);
}

#[test]
fn a_run_that_gets_no_better_by_loss_or_by_sdr_stops_and_stays_stopped() {
    for monitor in ["loss", "sdr"] {
        let folder = tempfile::tempdir().unwrap();
        // Steps too small to change anything: only the first validation is better than none.
        let text = recipe("stuck", 9, GENERATED)
            .replace("rate = 1e-3", "rate = 1e-30\nfinal_rate = 1e-30")
            .replace("every = 9", &format!("every = 1\npatience = 2\nmonitor = \"{monitor}\""));
        std::fs::write(folder.path().join("stuck.toml"), text).unwrap();
        for arguments in [&["train", "stuck.toml"][..], &["train", "stuck.toml", "--resume"]] {
            let output = run(folder.path(), arguments);
            assert_done(&output);
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(said.contains("stopped after 3 steps: no better validation in the last 2"), "{said}");
            let log = log_lines(&folder.path().join("runs/stuck"));
            let validations: Vec<_> = log.iter().filter(|line| line["kind"] == "validation").collect();
            assert_eq!(curve(&folder.path().join("runs/stuck")).len(), 3);
            assert_eq!(validations.len(), 3);
            assert_eq!(validations[2]["monitor"], monitor);
            assert_eq!(validations[2]["loss"], validations[0]["loss"]);
            assert_eq!(validations.iter().filter(|line| line["best"] == true).count(), 1);
        }
    }
}
