//! A song as files, in MUSDB18-HQ layout: whole, or not at all.

use std::path::{Path, PathBuf};

use engine::audio::{AudioBuffer, Format, write_wav};
use engine::{Error, Result, STEMS, Stem};

use super::dsp::RATE;

/// A folder that is not yet what it should be; removed when it is dropped.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // What went wrong before is worth more than what goes wrong now.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Writes `mixture.wav` and one file for each stem into `folder`, 32-bit float, which add up bit for bit.
///
/// Everything is written into a hidden folder beside it, which then takes its name: a song is there as a whole or
/// not at all. A song that is there already is replaced file by file.
///
/// # Errors
/// The folder cannot be written to, or the disk is full; the error names the file.
pub fn write_song(folder: &Path, stems: &[AudioBuffer; STEMS]) -> Result<()> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let unfinished = Unfinished(folder.with_file_name(format!(".{name}.unfinished")));
    let hidden = &unfinished.0;
    if hidden.exists() {
        // Of a run that was killed.
        std::fs::remove_dir_all(hidden).map_err(Error::io("remove", hidden))?;
    }
    std::fs::create_dir_all(hidden).map_err(Error::io("create", hidden))?;
    let mixture = mix(stems);
    let files = Stem::ALL.map(Stem::name).into_iter().zip(stems).chain([("mixture", &mixture)]);
    let mut names = Vec::new();
    for (name, audio) in files {
        let name = format!("{name}.wav");
        write_wav(&hidden.join(&name), audio, RATE as u32, Format::Float32)?;
        names.push(name);
    }
    if folder.is_dir() {
        for name in names {
            let place = folder.join(&name);
            std::fs::rename(hidden.join(&name), &place).map_err(Error::io("replace", &place))?;
        }
        return Ok(());
    }
    std::fs::rename(hidden, folder).map_err(Error::io("create", folder))
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

/// A checksum (CRC-32C) of every bit of every sample.
pub fn checksum(stems: &[AudioBuffer; STEMS]) -> u32 {
    let channels = stems.iter().flat_map(AudioBuffer::iter);
    channels.fold(0, |sum, channel| {
        let bytes: Vec<u8> = channel.iter().flat_map(|x| x.to_le_bytes()).collect();
        crc32c::crc32c_append(sum, &bytes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn song(level: f32) -> [AudioBuffer; STEMS] {
        std::array::from_fn(|s| {
            let wave: Vec<f32> = (0..100).map(|n| level * (s + n) as f32 / 1_000.0).collect();
            AudioBuffer::from_channels(vec![wave.clone(), wave]).unwrap()
        })
    }

    #[test]
    fn a_song_replaces_an_older_one_and_what_a_killed_run_left() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("song");
        std::fs::create_dir_all(folder.path().join(".song.unfinished")).unwrap();
        std::fs::write(folder.path().join(".song.unfinished/drums.wav"), b"half").unwrap();
        write_song(&place, &song(0.5)).unwrap();
        std::fs::write(place.join("notes.txt"), b"kept").unwrap();
        let first = std::fs::read(place.join("mixture.wav")).unwrap();
        write_song(&place, &song(1.0)).unwrap();
        assert!(std::fs::read(place.join("mixture.wav")).unwrap() != first);
        assert!(place.join("notes.txt").exists());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_song_that_cannot_be_written_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        // A mixture that does not fit into its place: a folder is there.
        let place = folder.path().join("song");
        std::fs::create_dir_all(place.join("mixture.wav")).unwrap();
        let error = write_song(&place, &song(0.5)).unwrap_err().to_string();
        assert!(error.contains("mixture.wav"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no hidden folder is left");
    }

    #[test]
    fn one_bit_changes_the_checksum() {
        let mut other = song(0.5);
        let sample = &mut other[3].channel_mut(1)[99];
        *sample = f32::from_bits(sample.to_bits() ^ 1);
        assert_ne!(checksum(&song(0.5)), checksum(&other));
    }
}
