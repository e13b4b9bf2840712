//! Recipes: those that we ship, and wrong ones.

use std::path::{Path, PathBuf};

use engine::audio::{AudioBuffer, Format, write_wav};

use super::{GENERATED, log_lines, recipe};
use crate::common::{assert_done, assert_fails, run};

fn shipped(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("recipes").join(name).with_extension("toml");
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Replaces the line of a key, which must be there.
#[track_caller]
fn set(text: &str, key: &str, value: &str) -> String {
    let prefix = format!("{key} = ");
    assert_eq!(text.lines().filter(|line| line.starts_with(&prefix)).count(), 1, "{key}");
    let line = |line: &str| match line.starts_with(&prefix) {
        true => format!("{prefix}{value}\n"),
        false => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// Stems of independent noise up to a level.
fn write_noise_song(folder: &Path, number: u64, frames: usize, level: f32) {
    std::fs::create_dir_all(folder).unwrap();
    for (stem, name) in ["drums", "bass", "other", "vocals"].into_iter().enumerate() {
        let mut state = number * 4 + stem as u64 + 1;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) as f32 / (1u64 << 31) as f32 - 0.5) * 2.0 * level
        };
        let channel = |noise: &mut dyn FnMut() -> f32| (0..frames).map(|_| noise()).collect::<Vec<f32>>();
        let channels = vec![channel(&mut noise), channel(&mut noise)];
        let audio = AudioBuffer::from_channels(channels).unwrap();
        write_wav(&folder.join(name).with_extension("wav"), &audio, 44_100, Format::Int16).unwrap();
    }
}

/// Writes the 100 songs of a training folder.
fn write_songs(folder: &Path, level: f32) {
    for number in 0..100 {
        write_noise_song(&folder.join(format!("musdb18hq/train/song {number:03}")), number, 1_600, level);
    }
}

/// The published training in small: split, augmentation, loss, schedule and early stopping as they are shipped; a
/// smaller network, shorter excerpts and epochs. After three epochs the songs get four times as loud, so that no
/// validation can be better any more and the 20 epochs of patience begin.
#[test]
fn the_seeds_recipe_trains_end_to_end_with_its_split_schedule_and_early_stopping() {
    let folder = tempfile::tempdir().unwrap();
    write_songs(folder.path(), 0.2);
    let mut text = shipped("seed");
    for (key, value) in [
        ("steps", "24"),
        ("steps_per_epoch", "8"),
        ("features", "8"),
        ("growth", "\"add\""),
        ("levels", "2"),
        ("hidden", "8"),
        ("hop", "256"),
        ("lookahead", "128"),
        ("crossfade", "32"),
        ("context", "64"),
    ] {
        text = set(&text, key, value);
    }
    for kept in [
        "hold_out = { songs = 25, seed = 1 }",
        "gain = [0.7, 1.0]",
        "batch = 8",
        "terms = [{ kind = \"mse\" }]",
        "rate = 1e-3",
        "final_rate = 5e-6",
        "cycles_per_epoch = 2",
        "patience = 20",
        "monitor = \"loss\"",
    ] {
        assert!(text.lines().any(|line| line == kept), "{kept}");
    }
    std::fs::write(folder.path().join("seed.toml"), &text).unwrap();
    let output = run(folder.path(), &["train", "seed.toml"]);
    assert_done(&output);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("25 songs of musdb18hq/train, held out"), "{said}");
    assert!(said.contains("stops after 20 without a better loss"), "{said}");

    write_songs(folder.path(), 0.8);
    std::fs::write(folder.path().join("seed.toml"), set(&text, "steps", "800")).unwrap();
    let output = run(folder.path(), &["train", "seed.toml", "--resume"]);
    assert_done(&output);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("stopped after 184 steps: no better validation in the last 20"), "{said}");

    let log = log_lines(&folder.path().join("runs/seed"));
    let steps: Vec<_> = log.iter().filter(|line| line["kind"] == "step").collect();
    assert_eq!(steps.len(), 8 * (3 + 20));
    // Two cycles an epoch: four steps down along half a cosine, then back to the top.
    for (number, step) in steps.iter().enumerate() {
        let place = (number % 4) as f64 / 4.0;
        let expected = 5e-6 + (1e-3 - 5e-6) * 0.5 * (1.0 + (std::f64::consts::PI * place).cos());
        assert!((step["rate"].as_f64().unwrap() - expected).abs() < 1e-12, "step {}", number + 1);
    }
    // One validation an epoch; it learns in the first three, and the other twenty are no better.
    let validations: Vec<_> = log.iter().filter(|line| line["kind"] == "validation").collect();
    let best: Vec<bool> = validations.iter().map(|line| line["best"] == true).collect();
    assert_eq!(best, [vec![true; 3], vec![false; 20]].concat());
    let losses: Vec<f64> = validations.iter().map(|line| line["loss"].as_f64().unwrap()).collect();
    assert!(losses[2] < 0.6 * losses[0], "{losses:?}");
    assert!(folder.path().join("runs/seed/best.safetensors").exists());
}

#[test]
fn the_smoke_recipe_trains_validates_and_separates() {
    let folder = tempfile::tempdir().unwrap();
    let text = set(&set(&shipped("smoke"), "steps", "8"), "steps_per_epoch", "4");
    std::fs::write(folder.path().join("smoke.toml"), text).unwrap();
    assert_done(&run(folder.path(), &["train", "smoke.toml"]));
    let log = log_lines(&folder.path().join("runs/smoke"));
    assert_eq!(log.iter().filter(|line| line["kind"] == "validation").count(), 2);
    let losses: Vec<f64> = log
        .iter()
        .filter(|line| line["kind"] == "validation")
        .filter_map(|line| line["loss"].as_f64())
        .collect();
    assert!(losses[1] < losses[0], "{losses:?}");

    write_noise_song(&folder.path().join("song"), 1, 30_000, 0.2);
    let separate =
        ["separate", "song/drums.wav", "-o", "stems", "--checkpoint", "runs/smoke/best.safetensors"];
    assert_done(&run(folder.path(), &separate));
    assert!(folder.path().join("stems/drums/vocals.wav").exists());
}

