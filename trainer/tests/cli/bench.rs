//! `trainer bench`, as its users run it.

use crate::common::{assert_done, assert_fails, run};

#[test]
fn a_checkpoint_is_timed_and_the_result_has_the_keys_that_scripts_read() {
    let folder = tempfile::tempdir().unwrap();
    for (block, more, latency_ms) in [("128", None, 17.4), ("512", Some("--cold"), 23.2)] {
        let options = ["bench", "live", "--seconds", "1", "--json", "bench.json", "--block", block];
        let options: Vec<&str> = options.into_iter().chain(more).collect();
        assert_done(&run(folder.path(), &options));
        let text = std::fs::read_to_string(folder.path().join("bench.json")).unwrap();
        let result: serde_json::Value = serde_json::from_str(&text).unwrap();
        for key in [
            "real_time_factor",
            "hop_ms_median",
            "hop_ms_p99",
            "hop_ms_max",
            "gflops",
            "gemm_peak_gflops",
            "parameters",
            "macs_per_second",
        ] {
            assert!(result[key].as_f64().is_some_and(|value| value > 0.0), "{key} in {text}");
        }
        assert!((result["latency_ms"].as_f64().unwrap() - latency_ms).abs() < 0.1, "{text}");
    }
}

#[test]
fn what_cannot_be_timed_is_said() {
    let folder = tempfile::tempdir().unwrap();
    for (options, words) in [
        (vec!["bench", "live", "--threads", "2"], "one thread"),
        (vec!["bench", "live", "--seconds", "0"], "--seconds"),
        (vec!["bench", "live", "--soak", "1"], "at least 3 minutes"),
        (vec!["bench", "studio", "--weights", "f16"], "runs on windows"),
        (vec!["bench", "live", "--engine", "candle", "--weights", "f16"], "--weights"),
    ] {
        assert_fails(&run(folder.path(), &options), 2, &[words]);
    }
    assert_fails(&run(folder.path(), &["bench", "nowhere.safetensors"]), 1, &["nowhere.safetensors"]);
}
