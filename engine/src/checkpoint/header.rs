//! The JSON header of a checkpoint.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Stem;
use crate::model::Architecture;
use crate::separator::ChunkPlan;

/// The format that this version writes and reads.
pub const FORMAT: u32 = 1;

/// Everything about a checkpoint but its weights; JSON under the key `tributary`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: u32,
    /// The network and its sizes.
    pub architecture: Architecture,
    /// Hz.
    pub sample_rate: u32,
    /// Channels of the mixture and of each stem: 2.
    pub channels: u32,
    /// The stems in the order of the network's outputs: all four, in [`Stem::ALL`]'s order.
    pub stems: Vec<Stem>,
    /// Whether the separator makes the stems add up to the mixture.
    pub consistency: bool,
    /// How the network's windows are laid over the stream; none for a network that carries a state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk: Option<ChunkPlan>,
    /// Where the weights come from.
    #[serde(default)]
    pub provenance: Provenance,
    /// What was measured on them.
    #[serde(default)]
    pub metrics: Vec<Metric>,
}

/// Where weights come from. Empty fields are unknown.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// The training data, or the file that was imported.
    pub data: String,
    /// Licences of the data.
    pub data_licence: String,
    /// Name of the recipe.
    pub recipe: String,
    /// Seed of the run.
    pub seed: u64,
    /// Optimiser steps.
    pub steps: u64,
    /// Program and version that wrote the file.
    pub trainer: String,
    /// Day of writing, YYYY-MM-DD.
    pub date: String,
}

/// One measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Such as "SDR".
    pub name: String,
    /// Exactly what was computed and how it was aggregated.
    pub definition: String,
    /// What it was measured on.
    pub dataset: String,
    /// By stem name, in the metric's unit.
    pub values: BTreeMap<String, f64>,
}
