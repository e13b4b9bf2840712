//! The engine's one error type.

use std::path::{Path, PathBuf};

/// What can go wrong in the engine. Every text says what failed, on what, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading or writing a file failed.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// "read", "write", ...
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// An audio file cannot be decoded or has properties that we do not handle.
    #[error("{path}: {reason}", path = path.display())]
    Audio {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },
    /// A checkpoint is broken, incomplete or of a kind that we do not know.
    #[error("checkpoint {name}: {reason}")]
    Checkpoint {
        /// The file, or "embedded".
        name: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// A sample rate, block size or chunk layout that cannot be run.
    #[error("{0}")]
    Unsupported(String),
    /// A tensor operation failed: a defect of ours, or out of memory.
    #[error("network: {}", root_cause(.0))]
    Network(#[from] candle_core::Error),
}

/// The engine's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An [`Error::Io`] maker for `map_err`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { action, path, source }
    }
}

/// candle wraps its errors in backtraces; the text alone is for the user.
pub(crate) fn root_cause(error: &candle_core::Error) -> String {
    match error {
        candle_core::Error::WithBacktrace { inner, .. } | candle_core::Error::Context { inner, .. } => {
            root_cause(inner)
        }
        error => error.to_string(),
    }
}
