//! The songs to measure on: a folder of songs, each a folder with a mixture and four stems.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use engine::audio::{AudioBuffer, Reader, to_stereo};
use engine::{STEMS, Stem};

use super::stem_files::{self, MIXTURE};

/// One song's files.
pub struct Song {
    /// Its folder's name.
    pub name: String,
    mixture: PathBuf,
    stems: [PathBuf; STEMS],
    /// Length in seconds, as the mixture's header says.
    pub seconds: f64,
    /// Hz.
    pub sample_rate: u32,
}

/// One song in memory; all of one length, stereo.
pub struct SongAudio {
    /// What is separated.
    pub mixture: AudioBuffer,
    /// What should come out.
    pub stems: [AudioBuffer; STEMS],
    /// Hz.
    pub sample_rate: u32,
}

/// Finds the songs of a folder, sorted by name, and looks at the header of every file.
///
/// # Errors
/// No songs, a missing file, or files of a song that differ in rate or length.
pub fn songs(folder: &Path) -> anyhow::Result<Vec<Song>> {
    let songs = sub_folders(folder)?
        .into_iter()
        .filter_map(|path| Song::open(&path).transpose())
        .collect::<anyhow::Result<Vec<_>>>()?;
    let inner = ["test", "valid", "train"].into_iter().find(|name| folder.join(name).is_dir());
    let hint = inner.map_or(String::new(), |name| format!("; did you mean {}?", folder.join(name).display()));
    ensure!(
        !songs.is_empty(),
        "{} has no songs: each song is a folder with mixture.wav, drums.wav, bass.wav, other.wav and vocals.wav{hint}",
        folder.display()
    );
    Ok(songs)
}

fn sub_folders(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let fail = || format!("cannot open the data set {}", folder.display());
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(fail)? {
        let path = entry.with_context(fail)?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

impl Song {
    /// `None` when the folder has none of a song's files.
    fn open(folder: &Path) -> anyhow::Result<Option<Self>> {
        let files = stem_files::find(folder)?;
        let file = |name: &str| files.iter().find(|(found, _)| found == name).map(|(_, path)| path.clone());
        let names = || std::iter::once(MIXTURE).chain(Stem::ALL.map(Stem::name));
        if names().all(|name| file(name).is_none()) {
            return Ok(None);
        }
        let needed = |name: &str| {
            file(name).with_context(|| {
                format!(
                    "{} has no {name}.wav (or .flac): a song needs its mixture and all four stems",
                    folder.display()
                )
            })
        };
        let mixture = needed(MIXTURE)?;
        let mut stems = [const { PathBuf::new() }; STEMS];
        for stem in Stem::ALL {
            stems[stem as usize] = needed(stem.name())?;
        }
        let reader = Reader::open(&mixture)?;
        let (sample_rate, frames) = (reader.sample_rate(), reader.frames().unwrap_or(0));
        for stem in &stems {
            let other = Reader::open(stem)?;
            same(&mixture, (sample_rate, frames), stem, (other.sample_rate(), other.frames().unwrap_or(0)))?;
        }
        Ok(Some(Self {
            name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            mixture,
            stems,
            seconds: frames as f64 / f64::from(sample_rate),
            sample_rate,
        }))
    }

    /// Reads its first `seconds`, or all of it.
    ///
    /// # Errors
    /// A file is damaged, of another length than the others, or neither mono nor stereo.
    pub fn read(&self, seconds: Option<f64>) -> anyhow::Result<SongAudio> {
        let limit = seconds.map_or(usize::MAX, |s| ((s * f64::from(self.sample_rate)) as usize).max(1));
        let read = |path: &Path| -> anyhow::Result<AudioBuffer> {
            to_stereo(stem_files::read(path, limit)?.0).with_context(|| path.display().to_string())
        };
        let mixture = read(&self.mixture)?;
        let shape = |audio: &AudioBuffer| (self.sample_rate, audio.frames() as u64);
        let mut stems: [AudioBuffer; STEMS] = Default::default();
        for (audio, path) in stems.iter_mut().zip(&self.stems) {
            *audio = read(path)?;
            same(&self.mixture, shape(&mixture), path, shape(audio))?;
        }
        Ok(SongAudio { mixture, stems, sample_rate: self.sample_rate })
    }
}

/// Both files have the same rate (Hz) and length (frames).
fn same(first: &Path, expected: (u32, u64), second: &Path, found: (u32, u64)) -> anyhow::Result<()> {
    ensure!(
        expected == found,
        "files of unequal length or rate: {} has {} frames at {} Hz, {} has {} at {} Hz",
        first.display(),
        expected.1,
        expected.0,
        second.display(),
        found.1,
        found.0
    );
    Ok(())
}
