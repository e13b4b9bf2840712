//! Where excerpts come from.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{HoldOut, StemFiles, ensure};
use crate::synth::Recordings;

/// Training data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Length of the mixture excerpts; 0 takes the window that the separator runs, so that the network sees in
    /// training what it will see in use.
    #[serde(default)]
    pub excerpt_seconds: f64,
    /// Excerpts for each step.
    pub batch: usize,
    /// Batches that are made in advance.
    #[serde(default = "four")]
    pub prefetch: usize,
    /// Threads that make batches.
    #[serde(default = "one")]
    pub threads: usize,
    /// What happens when a song cannot be read, before the first step or in the middle of training.
    #[serde(default)]
    pub on_bad_file: OnBadFile,
    /// Where songs that are not stereo WAV files at 44.1 kHz are kept once they are decoded; relative to the current
    /// folder. It may be deleted at any time: what is missing or older than its song is made again.
    #[serde(default = "cache")]
    pub cache: PathBuf,
    /// Where songs come from; drawn in proportion to their weights.
    pub source: Vec<Source>,
}

/// What happens when a song cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum OnBadFile {
    /// Training stops with the file's name.
    #[default]
    Stop,
    /// The song is named once and left out from then on; another is drawn in its place.
    Skip,
}

fn four() -> usize {
    4
}

fn one() -> usize {
    1
}

fn cache() -> PathBuf {
    "cache".into()
}

fn weight_one() -> f32 {
    1.0
}

/// Half of the parts.
pub(super) fn share() -> f32 {
    crate::synth::SHARE
}

/// A source of songs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// A folder with one folder for each song, each with a file or several for each stem. As it is, that is
    /// MUSDB18-HQ's layout: drums.wav, bass.wav, other.wav and vocals.wav (its mixture.wav is not needed).
    Folder {
        /// The folder, relative to the current one.
        path: PathBuf,
        /// Weight against the other sources.
        #[serde(default = "weight_one")]
        weight: f32,
        /// Songs that are kept for validation.
        #[serde(default)]
        hold_out: HoldOut,
        /// The stems' files.
        #[serde(default)]
        files: StemFiles,
        /// Whether a stem file that is not there means silence; otherwise it is an error.
        #[serde(default)]
        missing_is_silence: bool,
        /// Whether files may be mono (played on both sides), at any rate, and FLAC, MP3, OGG, M4A or AIFF: they are
        /// decoded into `data.cache` once. Otherwise only stereo WAV files at 44.1 kHz will do.
        #[serde(default)]
        convert: bool,
    },
    /// A folder of MUSDB18's .stem.mp4 files, whole or of 7 seconds: five AAC streams each, of which the first, the
    /// mixture, is not needed. Decoded into `data.cache` once.
    StemMp4 {
        /// The folder, relative to the current one.
        path: PathBuf,
        /// Weight against the other sources.
        #[serde(default = "weight_one")]
        weight: f32,
        /// Songs that are kept for validation.
        #[serde(default)]
        hold_out: HoldOut,
    },
    /// Songs from our own generator, made while training goes on.
    Generated {
        /// Weight against the other sources.
        #[serde(default = "weight_one")]
        weight: f32,
        /// Length of each song.
        seconds: f32,
        /// Songs in memory at any time; excerpts are cut from these.
        songs: u64,
        /// How many of them are replaced by new ones at each step.
        fresh_per_step: f64,
        /// Seed of the first song, counted up for the next.
        seed: u64,
        /// A folder of recordings with a `manifest.csv` (see `trainer synth --help`), which play parts of the songs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pack: Option<PathBuf>,
        /// Only these instruments, kits and voices of the pack; a `*` in a name stands for anything.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pack_only: Vec<String>,
        /// All instruments, kits and voices of the pack but these: to keep some for validation.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pack_without: Vec<String>,
        /// The share of parts that recordings (`pack`, `soundfont`) play, 0 to 1.
        #[serde(default = "share")]
        pack_share: f32,
        /// A SoundFont (`.sf2`) whose instruments play parts of drums, bass and other.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        soundfont: Option<PathBuf>,
    },
}

impl Source {
    /// Its share of the excerpts.
    pub fn weight(&self) -> f32 {
        match self {
            Self::Folder { weight, .. } | Self::StemMp4 { weight, .. } | Self::Generated { weight, .. } => {
                *weight
            }
        }
    }

    /// The recordings that play in generated songs.
    pub fn recordings(&self) -> Option<Recordings> {
        let Self::Generated { pack, pack_only, pack_without, pack_share, soundfont, .. } = self else {
            return None;
        };
        Some(Recordings {
            pack: pack.clone(),
            pack_only: pack_only.clone(),
            pack_without: pack_without.clone(),
            pack_share: *pack_share,
            soundfont: soundfont.clone(),
        })
    }

    /// The songs that it keeps for validation; none of those that are generated.
    pub fn hold_out(&self) -> Option<&HoldOut> {
        match self {
            Self::Folder { hold_out, .. } | Self::StemMp4 { hold_out, .. } => Some(hold_out),
            Self::Generated { .. } => None,
        }
    }
}

impl Data {
    /// What is wrong with the values, in the user's words.
    pub fn check(&self) -> Result<(), String> {
        ensure(self.batch > 0, "`data.batch` must be at least 1")?;
        ensure(!self.source.is_empty(), "`data.source` must list at least one source")?;
        ensure(self.source.iter().all(|s| s.weight() >= 0.0), "weights of sources must not be negative")?;
        ensure(
            self.source.iter().any(|s| s.weight() > 0.0),
            "at least one source must have a weight above 0",
        )?;
        ensure((0.0..=60.0).contains(&self.excerpt_seconds), "`data.excerpt_seconds` must lie in 0..=60")?;
        self.source.iter().try_for_each(Source::check)
    }
}

impl Source {
    fn check(&self) -> Result<(), String> {
        self.hold_out().map_or(Ok(()), HoldOut::check)?;
        match self {
            Self::Folder { files, .. } => files.check(),
            Self::StemMp4 { .. } => Ok(()),
            Self::Generated { seconds, songs, fresh_per_step, pack_share, .. } => ensure(
                *songs > 0
                    && *fresh_per_step >= 0.0
                    && (1.0..=600.0).contains(seconds)
                    && (0.0..=1.0).contains(pack_share),
                "a generated source needs songs >= 1, fresh_per_step >= 0, seconds in 1..=600, pack_share in 0..=1",
            ),
        }
    }
}
