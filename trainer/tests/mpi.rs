//! Training in several processes, started by `mpirun` as its users start it.

#[path = "cli/common.rs"]
#[allow(dead_code)]
mod common;

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{assert_done, errors, run};
use safetensors::SafeTensors;

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

/// A batch of four, two of them to a step.
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
        rate = 5e-4
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

fn two_processes(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("mpirun");
    command.current_dir(folder).args(["-np", "2", "--oversubscribe", "--bind-to", "none"]);
    // Containers have no other user.
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    command.arg(env!("CARGO_BIN_EXE_trainer")).args(arguments);
    command
}

fn run_two(folder: &Path, arguments: &[&str]) -> Output {
    two_processes(folder, arguments).output().expect("mpirun starts")
}

fn log(folder: &Path, run: &str) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(folder.join("runs").join(run).join("log.jsonl")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn of_kind(folder: &Path, run: &str, kind: &str) -> Vec<serde_json::Value> {
    log(folder, run).into_iter().filter(|line| line["kind"] == kind).collect()
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
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(of_kind(folder, "killed", "step").len() < 20, "it ended before it could be killed");

    assert_done(&run_two(folder, &["train", "killed.toml", "--resume"]));
    assert_eq!(of_kind(folder, "killed", "step").len(), 20);
    assert!(state(folder, "whole") == state(folder, "killed"), "weights, moments or averages differ");
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
