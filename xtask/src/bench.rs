//! Measuring ourselves against the field's reference programs, side by side in one run.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;
use clap::ValueEnum;

use crate::workspace::{Products, Profile, Workspace, run as run_program};
use crate::{python, setup};

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Subject {
    /// Training steps, against PyTorch.
    Training,
    /// BSSEval v4, against museval.
    Score,
    /// The Live network hop by hop, against candle's operations and ONNX Runtime.
    Separation,
}

impl Subject {
    /// The script that runs both sides and prints the comparison.
    fn script(self) -> &'static str {
        match self {
            Self::Training => "trainer/benches/training.py",
            Self::Score => "trainer/benches/score.py",
            Self::Separation => "trainer/benches/separation.py",
        }
    }
}

/// `cargo xtask bench`: builds the release and runs the comparison with it, or all comparisons one after the other.
///
/// # Errors
/// Something cannot be built or installed, or a comparison fails.
pub fn run(workspace: &Workspace, subject: Option<Subject>, arguments: &[OsString]) -> Result<()> {
    setup::run()?;
    workspace.build_release(Products::All)?;
    let python = python::environment(workspace, "bench")?;
    let all = Subject::value_variants().iter().copied();
    for subject in all.filter(|&each| subject.is_none_or(|wanted| wanted == each)) {
        println!("{}", subject.script());
        let mut command = Command::new(&python);
        command.arg(subject.script()).arg("--trainer").arg(workspace.program(Profile::Release, "trainer"));
        run_program(command.args(arguments).current_dir(&workspace.root), subject.script())?;
    }
    Ok(())
}
