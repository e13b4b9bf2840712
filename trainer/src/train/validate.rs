//! Measuring on held-out songs, with the very separator that the plugin runs.

use anyhow::Context;
use engine::audio::AudioBuffer;
use engine::checkpoint::Checkpoint;
use engine::separator::offline::separate;
use engine::{STEMS, Stem};
use rayon::prelude::*;

use super::data::Folder;
use super::data::Source as _;
use super::recipe::HeldOut;
use crate::metrics::plain_sdr::{Report, Scores};
use crate::synth::{Generator, mix};

/// Songs in memory.
pub struct HeldOutSongs {
    songs: Vec<[AudioBuffer; STEMS]>,
    /// What they are, for checkpoints.
    pub name: String,
}

impl HeldOutSongs {
    /// Makes or reads the songs.
    pub fn open(source: &HeldOut) -> anyhow::Result<Self> {
        match source {
            HeldOut::Generated { songs, seconds, seed, pack, pack_share, soundfont } => {
                let generator = Generator::open(pack.as_deref(), soundfont.as_deref(), *pack_share)?;
                Ok(Self {
                    songs: (0..*songs)
                        .into_par_iter()
                        .map(|i| generator.song(seed.wrapping_add(i), *seconds))
                        .collect(),
                    name: format!(
                        "{songs} generated songs of {seconds} s, seeds from {seed}, never trained on"
                    ),
                })
            }
            HeldOut::Folder { path, seconds } => {
                let folder = Folder::open(path, false)?;
                let limit = if *seconds > 0.0 { (seconds * 44_100.0) as usize } else { usize::MAX };
                let song = |index| -> anyhow::Result<[AudioBuffer; STEMS]> {
                    let mut stems = [const { Vec::new() }; STEMS];
                    for stem in Stem::ALL {
                        stems[stem as usize] = folder.stem(index, stem, limit)?.into();
                    }
                    Ok(stems.map(|channels| AudioBuffer::from_channels(channels).unwrap_or_default()))
                };
                Ok(Self {
                    songs: (0..folder.songs()).map(song).collect::<anyhow::Result<_>>()?,
                    name: format!("{} songs in {}", folder.songs(), path.display()),
                })
            }
        }
    }

    /// Separates and scores all songs, several at a time.
    pub fn measure(&self, checkpoint: &Checkpoint) -> anyhow::Result<Report> {
        let scored = self
            .songs
            .par_iter()
            .map(|stems| {
                let mixture = mix(stems);
                let mut separator =
                    checkpoint.separator().context("cannot run the network as a separator")?;
                let estimates = separate(&mut separator, &mixture, |_, _| ())?;
                Ok((mixture, estimates))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let mut report = Report {
            songs: self.songs.len(),
            separated: Scores::default(),
            mixture: Scores::default(),
            quarter: Scores::default(),
        };
        for (stems, (mixture, estimates)) in self.songs.iter().zip(&scored) {
            let mut quarter = mixture.clone();
            quarter.iter_mut().flatten().for_each(|x| *x *= 0.25);
            report.separated.add(stems, estimates);
            report.mixture.add(stems, &std::array::from_fn(|_| mixture.clone()));
            report.quarter.add(stems, &std::array::from_fn(|_| quarter.clone()));
        }
        Ok(report)
    }
}
