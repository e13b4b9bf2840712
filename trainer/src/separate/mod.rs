//! `trainer separate`: songs in, stems out, as files.

mod inputs;
mod outputs;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use candle_core::Device;
use engine::audio::{AudioBuffer, Format, Reader};
use engine::checkpoint::Checkpoint;
use engine::separator::{at_rate, offline};
use engine::{Separator, Stem};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::embedded;
use inputs::{Mixture, Song};
use outputs::Outputs;

/// Separates audio files into DIR/<song>/{drums,bass,other,vocals}.wav.
///
/// Each stem has the rate and the length of its input. In float32 and without --overlap, the result is bit for bit
/// what the plugin renders offline. Songs may be hours long: they are read, separated and written as they go.
#[derive(clap::Args)]
pub struct Args {
    /// Audio files (WAV, FLAC, MP3, OGG Vorbis, M4A/AAC or AIFF; mono or stereo; any rate), and folders.
    ///
    /// All songs below a folder are separated; their folders in DIR lie as they lie in it. Where a folder has a
    /// mixture.*, that is its only song. A file named mixture.* takes its song's name from its folder.
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<PathBuf>,
    /// The folder to write to.
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// One of the embedded checkpoints `live` and `studio`, or a file.
    #[arg(long, value_name = "live|studio|FILE", default_value = "live")]
    pub checkpoint: String,
    /// How samples are written; only float32 keeps every bit.
    #[arg(long, value_enum, default_value_t = SampleFormat::Float32)]
    pub format: SampleFormat,
    /// The stems to write.
    #[arg(long, value_name = "STEM,...", value_delimiter = ',', default_values_t = Stem::ALL)]
    pub stems: Vec<Stem>,
    /// Also writes what is left without those stems, as one more file: rest.
    #[arg(long)]
    pub rest: bool,
    /// How much neighbouring windows overlap, from 0 to 0.5 of their length; otherwise as the checkpoint says.
    ///
    /// More overlap takes longer and hides the seams better; the plugin does not do it.
    #[arg(long, value_name = "PART")]
    pub overlap: Option<f64>,
    #[command(flatten)]
    pub device: crate::device::Args,
}

/// How samples are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SampleFormat {
    /// WAV, 32-bit float.
    Float32,
    /// WAV, 24-bit integers.
    Int24,
    /// WAV, 16-bit integers.
    Int16,
    /// FLAC, 24-bit.
    Flac24,
    /// FLAC, 16-bit.
    Flac16,
}

impl From<SampleFormat> for Format {
    fn from(format: SampleFormat) -> Self {
        match format {
            SampleFormat::Float32 => Self::Float32,
            SampleFormat::Int24 => Self::Int24,
            SampleFormat::Int16 => Self::Int16,
            SampleFormat::Flac24 => Self::Flac24,
            SampleFormat::Flac16 => Self::Flac16,
        }
    }
}

/// Separates song by song.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let picked = args.device.pick()?;
    let songs = inputs::find(&args.inputs, &args.output)?;
    let checkpoint = embedded::checkpoint(&args.checkpoint)?;
    // A broken last file should be known before the first is separated.
    songs.iter().try_for_each(|song| Reader::open(&song.input).map(drop))?;
    let picked = args.device.for_checkpoint(&picked, &checkpoint)?;
    println!("device: {}", picked.why);
    let bars = MultiProgress::new();
    let all = bars.add(bar("{bar:30} {pos}/{len} songs", songs.len() as u64));
    for song in &songs {
        separate(args, &checkpoint, &picked.device, song, &bars)?;
        bars.suspend(|| println!("{}", song.folder.display()));
        all.inc(1);
    }
    all.finish_and_clear();
    Ok(ExitCode::SUCCESS)
}

fn separate(
    args: &Args,
    checkpoint: &Checkpoint,
    device: &Device,
    song: &Song,
    bars: &MultiProgress,
) -> anyhow::Result<()> {
    let name = || song.input.display().to_string();
    let mut mixture = Mixture::open(&song.input)?;
    let rate = mixture.sample_rate();
    let separator = separator(args, checkpoint, device).context("the checkpoint cannot be run")?;
    let mut separator = at_rate(separator, rate).with_context(name)?.separator;
    let mut outputs =
        Outputs::create(&song.folder, &args.stems, args.rest, rate, args.format.into(), mixture.frames())?;

    let seconds = |frames: u64| frames / u64::from(rate);
    let bar =
        bars.add(bar("{prefix} {bar:30} {pos}/{len} s, {eta} left", seconds(mixture.frames().unwrap_or(0))));
    bar.set_prefix(name());
    let mut done = 0;
    offline::stream(
        &mut separator,
        |hop: &mut AudioBuffer| mixture.fill(hop),
        |stems, frames| {
            done += frames.len() as u64;
            bar.set_position(seconds(done));
            outputs.push(stems, frames)
        },
    )
    .with_context(|| format!("cannot separate {}", name()))?;
    bar.finish_and_clear();
    outputs.finish()?;
    Ok(())
}

/// The checkpoint's separator, with windows that overlap as asked.
fn separator(args: &Args, checkpoint: &Checkpoint, device: &Device) -> engine::Result<Box<dyn Separator>> {
    match (args.overlap, checkpoint.header().chunk) {
        (Some(part), Some(chunk)) => checkpoint.separator_on_with(device, chunk.with_overlap(part)?),
        (Some(_), None) => Err(engine::Error::Unsupported(
            "--overlap is for networks that run on windows; this one runs hop by hop".into(),
        )),
        (None, _) => checkpoint.separator_on(device),
    }
}

fn bar(template: &str, length: u64) -> ProgressBar {
    ProgressBar::new(length)
        .with_style(ProgressStyle::with_template(template).unwrap_or(ProgressStyle::default_bar()))
}
