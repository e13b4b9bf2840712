//! The recipe: everything that decides what a training run does, in one TOML file.

use std::path::{Path, PathBuf};

use anyhow::Context;
use engine::checkpoint::Precision;
use engine::model::Architecture;
use engine::separator::ChunkPlan;
use serde::{Deserialize, Serialize};

use crate::exit::WrongUse;

/// A recipe. Keys that are not listed here are errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The run's name: everything is written to `runs/<name>/` in the current folder.
    pub name: String,
    /// All randomness follows from it.
    pub seed: u64,
    /// Optimiser steps of the whole run.
    pub steps: u64,
    /// Threads for the network; 0 takes one for each core.
    #[serde(default)]
    pub threads: usize,
    /// The network: `name` is `wave_unet` or `wave_unet_dpt`, the other keys are its hyper-parameters.
    pub architecture: Architecture,
    /// How the separator will lay windows over a stream. Kept in the checkpoint and used in validation.
    pub chunk: ChunkPlan,
    /// Excerpts and where they come from.
    pub data: Data,
    /// Random changes to the stems before they are mixed.
    #[serde(default)]
    pub augment: Augment,
    /// What is minimised.
    #[serde(default)]
    pub loss: Loss,
    /// How it is minimised.
    #[serde(default)]
    pub optimizer: Optimizer,
    /// Measuring on held-out songs.
    pub validation: Validation,
    /// Saving.
    #[serde(default)]
    pub checkpoint: Saving,
}

/// Training data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Length of the mixture excerpts; 0 takes the window that the separator runs, so that the network sees in
    /// training what it will see in use.
    #[serde(default)]
    pub excerpt_seconds: f64,
    /// Excerpts for each step.
    pub batch: usize,
    /// Batches that are made in advance.
    #[serde(default = "four")]
    pub prefetch: usize,
    /// Threads that make batches.
    #[serde(default = "one")]
    pub threads: usize,
    /// Where songs come from; drawn in proportion to their weights.
    pub source: Vec<Source>,
}

fn four() -> usize {
    4
}

fn one() -> usize {
    1
}

fn weight_one() -> f32 {
    1.0
}

/// A source of songs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// A folder with one folder for each song, each with drums.wav, bass.wav, other.wav and vocals.wav
    /// (MUSDB18-HQ's layout; its mixture.wav is not needed).
    Folder {
        /// The folder, relative to the current one.
        path: PathBuf,
        /// Weight against the other sources.
        #[serde(default = "weight_one")]
        weight: f32,
        /// Whether a stem file that is not there means silence; otherwise it is an error.
        #[serde(default)]
        missing_is_silence: bool,
    },
    /// Songs from our own generator, made while training goes on.
    Generated {
        /// Weight against the other sources.
        #[serde(default = "weight_one")]
        weight: f32,
        /// Length of each song.
        seconds: f32,
        /// Songs in memory at any time; excerpts are cut from these.
        songs: u64,
        /// How many of them are replaced by new ones at each step.
        fresh_per_step: f64,
        /// Seed of the first song, counted up for the next.
        seed: u64,
    },
}

impl Source {
    /// Its share of the excerpts.
    pub fn weight(&self) -> f32 {
        match self {
            Self::Folder { weight, .. } | Self::Generated { weight, .. } => *weight,
        }
    }
}

/// Random changes. Each probability lies in 0..=1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Probability that an excerpt takes each stem from another song and place.
    pub remix: f32,
    /// Lowest and highest factor on each stem.
    pub gain: [f32; 2],
    /// Probability that a stem's channels are swapped.
    pub swap_channels: f32,
    /// Probability that a stem's sign is flipped.
    pub flip_sign: f32,
}

impl Default for Augment {
    fn default() -> Self {
        Self { remix: 0.0, gain: [1.0, 1.0], swap_channels: 0.0, flip_sign: 0.0 }
    }
}

/// The distance between a stem and its estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Distance {
    /// Mean absolute difference.
    #[default]
    L1,
    /// Mean squared difference.
    Mse,
}

/// The loss: the distance, averaged over frames, channels, stems and excerpts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Loss {
    /// The distance.
    pub distance: Distance,
    /// Divides each excerpt's distance by that of its mixture from silence, so that soft excerpts count as much as
    /// loud ones.
    pub relative: bool,
    /// From 0 (all stems of an excerpt count by their level) to 1 (all alike, however soft).
    pub balance: f32,
}

/// AdamW, with a rate that rises linearly, then falls along a cosine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Optimizer {
    /// Highest learning rate.
    pub rate: f64,
    /// Learning rate at the last step.
    pub final_rate: f64,
    /// Steps until the highest rate.
    pub warm_up: u64,
    /// Decay of the gradient's mean.
    pub beta1: f64,
    /// Decay of the gradient's square.
    pub beta2: f64,
    /// Decoupled weight decay; 0 is plain Adam.
    pub weight_decay: f64,
    /// Longer gradients are shortened to this length; 0 leaves them.
    pub clip: f64,
    /// Decay of the weights' moving average, which is what validation measures and checkpoints hold; 0 for none.
    /// At step t it is at most (1 + t) / (10 + t), so that the average follows quickly at first.
    pub ema: f64,
}

