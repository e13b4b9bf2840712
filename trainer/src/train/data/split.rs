//! Which songs of a folder are trained on, and which are held out.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::ensure;

use crate::rng::Rng;
use crate::train::recipe::HoldOut;

/// Keeps the draws of splits apart from all others.
const SPLIT: u64 = 0x0073_706c_6974;

/// One side of a split. Every song is on exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Trained on.
    Training,
    /// Measured on, never trained on.
    HeldOut,
}

/// A song's name and where it lies.
pub type Listed = (String, std::path::PathBuf);

impl HoldOut {
    /// The songs of one side, in the order that they had.
    ///
    /// # Errors
    /// A name that no song has; nothing left to train on.
    pub fn side(&self, folder: &Path, songs: Vec<Listed>, side: Side) -> anyhow::Result<Vec<Listed>> {
        let folder = folder.display();
        for name in &self.names {
            ensure!(
                songs.iter().any(|(song, _)| song == name),
                "`hold_out` names the song {name:?}, which is not in {folder}"
            );
        }
        // Drawn by a number for each name: a song more or less leaves the others where they are.
        let number = |name: &str| {
            let purpose: Vec<u64> = std::iter::once(SPLIT).chain(name.bytes().map(u64::from)).collect();
            Rng::new(self.seed, &purpose).bits()
        };
        let mut drawn: Vec<(u64, &str)> =
            songs.iter().map(|(name, _)| (number(name), name.as_str())).collect();
        drawn.sort_unstable();
        let held_out: BTreeSet<String> = match self.names.is_empty() {
            true => drawn.iter().take(self.songs).map(|(_, name)| (*name).to_owned()).collect(),
            false => self.names.iter().cloned().collect(),
        };
        ensure!(
            held_out.len() < songs.len(),
            "{folder} has {} song(s) and `hold_out` takes {}: none is left to train on",
            songs.len(),
            self.songs.max(self.names.len())
        );
        Ok(songs.into_iter().filter(|(name, _)| held_out.contains(name) == (side == Side::HeldOut)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn songs(numbers: std::ops::Range<u32>) -> Vec<Listed> {
        numbers.map(|n| (format!("song {n:03}"), format!("x/{n}").into())).collect()
    }

    fn names(hold_out: &HoldOut, songs: Vec<Listed>, side: Side) -> Vec<String> {
        let side = hold_out.side(Path::new("x"), songs, side).unwrap();
        side.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_hundred_songs_split_into_75_and_25_without_overlap() {
        let split = |seed| {
            let hold_out = HoldOut { songs: 25, seed, names: vec![] };
            let [training, held_out] =
                [Side::Training, Side::HeldOut].map(|side| names(&hold_out, songs(0..100), side));
            assert_eq!((training.len(), held_out.len()), (75, 25));
            assert!(training.is_sorted() && held_out.is_sorted());
            assert!(held_out.iter().all(|name| !training.contains(name)));
            held_out
        };
        assert_eq!(split(1), split(1));
        let shared = split(1).iter().filter(|name| split(2).contains(name)).count();
        assert!(shared < 15, "{shared} of 25 are the same with another seed");
    }

    #[test]
    fn songs_that_join_the_folder_leave_the_split_of_the_others() {
        let hold_out = HoldOut { songs: 25, ..HoldOut::default() };
        let before = names(&hold_out, songs(0..100), Side::HeldOut);
        let after = names(&hold_out, songs(0..101), Side::HeldOut);
        assert!(before.iter().filter(|name| !after.contains(name)).count() <= 1);
    }

    #[test]
    fn songs_are_held_out_by_name_and_wrong_ones_are_errors() {
        let named = |name: &str| HoldOut { names: vec![name.into()], ..HoldOut::default() };
        assert_eq!(names(&named("song 001"), songs(0..3), Side::HeldOut), ["song 001"]);
        assert_eq!(names(&named("song 001"), songs(0..3), Side::Training), ["song 000", "song 002"]);
        let error = |hold_out: &HoldOut| {
            hold_out.side(Path::new("x"), songs(0..3), Side::Training).unwrap_err().to_string()
        };
        assert!(error(&named("song 9")).contains("\"song 9\", which is not in x"));
        let all = HoldOut { songs: 3, ..HoldOut::default() };
        assert!(error(&all).contains("x has 3 song(s) and `hold_out` takes 3"));
    }
}
