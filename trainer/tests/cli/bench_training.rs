//! `trainer bench-training`, as the comparison script runs it.

use crate::common::{assert_done, assert_fails, run};

const SMALL: &str = r#"{ "name": "wave_unet_dpt", "features": 8, "levels": 3, "dropout": 0.0 }"#;

#[test]
fn steps_are_timed_and_one_can_be_written_out() {
    let folder = tempfile::tempdir().unwrap();
    let bench = |more: &[&str]| {
        let sizes =
            ["bench-training", "--architecture", SMALL, "--batch", "2", "--frames", "500", "--threads", "2"];
        run(folder.path(), &[&sizes, more].concat())
    };
    let timed = bench(&["--steps", "2"]);
    assert_done(&timed);
    let report: serde_json::Value = serde_json::from_slice(&timed.stdout).unwrap();
    assert_eq!(report["seconds"].as_array().unwrap().len(), 2);
    assert!(report["seconds"].as_array().unwrap().iter().all(|s| s.as_f64().unwrap() > 0.0));
    assert!(report["output_frames"].as_u64().unwrap() >= 500);

    assert_done(&bench(&["--reference", "step.safetensors"]));
    let bytes = std::fs::read(folder.path().join("step.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let names: Vec<&str> = tensors.names();
    let weights = names.iter().filter_map(|name| name.strip_prefix("weight/"));
    let mut count = 0;
    for weight in weights {
        let gradient = tensors.tensor(&format!("gradient/{weight}")).unwrap();
        assert!(gradient.data().iter().any(|byte| *byte != 0), "{weight} has no gradient");
        count += 1;
    }
    assert_eq!(names.len(), 2 * count + 3);
}

#[test]
fn networks_that_do_not_exist_are_wrong_use() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["bench-training", "--architecture", r#"{ "name": "no_net" }"#];
    assert_fails(&run(folder.path(), &arguments), 2, &["--architecture", "no_net"]);
}
