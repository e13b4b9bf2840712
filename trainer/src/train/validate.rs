//! The songs that validation measures on.

use std::borrow::Cow;

use engine::audio::AudioBuffer;
use engine::{STEMS, Stem};
use rayon::prelude::*;

use super::data::Folder;
use super::data::Source as _;
use super::recipe::{Data, HeldOut};
use crate::synth::Generator;

/// Songs that are never trained on.
pub struct HeldOutSongs {
    /// At least one.
    pub songs: Vec<HeldOutSong>,
    /// What they are, for checkpoints.
    pub name: String,
}

/// One song in memory: its stems.
pub struct HeldOutSong([AudioBuffer; STEMS]);

impl HeldOutSong {
    /// The stems.
    ///
    /// # Errors
    /// Its files cannot be read any more.
    pub fn stems(&self) -> anyhow::Result<Cow<'_, [AudioBuffer; STEMS]>> {
        Ok(Cow::Borrowed(&self.0))
    }

    /// Length in frames.
    pub fn frames(&self) -> usize {
        self.0[0].frames()
    }
}

impl HeldOutSongs {
    /// Makes or reads the songs.
    pub fn open(source: &HeldOut, _data: &Data) -> anyhow::Result<Self> {
        match source {
            HeldOut::Generated { songs, seconds, seed, pack, pack_share, soundfont } => {
                let generator = Generator::open(pack.as_deref(), soundfont.as_deref(), *pack_share)?;
                Ok(Self {
                    songs: (0..*songs)
                        .into_par_iter()
                        .map(|i| HeldOutSong(generator.song(seed.wrapping_add(i), *seconds)))
                        .collect(),
                    name: format!(
                        "{songs} generated songs of {seconds} s, seeds from {seed}, never trained on"
                    ),
                })
            }
            HeldOut::Folder { path, seconds } => {
                let folder = Folder::open(path, false)?;
                let limit = if *seconds > 0.0 { (seconds * 44_100.0) as usize } else { usize::MAX };
                let song = |index| -> anyhow::Result<HeldOutSong> {
                    let mut stems = [const { Vec::new() }; STEMS];
                    for stem in Stem::ALL {
                        stems[stem as usize] = folder.stem(index, stem, limit)?.into();
                    }
                    Ok(HeldOutSong(
                        stems.map(|channels| AudioBuffer::from_channels(channels).unwrap_or_default()),
                    ))
                };
                Ok(Self {
                    songs: (0..folder.songs()).map(song).collect::<anyhow::Result<_>>()?,
                    name: format!("{} songs in {}", folder.songs(), path.display()),
                })
            }
        }
    }
}
