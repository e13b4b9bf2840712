//! TensorBoard event files, as far as a training run needs them: curves, sounds and pictures.

mod event;
mod media;
mod record;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use prost::Message as _;

pub use event::Value;
use event::{Event, SessionLog, Summary, What};
pub use media::{picture, sound};

/// Files with this in their names are read by TensorBoard.
const PREFIX: &str = "events.out.tfevents.";

/// Appends to the event file of this start of a run.
pub struct Board {
    file: File,
    path: PathBuf,
}

impl Board {
    /// Begins a new event file. Whatever earlier files of the folder have after step `done` is declared void, since a
    /// resumed run writes it again.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn open(folder: &Path, done: u64) -> anyhow::Result<Self> {
        let earlier = latest(folder);
        // TensorBoard reads files in the order of their names; two in one second must not change places.
        let second = (now() as u64).max(earlier.map_or(0, |e| e + 1));
        let path = folder.join(format!("{PREFIX}{second:010}.trainer"));
        let file = OpenOptions::new().create_new(true).append(true).open(&path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        let mut board = Self { file, path };
        board.event(0, What::FileVersion("brain.Event:2".into()))?;
        if earlier.is_some() {
            board.event(done + 1, What::SessionLog(SessionLog::start()))?;
        }
        Ok(board)
    }

    /// Writes values that belong to a step.
    ///
    /// # Errors
    /// The disk is full or not writable. What TensorBoard has read so far stays good.
    pub fn write(&mut self, step: u64, values: Vec<Value>) -> anyhow::Result<()> {
        self.event(step, What::Summary(Summary { values }))
    }

    fn event(&mut self, step: u64, what: What) -> anyhow::Result<()> {
        let event = Event { wall_time: now(), step: step as i64, what: Some(what) };
        // One call for the whole record, so that a kill leaves no half of one in between.
        let bytes = record::frame(&event.encode_to_vec());
        self.file.write_all(&bytes).with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// The time in the name of the folder's last event file.
fn latest(folder: &Path) -> Option<u64> {
    let names = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.to_str()?.strip_prefix(PREFIX)?.split('.').next()?.parse().ok()).max()
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_start_of_a_run_has_a_file_whose_name_sorts_after_the_earlier_ones() {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = (0..3).map(|i| Board::open(folder.path(), i).unwrap().path).collect();
        assert!(paths.is_sorted() && paths[0] != paths[1] && paths[1] != paths[2], "{paths:?}");
        let bytes = |i: usize| std::fs::read(&paths[i]).unwrap().len();
        assert!(bytes(0) < bytes(1), "only later starts declare earlier steps void");
    }
}
