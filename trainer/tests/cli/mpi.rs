//! Training in several processes, started by `mpirun` as its users start it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use safetensors::SafeTensors;

use crate::common::{assert_done, errors, run};
use crate::train::log_lines;

const TRAINER: &str = env!("CARGO_BIN_EXE_trainer");

const SEED_NETWORK: &str = r#"name = "wave_unet_dpt"
features = 8
growth = "add"
levels = 3
hidden = 8
dropout = 0.1
normalise = true"#;

const LIVE_NETWORK: &str = r#"name = "band_dpt"
analysis_window = 256
synthesis_window = 128
hop = 64
bands = [8, 16, 32, 73]
size = 8
blocks = 1
heads = 2
attention_span = 8
time_hidden = 8
band_hidden = 8
mask_hidden = 8"#;

/// A batch of four, two of them to a step. Adam divides each weight's gradient by its own size: where that is almost
/// nothing, `epsilon` keeps rounding from becoming a step.
fn write_recipe(folder: &Path, name: &str, architecture: &str) {
    let chunk = "[chunk]\nhop = 2048\nlookahead = 512\ncrossfade = 256\ncontext = 2048";
    let (chunk, seconds) = if architecture == LIVE_NETWORK { ("", 0.3) } else { (chunk, 0.0) };
    let recipe = format!(
        r#"
        name = "{name}"
        seed = 7
        steps = 20
        threads = 1
        [architecture]
        {architecture}
        {chunk}
        [data]
        batch = 4
        excerpt_seconds = {seconds}
        [[data.source]]
        kind = "generated"
        seconds = 1.5
        songs = 3
        fresh_per_step = 0.25
        seed = 50
        [augment]
        remix = 0.5
        gain = [0.5, 1.2]
        [optimizer]
        accumulate = 2
        rate = 2e-4
        epsilon = 1e-5
        clip = 1.0
        ema = 0.9
        [validation]
        every = 10
        source = {{ kind = "generated", songs = 3, seconds = 1.0, seed = 1 }}
        [checkpoint]
        every = 3
        "#
    );
    std::fs::write(folder.join(format!("{name}.toml")), recipe).unwrap();
}

/// `mpirun` with two of a program.
fn two_of(folder: &Path, program: &[&str]) -> Command {
    let mut command = Command::new("mpirun");
    command.current_dir(folder).args(["-np", "2", "--oversubscribe", "--bind-to", "none"]);
    // Containers have no other user.
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    command.args(program);
    command
}

fn two_processes(folder: &Path, arguments: &[&str]) -> Command {
    two_of(folder, &[&[TRAINER], arguments].concat())
}

fn run_two(folder: &Path, arguments: &[&str]) -> Output {
    two_processes(folder, arguments).output().expect("mpirun starts")
}

fn of_kind(folder: &Path, run: &str, kind: &str) -> Vec<serde_json::Value> {
    log_lines(&folder.join("runs").join(run)).into_iter().filter(|line| line["kind"] == kind).collect()
}

/// All tensors of a run's state: weights, averages, moments.
fn state(folder: &Path, run: &str) -> Vec<(String, Vec<f32>)> {
    let bytes = std::fs::read(folder.join("runs").join(run).join("state.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let values = |data: &[u8]| data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let mut all: Vec<_> = tensors.iter().map(|(name, view)| (name.to_owned(), values(view.data()))).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[test]
fn two_processes_end_with_the_weights_of_one_with_the_joint_batch() {
    for (network, architecture) in [("seed", SEED_NETWORK), ("live", LIVE_NETWORK)] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        for name in ["one", "two"] {
            write_recipe(folder, name, architecture);
        }
        assert_done(&run(folder, &["train", "one.toml"]));
        let output = run_two(folder, &["train", "two.toml"]);
        assert_done(&output);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("2, each with 2 excerpts"), "{said}");
        assert_eq!(said.matches("20 of 20 steps done").count() + said.matches("after 20 steps").count(), 1);

        let (one, two) = (state(folder, "one"), state(folder, "two"));
        let mut largest = 0f32;
        for ((name, one), (_, two)) in
            one.iter().zip(&two).filter(|((name, _), _)| name.starts_with("weight/"))
        {
            for (a, b) in one.iter().zip(two) {
                assert!((a - b).abs() <= 1e-5, "{network} {name}: {a} and {b}");
                largest = largest.max((a - b).abs());
            }
        }
        println!("{network}: weights of one process and of two differ by {largest:e} at most");
        assert_eq!(one.len(), two.len());

        let steps = of_kind(folder, "two", "step");
        assert_eq!(steps.len(), 20);
        for (one, two) in of_kind(folder, "one", "step").iter().zip(&steps) {
            let [one, two] = [one, two].map(|line| line["loss"].as_f64().unwrap());
            assert!((one - two).abs() < 1e-4 * one, "{one} and {two}");
        }
        let validations = of_kind(folder, "two", "validation");
        assert_eq!(validations.len(), 2);
        for (one, two) in of_kind(folder, "one", "validation").iter().zip(&validations) {
            for key in ["mean", "loss"] {
                let [one, two] = [one, two].map(|line| line[key].as_f64().unwrap());
                assert!((one - two).abs() < 1e-3 * one.abs(), "{key}: {one} and {two}");
            }
        }
    }
}

#[test]
fn two_processes_that_are_killed_and_resumed_end_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for name in ["whole", "killed"] {
        write_recipe(folder, name, SEED_NETWORK);
    }
    assert_done(&run_two(folder, &["train", "whole.toml"]));
    let mut child = two_processes(folder, &["train", "killed.toml"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while of_kind(folder, "killed", "step").len() < 7 {
        assert!(begun.elapsed() < Duration::from_secs(120), "seven steps take too long");
        std::thread::sleep(Duration::from_millis(2));
    }
    // One of the two; mpirun ends the other, and waits for it.
    kill_a_trainer_in(folder);
    assert!(!child.wait().unwrap().success());
    assert!(of_kind(folder, "killed", "step").len() < 20, "it ended before it could be killed");

    assert_done(&run_two(folder, &["train", "killed.toml", "--resume"]));
    assert_eq!(of_kind(folder, "killed", "step").len(), 20);
    assert!(state(folder, "whole") == state(folder, "killed"), "weights, moments or averages differ");
}

/// Kills one process of the trainer that works in this folder.
fn kill_a_trainer_in(folder: &Path) {
    let folder = folder.canonicalize().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let works_here = |process: &PathBuf| {
        std::fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == folder)
            && std::fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim() == "trainer")
    };
    let process = processes.filter(works_here).last().expect("a trainer is at work");
    let id = process.file_name().unwrap().to_owned();
    assert!(Command::new("kill").arg("-KILL").arg(id).status().unwrap().success());
}