impl Default for Optimizer {
    fn default() -> Self {
        Self {
            rate: 1e-3,
            final_rate: 5e-6,
            warm_up: 0,
            beta1: 0.9,
            beta2: 0.999,
            weight_decay: 0.0,
            clip: 0.0,
            ema: 0.999,
        }
    }
}

/// Held-out songs, separated as the plugin would, and scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validation {
    /// Steps between two validations; the last step always has one.
    pub every: u64,
    /// Held-out songs.
    pub source: HeldOut,
    /// Training stops after so many validations without a better mean SDR; 0 never stops early.
    #[serde(default)]
    pub patience: u64,
}

/// Songs that are never trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum HeldOut {
    /// A folder as in [`Source::Folder`].
    Folder {
        /// The folder.
        path: PathBuf,
        /// Only the first so many seconds of each song; 0 takes all.
        #[serde(default)]
        seconds: f32,
    },
    /// Generated songs; their seeds must not be those of training songs.
    Generated {
        /// How many.
        songs: u64,
        /// Length of each.
        seconds: f32,
        /// Seed of the first.
        seed: u64,
    },
}

/// When to save.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Saving {
    /// Steps between two saves of the run's state; validation and the end save too.
    pub every: u64,
    /// What the checkpoint says about its training data.
    pub data: String,
    /// What it says about that data's licence.
    pub data_licence: String,
    /// How the weights of checkpoints are stored; the run's state is always exact.
    pub precision: Stored,
}

/// How weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Stored {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats: half the size.
    F16,
}

impl From<Stored> for Precision {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::F32 => Self::F32,
            Stored::F16 => Self::F16,
        }
    }
}

impl Default for Saving {
    fn default() -> Self {
        Self { every: 100, data: String::new(), data_licence: String::new(), precision: Stored::F32 }
    }
}

impl Recipe {
    /// Reads and checks a recipe.
    ///
    /// # Errors
    /// It cannot be read, is no TOML, has unknown or missing keys, or values that cannot work.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| WrongUse(format!("cannot read the recipe {}", path.display())))?;
        let recipe: Self = toml::from_str(&text)
            .with_context(|| WrongUse(format!("recipe {} is not valid", path.display())))?;
        recipe.check().map_err(|reason| WrongUse(format!("recipe {}: {reason}", path.display())))?;
        Ok(recipe)
    }

    fn check(&self) -> Result<(), String> {
        let name_is_plain = !self.name.is_empty()
            && !self.name.starts_with('.')
            && self.name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c));
        let (o, a) = (&self.optimizer, &self.augment);
        let part = |x: f32| (0.0..=1.0).contains(&x);
        let checks = [
            (name_is_plain, "`name` must be a plain folder name: letters, digits, - _ ."),
            (self.steps > 0, "`steps` must be at least 1"),
            (self.data.batch > 0, "`data.batch` must be at least 1"),
            (!self.data.source.is_empty(), "`data.source` must list at least one source"),
            (self.data.source.iter().all(|s| s.weight() >= 0.0), "weights of sources must not be negative"),
            (
                self.data.source.iter().any(|s| s.weight() > 0.0),
                "at least one source must have a weight above 0",
            ),
            ((0.0..=60.0).contains(&self.data.excerpt_seconds), "`data.excerpt_seconds` must lie in 0..=60"),
            (self.validation.every > 0, "`validation.every` must be at least 1"),
            (self.checkpoint.every > 0, "`checkpoint.every` must be at least 1"),
            (
                [a.remix, a.swap_channels, a.flip_sign].into_iter().all(part),
                "probabilities must lie in 0..=1",
            ),
            (part(self.loss.balance), "`loss.balance` must lie in 0..=1"),
            (a.gain[0] <= a.gain[1] && a.gain[0] >= 0.0, "`augment.gain` must be [low, high]"),
            (o.rate > 0.0 && o.final_rate >= 0.0, "learning rates must be positive"),
            ([o.beta1, o.beta2, o.ema].iter().all(|b| (0.0..1.0).contains(b)), "decays must lie in 0..1"),
        ];
        for source in &self.data.source {
            if let Source::Generated { seconds, songs, fresh_per_step, .. } = source
                && (*songs == 0 || *fresh_per_step < 0.0 || !(1.0..=600.0).contains(seconds))
            {
                return Err(
                    "a generated source needs songs >= 1, fresh_per_step >= 0, seconds in 1..=600".into()
                );
            }
        }
        match checks.iter().find(|(good, _)| !good) {
            Some((_, reason)) => Err((*reason).into()),
            None => Ok(()),
        }
    }
}
