//! What learns: the network with its parameters, its optimiser and its loss.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use candle_core::{Device, Tensor};
use engine::checkpoint::{Checkpoint, FORMAT, Header, Metric, Provenance};
use engine::model::{Mode, Network, Parameter, Params, Window};
use engine::{STEMS, Stem};

use super::data::Batch;
use super::loss::Loss;
use super::optimizer::{Adam, Gradients, weights};
use super::processes::Processes;
use super::recipe::Recipe;
use super::schedule::Schedule;
use super::{date, init};
use crate::exit::WrongUse;
use crate::rng::Rng;

/// These keep the draws for weights and dropout apart from all others.
const WEIGHTS: u64 = 0x77;
const DROPOUT: u64 = 0x64;

/// Hz; that of all training data.
pub const SAMPLE_RATE: u32 = 44_100;

/// A network in training.
pub struct Learner {
    recipe: Recipe,
    /// Where the network runs. The optimiser's numbers stay on the host.
    pub device: Device,
    network: Arc<dyn Network>,
    /// By name; setting one changes the network.
    pub parameters: BTreeMap<String, Parameter>,
    /// Moments and averages.
    pub optimizer: Adam,
    /// What is minimised.
    pub loss: Loss,
    schedule: Schedule,
    /// Frames in and out.
    pub window: Window,
}

/// What a step was like.
pub struct Learnt {
    /// Mean over the step's batches.
    pub loss: f32,
    /// The same for each term of the loss.
    pub terms: Vec<f32>,
    /// Learning rate.
    pub rate: f64,
    /// Length of the gradient before clipping.
    pub gradient_norm: f64,
}

impl Learner {
    /// A fresh network on this device as the recipe says, with what the recipe freezes frozen.
    ///
    /// # Errors
    /// An architecture that cannot be built, a chunk plan that does not suit it, a pattern that freezes nothing.
    pub fn new(recipe: &Recipe, device: &Device) -> anyhow::Result<Self> {
        let params = Params::fresh(Rng::new(recipe.seed, &[WEIGHTS]).bits(), device);
        let network =
            recipe.architecture.build(&params).context("the recipe's architecture cannot be built")?;
        let mut parameters = params.into_variables();
        init::freeze(&mut parameters, &recipe.optimizer.freeze)?;
        let optimizer = Adam::new(recipe.optimizer.clone(), &parameters)?;
        // Fails early if the chunk plan does not suit the network.
        let window = recipe.chunk.map(|chunk| chunk.window(network.as_ref())).transpose();
        let window = match (window.context("the recipe cannot be run")?, recipe.data.excerpt_seconds) {
            (Some((window, _)), 0.0) => window,
            (_, seconds) => window_of(network.as_ref(), (seconds * f64::from(SAMPLE_RATE)) as usize)?,
        };
        let (loss, schedule) = (Loss::new(recipe.loss.clone()), Schedule::new(recipe));
        let (recipe, device) = (recipe.clone(), device.clone());
        Ok(Self { recipe, device, network, parameters, optimizer, loss, schedule, window })
    }

    /// One optimiser step, counted from 0, on so many batches as the recipe accumulates, together with all processes.
    ///
    /// # Errors
    /// There is no batch, or the loss or its gradient is not finite; the parameters are then unchanged.
    pub fn step(
        &mut self,
        step: u64,
        processes: &Processes,
        mut next: impl FnMut() -> anyhow::Result<Batch>,
    ) -> anyhow::Result<Learnt> {
        let batches = self.recipe.optimizer.accumulate;
        let mut gradients = Gradients::default();
        // The whole loss and its terms.
        let mut losses = vec![0.0; 1 + self.recipe.loss.terms.len()];
        for _ in 0..batches {
            let (loss, shares) = self.forward(next()?)?;
            let values = [vec![loss.to_scalar::<f32>()?], shares].concat();
            losses.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            gradients.add(&self.parameters, loss.backward()?)?;
        }
        gradients.sum_over(processes, &self.parameters, &mut losses)?;
        let added = batches * processes.count() as u64;
        losses.iter_mut().for_each(|loss| *loss /= added as f32);
        let rate = self.schedule.rate(step);
        let gradient_norm = self.optimizer.step(step, rate, &self.parameters, &gradients, added)?;
        let terms = losses.split_off(1);
        Ok(Learnt { loss: losses[0], terms, rate, gradient_norm })
    }

    fn forward(&self, batch: Batch) -> candle_core::Result<(Tensor, Vec<f32>)> {
        let (items, device) = (batch.items, &self.device);
        let mixture = Tensor::from_vec(batch.mixtures, (items, 2, self.window.input), device)?;
        let target = Tensor::from_vec(batch.targets, (items, STEMS, 2, self.window.output), device)?;
        let seed = Rng::new(self.recipe.seed, &[DROPOUT, batch.step]).bits();
        let mode = Mode::Train { seed, first_item: batch.first_item };
        let estimate = self.network.forward(&mixture, mode)?;
        self.loss.of(&estimate, &target, &mixture)
    }

    /// Does everything that a batch of one excerpt of noise needs, and leaves no trace of it.
    ///
    /// # Errors
    /// The network cannot be trained.
    pub fn try_out(&self) -> anyhow::Result<()> {
        let mut rng = Rng::new(0, &[]);
        let mut noise = |count: usize| (0..count).map(|_| rng.range(-0.1, 0.1)).collect::<Vec<f32>>();
        let (input, output) = (self.window.input, self.window.output);
        let (mixtures, targets) = (noise(2 * input), noise(STEMS * 2 * output));
        let batch = Batch { step: 0, items: 1, first_item: 0, mixtures, targets, left_out: Vec::new() };
        // Only statistics change in a forward pass.
        let kept = self.parameters.values().filter(|p| !p.trained);
        let kept: Vec<_> = kept.map(|p| Ok((&p.var, p.var.copy()?))).collect::<candle_core::Result<_>>()?;
        let (loss, _) = self.forward(batch)?;
        Gradients::default().add(&self.parameters, loss.backward()?)?;
        kept.iter().try_for_each(|(var, before)| var.set(before))?;
        Ok(())
    }

    /// A number that differs, as good as always, when any bit of the weights does.
    ///
    /// # Errors
    /// The device fails.
    pub fn checksum(&self) -> candle_core::Result<u64> {
        let mut sum = 0;
        for weights in weights(&self.parameters)?.values() {
            for part in weights.iter() {
                sum = crc32c::crc32c_append(sum, &part.to_le_bytes());
            }
        }
        Ok(u64::from(sum))
    }

    /// The averaged weights after so many steps, with all that is known about them.
    ///
    /// # Errors
    /// Weights that are not finite.
    pub fn checkpoint(
        &self,
        steps: u64,
        initialised_from: Option<&str>,
        metrics: Vec<Metric>,
    ) -> anyhow::Result<Checkpoint> {
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
                recipe: match initialised_from {
                    Some(from) => format!("{}, initialised from {from}", recipe.name),
                    None => recipe.name.clone(),
                },
                seed: recipe.seed,
                steps,
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

/// The largest window of at most `frames` input frames.
fn window_of(network: &dyn Network, frames: usize) -> anyhow::Result<Window> {
    let smallest = network.window(1);
    anyhow::ensure!(
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
