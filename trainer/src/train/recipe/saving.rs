//! When and how a run is saved.

use engine::checkpoint::Precision;
use serde::{Deserialize, Serialize};

use super::ensure;

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

impl Stored {
    /// Bytes of one weight.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }
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

impl Saving {
    /// What is wrong with the values, in the user's words.
    pub fn check(&self) -> Result<(), String> {
        ensure(self.every > 0, "`checkpoint.every` must be at least 1")
    }
}
