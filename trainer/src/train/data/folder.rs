//! A folder of songs, each a folder with a file or several for each stem (as it is, MUSDB18-HQ's layout).

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use engine::{STEMS, Stem};

use super::cache::Cache;
use super::songs::Song;
use super::split::Listed;
use super::wav::Wav;
use crate::pattern::matches;
use crate::train::recipe::StemFiles;

/// Sub-folders with at least one stem file in them, sorted by name.
///
/// # Errors
/// The folder cannot be read, or has no songs.
pub fn list(path: &Path, files: &StemFiles) -> anyhow::Result<Vec<Listed>> {
    let cannot_list = || format!("cannot open the song folder {}", path.display());
    let mut songs = Vec::new();
    for entry in std::fs::read_dir(path).with_context(cannot_list)? {
        let folder = entry.with_context(cannot_list)?.path();
        let mut names = Stem::ALL.iter().flat_map(|stem| files.of(*stem));
        if names.any(|name| find(&folder, name).is_ok_and(|found| !found.is_empty())) {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            songs.push((name, folder));
        }
    }
    songs.sort();
    let expected: Vec<&str> = Stem::ALL.iter().flat_map(|s| files.of(*s)).map(String::as_str).collect();
    ensure!(
        !songs.is_empty(),
        "{} has no songs: each song is a folder with {}",
        path.display(),
        expected.join(", ")
    );
    Ok(songs)
}

/// Checks one song's files; with a cache, those that cannot be read in place are decoded into it.
///
/// # Errors
/// A missing, unreadable, cut-off, mono or wrongly sampled stem; stems of unequal length.
pub fn open(
    folder: &Path,
    files: &StemFiles,
    missing_is_silence: bool,
    cache: Option<&Cache>,
) -> anyhow::Result<Song> {
    let mut stems = [const { Vec::new() }; STEMS];
    for stem in Stem::ALL {
        for name in files.of(stem) {
            let found = find(folder, name)?;
            ensure!(
                missing_is_silence || !found.is_empty(),
                "{} is missing; set `missing_is_silence = true` if that song has no {stem}",
                folder.join(name).display()
            );
            for path in found {
                stems[stem as usize].push(open_file(&path, cache)?);
            }
        }
    }
    Song::new(stems)
}

fn open_file(path: &Path, cache: Option<&Cache>) -> anyhow::Result<Wav> {
    match (Wav::open(path), cache) {
        (Ok(wav), _) => Ok(wav),
        (Err(error), None) => Err(error),
        (Err(_), Some(cache)) => cache.wav(path, 0, || {
            let file = engine::audio::read(path)?;
            Ok((file.audio, file.sample_rate))
        }),
    }
}

/// The files of a song that a name from the recipe stands for, sorted.
fn find(folder: &Path, name: &str) -> anyhow::Result<Vec<PathBuf>> {
    let path = folder.join(name);
    if !name.contains('*') {
        return Ok(if path.is_file() { vec![path] } else { vec![] });
    }
    let (Some(parent), Some(pattern)) = (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        bail!("{name:?} is no file name");
    };
    if !parent.is_dir() {
        return Ok(vec![]);
    }
    let cannot_list = || format!("cannot list {}", parent.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(parent).with_context(cannot_list)? {
        let path = entry.with_context(cannot_list)?.path();
        let fits = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| matches(pattern, name));
        if fits && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
