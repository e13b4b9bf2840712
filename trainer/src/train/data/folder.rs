//! A folder of songs, each a folder with a WAV file for each stem (MUSDB18-HQ's layout).

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use engine::{STEMS, Stem};

use super::{Source, wav};

/// Songs in a folder; checked when opened, read excerpt by excerpt.
pub struct Folder {
    songs: Vec<Song>,
}

/// One song's files; `None` where a missing stem means silence.
struct Song {
    stems: [Option<PathBuf>; STEMS],
    frames: usize,
}

impl Folder {
    /// Finds the songs and checks every stem file.
    ///
    /// # Errors
    /// No songs; a missing, unreadable, cut-off, mono or wrongly sampled stem; stems of unequal length.
    pub fn open(path: &Path, missing_is_silence: bool) -> anyhow::Result<Self> {
        let songs = song_folders(path)?
            .iter()
            .map(|folder| Song::open(folder, missing_is_silence))
            .collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self { songs })
    }

    /// A whole stem, or its first `limit` frames.
    pub fn stem(&self, song: usize, stem: Stem, limit: usize) -> anyhow::Result<[Vec<f32>; 2]> {
        let frames = self.songs.get(song).map_or(0, |song| song.frames.min(limit));
        self.excerpt(song, stem, 0.0, frames)
    }
}

/// Sub-folders with at least one stem file in them, sorted by name.
fn song_folders(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries =
        std::fs::read_dir(path).with_context(|| format!("cannot open the song folder {}", path.display()))?;
    let mut folders = Vec::new();
    for entry in entries {
        let folder = entry.with_context(|| format!("cannot list {}", path.display()))?.path();
        if Stem::ALL.iter().any(|stem| folder.join(format!("{stem}.wav")).is_file()) {
            folders.push(folder);
        }
    }
    folders.sort();
    ensure!(
        !folders.is_empty(),
        "{} has no songs: each song is a folder with drums.wav, bass.wav, other.wav and vocals.wav",
        path.display()
    );
    Ok(folders)
}

impl Song {
    fn open(folder: &Path, missing_is_silence: bool) -> anyhow::Result<Self> {
        let mut stems = [const { None }; STEMS];
        let mut length: Option<(usize, PathBuf)> = None;
        for stem in Stem::ALL {
            let file = folder.join(format!("{stem}.wav"));
            if !file.exists() {
                ensure!(
                    missing_is_silence,
                    "{} is missing; set `missing_is_silence = true` if that song has no {stem}",
                    file.display()
                );
                continue;
            }
            let frames = wav::check(&file)?;
            if let Some((expected, first)) = &length {
                ensure!(
                    frames == *expected,
                    "stems of unequal length: {} has {expected} frames, {} has {frames}",
                    first.display(),
                    file.display()
                );
            }
            length = Some((frames, file.clone()));
            stems[stem as usize] = Some(file);
        }
        Ok(Self { stems, frames: length.map_or(0, |(frames, _)| frames) })
    }
}

impl Source for Folder {
    fn prepare(&mut self, _step: u64) -> anyhow::Result<()> {
        Ok(())
    }

    fn songs(&self) -> usize {
        self.songs.len()
    }

    fn excerpt(&self, song: usize, stem: Stem, place: f32, frames: usize) -> anyhow::Result<[Vec<f32>; 2]> {
        let song = self.songs.get(song).with_context(|| format!("there is no song {song}"))?;
        match &song.stems[stem as usize] {
            Some(path) => wav::excerpt(path, super::start(place, song.frames, frames), frames),
            None => Ok([vec![0.0; frames], vec![0.0; frames]]),
        }
    }
}
