//! The run's log: one JSON object in each line.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use engine::files::write_atomically;
use serde_json::Value;

/// Appends lines to a file.
pub struct Log {
    file: File,
    path: PathBuf,
}

impl Log {
    /// Opens the log, without the lines of steps after `done`: a resumed run writes those again.
    pub fn open(path: &Path, done: u64) -> anyhow::Result<Self> {
        if let Ok(text) = std::fs::read_to_string(path) {
            let known = |line: &&str| {
                serde_json::from_str::<Value>(line)
                    .is_ok_and(|v| v["step"].as_u64().is_some_and(|s| s <= done))
            };
            let kept: String = text.lines().filter(known).flat_map(|line| [line, "\n"]).collect();
            write_atomically(path, |w| w.write_all(kept.as_bytes()))?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path);
        Ok(Self {
            file: file.with_context(|| format!("cannot write {}", path.display()))?,
            path: path.to_owned(),
        })
    }

    /// One line; `value` has a key `step`, the number of steps done.
    pub fn write(&mut self, value: &Value) -> anyhow::Result<()> {
        // One call for the whole line, so that a kill leaves no half of one in between.
        let line = format!("{value}\n");
        self.file.write_all(line.as_bytes()).with_context(|| format!("cannot write {}", self.path.display()))
    }
}
