//! The songs that validation measures on.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use engine::STEMS;
use engine::audio::AudioBuffer;
use rayon::prelude::*;

use super::data::{Cache, Layout, Opening, RATE, Side, Songs, Source as _};
use super::recipe::{Data, HeldOut, HoldOut};
use crate::exit::WrongUse;
use crate::synth::{Generator, Recordings};

/// Songs that are never trained on.
pub struct HeldOutSongs {
    /// At least one.
    pub songs: Vec<HeldOutSong>,
    /// What they are, for checkpoints.
    pub name: String,
}

/// One song: in memory, or on the disk, where dozens of whole songs belong.
pub enum HeldOutSong {
    /// Its stems.
    Made([AudioBuffer; STEMS]),
    /// Read when needed: song `index`, or its first `limit` frames.
    OnDisk { songs: Arc<Songs>, index: usize, limit: usize },
}

impl HeldOutSong {
    /// The stems.
    ///
    /// # Errors
    /// Its files cannot be read any more.
    pub fn stems(&self) -> anyhow::Result<Cow<'_, [AudioBuffer; STEMS]>> {
        match self {
            Self::Made(stems) => Ok(Cow::Borrowed(stems)),
            Self::OnDisk { songs, index, limit } => {
                songs.whole(*index, *limit).context("cannot read a held-out song").map(Cow::Owned)
            }
        }
    }

    /// Length in frames.
    pub fn frames(&self) -> usize {
        match self {
            Self::Made(stems) => stems[0].frames(),
            Self::OnDisk { songs, index, limit } => songs.frames(*index).min(*limit),
        }
    }
}

impl HeldOutSongs {
    /// Makes the songs, or finds and checks them.
    ///
    /// # Errors
    /// As the sources have them; no song is held out.
    pub fn open(source: &HeldOut, data: &Data) -> anyhow::Result<Self> {
        let cache = Cache::new(&data.cache);
        let opening = Opening { cache: &cache, on_bad_file: data.on_bad_file };
        let open = |path: &Path, layout: Layout, split: (&HoldOut, Side), seconds: f32| {
            let songs = Arc::new(Songs::open(path, layout, split, opening)?);
            let limit =
                if seconds > 0.0 { (f64::from(seconds) * f64::from(RATE)) as usize } else { usize::MAX };
            let readable = (0..songs.songs()).filter(|index| songs.readable(*index));
            let song = |index| HeldOutSong::OnDisk { songs: songs.clone(), index, limit };
            anyhow::Ok(readable.map(song).collect::<Vec<_>>())
        };
        let all = (&HoldOut::default(), Side::Training);
        let (songs, name) = match source {
            HeldOut::Generated {
                songs,
                seconds,
                seed,
                pack,
                pack_only,
                pack_without,
                pack_share,
                soundfont,
            } => {
                let generator = Generator::open(&Recordings {
                    pack: pack.clone(),
                    pack_only: pack_only.clone(),
                    pack_without: pack_without.clone(),
                    pack_share: *pack_share,
                    soundfont: soundfont.clone(),
                })?;
                let made = (0..*songs)
                    .into_par_iter()
                    .map(|i| HeldOutSong::Made(generator.song(seed.wrapping_add(i), *seconds)))
                    .collect();
                (made, format!("{songs} generated songs of {seconds} s, seeds from {seed}, never trained on"))
            }
            HeldOut::Folder { path, files, missing_is_silence, convert, seconds } => {
                let (missing_is_silence, convert) = (*missing_is_silence, *convert);
                let songs =
                    open(path, Layout::Folders { files, missing_is_silence, convert }, all, *seconds)?;
                let name = format!("{} songs in {}", songs.len(), path.display());
                (songs, name)
            }
            HeldOut::StemMp4 { path, seconds } => {
                let songs = open(path, Layout::StemMp4, all, *seconds)?;
                let name = format!("{} songs in {}", songs.len(), path.display());
                (songs, name)
            }
            HeldOut::HoldOut { seconds } => {
                let (mut songs, mut places) = (Vec::new(), Vec::new());
                for source in &data.source {
                    let Some((path, layout, hold_out)) = Layout::of(source) else { continue };
                    if !hold_out.is_some() {
                        continue;
                    }
                    songs.extend(open(path, layout, (hold_out, Side::HeldOut), *seconds)?);
                    places.push(path.display().to_string());
                }
                let count = songs.len();
                (songs, format!("{count} songs of {}, held out from training", places.join(" and ")))
            }
        };
        ensure!(
            !songs.is_empty(),
            WrongUse("there is no song to validate on: no source of `data` has a `hold_out`".into())
        );
        Ok(Self { songs, name })
    }
}
