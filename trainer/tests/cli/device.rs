//! `--device`, on a build without cards.

use engine::audio::{Format, write_wav};

use crate::common::{assert_done, assert_fails, run, tone};

const NETWORK: &str = r#"{ "name": "wave_unet_dpt", "features": 8, "levels": 3 }"#;

#[cfg(not(feature = "cuda"))]
#[test]
fn a_card_that_this_build_cannot_have_is_refused_with_the_way_to_get_it() {
    let folder = tempfile::tempdir().unwrap();
    write_wav(&folder.path().join("a.wav"), &tone(2, 2_000, 50.0), 44_100, Format::Int16).unwrap();
    std::fs::write(folder.path().join("r.toml"), "").unwrap();
    for command in [
        &["separate", "a.wav", "-o", "out"][..],
        &["evaluate", "--dataset", ".", "--checkpoint", "mixture"],
        &["train", "r.toml"],
        &["bench-training", "--architecture", NETWORK],
        &["selftest"],
    ] {
        let output = run(folder.path(), &[command, &["--device", "cuda"]].concat());
        assert_fails(&output, 2, &["--device cuda", "no CUDA", "cargo xtask cuda"]);
    }
    assert!(!folder.path().join("out").exists());
}

#[cfg(not(any(feature = "cuda", feature = "metal")))]
#[test]
fn auto_takes_the_cpu_says_so_and_gives_the_same_stems() {
    let folder = tempfile::tempdir().unwrap();
    write_wav(&folder.path().join("a.wav"), &tone(2, 2_000, 50.0), 44_100, Format::Int16).unwrap();
    let separate = |device: &str| {
        // Studio's network is the one that a card could run.
        let arguments = ["separate", "a.wav", "-o", device, "--checkpoint", "studio", "--device", device];
        let output = run(folder.path(), &arguments);
        assert_done(&output);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (said, std::fs::read(folder.path().join(device).join("a/vocals.wav")).unwrap())
    };
    let ((auto, stems), (cpu, same)) = (separate("auto"), separate("cpu"));
    assert!(auto.contains("device: cpu: this build has no CUDA"), "{auto}");
    assert!(cpu.contains("device: cpu: asked for"), "{cpu}");
    assert!(stems == same);
}

#[test]
fn precisions_are_for_cards_and_have_names() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["bench-training", "--architecture", NETWORK, "--device", "cpu", "--precision"];
    let with = |precision| run(folder.path(), &[&arguments[..], &[precision]].concat());
    assert_fails(&with("bf16"), 2, &["--precision bf16", "the CPU has f32"]);
    assert_fails(&with("f8"), 2, &["f8", "f32, tf32 or bf16"]);
}

#[test]
fn a_device_that_does_not_exist_is_wrong_use() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["separate", "a.wav", "-o", "out", "--device", "gpu"]);
    assert_fails(&output, 2, &["gpu", "cuda:N"]);
}
