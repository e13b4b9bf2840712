//! One training run: its folder, its loop, its checkpoints.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use candle_core::{Device, Tensor};
use engine::checkpoint::{Checkpoint, FORMAT, Header, Metric, Provenance};
use engine::model::{Mode, Network, Parameter, Params, Window};
use engine::{STEMS, Stem};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::data::{Batch, Excerpts, Loader};
use super::date;
use super::log::Log;
use super::optimizer::{AdamW, StepReport};
use super::recipe::Recipe;
use super::state::{self, Progress};
use super::validate::HeldOutSongs;
use crate::exit::WrongUse;
use crate::metrics::plain_sdr::{DEFINITION, Report};
use crate::rng::Rng;

/// These keep the draws for weights and dropout apart from all others.
const WEIGHTS: u64 = 0x77;
const DROPOUT: u64 = 0x64;

/// A run, ready to go on.
pub struct Run {
    recipe: Recipe,
    folder: PathBuf,
    network: Arc<dyn Network>,
    parameters: BTreeMap<String, Parameter>,
    optimizer: AdamW,
    progress: Progress,
    window: Window,
    loader: Loader,
    held_out: HeldOutSongs,
    log: Log,
}

impl Run {
    /// Builds the network, checks the data and opens the folder.
    ///
    /// # Errors
    /// Whatever can be known to fail before the first step.
    pub fn start(recipe: Recipe, folder: PathBuf, resume: bool) -> anyhow::Result<Self> {
        let state_file = folder.join(STATE);
        ensure!(
            resume || !state_file.exists(),
            WrongUse(format!("{} already has a run; --resume goes on with it", folder.display()))
        );
        if recipe.threads > 0 {
            // Fails only if something has used the pool already, and nothing has.
            rayon::ThreadPoolBuilder::new().num_threads(recipe.threads).build_global().ok();
        }
        let params = Params::fresh(Rng::new(recipe.seed, &[WEIGHTS]).bits(), &Device::Cpu);
        let network =
            recipe.architecture.build(&params).context("the recipe's architecture cannot be built")?;
        let parameters = params.into_variables();
        let mut optimizer = AdamW::new(recipe.optimizer.clone(), recipe.steps, &parameters)?;
        let mut progress = Progress { step: 0, best: None, since_best: 0, recipe: recipe.clone() };
        if resume && state_file.exists() {
            progress = state::read(&state_file, &parameters, &mut optimizer)?;
            if progress.recipe != recipe {
                eprintln!(
                    "note: the recipe has changed since this run was saved; the new one holds from here on"
                );
                progress.recipe = recipe.clone();
            }
        }
        // Fails early if the chunk plan does not suit the network.
        let (window, _) = recipe.chunk.window(network.as_ref()).context("the recipe cannot be run")?;
        let window = match recipe.data.excerpt_seconds {
            0.0 => window,
            seconds => window_of(network.as_ref(), (seconds * SAMPLE_RATE as f64) as usize)?,
        };
        let excerpts = Excerpts::open(&recipe, window)?;
        let held_out = HeldOutSongs::open(&recipe.validation.source, &recipe.data)?;
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let log = Log::open(&folder.join("log.jsonl"), progress.step)?;
        let steps = progress.step..recipe.steps;
        let loader = Loader::start(excerpts, steps, recipe.data.prefetch, recipe.data.threads)?;
        Ok(Self { recipe, folder, network, parameters, optimizer, progress, window, loader, held_out, log })
    }

    /// Trains to the end, or for so many minutes.
    ///
    /// # Errors
    /// A step fails, or a checkpoint cannot be written; the last good state stays.
    pub fn go(mut self, minutes: Option<f64>) -> anyhow::Result<()> {
        let deadline = minutes.map(|m| Instant::now() + Duration::from_secs_f64(m.max(0.0) * 60.0));
        println!(
            "{}: {} weights, window {} -> {} frames, {} of {} steps done",
            self.folder.display(),
            self.parameters.values().map(|p| p.var.elem_count()).sum::<usize>(),
            self.window.input,
            self.window.output,
            self.progress.step,
            self.recipe.steps
        );
        let bar = ProgressBar::new(self.recipe.steps).with_position(self.progress.step).with_style(
            ProgressStyle::with_template("{bar:30} {pos}/{len} steps, {eta} left, {msg}")
                .unwrap_or(ProgressStyle::default_bar()),
        );
        bar.reset_eta();
        while self.progress.step < self.recipe.steps {
            let loss = self.step()?;
            let done = self.progress.step;
            bar.set_message(format!("loss {loss:.4}"));
            bar.set_position(done);
            let last = done == self.recipe.steps;
            let late = deadline.is_some_and(|d| Instant::now() >= d);
            if last || done.is_multiple_of(self.recipe.validation.every) {
                let report = self.validate()?;
                bar.suspend(|| print!("after {done} steps\n{report}"));
                if self.recipe.validation.patience > 0
                    && self.progress.since_best >= self.recipe.validation.patience
                {
                    bar.suspend(|| {
                        println!("stopped: no better validation in the last {}", self.progress.since_best)
                    });
                    break;
                }
            } else if late || done.is_multiple_of(self.recipe.checkpoint.every) {
                self.save()?;
            }
            if late && !last {
                bar.suspend(|| println!("stopped after {done} steps; --resume goes on"));
                break;
            }
        }
        bar.finish_and_clear();
        println!("{}", self.folder.join(BEST).display());
        Ok(())
    }

