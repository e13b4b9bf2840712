//! What is minimised.

use serde::{Deserialize, Serialize};

use super::ensure;

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

impl Loss {
    /// What is wrong with the values, in the user's words.
    pub fn check(&self) -> Result<(), String> {
        ensure((0.0..=1.0).contains(&self.balance), "`loss.balance` must lie in 0..=1")
    }
}
