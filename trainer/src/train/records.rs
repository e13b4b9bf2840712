//! What a run leaves behind besides its checkpoints: the log and the curves.

use std::path::Path;

use anyhow::Context;
use serde_json::{Map, Value, json};

use super::dashboard::Dashboard;
use super::learner::Learnt;
use super::log::Log;
use super::measure::Heard;
use super::recipe::Recipe;
use super::state::Progress;
use crate::metrics::plain_sdr::{DEFINITION, Report};

/// How long a step took, and how much it did.
pub struct Speed {
    /// Of the whole step.
    pub seconds: f64,
    /// Of them, those that went by without data.
    pub waited: f64,
    /// Seconds of mixture each second.
    pub audio: f64,
}

/// A validation's results.
pub struct Validation<'a> {
    pub report: &'a Report,
    pub loss: Option<f64>,
    /// The first song.
    pub heard: Option<&'a Heard>,
    /// Whether it is the best so far.
    pub best: bool,
    pub seconds: f64,
}

/// The log and the event file of one start of a run.
pub struct Records {
    log: Log,
    dashboard: Dashboard,
    recipe: Recipe,
}

impl Records {
    /// Makes the folder, and in it opens the log and begins a new event file, `done` steps into the run.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn open(folder: &Path, recipe: &Recipe, done: u64) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(Self {
            log: Log::open(&folder.join("log.jsonl"), done)?,
            dashboard: Dashboard::open(folder, recipe, done)?,
            recipe: recipe.clone(),
        })
    }

    /// A song that could not be read in step number `step`, counted from 1.
    pub fn left_out(&mut self, step: u64, song: &str) -> anyhow::Result<()> {
        self.log.write(&json!({ "kind": "left_out", "step": step, "song": song }))
    }

    /// A step; `step` is the number of steps done.
    pub fn step(&mut self, step: u64, learnt: &Learnt, speed: &Speed) -> anyhow::Result<()> {
        let names = self.recipe.loss.terms.iter().map(|term| term.kind.name().to_owned());
        let terms: Map<String, Value> = names.zip(learnt.terms.iter().map(|term| json!(term))).collect();
        self.log.write(&json!({
            "kind": "step",
            "step": step,
            "loss": learnt.loss,
            "terms": terms,
            "rate": learnt.rate,
            "gradient_norm": learnt.gradient_norm,
            "seconds": speed.seconds,
            "waited_for_data": speed.waited,
            "audio_seconds_per_second": speed.audio,
        }))?;
        self.dashboard.step(step, learnt, speed.audio, speed.waited / speed.seconds)
    }

    /// A validation that `progress` has counted.
    pub fn validation(&mut self, progress: &Progress, validation: &Validation<'_>) -> anyhow::Result<()> {
        let Validation { report, loss, heard, best, seconds } = validation;
        self.log.write(&json!({
            "kind": "validation",
            "step": progress.step,
            "definition": DEFINITION,
            "sdr": report.separated.named(),
            "sdr_of_mixture": report.mixture.named(),
            "sdr_of_quarter": report.quarter.named(),
            "mean": report.separated.mean(),
            "loss": loss,
            "monitor": self.recipe.validation.monitor,
            "best": best,
            "since_best": progress.since_best,
            "seconds": seconds,
        }))?;
        self.dashboard.validation(progress.step, progress.validations, report, *loss, *heard)
    }
}
