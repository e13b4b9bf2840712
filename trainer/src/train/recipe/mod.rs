//! The recipe: everything that decides what a training run does, in one TOML file.

mod augment;
mod data;
mod files;
mod loss;
mod optimizer;
mod saving;
mod tensorboard;
mod unknown;
mod validation;

use std::path::Path;

use anyhow::{Context, anyhow};
use engine::model::Architecture;
use engine::separator::ChunkPlan;
use serde::{Deserialize, Serialize};

use crate::exit::WrongUse;

pub use augment::{Augment, Eq, Reverb};
pub use data::{Data, OnBadFile, Source};
pub use files::{HoldOut, StemFiles};
pub use loss::{Distance, Loss, Term};
pub use optimizer::{Kind, Optimizer, Schedule};
pub use saving::Saving;
pub use tensorboard::Tensorboard;
pub use validation::{HeldOut, Monitor, Validation};

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
    /// Steps that count as one epoch, for what is said in epochs; 0 for none.
    #[serde(default)]
    pub steps_per_epoch: u64,
    /// Threads for the network; 0 takes one for each core.
    #[serde(default)]
    pub threads: usize,
    /// The network: `name` is `wave_unet`, `wave_unet_dpt` or `band_dpt`, the other keys are its hyper-parameters.
    pub architecture: Architecture,
    /// How the separator will lay windows over a stream; not for a network that carries a state. Kept in the
    /// checkpoint and used in validation.
    #[serde(default)]
    pub chunk: Option<ChunkPlan>,
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
    /// What TensorBoard gets to see.
    #[serde(default)]
    pub tensorboard: Tensorboard,
}

impl Recipe {
    /// Reads and checks a recipe.
    ///
    /// # Errors
    /// It cannot be read, is no TOML, has unknown or missing keys, or values that cannot work.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| WrongUse(format!("cannot read the recipe {}", path.display())))?;
        let recipe: Self = toml::from_str(&text).map_err(|error| {
            let hint = unknown::suggestion(error.message()).map_or(String::new(), |s| format!(": {s}"));
            anyhow!(error).context(WrongUse(format!("recipe {} is not valid{hint}", path.display())))
        })?;
        recipe.check().map_err(|reason| WrongUse(format!("recipe {}: {reason}", path.display())))?;
        Ok(recipe)
    }

    fn check(&self) -> Result<(), String> {
        let name_is_plain = !self.name.is_empty()
            && !self.name.starts_with('.')
            && self.name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c));
        ensure(name_is_plain, "`name` must be a plain folder name: letters, digits, - _ .")?;
        ensure(self.steps > 0, "`steps` must be at least 1")?;
        match (self.architecture.streams(), self.chunk) {
            (false, None) => {
                return Err("`chunk` is missing: how the separator lays windows over a stream".into());
            }
            (true, Some(_)) => {
                return Err(format!("a {} runs hop by hop and has no `chunk`", self.architecture.name()));
            }
            _ => {}
        }
        ensure(
            self.chunk.is_some() || self.data.excerpt_seconds > 0.0,
            "`data.excerpt_seconds` must be given for a network without windows",
        )?;
        self.data.check()?;
        self.augment.check()?;
        self.loss.check()?;
        self.optimizer.check(self.steps_per_epoch)?;
        self.validation.check(self.steps_per_epoch)?;
        self.checkpoint.check()
    }
}

impl Recipe {
    /// Steps between two validations.
    pub fn validation_steps(&self) -> u64 {
        if self.validation.every > 0 { self.validation.every } else { self.steps_per_epoch.max(1) }
    }
}

/// `Err(reason)` unless something holds.
fn ensure(holds: bool, reason: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(reason.into()) }
}

#[cfg(test)]
mod tests {
    use super::unknown::Unknown;
    use super::*;

    /// What could stand where `?` stands in a recipe, as a "field" or a "variant", if that is what is wrong with it.
    fn known(what: &str, recipe: &str) -> Option<Vec<String>> {
        let error = toml::from_str::<Recipe>(recipe).err()?;
        let unknown = Unknown::read(error.message())?;
        let is_that = unknown.found == "?" && error.message().starts_with(&format!("unknown {what}"));
        is_that.then(|| unknown.known.into_iter().map(str::to_owned).collect())
    }

    /// Adds all keys below `path` to `found`: each is tried with an unknown key in it. `before` is what has to stand
    /// before a table at that path.
    fn collect(before: &str, path: &str, found: &mut Vec<String>) {
        for header in [format!("[{path}]"), format!("[[{path}]]")] {
            let open = format!("{before}{header}\n");
            if let Some(keys) = known("field", &format!("{open}'?' = 0")) {
                collect_keys(before, path, &keys, found);
            }
            for tag in ["kind", "name"] {
                let Some(variants) = known("variant", &format!("{open}{tag} = '?'")) else { continue };
                for variant in variants {
                    let open = format!("{open}{tag} = '{variant}'\n");
                    let Some(keys) = known("field", &format!("{open}'?' = 0")) else { continue };
                    found.push(format!("{path}.{tag}"));
                    collect_keys(&open, path, &keys, found);
                }
            }
        }
    }

    fn collect_keys(before: &str, path: &str, keys: &[String], found: &mut Vec<String>) {
        for key in keys {
            let path = format!("{path}.{key}");
            found.push(path.clone());
            collect(before, &path, found);
        }
    }

    #[test]
    fn every_key_has_a_row_in_the_reference() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/recipes.md");
        let text = std::fs::read_to_string(path).unwrap();
        let mut found = known("field", "'?' = 0").unwrap();
        for top in found.clone() {
            collect("", &top, &mut found);
        }
        for expected in [
            "data.source.path",
            "data.source.seconds",
            "architecture.conv",
            "architecture.heads",
            "loss.terms.kind",
        ] {
            assert!(found.iter().any(|key| key == expected), "{expected} was not found in {found:?}");
        }
        let sections: Vec<&str> = text.split("\n## ").skip(1).collect();
        for key in found {
            let has_row = sections.iter().any(|section| {
                let heading = section.lines().next().unwrap_or_default().trim_matches('`');
                let row = match heading {
                    "The top of the file" => Some(key.as_str()),
                    path => key.strip_prefix(path).and_then(|rest| rest.strip_prefix('.')),
                };
                row.is_some_and(|row| section.contains(&format!("\n| `{row}` |")))
            });
            assert!(has_row, "docs/recipes.md has no row for `{key}`");
        }
    }

    #[test]
    fn shipped_recipes_are_valid_and_named_like_their_files() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(files.len() >= 5, "{files:?}");
        for file in files {
            let recipe = Recipe::read(&file).unwrap_or_else(|e| panic!("{e:#}"));
            assert_eq!(file.file_stem().unwrap().to_str().unwrap(), recipe.name);
        }
    }
}
