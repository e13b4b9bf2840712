//! One `.safetensors` file: weights, plus a JSON header that says everything needed to run them.

use std::path::Path;

use crate::{Result, Separator};

/// A checkpoint in memory, checked.
pub struct Checkpoint {
    _todo: (),
}

impl Checkpoint {
    /// Reads and checks a file.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(crate::Error::io("read", path))?;
        Self::from_bytes(&bytes, &path.display().to_string())
    }

    /// Checks bytes, named for errors.
    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<Self> {
        let _ = (bytes, name);
        Ok(Self { _todo: () })
    }

    /// The separator that the plugin and the trainer run, on the CPU, single-threaded.
    pub fn separator(&self) -> Result<Box<dyn Separator>> {
        Err(crate::Error::Unsupported("not yet".into()))
    }
}
