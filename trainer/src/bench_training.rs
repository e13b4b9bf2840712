//! `trainer bench-training`: how fast training steps are, without any data to wait for.
//!
//! For comparison with other programs: `--reference` writes a step with all that goes in and comes out, so that
//! they can show that they compute the same. `cargo xtask bench training` compares with PyTorch.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use candle_core::{Device, Tensor};
use engine::STEMS;
use engine::files::write_atomically;
use engine::model::{Architecture, Mode, Network, Parameter, Params, Window};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::json;

use crate::exit::WrongUse;
use crate::memory;
use crate::rng::Rng;
use crate::train::optimizer::{Adam, Gradients};
use crate::train::recipe::Optimizer;

/// Times training steps (forward, loss, backward, optimiser) on noise, and prints the result as JSON.
#[derive(clap::Args)]
pub struct Args {
    /// The network, as JSON with the keys of a recipe's [architecture].
    #[arg(long, value_name = "JSON")]
    architecture: String,
    /// Excerpts in each step.
    #[arg(long, default_value_t = 8)]
    batch: usize,
    /// Frames of each excerpt that the network gives back, at least.
    #[arg(long, default_value_t = 132_300)]
    frames: usize,
    /// Steps that are timed, after one that is not.
    #[arg(long, default_value_t = 3)]
    steps: u64,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Times nothing, but writes the weights, mixture, target, output and all gradients of one step, which needs a
    /// network without dropout.
    #[arg(long, value_name = "FILE.safetensors")]
    reference: Option<PathBuf>,
    #[command(flatten)]
    device: crate::device::Args,
}

/// Any seed will do: nothing is learnt here.
const SEED: u64 = 1;

/// Times the steps, or writes one.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let architecture: Architecture = serde_json::from_str(&args.architecture)
        .map_err(|e| WrongUse(format!("--architecture describes no network: {e}")))?;
    let picked = args.device.pick()?;
    ensure!(args.batch > 0 && args.threads > 0, WrongUse("--batch and --threads must be at least 1".into()));
    memory::keep();
    // Fails only if something has used the pool already, and nothing has.
    rayon::ThreadPoolBuilder::new().num_threads(args.threads).build_global().ok();
    let device = &picked.device;
    match &args.reference {
        Some(file) => write_reference(file, &Step::new(&architecture, args.batch, args.frames, device)?)?,
        None => {
            let (seconds, window) = time(&architecture, args.batch, args.frames, args.steps, device)?;
            let Window { input, output, .. } = window;
            println!(
                "{}",
                json!({ "device": picked.why, "seconds": seconds, "input_frames": input, "output_frames": output })
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What every step is done with.
struct Step {
    network: Arc<dyn Network>,
    parameters: BTreeMap<String, Parameter>,
    window: Window,
    mixture: Tensor,
    target: Tensor,
}

impl Step {
    fn new(
        architecture: &Architecture,
        batch: usize,
        frames: usize,
        device: &Device,
    ) -> anyhow::Result<Self> {
        let params = Params::fresh(SEED, device);
        let network = architecture.build(&params).context("the network cannot be built")?;
        let window = network.window(frames);
        Ok(Self {
            mixture: noise(&[batch, 2, window.input], 1, device)?,
            target: noise(&[batch, STEMS, 2, window.output], 2, device)?,
            parameters: params.into_variables(),
            network,
            window,
        })
    }
}

/// Seconds that each step takes on a device, the first one left out, and the window of an excerpt.
///
/// # Errors
/// A network that cannot be built, or the device fails.
pub fn time(
    architecture: &Architecture,
    batch: usize,
    frames: usize,
    steps: u64,
    device: &Device,
) -> anyhow::Result<(Vec<f64>, Window)> {
    let Step { network, parameters, window, mixture, target } =
        Step::new(architecture, batch, frames, device)?;
    let config = Optimizer { ema: 0.0, ..Optimizer::default() };
    let rate = config.rate;
    let mut optimizer = Adam::new(config, &parameters)?;
    let mut seconds = Vec::new();
    for step in 0..=steps {
        let begun = Instant::now();
        let estimate = network.forward(&mixture, Mode::Train { seed: step, first_item: 0 })?;
        let loss = mean_square(&estimate, &target)?;
        let mut gradients = Gradients::default();
        gradients.add(&parameters, loss.backward()?)?;
        optimizer.step(step, rate, &parameters, &gradients, 1)?;
        drop((estimate, loss, gradients));
        // A card would work on by itself.
        device.synchronize()?;
        seconds.push(begun.elapsed().as_secs_f64());
    }
    seconds.remove(0);
    Ok((seconds, window))
}

/// Writes `weight/<name>`, `gradient/<name>`, `mixture`, `target` and `output`.
fn write_reference(file: &Path, step: &Step) -> anyhow::Result<()> {
    let Step { network, parameters, mixture, target, .. } = step;
    let output = network.forward(mixture, Mode::Train { seed: SEED, first_item: 0 })?;
    let gradients = mean_square(&output, target)?.backward()?;
    let mut tensors = vec![
        ("mixture".to_owned(), mixture.clone()),
        ("target".to_owned(), target.clone()),
        ("output".to_owned(), output),
    ];
    for (name, parameter) in parameters {
        let weight = parameter.var.as_tensor();
        let gradient = gradients.get(weight).with_context(|| format!("{name} has no gradient"))?;
        tensors.push((format!("weight/{name}"), weight.clone()));
        tensors.push((format!("gradient/{name}"), gradient.clone()));
    }
    let bytes = tensors
        .iter()
        .map(|(name, t)| {
            let values = t.flatten_all()?.to_vec1::<f32>()?;
            Ok((name, t.dims(), values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>()))
        })
        .collect::<candle_core::Result<Vec<_>>>()?;
    let views = bytes
        .iter()
        .map(|(name, shape, bytes)| Ok((name.as_str(), TensorView::new(Dtype::F32, shape.to_vec(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    let serialized = safetensors::serialize(views, None)?;
    write_atomically(file, |w| w.write_all(&serialized))?;
    Ok(())
}

/// The loss of the seed's training.
fn mean_square(estimate: &Tensor, target: &Tensor) -> candle_core::Result<Tensor> {
    (estimate - target)?.sqr()?.mean_all()
}

/// White noise at about the level of music.
fn noise(shape: &[usize], purpose: u64, device: &Device) -> candle_core::Result<Tensor> {
    let mut rng = Rng::new(SEED, &[purpose]);
    let values = (0..shape.iter().product()).map(|_| rng.range(-0.3, 0.3)).collect();
    Tensor::from_vec(values, shape, device)
}
