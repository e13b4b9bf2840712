//! What TensorBoard gets to see.

use serde::{Deserialize, Serialize};

/// Curves are written at every step and validation; sounds and pictures as said here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tensorboard {
    /// Validations between two sets of sounds and spectrograms of the first held-out song; 0 for none at all.
    pub media_every: u64,
    /// Length of the sounds and spectrograms, from the song's beginning.
    pub media_seconds: f32,
}

impl Default for Tensorboard {
    fn default() -> Self {
        Self { media_every: 1, media_seconds: 6.0 }
    }
}
