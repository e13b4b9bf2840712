//! Parity vectors of museval: our BSSEval on their references and estimates against their figures.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use candle_core::safetensors::load_buffer;
use candle_core::{DType, Device, Tensor};
use engine::Stem;
use engine::audio::AudioBuffer;
use serde::Deserialize;

use super::Verdict;
use crate::metrics::bss_eval::{Options, Ratios, evaluate};

/// How the `config` of such a vector begins.
pub const TOOL: &str = "museval";

/// Largest difference that counts as agreement, dB.
const TOLERANCE: f64 = 0.01;

/// The parts of the vector's `config` that say how museval was called.
#[derive(Deserialize)]
struct Config {
    window: usize,
    hop: usize,
    filters_len: usize,
    framewise_filters: bool,
    bsseval_sources_version: bool,
}

/// Scores the vector's estimates and compares every ratio of every window. `tolerance` is in dB.
pub fn check(file: &Path, bytes: &[u8], config: &str, tolerance: Option<f64>) -> Result<Verdict> {
    let config: Config =
        serde_json::from_str(config).context("its `config` is not that of museval's vector")?;
    if config.framewise_filters || config.bsseval_sources_version {
        eprintln!("{}: only BSSEval v4 is supported", file.display());
        return Ok(Verdict::Unsupported);
    }
    let tolerance = tolerance.unwrap_or(TOLERANCE);
    let tensors = load_buffer(bytes, &Device::Cpu)?;
    let tensor = |name: String| tensors.get(&name).with_context(|| format!("no tensor `{name}`"));
    let read = |kind: &str| -> Result<Vec<AudioBuffer>> {
        Stem::ALL.iter().map(|stem| audio(tensor(format!("{kind}.{stem}"))?)).collect()
    };
    let options = Options { window: config.window, hop: config.hop, taps: config.filters_len };
    let ratios = evaluate(&read("reference")?, &read("estimate")?, options)?;

    let mut verdict = Verdict::Agrees;
    for (index, name) in Ratios::NAMES.into_iter().enumerate() {
        for stem in Stem::ALL {
            let wanted = tensor(format!("{name}.{stem}"))?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
            let found: Vec<f64> = ratios[stem as usize].iter().map(|r| r.all()[index]).collect();
            ensure!(
                wanted.len() == found.len(),
                "{name}.{stem} has {} windows, expected {}",
                found.len(),
                wanted.len()
            );
            let silent = wanted.iter().filter(|db| db.is_nan()).count();
            let same = found.iter().zip(&wanted).all(|(a, b)| a.is_nan() == b.is_nan());
            let differences = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs());
            let largest = differences.filter(|d| !d.is_nan()).fold(0.0, f64::max);
            let agrees = same && largest <= tolerance;
            let word = if agrees { "agrees" } else { "DIFFERS" };
            println!(
                "{}: {name}.{stem}: largest difference {largest:.2e} dB in {} windows, {silent} without a number, {word}",
                file.display(),
                wanted.len()
            );
            if !agrees {
                verdict = Verdict::Differs;
            }
        }
    }
    Ok(verdict)
}

/// `[channels][frames]` of any type.
fn audio(tensor: &Tensor) -> Result<AudioBuffer> {
    let channels = tensor.to_dtype(DType::F32)?.to_vec2::<f32>()?;
    AudioBuffer::from_channels(channels).context("channels of different lengths")
}
