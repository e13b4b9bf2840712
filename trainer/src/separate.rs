//! `trainer separate`: songs in, stems out, as files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use engine::audio::{self, Format, Reader, write_wav};
use engine::separator::{at_rate, offline};
use engine::{Error, Stem};
use indicatif::{ProgressBar, ProgressStyle};

use crate::embedded;
use crate::exit::WrongUse;

/// Separates audio files into DIR/<song>/{drums,bass,other,vocals}.wav.
///
/// Each stem has the rate and the length of its input. The result is bit for bit what the plugin renders offline.
/// A file named mixture.* takes its song's name from its folder.
#[derive(clap::Args)]
pub struct Args {
    /// Audio files: WAV, FLAC, MP3, OGG Vorbis, M4A/AAC or AIFF, mono or stereo, at any rate.
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<PathBuf>,
    /// The folder to write to.
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// The embedded checkpoint `studio`, or a file.
    #[arg(long, value_name = "studio|FILE", default_value = "studio")]
    pub checkpoint: String,
    /// How samples are written; only float32 keeps every bit.
    #[arg(long, value_enum, default_value_t = SampleFormat::Float32)]
    pub format: SampleFormat,
}

/// How samples are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SampleFormat {
    /// 32-bit float.
    Float32,
    /// 24-bit integers.
    Int24,
    /// 16-bit integers.
    Int16,
}

impl From<SampleFormat> for Format {
    fn from(format: SampleFormat) -> Self {
        match format {
            SampleFormat::Float32 => Self::Float32,
            SampleFormat::Int24 => Self::Int24,
            SampleFormat::Int16 => Self::Int16,
        }
    }
}

/// Separates file by file.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let songs = song_folders(&args.inputs, &args.output)?;
    let checkpoint = embedded::checkpoint(&args.checkpoint)?;
    // A broken last file should be known before the first is separated.
    args.inputs.iter().try_for_each(|input| Reader::open(input).map(drop))?;
    for (input, folder) in args.inputs.iter().zip(&songs) {
        let file = audio::read(input)?;
        let mixture = audio::to_stereo(file.audio).with_context(|| input.display().to_string())?;
        let separator = checkpoint.separator().context("the checkpoint cannot be run")?;
        let mut separator =
            at_rate(separator, file.sample_rate).with_context(|| input.display().to_string())?.separator;
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;

        let bar = ProgressBar::new(mixture.frames() as u64 / u64::from(file.sample_rate)).with_style(
            ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} s, {eta} left")
                .unwrap_or(ProgressStyle::default_bar()),
        );
        bar.set_prefix(input.display().to_string());
        let stems = offline::separate(&mut separator, &mixture, |done, _| {
            bar.set_position(done as u64 / u64::from(file.sample_rate));
        })
        .with_context(|| format!("cannot separate {}", input.display()))?;
        bar.finish_and_clear();

        for (stem, audio) in Stem::ALL.iter().zip(&stems) {
            write_wav(&folder.join(format!("{stem}.wav")), audio, file.sample_rate, args.format.into())?;
        }
        println!("{}", folder.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Each input's folder in the output folder.
///
/// # Errors
/// Two inputs would overwrite each other's stems.
fn song_folders(inputs: &[PathBuf], output: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut seen: HashMap<PathBuf, &Path> = HashMap::new();
    let mut folders = Vec::new();
    for input in inputs {
        let name = song_name(input).with_context(|| WrongUse(format!("{} is no file", input.display())))?;
        let folder = output.join(name);
        if let Some(first) = seen.insert(folder.clone(), input) {
            bail!(WrongUse(format!(
                "{} and {} would both be written to {}: separate them one at a time",
                first.display(),
                input.display(),
                folder.display()
            )));
        }
        folders.push(folder);
    }
    Ok(folders)
}

/// The file's name without its extension; for MUSDB's mixture.wav, its folder's name.
fn song_name(input: &Path) -> Option<String> {
    let own = input.file_stem()?;
    let folder = input.parent().and_then(Path::file_name).filter(|_| own == "mixture");
    Some(folder.unwrap_or(own).to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_song_is_named_after_its_file_or_after_the_folder_of_its_mixture() {
        assert_eq!(song_name(Path::new("a/Song one.flac")).as_deref(), Some("Song one"));
        assert_eq!(song_name(Path::new("a/Artist - Title/mixture.wav")).as_deref(), Some("Artist - Title"));
        assert_eq!(song_name(Path::new("mixture.wav")).as_deref(), Some("mixture"));
        assert_eq!(song_name(Path::new("/")), None);
    }

    #[test]
    fn two_inputs_never_write_to_the_same_folder() {
        let folders = |names: &[&str]| {
            let inputs: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
            song_folders(&inputs, Path::new("out"))
        };
        assert_eq!(folders(&["a/x.wav", "a/y.wav"]).unwrap(), [Path::new("out/x"), Path::new("out/y")]);
        let error = folders(&["a/x.wav", "b/x.mp3"]).unwrap_err();
        assert!(error.is::<WrongUse>() && error.to_string().contains("out/x"));
    }
}
