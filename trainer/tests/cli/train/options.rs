//! What a run starts from, and what it leaves alone.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::SafeTensors;

use super::{GENERATED, log_lines, recipe};
use crate::common::{assert_done, assert_fails, run};

/// Writes the usual recipe with some text replaced.
fn write(folder: &Path, name: &str, change: impl Fn(String) -> String) {
    std::fs::write(folder.join(format!("{name}.toml")), change(recipe(name, 2, GENERATED))).unwrap();
}

/// The weights of a checkpoint by name.
fn weights(folder: &Path, name: &str) -> BTreeMap<String, Vec<u8>> {
    let bytes = std::fs::read(folder.join("runs").join(name).join("last.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    tensors.iter().map(|(name, view)| (name.to_owned(), view.data().to_vec())).collect()
}

#[test]
fn frozen_parameters_keep_the_weights_of_the_checkpoint_and_the_others_learn() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "first", |text| text);
    assert_done(&run(folder.path(), &["train", "first.toml"]));
    write(folder.path(), "second", |text| {
        text.replace("seed = 7", "seed = 8").replace("[optimizer]", "[optimizer]\nfreeze = [\"*encoder*\"]")
    });
    let start = ["train", "second.toml", "--init-from", "runs/first/last.safetensors"];
    let output = run(folder.path(), &start);
    assert_done(&output);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("tensors loaded") && said.contains("of them trained"), "{said}");
    assert!(!said.contains("fresh"), "{said}");

    let (first, second) = (weights(folder.path(), "first"), weights(folder.path(), "second"));
    assert_eq!(first.len(), second.len());
    let (frozen, trained): (Vec<_>, Vec<_>) = second.iter().partition(|(name, _)| name.contains("encoder"));
    assert!(frozen.len() > 5 && frozen.iter().all(|(name, values)| first[*name] == **values));
    // Resampling filters of a transformer network are trained, too.
    let moved = trained.iter().filter(|(name, values)| first[*name] != **values).count();
    assert!(moved > trained.len() / 2, "{moved} of {}", trained.len());

    let text = std::fs::read(folder.path().join("runs/second/last.safetensors")).unwrap();
    let header = String::from_utf8_lossy(&text[..4_000]).into_owned();
    assert!(header.contains("initialised from runs/first/last.safetensors"), "{header}");
}

#[test]
fn a_checkpoint_of_another_architecture_is_refused_or_taken_in_part() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "small", |text| text);
    write(folder.path(), "large", |text| text.replace("hidden = 8", "hidden = 12"));
    write(folder.path(), "other", |text| {
        let text =
            text.replace("\"wave_unet_dpt\"", "\"wave_unet\"").replace("hidden = 8", "separate = false");
        text.replace("dropout = 0.1", "").replace("features = 8", "features = 24")
    });
    assert_done(&run(folder.path(), &["train", "small.toml"]));

    let from = ["--init-from", "runs/small/last.safetensors"];
    let refused = run(folder.path(), &["train", "large.toml", from[0], from[1]]);
    assert_fails(&refused, 2, &["another architecture", "transformer", "[24, 16]", "[24, 24]", "--partial"]);
    let partial = run(folder.path(), &["train", "large.toml", from[0], from[1], "--partial"]);
    assert_done(&partial);
    let said = String::from_utf8_lossy(&partial.stdout).into_owned();
    assert!(said.contains("start fresh") && said.contains("unused"), "{said}");
    assert_fails(&run(folder.path(), &["train", "other.toml", from[0], from[1]]), 2, &["runs/small/last"]);
    assert!(!folder.path().join("runs/other").exists(), "a refused run leaves nothing behind");

    // The same name with another architecture: its state must not be taken for this one's.
    let text = std::fs::read_to_string(folder.path().join("large.toml")).unwrap();
    std::fs::write(folder.path().join("small.toml"), text.replace("\"large\"", "\"small\"")).unwrap();
    let resumed = run(folder.path(), &["train", "small.toml", "--resume"]);
    assert_fails(&resumed, 2, &["state.safetensors", "another architecture", "--init-from"]);
    assert_fails(&run(folder.path(), &["train", "other.toml", "--init-from", "nothing"]), 1, &["nothing"]);
}

#[test]
fn a_dry_run_checks_everything_does_one_step_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "dry", |text| text.replace("[optimizer]", "[optimizer]\naccumulate = 2"));
    let output = run(folder.path(), &["train", "dry.toml", "--dry-run"]);
    assert_done(&output);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in
        ["network ", "steps ", "validation ", "memory ", "disk ", "step 1: loss", "nothing was written"]
    {
        assert!(said.contains(part), "{part:?} is not in:\n{said}");
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["dry.toml"]);

    // Its step is the very step that training would begin with.
    assert_done(&run(folder.path(), &["train", "dry.toml"]));
    let loss = log_lines(&folder.path().join("runs/dry"))[0]["loss"].as_f64().unwrap();
    assert!(said.contains(&format!("step 1: loss {loss:.5}")), "{loss} is not in:\n{said}");
}

#[cfg(not(feature = "mpi"))]
#[test]
fn one_of_several_processes_is_refused_by_a_build_that_cannot_share() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "shared", |recipe| recipe);
    let mut command = crate::common::trainer();
    command.current_dir(folder.path()).args(["train", "shared.toml"]);
    let output = command.env("OMPI_COMM_WORLD_SIZE", "2").output().unwrap();
    assert_fails(&output, 2, &["one of several processes", "--features mpi"]);
    assert!(!folder.path().join("runs").exists());
}
