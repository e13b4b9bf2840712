//! Writing audio files, block by block or at once: whole, or not at all.

mod flac;
mod wav;

use std::fs::File;
use std::io::BufWriter;
use std::ops::Range;
use std::path::Path;

use self::flac::Flac;
use self::wav::Wav;
use super::{AudioBuffer, CHANNELS, RATES};
use crate::files::AtomicFile;
use crate::{Error, Result};

/// How samples are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// WAV, 16-bit integers: clipped at full scale and rounded.
    Int16,
    /// WAV, 24-bit integers: clipped at full scale and rounded.
    Int24,
    /// WAV, 32-bit float: every bit as it is.
    Float32,
    /// FLAC, 16-bit integers: clipped at full scale and rounded.
    Flac16,
    /// FLAC, 24-bit integers: clipped at full scale and rounded.
    Flac24,
}

impl Format {
    /// Of file names.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Int16 | Format::Int24 | Format::Float32 => "wav",
            Format::Flac16 | Format::Flac24 => "flac",
        }
    }

    fn bits(self) -> u16 {
        match self {
            Format::Int16 | Format::Flac16 => 16,
            Format::Int24 | Format::Flac24 => 24,
            Format::Float32 => 32,
        }
    }
}

/// Writes a file as it comes. Until [`Writer::finish`], it lies under a temporary name beside `path`:
/// whatever goes wrong, there is never half a file under the name asked for, and nothing is left behind.
pub struct Writer {
    file: AtomicFile,
    encoder: Encoder,
}

enum Encoder {
    Wav(Wav<BufWriter<File>>),
    Flac(Box<Flac<BufWriter<File>>>),
}

impl Writer {
    /// Starts a file of `channels` channels at `sample_rate` Hz. `frames`, where known, is how many will follow.
    ///
    /// # Errors
    /// The folder cannot be written to, or the format cannot hold such audio.
    pub fn create(
        path: &Path,
        channels: usize,
        sample_rate: u32,
        format: Format,
        frames: Option<u64>,
    ) -> Result<Self> {
        let refuse = |reason: String| Err(Error::Audio { path: path.to_owned(), reason });
        if !CHANNELS.contains(&channels) || !RATES.contains(&sample_rate) {
            return refuse(format!("cannot hold {channels} channels at {sample_rate} Hz"));
        }
        let is_wav = format.extension() == "wav";
        if is_wav && frames.is_some_and(|frames| frames > wav::most_frames(channels, format)) {
            return refuse(format!(
                "{} frames are too many for a WAV file (4 GiB): take FLAC or fewer bits",
                frames.unwrap_or_default()
            ));
        }
        let file = AtomicFile::create(path)?;
        let out = file.writer()?;
        let encoder = match format {
            Format::Int16 | Format::Int24 | Format::Float32 => Encoder::Wav(
                Wav::start(out, channels, sample_rate, format).map_err(Error::io("write", path))?,
            ),
            Format::Flac16 | Format::Flac24 => {
                let flac = Flac::start(out, channels, sample_rate, format.bits());
                Encoder::Flac(Box::new(flac.map_err(Error::io("write", path))?))
            }
        };
        Ok(Self { file, encoder })
    }

    /// Appends some frames of `audio`, `[channels][frames]`.
    ///
    /// # Errors
    /// The disk is full, or the file becomes too long for its format.
    pub fn push(&mut self, audio: &AudioBuffer, frames: Range<usize>) -> Result<()> {
        let channels = audio.iter().map(|channel| &channel[frames.clone()]).collect::<Vec<_>>();
        match &mut self.encoder {
            Encoder::Wav(wav) => wav.push(&channels),
            Encoder::Flac(flac) => flac.push(&channels),
        }
        .map_err(Error::io("write", self.file.path()))
    }

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    /// The disk is full.
    pub fn finish(self) -> Result<()> {
        match self.encoder {
            Encoder::Wav(wav) => wav.finish(),
            Encoder::Flac(flac) => flac.finish(),
        }
        .map_err(Error::io("write", self.file.path()))?;
        self.file.commit()
    }
}

/// Writes a whole file, as [`Writer`] does.
///
/// # Errors
/// The folder cannot be written, the disk is full, or the audio does not fit into the format.
pub fn write_wav(path: &Path, audio: &AudioBuffer, sample_rate: u32, format: Format) -> Result<()> {
    let frames = audio.frames();
    let mut writer = Writer::create(path, audio.channels(), sample_rate, format, Some(frames as u64))?;
    writer.push(audio, 0..frames)?;
    writer.finish()
}

/// A sample as an integer of so many bits; NaN becomes 0.
fn to_integer(sample: f32, bits: u16) -> i32 {
    let scale = (1_u32 << (bits - 1)) as f32;
    (sample * scale).round().clamp(-scale, scale - 1.0) as i32
}
