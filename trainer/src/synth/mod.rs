//! `trainer synth`: songs of our own, from no files at all.

use std::path::PathBuf;
use std::process::ExitCode;

/// Generates songs with their stems, in MUSDB18-HQ layout.
#[derive(clap::Args)]
pub struct Args {
    /// How many songs.
    #[arg(long, default_value_t = 1)]
    pub songs: usize,
    /// Length of each song, in seconds.
    #[arg(long, default_value_t = 20.0)]
    pub seconds: f64,
    /// The first song's seed; the same seed gives the same songs.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The folder to write to.
    #[arg(short, long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Writes the songs.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("songs for {} are not composed yet", args.out.display())
}
