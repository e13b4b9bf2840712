//! Excerpts from WAV files, without reading the whole file.
//!
//! Excerpts are read, not mapped: a mapped file that is cut short while it is in use, or lies on a disk that fails,
//! ends the process, where a read is an error that names the file. Mapping would save a copy, about a tenth of a
//! millisecond for an excerpt of 3 s.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use hound::{SampleFormat, WavReader};

/// The only rate that networks are trained at, Hz.
pub const RATE: u32 = 44_100;

/// Frames read at a time: few enough to stay in a core's own cache until they are converted.
const BLOCK: usize = 8_192;

/// A stereo WAV file at 44.1 kHz whose header has been read and checked.
#[derive(Debug, Clone)]
pub struct Wav {
    path: PathBuf,
    samples: Samples,
    frames: usize,
    /// Where the samples begin, and how long the file is, in bytes.
    start: u64,
    length: u64,
}

/// How samples are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Samples {
    Int8,
    Int16,
    Int24,
    Int32,
    Float32,
}

impl Samples {
    /// Bytes a sample.
    fn size(self) -> usize {
        match self {
            Self::Int8 => 1,
            Self::Int16 => 2,
            Self::Int24 => 3,
            Self::Int32 | Self::Float32 => 4,
        }
    }
}

impl Wav {
    /// Checks that a stem file is what training needs.
    ///
    /// # Errors
    /// Not a WAV file, another rate, not stereo, cut off.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let mut reader = open(path)?;
        let spec = reader.spec();
        ensure!(
            spec.sample_rate == RATE,
            "{name} has {} Hz; training needs {RATE} Hz: resample it, or set `convert = true`",
            spec.sample_rate
        );
        ensure!(
            spec.channels == 2,
            "{name} has {} channel(s); stems must be stereo, or set `convert = true` to play mono on both sides",
            spec.channels
        );
        let samples = match (spec.sample_format, spec.bits_per_sample) {
            (SampleFormat::Int, 8) => Samples::Int8,
            (SampleFormat::Int, 16) => Samples::Int16,
            (SampleFormat::Int, 24) => Samples::Int24,
            (SampleFormat::Int, 32) => Samples::Int32,
            (SampleFormat::Float, 32) => Samples::Float32,
            (format, bits) => bail!("{name}: {bits}-bit {format:?} samples are not supported"),
        };
        let frames = reader.duration() as usize;
        // A second reader that has read one sample tells how much room a sample takes.
        let first = match samples {
            Samples::Float32 => reader.samples::<f32>().next().map(|sample| sample.map(drop)),
            _ => reader.samples::<i32>().next().map(|sample| sample.map(drop)),
        };
        let after_first = position(reader, path)?;
        let start = position(open(path)?, path)?;
        ensure!(
            !matches!(first, Some(Ok(()))) || after_first - start == samples.size() as u64,
            "{name}: samples of {} bytes in {} are not supported",
            samples.size(),
            after_first - start
        );
        let length = std::fs::metadata(path).with_context(|| format!("cannot read {name}"))?.len();
        let promised = (2 * frames * samples.size()) as u64;
        ensure!(
            start + promised <= length,
            "{name} is cut off: its header promises {promised} bytes of sound, {} are there",
            length.saturating_sub(start)
        );
        Ok(Self { path: path.to_owned(), samples, frames, start, length })
    }

    /// Length in frames.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Leaves off what comes after the first `frames`.
    pub fn shorten(&mut self, frames: usize) {
        self.frames = self.frames.min(frames);
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds frames `from..from + sum[0].len()` to `sum`, `[2][frames]`; beyond the file's end there is silence.
    ///
    /// # Errors
    /// The file cannot be read, has changed since it was checked, or holds numbers that are not finite.
    pub fn add_excerpt(&self, from: usize, sum: &mut [Vec<f32>; 2]) -> anyhow::Result<()> {
        let count = sum[0].len().min(self.frames.saturating_sub(from));
        if count == 0 {
            return Ok(());
        }
        let size = self.samples.size();
        let mut file = File::open(&self.path).with_context(|| self.cannot_read(from))?;
        let length = file.metadata().with_context(|| self.cannot_read(from))?.len();
        ensure!(
            length == self.length,
            "{} has changed since it was checked: it had {} bytes and has {length} now",
            self.path.display(),
            self.length
        );
        file.seek(SeekFrom::Start(self.start + (2 * from * size) as u64))
            .with_context(|| self.cannot_read(from))?;
        let [left, right] = sum;
        let mut bytes = vec![0; 2 * size * count.min(BLOCK)];
        for (left, right) in left[..count].chunks_mut(BLOCK).zip(right[..count].chunks_mut(BLOCK)) {
            let bytes = &mut bytes[..2 * size * left.len()];
            file.read_exact(bytes).with_context(|| self.cannot_read(from))?;
            match self.samples {
                // Eight bits are unsigned in WAV files.
                Samples::Int8 => add(left, right, bytes, |[x]: [u8; 1]| (f32::from(x) - 128.0) / 128.0),
                Samples::Int16 => add(left, right, bytes, |x| f32::from(i16::from_le_bytes(x)) / 32_768.0),
                Samples::Int24 => add(left, right, bytes, |[a, b, c]| {
                    i32::from_le_bytes([0, a, b, c]) as f32 / 2_147_483_648.0
                }),
                Samples::Int32 => {
                    add(left, right, bytes, |x| i32::from_le_bytes(x) as f32 / 2_147_483_648.0);
                }
                Samples::Float32 => add(left, right, bytes, f32::from_le_bytes),
            }
        }
        ensure!(
            self.samples != Samples::Float32 || sum.iter().flatten().all(|x| x.is_finite()),
            "{} is damaged: between frames {from} and {} it holds numbers that are not finite",
            self.path.display(),
            from + count
        );
        Ok(())
    }

    fn cannot_read(&self, from: usize) -> String {
        format!("cannot read {} from frame {from} on", self.path.display())
    }
}

