//! `trainer check`: runs parity vectors of original programs through our networks and our metrics.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};
use clap::Parser;
use engine::checkpoint::{Foreign, ForeignHints};
use engine::model::layers::{ImprovedTransformer, ImprovedTransformerConfig, Recurrence};
use engine::model::{Mode, Params};
use engine::{STEMS, Stem};
use safetensors::SafeTensors;
use serde::Deserialize;

mod bss_eval;

/// Compares our networks and metrics with the outputs of the original programs, stored in parity vectors.
///
/// Exit code 0: all agree. 1: some differ or are broken. 2: an architecture is not supported yet.
#[derive(Parser)]
pub struct Args {
    /// Parity vectors: safetensors with the header key `config`, and `input`, `output*` and `model.*`, or museval's
    /// `reference.*`, `estimate.*` and ratios.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Largest absolute difference that counts as agreement: 1e-4 for networks, 0.01 dB for metrics unless given.
    #[arg(long)]
    tolerance: Option<f64>,
}

/// What became of one file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Agrees,
    Unsupported,
    Differs,
}

/// Checks every file, even after one failed.
pub fn run(args: &Args) -> Result<ExitCode> {
    let mut worst = Verdict::Agrees;
    for file in &args.files {
        let verdict = match check(file, args.tolerance) {
            Ok(verdict) => verdict,
            Err(error) => {
                eprintln!("{}: {error:#}", file.display());
                Verdict::Differs
            }
        };
        worst = worst.max(verdict);
    }
    Ok(match worst {
        Verdict::Agrees => ExitCode::SUCCESS,
        Verdict::Differs => ExitCode::from(1),
        Verdict::Unsupported => ExitCode::from(2),
    })
}

/// Largest difference of networks' outputs that counts as agreement.
const TOLERANCE: f64 = 1e-4;

/// How a vector's `config` names the layer and networks that we have.
const TRANSFORMER: &str = "DPTNet improved TransformerEncoderLayer";
const SUPPORTED: [&str; 3] = [TRANSFORMER, "seed DL_project", "Wave-U-Net-Pytorch"];

/// The parts of a vector's `config` that shapes do not tell.
#[derive(Deserialize)]
struct Config {
    tool: Option<String>,
    architecture: Option<String>,
    strides: Option<usize>,
    heads: Option<usize>,
    recurrence: Option<Recurrence>,
    instruments: Option<[Stem; STEMS]>,
    d_model: Option<usize>,
    hidden_size: Option<usize>,
}

impl Config {
    fn transformer(&self) -> Option<ImprovedTransformerConfig> {
        Some(ImprovedTransformerConfig {
            size: self.d_model?,
            heads: self.heads?,
            hidden: self.hidden_size?,
            lstm_layers: 1,
            recurrence: Recurrence::Time,
            dropout: 0.0,
        })
    }
}

fn check(file: &Path, tolerance: Option<f64>) -> Result<Verdict> {
    let bytes = std::fs::read(file)?;
    let (_, metadata) = SafeTensors::read_metadata(&bytes).context("not a whole safetensors file")?;
    let config = metadata.metadata().as_ref().and_then(|m| m.get("config"));
    let text = config.context("no `config` in the header")?;
    let config: Config = serde_json::from_str(text).context("its `config` is not a parity vector's")?;
    if config.tool.as_deref().is_some_and(|tool| tool.starts_with(bss_eval::TOOL)) {
        return bss_eval::check(file, &bytes, text, tolerance);
    }
    let tolerance = tolerance.unwrap_or(TOLERANCE);
    let architecture = config.architecture.as_deref().unwrap_or("none named");
    if !SUPPORTED.iter().any(|name| architecture.starts_with(name)) {
        eprintln!("{}: architecture not supported yet: {architecture}", file.display());
        return Ok(Verdict::Unsupported);
    }
    let mut tensors: BTreeMap<String, Tensor> =
        candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)?.into_iter().collect();
    let input = tensors.remove("input").context("no tensor `input`")?;
    let expected: Vec<(String, Tensor)> = tensors
        .iter()
        .filter(|(n, _)| n.starts_with("output"))
        .map(|(n, t)| (n.clone(), t.clone()))
        .collect();
    let state: BTreeMap<String, Tensor> = tensors
        .into_iter()
        .filter_map(|(name, tensor)| Some((name.strip_prefix("model.")?.to_owned(), tensor)))
        .collect();
    if expected.is_empty() {
        bail!("no tensor `output`");
    }

    let outputs = if architecture.starts_with(TRANSFORMER) {
        let sizes = config.transformer().context("no d_model, heads or hidden_size in its `config`")?;
        improved_transformer(sizes, state, &input)?
    } else {
        wave_unet(&config, state, &input, file)?
    };

    let mut verdict = Verdict::Agrees;
    for (name, expected) in &expected {
        let output = outputs.get(name).with_context(|| format!("the network has no `{name}`"))?;
        if output.dims() != expected.dims() {
            bail!("{name} has shape {:?}, expected {:?}", output.dims(), expected.dims());
        }
        let difference = (output - expected)?.abs()?.max_all()?.to_scalar::<f32>()?;
        // Written so that a NaN differs.
        let agrees = f64::from(difference) <= tolerance;
        let word = if agrees { "agrees" } else { "DIFFERS" };
        println!("{}: {name}: largest difference {difference:.2e}, {word}", file.display());
        if !agrees {
            verdict = Verdict::Differs;
        }
    }
    Ok(verdict)
}

/// The transformer layer alone; the vector's input is `[time, batch, d_model]`.
fn improved_transformer(
    sizes: ImprovedTransformerConfig,
    state: BTreeMap<String, Tensor>,
    input: &Tensor,
) -> engine::Result<BTreeMap<String, Tensor>> {
    let params = Params::loaded(state, &Device::Cpu);
    let layer = ImprovedTransformer::new(&params.root(), sizes)?;
    let output = layer.forward(&input.transpose(0, 1)?, Mode::Evaluate)?.transpose(0, 1)?;
    Ok(BTreeMap::from([("output".to_owned(), output)]))
}

fn wave_unet(
    config: &Config,
    state: BTreeMap<String, Tensor>,
    input: &Tensor,
    file: &Path,
) -> engine::Result<BTreeMap<String, Tensor>> {
    let defaults = ForeignHints::default();
    let hints = ForeignHints {
        stride: config.strides.unwrap_or(defaults.stride),
        heads: config.heads.unwrap_or(defaults.heads),
        recurrence: config.recurrence.unwrap_or(defaults.recurrence),
        stems: config.instruments.unwrap_or(defaults.stems),
    };
    let foreign = Foreign::recognise(state, &hints, &file.display().to_string())?;
    let network = foreign.architecture.build(&Params::loaded(foreign.tensors, &Device::Cpu))?;
    let output = network.forward(input, Mode::Evaluate)?;
    let stem = |stem: Stem| Ok((format!("output.{stem}"), output.narrow(1, stem as usize, 1)?.squeeze(1)?));
    Stem::ALL.into_iter().map(stem).collect()
}
