//! A song as files, in MUSDB18-HQ layout.

use std::io::BufWriter;
use std::path::Path;

use anyhow::Context;
use engine::audio::AudioBuffer;
use engine::{STEMS, Stem};

use super::dsp::RATE;

/// Writes `mixture.wav` and one file for each stem into `folder`, 32-bit float, which adds up bit for bit.
pub fn write_song(folder: &Path, stems: &[AudioBuffer; STEMS]) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut mixture = stems[0].clone();
    for stem in &stems[1..] {
        for (sum, channel) in mixture.iter_mut().zip(stem.iter()) {
            sum.iter_mut().zip(channel).for_each(|(sum, x)| *sum += x);
        }
    }
    for (stem, audio) in Stem::ALL.iter().zip(stems) {
        write(&folder.join(format!("{stem}.wav")), audio)?;
    }
    write(&folder.join("mixture.wav"), &mixture)
}

fn write(path: &Path, audio: &AudioBuffer) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let attempt = || -> anyhow::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        let spec = hound::WavSpec {
            channels: audio.channels() as u16,
            sample_rate: RATE as u32,
            bits_per_sample: 32,
            sample_format: hound::SampleFormat::Float,
        };
        let mut writer = hound::WavWriter::new(BufWriter::new(&mut file), spec)?;
        for frame in 0..audio.frames() {
            audio.iter().try_for_each(|channel| writer.write_sample(channel[frame]))?;
        }
        writer.finalize()?;
        file.persist(path)?;
        Ok(())
    };
    attempt().with_context(|| format!("cannot write {}", path.display()))
}
