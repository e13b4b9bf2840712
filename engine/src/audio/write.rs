//! Writing WAV files: whole, or not at all.

use std::io::{Seek, Write};
use std::path::Path;

use hound::{SampleFormat, WavSpec, WavWriter};

use super::{AudioBuffer, CHANNELS, RATES};
use crate::files::write_atomically;
use crate::{Error, Result};

/// How samples are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// 16-bit integers: clipped at full scale and rounded.
    Int16,
    /// 24-bit integers: clipped at full scale and rounded.
    Int24,
    /// 32-bit float: every bit as it is.
    Float32,
}

impl Format {
    fn bits(self) -> u16 {
        match self {
            Format::Int16 => 16,
            Format::Int24 => 24,
            Format::Float32 => 32,
        }
    }
}

/// Writes a WAV file under a temporary name beside `path`, and renames it when it is complete and on the disk:
/// whatever goes wrong, there is never half a file under the name asked for, and nothing is left behind.
///
/// # Errors
/// The folder cannot be written, the disk is full, or the audio does not fit into a WAV file (4 GiB).
pub fn write_wav(path: &Path, audio: &AudioBuffer, sample_rate: u32, format: Format) -> Result<()> {
    let refuse = |reason: String| Err(Error::Audio { path: path.to_owned(), reason });
    if !CHANNELS.contains(&audio.channels()) || !RATES.contains(&sample_rate) {
        return refuse(format!("cannot hold {} channels at {sample_rate} Hz", audio.channels()));
    }
    let bytes = audio.frames() as u64 * audio.channels() as u64 * u64::from(format.bits() / 8);
    if bytes > u64::from(u32::MAX) - 1_024 {
        return refuse(format!("{} frames are too many for a WAV file (4 GiB)", audio.frames()));
    }
    write_atomically(path, |file| encode(file, audio, sample_rate, format))
}

fn encode(
    mut file: impl Write + Seek,
    audio: &AudioBuffer,
    sample_rate: u32,
    format: Format,
) -> std::io::Result<()> {
    let spec = WavSpec {
        channels: audio.channels() as u16,
        sample_rate,
        bits_per_sample: format.bits(),
        sample_format: if format == Format::Float32 { SampleFormat::Float } else { SampleFormat::Int },
    };
    let mut wav = WavWriter::new(&mut file, spec).map_err(io_error)?;
    let scale = (1_u32 << (format.bits() - 1)) as f32;
    for frame in 0..audio.frames() {
        for channel in audio.iter() {
            let sample = channel[frame];
            match format {
                Format::Float32 => wav.write_sample(sample),
                // A NaN becomes 0.
                _ => wav.write_sample((sample * scale).round().clamp(-scale, scale - 1.0) as i32),
            }
            .map_err(io_error)?;
        }
    }
    wav.finalize().map_err(io_error)?;
    file.flush()
}

fn io_error(error: hound::Error) -> std::io::Error {
    match error {
        hound::Error::IoError(error) => error,
        error => std::io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, ErrorKind, SeekFrom};

    use super::*;

    /// A disk with room for so many bytes.
    struct SmallDisk(Cursor<Vec<u8>>, usize);

    impl Write for SmallDisk {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if self.0.position() as usize + bytes.len() > self.1 {
                return Err(ErrorKind::StorageFull.into());
            }
            self.0.write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Seek for SmallDisk {
        fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
            self.0.seek(to)
        }
    }

    #[test]
    fn a_disk_that_fills_up_at_any_point_is_an_error() {
        let audio = AudioBuffer::new(2, 50_000);
        let whole = 50_000 * 2 * 2 + 44;
        for room in [0, 10, 44, 60_000, whole - 1] {
            let full = encode(SmallDisk(Cursor::default(), room), &audio, 44_100, Format::Int16);
            assert_eq!(full.expect_err("no room").kind(), ErrorKind::StorageFull, "{room} bytes");
        }
        encode(SmallDisk(Cursor::default(), whole), &audio, 44_100, Format::Int16).expect("fits exactly");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_device_without_room_is_an_error() {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("exists on Linux");
        let error = encode(full, &AudioBuffer::new(1, 10), 44_100, Format::Float32).expect_err("no room");
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }
}
