//! Measuring on held-out songs.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{StemFiles, ensure};

/// Held-out songs, separated as the plugin would, and scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validation {
    /// Steps between two validations; 0 validates once an epoch. The last step always has one.
    #[serde(default)]
    pub every: u64,
    /// Held-out songs.
    pub source: HeldOut,
    /// What makes a validation better than another: it chooses the best checkpoint, and stops the run.
    #[serde(default)]
    pub monitor: Monitor,
    /// Training stops after so many validations without a better one; 0 never stops early.
    #[serde(default)]
    pub patience: u64,
    /// Excerpts of each held-out song on which the loss is measured, side by side if they fill the song, else
    /// evenly spaced; always the same.
    #[serde(default = "four")]
    pub excerpts_per_song: usize,
}

fn four() -> usize {
    4
}

/// What is watched in validation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Monitor {
    /// Mean over the stems of the plain SDR of whole songs; higher is better.
    #[default]
    Sdr,
    /// The training loss on fixed excerpts; lower is better.
    Loss,
}

impl Monitor {
    /// Whether one value is better than another.
    pub fn better(self, value: f64, than: f64) -> bool {
        match self {
            Self::Sdr => value > than,
            Self::Loss => value < than,
        }
    }
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
        /// As in [`super::Source::Generated`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pack: Option<PathBuf>,
        /// As in [`super::Source::Generated`].
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pack_only: Vec<String>,
        /// As in [`super::Source::Generated`].
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pack_without: Vec<String>,
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
    pub fn check(&self, steps_per_epoch: u64) -> Result<(), String> {
        ensure(
            self.every > 0 || steps_per_epoch > 0,
            "`validation.every` must be at least 1, or `steps_per_epoch` given for one validation an epoch",
        )?;
        ensure(
            self.excerpts_per_song > 0 || self.monitor != Monitor::Loss,
            "`validation.excerpts_per_song` must be at least 1 when the loss is monitored",
        )?;
        match &self.source {
            HeldOut::Folder { files, .. } => files.check(),
            _ => Ok(()),
        }
    }
}
