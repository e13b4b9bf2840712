//! `trainer inspect`, as its users run it.

use crate::common::{assert_done, assert_fails, run};

#[test]
fn a_checkpoint_tells_its_size_cost_latency_and_origin() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../checkpoints");
    let output = run(&folder, &["inspect", "studio.safetensors"]);
    assert_done(&output);
    let text = String::from_utf8_lossy(&output.stdout);
    for words in
        ["1593424", "GMAC for a second of audio", "hop", "latency", "generator", "SDR", "wave_unet_dpt"]
    {
        assert!(text.contains(words), "{words:?} is not in:\n{text}");
    }
    let json = run(&folder, &["inspect", "--json", "studio.safetensors"]);
    let header: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(header["architecture"]["name"], "wave_unet_dpt");
}

#[test]
fn a_file_that_is_no_checkpoint_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x.safetensors"), b"nothing of use").unwrap();
    assert_fails(&run(folder.path(), &["inspect", "x.safetensors"]), 1, &["x.safetensors"]);
    assert_fails(&run(folder.path(), &["inspect", "absent.safetensors"]), 1, &["absent.safetensors"]);
}
