//! A song as files, in MUSDB18-HQ layout.

use std::path::Path;

use engine::audio::{AudioBuffer, Format, write_wav};
use engine::{Error, Result, STEMS, Stem};

use super::dsp::RATE;

/// Writes `mixture.wav` and one file for each stem into `folder`, 32-bit float, which adds up bit for bit.
pub fn write_song(folder: &Path, stems: &[AudioBuffer; STEMS]) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    for (stem, audio) in Stem::ALL.iter().zip(stems) {
        write_wav(&folder.join(format!("{stem}.wav")), audio, RATE as u32, Format::Float32)?;
    }
    write_wav(&folder.join("mixture.wav"), &mix(stems), RATE as u32, Format::Float32)
}

/// The sum of the stems.
pub fn mix(stems: &[AudioBuffer; STEMS]) -> AudioBuffer {
    let mut mixture = stems[0].clone();
    for stem in &stems[1..] {
        for (sum, channel) in mixture.iter_mut().zip(stem.iter()) {
            sum.iter_mut().zip(channel).for_each(|(sum, x)| *sum += x);
        }
    }
    mixture
}
