//! Excerpts from WAV files, without reading the whole file.

use std::fs::File;
use std::io::{BufReader, Seek};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use hound::{SampleFormat, WavReader};

/// The only rate that networks are trained at, Hz.
pub const RATE: u32 = 44_100;

/// Checks that a stem file is what training needs, and returns its length in frames.
///
/// # Errors
/// Not a WAV file, another rate, not stereo, cut off.
pub fn check(path: &Path) -> anyhow::Result<usize> {
    let reader = open(path)?;
    let spec = reader.spec();
    let name = path.display();
    ensure!(
        spec.sample_rate == RATE,
        "{name} has {} Hz; training needs {RATE} Hz: resample it first",
        spec.sample_rate
    );
    ensure!(spec.channels == 2, "{name} has {} channel(s); stems must be stereo", spec.channels);
    let frames = reader.duration() as usize;
    let promised = u64::from(reader.len()) * u64::from(spec.bits_per_sample.div_ceil(8));
    let mut file = reader.into_inner();
    let start = file.stream_position().with_context(|| format!("cannot read {name}"))?;
    let there = std::fs::metadata(path).with_context(|| format!("cannot read {name}"))?.len();
    ensure!(
        start + promised <= there,
        "{name} is cut off: its header promises {promised} bytes of sound, {} are there",
        there.saturating_sub(start)
    );
    Ok(frames)
}

/// Frames `from..from + frames` of a stereo file; beyond its end there is silence.
pub fn excerpt(path: &Path, from: usize, frames: usize) -> anyhow::Result<[Vec<f32>; 2]> {
    let mut reader = open(path)?;
    let spec = reader.spec();
    ensure!(spec.channels == 2, "{} is no longer stereo", path.display());
    let count = frames.min((reader.duration() as usize).saturating_sub(from));
    let mut channels = [vec![0.0; frames], vec![0.0; frames]];
    if count == 0 {
        return Ok(channels);
    }
    let fail = || format!("cannot read {} from frame {from} on: is it cut off?", path.display());
    reader.seek(from as u32).with_context(fail)?;
    match (spec.sample_format, spec.bits_per_sample) {
        (SampleFormat::Float, 32) => {
            for (i, sample) in reader.samples::<f32>().take(2 * count).enumerate() {
                channels[i % 2][i / 2] = sample.with_context(fail)?;
            }
        }
        (SampleFormat::Int, bits @ 8..=32) => {
            let scale = 1.0 / (1i64 << (bits - 1)) as f32;
            for (i, sample) in reader.samples::<i32>().take(2 * count).enumerate() {
                channels[i % 2][i / 2] = sample.with_context(fail)? as f32 * scale;
            }
        }
        (format, bits) => bail!("{}: {bits}-bit {format:?} samples are not supported", path.display()),
    }
    Ok(channels)
}

fn open(path: &Path) -> anyhow::Result<WavReader<BufReader<File>>> {
    WavReader::open(path).with_context(|| format!("cannot read {} as a WAV file", path.display()))
}