    /// One optimiser step; returns its loss.
    fn step(&mut self) -> anyhow::Result<f32> {
        let step = self.progress.step;
        let begun = Instant::now();
        let batch = self.loader.next()?;
        let waited = begun.elapsed();
        for song in &batch.left_out {
            eprintln!("left out from now on: {song}");
            self.log.write(&json!({ "kind": "left_out", "step": step + 1, "song": song }))?;
        }
        let (loss, report) = self.learn(batch).with_context(|| format!("step {step} failed"))?;
        self.progress.step = step + 1;
        self.log.write(&json!({
            "kind": "step",
            "step": self.progress.step,
            "loss": loss,
            "rate": report.rate,
            "gradient_norm": report.gradient_norm,
            "seconds": begun.elapsed().as_secs_f64(),
            "waited_for_data": waited.as_secs_f64(),
        }))?;
        Ok(loss)
    }

    fn learn(&mut self, batch: Batch) -> anyhow::Result<(f32, StepReport)> {
        let (step, items, device) = (batch.step, batch.items, &Device::Cpu);
        let weights = Tensor::from_vec(self.recipe.loss.weights(&batch), (items, STEMS), device)?;
        let mixture = Tensor::from_vec(batch.mixtures, (items, 2, self.window.input), device)?;
        let target = Tensor::from_vec(batch.targets, (items, STEMS, 2, self.window.output), device)?;
        let seed = Rng::new(self.recipe.seed, &[DROPOUT, step]).bits();
        let estimate = self.network.forward(&mixture, Mode::Train { seed })?;
        let loss = self.recipe.loss.of(&estimate, &target, &weights)?;
        let gradients = loss.backward()?;
        let report = self.optimizer.step(step, &self.parameters, &gradients)?;
        Ok((loss.to_scalar::<f32>()?, report))
    }

    /// Scores the averaged weights on the held-out songs, and saves.
    fn validate(&mut self) -> anyhow::Result<Report> {
        let report = self.held_out.measure(&self.checkpoint(Vec::new())?)?;
        let score = report.separated.mean();
        let better = self.progress.best.is_none_or(|best| score > best);
        self.log.write(&json!({
            "kind": "validation",
            "step": self.progress.step,
            "definition": DEFINITION,
            "sdr": report.separated.named(),
            "sdr_of_mixture": report.mixture.named(),
            "sdr_of_quarter": report.quarter.named(),
            "mean": score,
            "best": better,
        }))?;
        if better {
            self.progress.best = Some(score);
            self.progress.since_best = 0;
            let metrics = report.metrics(&self.held_out.name);
            self.checkpoint(metrics)?
                .write(&self.folder.join(BEST), self.recipe.checkpoint.precision.into())?;
        } else {
            self.progress.since_best += 1;
        }
        self.save()?;
        Ok(report)
    }

    /// Saves the state, and the averaged weights as a checkpoint.
    fn save(&self) -> anyhow::Result<()> {
        // The checkpoint first: after a failure the state still is the one to go on from.
        let last = self.folder.join(LAST);
        self.checkpoint(Vec::new())?.write(&last, self.recipe.checkpoint.precision.into())?;
        state::write(&self.folder.join(STATE), &self.progress, &self.parameters, &self.optimizer)
    }

    /// The averaged weights with all that is known about them.
    fn checkpoint(&self, metrics: Vec<Metric>) -> anyhow::Result<Checkpoint> {
        let recipe = &self.recipe;
        let header = Header {
            format: FORMAT,
            architecture: recipe.architecture.clone(),
            sample_rate: SAMPLE_RATE,
            channels: 2,
            stems: Stem::ALL.to_vec(),
            consistency: true,
            chunk: recipe.chunk,
            provenance: Provenance {
                data: recipe.checkpoint.data.clone(),
                data_licence: recipe.checkpoint.data_licence.clone(),
                recipe: recipe.name.clone(),
                seed: recipe.seed,
                steps: self.progress.step,
                trainer: concat!("trainer ", env!("CARGO_PKG_VERSION")).into(),
                date: date::today(),
            },
            metrics,
        };
        let tensors = self
            .parameters
            .iter()
            .map(|(name, p)| {
                let values = self.optimizer.average.get(name).cloned().unwrap_or_default();
                Ok((name.clone(), Tensor::from_vec(values, p.var.shape(), &Device::Cpu)?))
            })
            .collect::<candle_core::Result<BTreeMap<_, _>>>()?;
        Ok(Checkpoint::new(header, tensors, &recipe.name)?)
    }
}

/// Hz; that of all training data.
const SAMPLE_RATE: u32 = 44_100;

const STATE: &str = "state.safetensors";
const BEST: &str = "best.safetensors";
const LAST: &str = "last.safetensors";

/// The largest window of at most `frames` input frames.
fn window_of(network: &dyn Network, frames: usize) -> anyhow::Result<Window> {
    let smallest = network.window(1);
    ensure!(
        smallest.input <= frames,
        WrongUse(format!(
            "`data.excerpt_seconds` is too short: this network needs {} frames",
            smallest.input
        ))
    );
    // The window grows with the output, in steps; close in on the largest that fits.
    let (mut low, mut high) = (smallest.output, frames);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if network.window(middle).input <= frames { low = middle } else { high = middle - 1 }
    }
    Ok(network.window(low))
}