#[test]
fn two_processes_stop_together_and_a_dry_run_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_recipe(folder, "short", SEED_NETWORK);
    let tried = run_two(folder, &["train", "short.toml", "--dry-run"]);
    assert_done(&tried);
    let said = String::from_utf8_lossy(&tried.stdout).into_owned();
    assert!(
        said.contains("data for each process") && said.matches("nothing was written").count() == 1,
        "{said}"
    );
    assert!(!folder.join("runs").exists());

    assert_done(&run_two(folder, &["train", "short.toml", "--minutes", "0"]));
    assert_eq!(of_kind(folder, "short", "step").len(), 1);

    // From here on no step changes anything, so that only the first validation is better than none.
    let text = std::fs::read_to_string(folder.join("short.toml")).unwrap();
    let stuck = text
        .replace("rate = 2e-4", "rate = 1e-30\nfinal_rate = 1e-30")
        .replace("ema = 0.9", "ema = 0.0")
        .replace("every = 10", "every = 2\npatience = 2");
    std::fs::write(folder.join("short.toml"), stuck).unwrap();
    assert_done(&run_two(folder, &["train", "short.toml", "--resume"]));
    assert_eq!(of_kind(folder, "short", "validation").len(), 3);
    assert_eq!(of_kind(folder, "short", "step").len(), 6);
}

/// `$RANK` in the arguments is the process's number.
fn run_two_differing(folder: &Path, arguments: &str) -> Output {
    let line = format!("RANK=$OMPI_COMM_WORLD_RANK; exec \"$0\" {arguments}");
    two_of(folder, &["sh", "-c", &line, TRAINER]).output().expect("mpirun starts")
}

#[test]
fn processes_that_see_different_things_do_not_train_nor_wait_for_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for name in ["recipe", "0"] {
        write_recipe(folder, name, SEED_NETWORK);
    }
    // Only the first has a state to go on from.
    assert_done(&run_two(folder, &["train", "recipe.toml", "--minutes", "0", "--runs", "runs0"]));
    let apart = run_two_differing(folder, "train recipe.toml --resume --runs runs$RANK");
    assert_eq!(apart.status.code(), Some(1), "{}", errors(&apart));
    assert!(errors(&apart).contains("one folder that all of them see"), "{}", errors(&apart));
    // Only the first has a recipe.
    let missing = run_two_differing(folder, "train $RANK.toml");
    assert!(!missing.status.success());
    assert!(errors(&missing).contains("1.toml"), "{}", errors(&missing));
}

/// What the first prints goes nowhere, which is a panic. The second must not wait for it.
#[test]
fn a_panic_ends_all_processes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_recipe(folder, "panic", SEED_NETWORK);
    let first = "\"$0\" train panic.toml | true";
    let line = format!("[ $OMPI_COMM_WORLD_RANK = 0 ] && {first} || exec \"$0\" train panic.toml");
    let output = two_of(folder, &["sh", "-c", &line, TRAINER]).output().expect("mpirun starts");
    assert_eq!(output.status.code(), Some(101), "{}", errors(&output));
    assert!(errors(&output).contains("panicked"), "{}", errors(&output));
    assert!(of_kind(folder, "panic", "step").len() < 20);
}

#[test]
fn a_failure_ends_all_processes_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_recipe(folder, "odd", SEED_NETWORK);
    write_recipe(folder, "mixed", &SEED_NETWORK.replace("normalise = true", "recurrence = \"frame\""));
    let odd = std::fs::read_to_string(folder.join("odd.toml")).unwrap().replace("batch = 4", "batch = 3");
    std::fs::write(folder.join("odd.toml"), odd).unwrap();
    for (recipe, word) in [("odd.toml", "multiple of 2"), ("mixed.toml", "items of a batch together")] {
        let output = run_two(folder, &["train", recipe]);
        assert_eq!(output.status.code(), Some(2), "{}", errors(&output));
        assert!(errors(&output).contains(word), "{}", errors(&output));
    }
    assert!(!folder.join("runs").exists());
}