/// Adds interleaved stereo samples of `N` bytes.
fn add<const N: usize>(left: &mut [f32], right: &mut [f32], bytes: &[u8], sample: impl Fn([u8; N]) -> f32) {
    let (samples, _) = bytes.as_chunks::<N>();
    for ((left, right), pair) in left.iter_mut().zip(right).zip(samples.chunks_exact(2)) {
        *left += sample(pair[0]);
        *right += sample(pair[1]);
    }
}

fn open(path: &Path) -> anyhow::Result<WavReader<BufReader<File>>> {
    WavReader::open(path).with_context(|| format!("cannot read {} as a WAV file", path.display()))
}

fn position(reader: WavReader<BufReader<File>>, path: &Path) -> anyhow::Result<u64> {
    reader.into_inner().stream_position().with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use engine::audio::{AudioBuffer, Format, read, write_wav};
    use hound::{WavSpec, WavWriter};

    use super::*;

    fn ramp(frames: usize) -> AudioBuffer {
        let side = |sign: f32| (0..frames).map(|n| sign * (n as f32 / frames as f32 - 0.3)).collect();
        AudioBuffer::from_channels(vec![side(1.0), side(-0.5)]).unwrap()
    }

    fn excerpt(wav: &Wav, from: usize, frames: usize) -> anyhow::Result<[Vec<f32>; 2]> {
        let mut sum = [vec![0.0; frames], vec![0.0; frames]];
        wav.add_excerpt(from, &mut sum).map(|()| sum)
    }

    #[test]
    fn excerpts_are_the_decoded_file_at_that_place_in_every_format() {
        let folder = tempfile::tempdir().unwrap();
        for format in [Format::Int16, Format::Int24, Format::Float32] {
            let path = folder.path().join("x.wav");
            // So long that it is read in several blocks.
            write_wav(&path, &ramp(20_000), RATE, format).unwrap();
            let (wav, whole) = (Wav::open(&path).unwrap(), read(&path).unwrap().audio);
            assert_eq!(wav.frames(), 20_000);
            let part = excerpt(&wav, 400, 19_700).unwrap();
            for (part, whole) in part.iter().zip(whole.iter()) {
                assert_eq!(part[..19_600], whole[400..], "{format:?}");
                assert!(part[19_600..].iter().all(|x| *x == 0.0));
            }
        }
    }

    #[test]
    fn excerpts_agree_with_hound_for_8_and_32_bits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.wav");
        for bits in [8, 32] {
            let spec = WavSpec {
                channels: 2,
                sample_rate: RATE,
                bits_per_sample: bits,
                sample_format: SampleFormat::Int,
            };
            let mut writer = WavWriter::create(&path, spec).unwrap();
            let scale = 1_i64 << (bits - 1);
            let values = [0, 1, -1, scale - 1, -scale, scale / 3].map(|x| x as i32);
            values.iter().for_each(|x| writer.write_sample(*x).unwrap());
            writer.finalize().unwrap();
            let [left, right] = excerpt(&Wav::open(&path).unwrap(), 0, 3).unwrap();
            let found: Vec<f32> = left.iter().zip(&right).flat_map(|(l, r)| [*l, *r]).collect();
            assert_eq!(found, values.map(|x| x as f32 / scale as f32), "{bits} bits");
        }
    }

    #[test]
    fn files_that_change_or_hold_nonsense_are_errors_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.wav");
        let mut audio = ramp(1_000);
        audio.channel_mut(1)[500] = f32::NAN;
        write_wav(&path, &audio, RATE, Format::Float32).unwrap();
        let wav = Wav::open(&path).unwrap();
        excerpt(&wav, 0, 500).unwrap();
        let error = excerpt(&wav, 400, 200).unwrap_err().to_string();
        assert!(error.contains("x.wav is damaged") && error.contains("not finite"), "{error}");

        File::options().write(true).open(&path).unwrap().set_len(2_000).unwrap();
        let error = excerpt(&wav, 0, 10).unwrap_err().to_string();
        assert!(error.contains("x.wav has changed") && error.contains("2000"), "{error}");
        std::fs::remove_file(&path).unwrap();
        assert!(excerpt(&wav, 0, 10).unwrap_err().to_string().contains("cannot read"));
    }
}
