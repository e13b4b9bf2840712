//! WAV through hound.

use std::io::{Error, Result, Seek, Write};

use hound::{SampleFormat, WavSpec, WavWriter};

use super::{Format, to_integer};

/// A WAV file that is being written.
pub struct Wav<W: Write + Seek> {
    writer: WavWriter<W>,
    format: Format,
    room: u64,
}

/// How many frames fit into 4 GiB, beside the header.
pub fn most_frames(channels: usize, format: Format) -> u64 {
    (u64::from(u32::MAX) - 1_024) / (channels as u64 * u64::from(format.bits() / 8))
}

impl<W: Write + Seek> Wav<W> {
    /// Writes the header.
    pub fn start(out: W, channels: usize, sample_rate: u32, format: Format) -> Result<Self> {
        let spec = WavSpec {
            channels: channels as u16,
            sample_rate,
            bits_per_sample: format.bits(),
            sample_format: if format == Format::Float32 { SampleFormat::Float } else { SampleFormat::Int },
        };
        let writer = WavWriter::new(out, spec).map_err(io_error)?;
        Ok(Self { writer, format, room: most_frames(channels, format) })
    }

    /// Appends `[channels][frames]`.
    pub fn push(&mut self, channels: &[&[f32]]) -> Result<()> {
        let frames = channels.first().map_or(0, |channel| channel.len());
        self.room = self.room.checked_sub(frames as u64).ok_or_else(|| {
            Error::other("a WAV file holds 4 GiB at most: take FLAC or fewer bits for audio this long")
        })?;
        for frame in 0..frames {
            for channel in channels {
                match self.format {
                    Format::Float32 => self.writer.write_sample(channel[frame]),
                    format => self.writer.write_sample(to_integer(channel[frame], format.bits())),
                }
                .map_err(io_error)?;
            }
        }
        Ok(())
    }

    /// Completes the header and flushes.
    pub fn finish(self) -> Result<()> {
        self.writer.finalize().map_err(io_error)
    }
}

fn io_error(error: hound::Error) -> Error {
    match error {
        hound::Error::IoError(error) => error,
        error => Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, ErrorKind, SeekFrom};

    use super::*;

    /// A disk with room for so many bytes.
    struct SmallDisk(Cursor<Vec<u8>>, usize);

    impl Write for SmallDisk {
        fn write(&mut self, bytes: &[u8]) -> Result<usize> {
            if self.0.position() as usize + bytes.len() > self.1 {
                return Err(ErrorKind::StorageFull.into());
            }
            self.0.write(bytes)
        }

        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }

    impl Seek for SmallDisk {
        fn seek(&mut self, to: SeekFrom) -> Result<u64> {
            self.0.seek(to)
        }
    }

    fn encode(out: impl Write + Seek, frames: usize, format: Format) -> Result<()> {
        let silence = vec![0.0; frames];
        let mut wav = Wav::start(out, 2, 44_100, format)?;
        wav.push(&[&silence, &silence])?;
        wav.finish()
    }

    #[test]
    fn a_disk_that_fills_up_at_any_point_is_an_error() {
        let whole = 50_000 * 2 * 2 + 44;
        for room in [0, 10, 44, 60_000, whole - 1] {
            let full = encode(SmallDisk(Cursor::default(), room), 50_000, Format::Int16);
            assert_eq!(full.expect_err("no room").kind(), ErrorKind::StorageFull, "{room} bytes");
        }
        encode(SmallDisk(Cursor::default(), whole), 50_000, Format::Int16).expect("fits exactly");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_device_without_room_is_an_error() {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("exists on Linux");
        let error = encode(full, 10, Format::Float32).expect_err("no room");
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }

    #[test]
    fn audio_too_long_for_the_format_is_refused() {
        let mut wav = Wav::start(Cursor::new(Vec::new()), 1, 44_100, Format::Int16).expect("starts");
        wav.room = 10;
        wav.push(&[&[0.0; 10]]).expect("fits");
        assert!(wav.push(&[&[0.0]]).expect_err("too long").to_string().contains("4 GiB"));
    }
}
