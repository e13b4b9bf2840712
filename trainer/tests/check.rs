//! `trainer check` on the parity vectors of the original programs.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(name)
}

fn check(files: &[PathBuf], options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trainer")).arg("check").args(files).args(options).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const VECTORS: [&str; 7] = [
    "improved_transformer_layer",
    "wave_unet_bn_learned",
    "wave_unet_dpt_learned",
    "wave_unet_dpt_small",
    "wave_unet_dpt_time",
    "wave_unet_dpt_time_3layers",
    "wave_unet_small",
];

#[test]
fn our_networks_give_the_numbers_of_the_original_programs() {
    let files = VECTORS.map(|name| data(&format!("{name}.safetensors")));
    let output = check(&files, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(text(&output).matches(", agrees").count(), 6 * 4 + 1, "{}", text(&output));
}

#[test]
fn differences_above_the_tolerance_end_with_1() {
    let output = check(&[data("wave_unet_small.safetensors")], &["--tolerance", "1e-12"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("DIFFERS"), "{}", text(&output));
}

#[test]
fn our_bss_eval_gives_the_figures_of_museval() {
    let vector = data("museval_v4_short.safetensors");
    let output = check(std::slice::from_ref(&vector), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(text(&output).matches("1 without a number, agrees").count(), 4 * 4, "{}", text(&output));
    let output = check(&[vector], &["--tolerance", "1e-18"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
}

#[test]
fn architectures_that_we_do_not_have_end_with_2_and_broken_files_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let vector = folder.path().join("demucs.safetensors");
    let config = HashMap::from([("config".to_owned(), r#"{"architecture": "demucs Demucs"}"#.to_owned())]);
    let bytes = [0u8; 4];
    let input = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &bytes).unwrap();
    std::fs::write(&vector, safetensors::serialize([("input", input)], Some(config)).unwrap()).unwrap();
    let output = check(&[vector], &[]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("architecture not supported yet: demucs Demucs"), "{}", text(&output));

    let cut = folder.path().join("cut.safetensors");
    let whole = std::fs::read(data("wave_unet_small.safetensors")).unwrap();
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let output = check(&[cut], &[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("cut.safetensors"), "{}", text(&output));
}
