//! `trainer selftest`, on the CPU: whether the operations that cards run are the fused ones.

use crate::common::{assert_done, run};

#[test]
fn every_layer_agrees_and_nothing_is_timed_when_there_is_no_time() {
    let folder = tempfile::tempdir().unwrap();
    let output =
        run(folder.path(), &["selftest", "--device", "cpu", "--minutes", "0", "--json", "selftest.json"]);
    assert_done(&output);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("everything agrees") && said.contains("--minutes gives more"), "{said}");
    assert!(!said.contains("WRONG"), "{said}");

    let text = std::fs::read_to_string(folder.path().join("selftest.json")).unwrap();
    let result: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(result["agrees"], true);
    assert_eq!(result["speed"].as_array().unwrap().len(), 0);
    let cases = |precision: &str| -> Vec<serde_json::Value> {
        let all = result["agreement"].as_array().unwrap().iter();
        all.filter(|case| case["precision"] == precision).cloned().collect()
    };
    let error = |case: &serde_json::Value| case["output"].as_f64().unwrap();
    let (exact, rounded) = (cases("f32"), cases("bf16"));
    assert!(exact.len() > 50 && exact.iter().all(|case| error(case) < 1e-5));
    // Numbers of 8 bits: it would be a wonder if they made no difference.
    assert!(rounded.len() >= 6 && rounded.iter().all(|case| error(case) > 1e-4 && error(case) < 0.05));
}
