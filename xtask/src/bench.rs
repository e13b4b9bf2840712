//! Measuring ourselves against the field's reference programs, side by side in one run.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use crate::workspace::{Products, Profile, Workspace, run as run_program};
use crate::{python, setup};

/// What is compared.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Subject {
    /// Training steps, against PyTorch.
    Training,
    /// BSSEval v4, against museval.
    Score,
}

impl Subject {
    /// The script that runs both sides and prints the comparison.
    fn script(self) -> &'static str {
        match self {
            Self::Training => "trainer/benches/training.py",
            Self::Score => "trainer/benches/score.py",
        }
    }
}

/// `cargo xtask bench`: builds the release and runs the comparison with it.
///
/// # Errors
/// Something cannot be built or installed, or the comparison fails.
pub fn run(workspace: &Workspace, subject: Subject, arguments: Vec<OsString>) -> Result<()> {
    setup::run()?;
    workspace.build_release(Products::All)?;
    let mut command = Command::new(python::environment(workspace, "bench")?);
    command.arg(subject.script()).arg("--trainer").arg(workspace.program(Profile::Release, "trainer"));
    run_program(command.args(arguments).current_dir(&workspace.root), subject.script())
}
