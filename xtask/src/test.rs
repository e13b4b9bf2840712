//! Everything that must hold, in the order in which it fails fastest.

use std::time::Instant;

use anyhow::Result;

use crate::workspace::{Profile, Workspace, run as run_program};
use crate::{bundle, python, setup};

/// `cargo xtask test`.
///
/// # Errors
/// The first step that fails.
pub fn run(workspace: &Workspace) -> Result<()> {
    setup::run()?;
    step("format", || run_program(&mut workspace.cargo(["fmt", "--all", "--check"]), "cargo fmt --check"))?;
    step("lint", || {
        let arguments = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
        run_program(&mut workspace.cargo(arguments), "cargo clippy")
    })?;
    let bundles = step("build", || bundle::run(workspace, Profile::Dev))?;
    let python = python::environment(workspace, "test")?;
    step("test", || {
        let mut command = workspace.cargo(["test", "--workspace"]);
        command.env("TRIBUTARY_BUNDLES", &bundles.folder).env("TRIBUTARY_PYTHON", &python);
        run_program(&mut command, "cargo test")
    })?;
    if cfg!(target_os = "linux") {
        step("several processes", || several_processes(workspace))
    } else {
        println!("training in several processes is tested on Linux only");
        Ok(())
    }
}

/// The trainer with MPI: only it is built again, because the same packages are selected.
fn several_processes(workspace: &Workspace) -> Result<()> {
    setup::mpi()?;
    let with_mpi = ["--workspace", "--features", "trainer/mpi"];
    let mut lint = workspace.cargo(["clippy"]);
    lint.args(with_mpi).args(["--bin", "trainer", "--test", "cli", "--quiet", "--", "-D", "warnings"]);
    run_program(&mut lint, "cargo clippy")?;
    run_program(workspace.cargo(["test"]).args(with_mpi).args(["--test", "cli", "mpi::"]), "cargo test")
}

fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("== {name}");
    let start = Instant::now();
    let result = work();
    let outcome = if result.is_ok() { "passed" } else { "failed" };
    println!("== {name} {outcome} after {:.1} s", start.elapsed().as_secs_f64());
    result
}
