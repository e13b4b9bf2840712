//! Measuring on held-out songs.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ensure;

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
    /// A folder as in [`super::Source::Folder`].
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
        /// As in [`super::Source::Generated`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pack: Option<PathBuf>,
        /// As in [`super::Source::Generated`].
        #[serde(default = "super::data::share")]
        pack_share: f32,
        /// As in [`super::Source::Generated`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        soundfont: Option<PathBuf>,
    },
}

impl Validation {
    /// What is wrong with the values, in the user's words.
    pub fn check(&self) -> Result<(), String> {
        ensure(self.every > 0, "`validation.every` must be at least 1")
    }
}
