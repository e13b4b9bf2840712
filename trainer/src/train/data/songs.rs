//! Songs that lie on the disk, each with a WAV file or several for each stem, whatever they were made of.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use engine::audio::AudioBuffer;
use engine::{STEMS, Stem};
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;

use super::Source;
use super::cache::{Cache, CannotKeep};
use super::split::{Listed, Side};
use super::wav::Wav;
use super::{folder, stem_mp4};
use crate::train::recipe::{self, HoldOut, OnBadFile, StemFiles};

/// Songs, checked when opened, read excerpt by excerpt.
pub struct Songs {
    /// `None` where a song could not be read: it keeps its number, so that the others are drawn as if it were there.
    songs: Vec<Option<Song>>,
}

/// One song's files.
pub struct Song {
    /// By stem; the files of one stem are added. None means silence.
    stems: [Vec<Wav>; STEMS],
    frames: usize,
}

/// Where songs lie, and how.
#[derive(Clone, Copy)]
pub enum Layout<'a> {
    /// A folder for each song; see the recipe's keys.
    Folders { files: &'a StemFiles, missing_is_silence: bool, convert: bool },
    /// A .stem.mp4 for each song.
    StemMp4,
}

impl<'a> Layout<'a> {
    /// The folder, the layout and the split of a source; `None` for songs that are not on the disk.
    pub fn of(source: &'a recipe::Source) -> Option<(&'a Path, Self, &'a HoldOut)> {
        match source {
            recipe::Source::Folder { path, hold_out, files, missing_is_silence, convert, .. } => {
                let (missing_is_silence, convert) = (*missing_is_silence, *convert);
                Some((path, Self::Folders { files, missing_is_silence, convert }, hold_out))
            }
            recipe::Source::StemMp4 { path, hold_out, .. } => Some((path, Self::StemMp4, hold_out)),
            recipe::Source::Generated { .. } => None,
        }
    }
}

/// How songs are opened.
#[derive(Clone, Copy)]
pub struct Opening<'a> {
    /// For what has to be decoded.
    pub cache: &'a Cache,
    /// What to do about songs that cannot be read.
    pub on_bad_file: OnBadFile,
}

impl Songs {
    /// Finds one side's songs in a folder and checks all their files, decoding what has to be.
    ///
    /// # Errors
    /// No songs; a split that cannot be; a song that cannot be read, unless those are to be skipped; a full disk.
    pub fn open(
        path: &Path,
        layout: Layout,
        split: (&HoldOut, Side),
        opening: Opening,
    ) -> anyhow::Result<Self> {
        let listed = match layout {
            Layout::Folders { files, .. } => folder::list(path, files)?,
            Layout::StemMp4 => stem_mp4::list(path)?,
        };
        let listed = split.0.side(path, listed, split.1)?;
        let bar = ProgressBar::new(listed.len() as u64).with_style(
            ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} songs, {eta} left")
                .unwrap_or(ProgressStyle::default_bar()),
        );
        bar.set_prefix(format!("checking {}", path.display()));
        let open = |(_, song): &Listed| {
            let opened = match layout {
                Layout::Folders { files, missing_is_silence, convert } => {
                    folder::open(song, files, missing_is_silence, convert.then_some(opening.cache))
                }
                Layout::StemMp4 => stem_mp4::open(song, opening.cache),
            };
            bar.inc(1);
            opened
        };
        let opened: Vec<anyhow::Result<Song>> = listed.par_iter().map(open).collect();
        bar.finish_and_clear();
        let mut songs = Vec::new();
        for song in opened {
            songs.push(match song {
                Ok(song) => Some(song),
                Err(error) if opening.on_bad_file == OnBadFile::Skip && !error.is::<CannotKeep>() => {
                    eprintln!("left out: {error:#}");
                    None
                }
                Err(error) => return Err(error),
            });
        }
        ensure!(
            listed.is_empty() || songs.iter().any(Option::is_some),
            "none of the {} song(s) in {} can be read",
            songs.len(),
            path.display()
        );
        Ok(Self { songs })
    }

    /// A song's length; 0 if it cannot be read.
    pub fn frames(&self, song: usize) -> usize {
        self.songs.get(song).and_then(Option::as_ref).map_or(0, |song| song.frames)
    }

    /// All stems of one song, or their first `limit` frames.
    ///
    /// # Errors
    /// As [`Source::excerpt`].
    pub fn whole(&self, song: usize, limit: usize) -> anyhow::Result<[AudioBuffer; STEMS]> {
        let song = self.song(song)?;
        let stem = |stem: Stem| -> anyhow::Result<AudioBuffer> {
            let audio = song.excerpt(stem, 0, song.frames.min(limit))?;
            AudioBuffer::from_channels(audio.into()).context("channels of unequal length")
        };
        let [drums, bass, other, vocals] = Stem::ALL.map(stem);
        Ok([drums?, bass?, other?, vocals?])
    }

    fn song(&self, number: usize) -> anyhow::Result<&Song> {
        let song = self.songs.get(number).and_then(Option::as_ref);
        song.with_context(|| format!("there is no song {number}"))
    }
}

impl Song {
    /// A song of these files, by stem.
    ///
    /// # Errors
    /// Files of unequal length.
    pub fn new(stems: [Vec<Wav>; STEMS]) -> anyhow::Result<Self> {
        let mut files = stems.iter().flatten();
        let Some(first) = files.next() else { bail!("a song without files") };
        let frames = first.frames();
        for file in files {
            ensure!(
                file.frames() == frames,
                "stems of unequal length: {} has {frames} frames, {} has {}",
                first.path().display(),
                file.path().display(),
                file.frames()
            );
        }
        Ok(Self { stems, frames })
    }

    fn excerpt(&self, stem: Stem, from: usize, frames: usize) -> anyhow::Result<[Vec<f32>; 2]> {
        let mut sum = [vec![0.0; frames], vec![0.0; frames]];
        self.stems[stem as usize].iter().try_for_each(|wav| wav.add_excerpt(from, &mut sum))?;
        Ok(sum)
    }
}

impl Source for Songs {
    fn prepare(&mut self, _step: u64) -> anyhow::Result<()> {
        Ok(())
    }

    fn songs(&self) -> usize {
        self.songs.len()
    }

    fn readable(&self, song: usize) -> bool {
        self.songs.get(song).is_some_and(Option::is_some)
    }

    fn leave_out(&mut self, song: usize) {
        if let Some(song) = self.songs.get_mut(song) {
            *song = None;
        }
    }

    fn excerpt(&self, song: usize, stem: Stem, place: f32, frames: usize) -> anyhow::Result<[Vec<f32>; 2]> {
        let song = self.song(song)?;
        song.excerpt(stem, super::start(place, song.frames, frames), frames)
    }
}
