//! Measuring on held-out songs.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{StemFiles, ensure};

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
    /// The songs that the sources of `data` hold out from training.
    HoldOut {
        /// Only the first so many seconds of each song; 0 takes all.
        #[serde(default)]
        seconds: f32,
    },
    /// A folder as in [`Source::Folder`](super::Source::Folder), with the same keys.
    Folder {
        /// The folder.
        path: PathBuf,
        /// The stems' files.
        #[serde(default)]
        files: StemFiles,
        /// Whether a stem file that is not there means silence; otherwise it is an error.
        #[serde(default)]
        missing_is_silence: bool,
        /// Whether files of other kinds than stereo WAV at 44.1 kHz are decoded into `data.cache`.
        #[serde(default)]
        convert: bool,
        /// Only the first so many seconds of each song; 0 takes all.
        #[serde(default)]
        seconds: f32,
    },
    /// A folder of .stem.mp4 files as in [`Source::StemMp4`](super::Source::StemMp4).
    StemMp4 {
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

impl Validation {
    /// What is wrong with the values, in the user's words.
    pub fn check(&self) -> Result<(), String> {
        ensure(self.every > 0, "`validation.every` must be at least 1")?;
        match &self.source {
            HeldOut::Folder { files, .. } => files.check(),
            _ => Ok(()),
        }
    }
}
