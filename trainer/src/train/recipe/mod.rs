//! The recipe: everything that decides what a training run does, in one TOML file.

mod augment;
mod data;
mod files;
mod loss;
mod optimizer;
mod saving;
mod validation;

use std::path::Path;

use anyhow::Context;
use engine::model::Architecture;
use engine::separator::ChunkPlan;
use serde::{Deserialize, Serialize};

use crate::exit::WrongUse;

pub use augment::{Augment, Eq, Reverb};
pub use data::{Data, OnBadFile, Source};
pub use files::{HoldOut, StemFiles};
pub use loss::{Distance, Loss};
pub use optimizer::Optimizer;
pub use saving::Saving;
pub use validation::{HeldOut, Validation};

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
        ensure(name_is_plain, "`name` must be a plain folder name: letters, digits, - _ .")?;
        ensure(self.steps > 0, "`steps` must be at least 1")?;
        self.data.check()?;
        self.augment.check()?;
        self.loss.check()?;
        self.optimizer.check()?;
        self.validation.check()?;
        self.checkpoint.check()
    }
}

/// `Err(reason)` unless something holds.
fn ensure(holds: bool, reason: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(reason.into()) }
}
