//! Everything that must hold, in the order in which it fails fastest.

use std::time::Instant;

use anyhow::Result;

use crate::workspace::{Profile, Workspace, run as run_program};
use crate::{bundle, setup};

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
    step("test", || {
        let mut command = workspace.cargo(["test", "--workspace"]);
        run_program(command.env("TRIBUTARY_BUNDLES", &bundles.folder), "cargo test")
    })
}

fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("== {name}");
    let start = Instant::now();
    let result = work();
    let outcome = if result.is_ok() { "passed" } else { "failed" };
    println!("== {name} {outcome} after {:.1} s", start.elapsed().as_secs_f64());
    result
}
