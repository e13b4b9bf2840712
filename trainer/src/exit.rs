//! How the command ends: 0 done, 1 the thing asked for failed, 2 wrong use or not supported.

use std::process::ExitCode;

/// Wrong use, or something that we do not support: exit code 2.
#[derive(Debug)]
pub struct WrongUse(pub String);

impl std::fmt::Display for WrongUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongUse {}

/// Prints an error to standard error, the main thing in the first line and its causes below, and chooses the code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
    ExitCode::from(code(error))
}

/// 2 for wrong use and what is not supported, else 1.
pub fn code(error: &anyhow::Error) -> u8 {
    // anyhow finds an error that was given as a context by its own means only.
    let wrong_use = error.is::<WrongUse>()
        || error.chain().any(|cause| {
            cause.is::<WrongUse>() || matches!(cause.downcast_ref(), Some(engine::Error::Unsupported(_)))
        });
    if wrong_use { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn unsupported_things_end_with_2_and_failures_with_1() {
        let unsupported = Err::<(), _>(engine::Error::Unsupported("96 channels".into())).context("song.wav");
        assert_eq!(code(&unsupported.unwrap_err()), 2);
        assert_eq!(code(&anyhow!(WrongUse("two recipes".into()))), 2);
        assert_eq!(code(&anyhow!("no such key").context(WrongUse("bad recipe".into())).context("train")), 2);
        assert_eq!(code(&anyhow!("disk full")), 1);
    }
}