/// What validation hears is never trained on; a name that stands in one list alone would be.
#[test]
fn the_live_recipe_validates_on_recordings_that_it_does_not_train_on() {
    let recipe: toml::Table = toml::from_str(&shipped("live")).unwrap();
    let names = |value: &toml::Value, key: &str| -> Vec<String> {
        value[key].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    let validation = names(&recipe["validation"]["source"], "pack_only");
    assert!(!validation.is_empty());
    for source in recipe["data"]["source"].as_array().unwrap() {
        let left_out = names(source, "pack_without");
        let trained: Vec<_> = validation.iter().filter(|name| !left_out.contains(name)).collect();
        assert!(trained.is_empty(), "{trained:?}");
    }
}

#[test]
fn networks_with_windows_need_a_plan_for_them_and_those_without_must_have_none() {
    let folder = tempfile::tempdir().unwrap();
    let train = |text: &str| {
        std::fs::write(folder.path().join("r.toml"), text).unwrap();
        run(folder.path(), &["train", "r.toml", "--dry-run"])
    };
    let windows = recipe("r", 1, GENERATED);
    let [plan, sizes] = [("[chunk]", "[data]"), ("features", "[chunk]")]
        .map(|(from, to)| windows[windows.find(from).unwrap()..windows.find(to).unwrap()].to_owned());
    assert_fails(&train(&windows.replace(&plan, "")), 2, &["r.toml", "`chunk` is missing"]);
    let small =
        "analysis_window = 64\nsynthesis_window = 32\nhop = 16\nbands = [1, 32]\nsize = 4\nblocks = 1\n";
    let stream = windows.replace("wave_unet_dpt", "band_dpt").replace(&sizes, small);
    assert_fails(&train(&stream), 2, &["band_dpt", "has no `chunk`"]);
    let stream = stream.replace(&plan, "");
    assert_fails(&train(&stream), 2, &["`data.excerpt_seconds`"]);
    assert_done(&train(&stream.replace("batch = 3", "batch = 1\nexcerpt_seconds = 0.3")));
}

#[test]
fn unknown_keys_and_impossible_values_in_recipes_are_wrong_use() {
    let folder = tempfile::tempdir().unwrap();
    let train = |text: String| {
        std::fs::write(folder.path().join("r.toml"), text).unwrap();
        run(folder.path(), &["train", "r.toml"])
    };
    let good = recipe("r", 1, GENERATED);
    assert_fails(&train(good.replace("batch = 3", "batch = 0")), 2, &["data.batch"]);
    assert_fails(&train(good.replace("name = \"r\"", "name = \"../r\"")), 2, &["name"]);
    assert_fails(&train(good.replace("lookahead = 512", "lookahead = 1")), 2, &["lookahead"]);
    assert_fails(&train(good.replace("clip = 1.0", "schedule = \"cyclic\"")), 2, &["steps_per_epoch"]);
    assert_fails(&train(good.replace("clip = 1.0", "freeze = [\"x\"]")), 2, &["freeze", "no parameter"]);
    assert_fails(&run(folder.path(), &["train", "nothing.toml"]), 2, &["nothing.toml"]);
    let skip = good.replace("[optimizer]", "[loss]\nskip_seconds = 1.0\n[optimizer]");
    assert_fails(&train(skip), 1, &["loss.skip_seconds"]);
}

/// At every level of a recipe, in tables, lists and tagged tables; values as well as keys.
#[test]
fn misspelt_keys_and_values_are_answered_with_the_nearest_known_ones() {
    let folder = tempfile::tempdir().unwrap();
    let good = recipe("r", 1, GENERATED);
    for (right, wrong, meant) in [
        ("threads = 2", "treads = 2", "threads"),
        ("[checkpoint]", "[checkpoints]", "checkpoint"),
        ("batch = 3", "batchsize = 3", "batch"),
        ("features = 8", "feature = 8", "features"),
        ("lookahead = 512", "look_ahead = 512", "lookahead"),
        ("fresh_per_step = 0.25", "fresh = 0.25", "fresh_per_step"),
        ("songs = 1, seconds", "songs = 1, secnds", "seconds"),
        ("clip = 1.0", "cliping = 1.0", "clip"),
        ("clip = 1.0", "schedule = \"cosin\"", "cosine"),
        ("kind = \"generated\"\n", "kind = \"generator\"\n", "generated"),
        ("\"wave_unet_dpt\"", "\"waveunet_dpt\"", "wave_unet_dpt"),
        ("[optimizer]", "[loss]\nterms = [{ kind = \"l1\", wieght = 2.0 }]\n[optimizer]", "weight"),
        ("[optimizer]", "[loss]\nterms = [{ kind = \"sisdr\" }]\n[optimizer]", "si_sdr"),
        ("swap_channels = 0.5", "swap_channel = 0.5", "swap_channels"),
        ("[checkpoint]", "[tensorboard]\nmedia = 1\n[checkpoint]", "media_every"),
    ] {
        assert!(good.contains(right), "{right}");
        std::fs::write(folder.path().join("r.toml"), good.replacen(right, wrong, 1)).unwrap();
        let output = run(folder.path(), &["train", "r.toml"]);
        assert_fails(&output, 2, &["r.toml", &format!("did you mean `{meant}`?")]);
    }
}
