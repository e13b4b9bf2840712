//! The song, and its true stems where they are known, at the rate at which it is played.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use engine::audio::{AudioBuffer, AudioFile, Format, read, resample, to_stereo, write_wav};
use engine::{STEMS, Stem};

/// What is played.
pub struct Song {
    /// Hz.
    pub sample_rate: u32,
    /// One or two channels, as the plugin gets them.
    pub audio: AudioBuffer,
    /// The same in stereo, as the stems add up to it.
    pub mixture: AudioBuffer,
    /// The rate of the file, Hz.
    file_rate: u32,
    mono: bool,
}

impl Song {
    /// Reads a song, resamples it where asked to, and makes it mono or stereo.
    ///
    /// # Errors
    /// The file cannot be read, is empty, or has more than two channels.
    pub fn read(file: &Path, rate: Option<u32>, mono: bool) -> Result<Self> {
        let AudioFile { audio, sample_rate: file_rate } = read(file)?;
        ensure!(audio.frames() > 0, "{} is empty", file.display());
        let sample_rate = rate.unwrap_or(file_rate);
        let audio = at_rate(with_channels(audio, mono, file)?, file_rate, sample_rate)?;
        let mixture = to_stereo(audio.clone())?;
        Ok(Self { sample_rate, audio, mixture, file_rate, mono })
    }

    /// Reads the true stems from a folder; those that have no file are silent.
    ///
    /// # Errors
    /// A stem cannot be read, or its rate or length is not the song's.
    pub fn references(&self, folder: &Path) -> Result<[AudioBuffer; STEMS]> {
        let mut references = std::array::from_fn(|_| AudioBuffer::new(2, self.audio.frames()));
        let mut found = false;
        for stem in Stem::ALL {
            let file = folder.join(stem.name()).with_extension("wav");
            if !file.exists() {
                continue;
            }
            found = true;
            let AudioFile { audio, sample_rate: rate } = read(&file)?;
            ensure!(
                rate == self.file_rate,
                "{} has {rate} Hz, and the song {}",
                file.display(),
                self.file_rate
            );
            let audio = at_rate(with_channels(audio, self.mono, &file)?, rate, self.sample_rate)?;
            ensure!(
                audio.frames() == self.audio.frames(),
                "{} is {} frames long, and the song {}",
                file.display(),
                audio.frames(),
                self.audio.frames()
            );
            references[stem as usize] = to_stereo(audio)?;
        }
        ensure!(found, "{} has no stems (drums.wav, bass.wav, other.wav, vocals.wav)", folder.display());
        Ok(references)
    }
}

/// Writes 32-bit float WAV.
///
/// # Errors
/// The file cannot be written.
pub fn write(file: &Path, audio: &AudioBuffer, sample_rate: u32) -> Result<()> {
    write_wav(file, audio, sample_rate, Format::Float32)
        .with_context(|| format!("{} is not written", file.display()))
}

fn with_channels(audio: AudioBuffer, mono: bool, file: &Path) -> Result<AudioBuffer> {
    let both = to_stereo(audio).with_context(|| format!("{} cannot be played", file.display()))?;
    if !mono {
        return Ok(both);
    }
    let mixed =
        both.channel(0).iter().zip(both.channel(1)).map(|(left, right)| 0.5 * (left + right)).collect();
    Ok(AudioBuffer::from_channels(vec![mixed]).unwrap_or_default())
}

fn at_rate(audio: AudioBuffer, from: u32, to: u32) -> Result<AudioBuffer> {
    if from == to { Ok(audio) } else { Ok(resample(&audio, from, to)?) }
}
