//! A pack: a folder of recordings with a manifest, which play parts of songs in place of our own instruments.

mod drums;
mod manifest;
mod notes;
mod sound;
mod voices;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, ensure};
use engine::audio::{read, resample};
use rayon::prelude::*;

use super::dsp::RATE;
use crate::exit::WrongUse;
use crate::pattern::matches;
use manifest::NAME as MANIFEST;
use manifest::Row;
use sound::Sound;

/// Most memory that the recordings of a pack may take.
const MAX_BYTES: usize = 2 << 30;

/// Recordings of one instrument that can stand in for each other: its notes, its loudness layers.
pub struct Group {
    /// What comes after the slash of its family.
    kind: String,
    instrument: String,
    articulation: String,
    /// By pitch, then by velocity. At least one.
    sounds: Vec<Sound>,
}

/// All recordings, decoded.
pub struct Pack {
    drums: Vec<Group>,
    bass: Vec<Group>,
    other: Vec<Group>,
    vocals: Vec<Group>,
}

impl Pack {
    /// Reads and decodes a pack: any rate and format that we can read, the first two channels of each file. Of its
    /// instruments those whose names are in `only` (all, if that is empty) and not in `without`, where a `*` stands
    /// for anything.
    ///
    /// # Errors
    /// The manifest is missing or broken, a file is missing, broken or silent, the pack is too large, a name
    /// fits no instrument, or none is left.
    pub fn open(folder: &Path, only: &[String], without: &[String]) -> anyhow::Result<Self> {
        let mut rows = manifest::read(folder)?;
        for pattern in only.iter().chain(without) {
            ensure!(
                rows.iter().any(|row| matches(pattern, &row.instrument)),
                WrongUse(format!("{}: no instrument is called {pattern:?}", folder.join(MANIFEST).display()))
            );
        }
        let is_in = |list: &[String], row: &Row| list.iter().any(|pattern| matches(pattern, &row.instrument));
        rows.retain(|row| (only.is_empty() || is_in(only, row)) && !is_in(without, row));
        ensure!(!rows.is_empty(), WrongUse(format!("{}: no instrument is left", folder.display())));
        let bytes = AtomicUsize::new(0);
        let sounds: Vec<(Row, Sound)> = rows
            .into_par_iter()
            .map(|row| {
                let sound = load(folder, &row)?;
                let total = bytes.fetch_add(sound.bytes(), Ordering::Relaxed) + sound.bytes();
                ensure!(
                    total <= MAX_BYTES,
                    "{}: its recordings need more than {} MiB of memory; leave some out of the {MANIFEST}",
                    folder.display(),
                    MAX_BYTES >> 20
                );
                Ok((row, sound))
            })
            .collect::<anyhow::Result<_>>()?;
        // In a map, so that the order never depends on the manifest's.
        let mut groups: BTreeMap<[String; 4], Vec<Sound>> = BTreeMap::new();
        for (row, sound) in sounds {
            groups.entry(key(&row)).or_default().push(sound);
        }
        let mut pack = Self { drums: vec![], bass: vec![], other: vec![], vocals: vec![] };
        for ([family, instrument, articulation, _], mut sounds) in groups {
            let place = |s: &Sound| (s.pitch.unwrap_or(0.0), s.velocity.unwrap_or(0.0));
            sounds.sort_by(|a, b| place(a).partial_cmp(&place(b)).unwrap_or(std::cmp::Ordering::Equal));
            let (stem, kind) = family.split_once('/').unwrap_or((&family, ""));
            let list = match stem {
                "drums" => &mut pack.drums,
                "bass" => &mut pack.bass,
                "other" => &mut pack.other,
                _ => &mut pack.vocals,
            };
            list.push(Group { kind: kind.to_owned(), instrument, articulation, sounds });
        }
        Ok(pack)
    }

    /// How many recordings it has.
    pub fn len(&self) -> usize {
        let groups = [&self.drums, &self.bass, &self.other, &self.vocals];
        groups.iter().flat_map(|g| g.iter()).map(|group| group.sounds.len()).sum()
    }

    /// Bytes that the recordings take in memory.
    pub fn bytes(&self) -> usize {
        let groups = [&self.drums, &self.bass, &self.other, &self.vocals];
        groups.iter().flat_map(|g| g.iter()).flat_map(|group| &group.sounds).map(Sound::bytes).sum()
    }
}

/// Which group a recording belongs to: family, instrument, articulation and, where a recording stands for itself
/// alone, its file.
fn key(row: &Row) -> [String; 4] {
    let mut key = [row.family.clone(), row.instrument.clone(), row.articulation.clone(), String::new()];
    let layered = match row.stem() {
        "drums" => row.velocity.is_some(),
        // A speaker's recordings are all one voice.
        "vocals" if !row.mapped => {
            key[2].clear();
            true
        }
        _ => row.mapped,
    };
    if !layered {
        key[3] = row.file.to_string_lossy().into_owned();
    }
    key
}

fn load(folder: &Path, row: &Row) -> anyhow::Result<Sound> {
    let path = folder.join(&row.file);
    let file = read(&path).with_context(|| format!("{}: listed in its {MANIFEST}", folder.display()))?;
    let audio = resample(&file.audio, file.sample_rate, RATE as u32)
        .with_context(|| format!("{}", path.display()))?;
    // The waves of a wavetable are counted from its first frame.
    let mut sound = Sound::new(&audio, row.kind() != notes::WAVETABLE)
        .with_context(|| format!("{}: is silent; take it out of the {MANIFEST}", path.display()))?;
    (sound.pitch, sound.mapped, sound.velocity) = (row.pitch, row.mapped, row.velocity);
    // Drums and words are never held.
    if sound.pitch.is_some() && (row.stem() != "vocals" || row.mapped) {
        sound.find_sustain();
    }
    Ok(sound)
}
