//! Python environments under the target folder, for comparing with the field's reference programs.
//!
//! Nothing that users run needs Python. Each environment is made once from a file of pinned packages, and again
//! when that file changes.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::setup;
use crate::workspace::{Workspace, run};

/// The interpreter of the environment that `xtask/python/<name>.txt` describes, made if it is not there yet.
///
/// # Errors
/// There is no Python 3, or a package cannot be installed.
pub fn environment(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let packages = workspace.root.join("xtask/python").join(name).with_extension("txt");
    let wanted =
        fs::read_to_string(&packages).with_context(|| format!("cannot read {}", packages.display()))?;
    let folder = workspace.target.join("python").join(name);
    let python = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    // Written last, so that an installation that was broken off is made again.
    let installed = folder.join("installed.txt");
    if fs::read_to_string(&installed).is_ok_and(|there| there == wanted) {
        return Ok(python);
    }
    setup::python()?;
    println!("installing the Python packages of {}", packages.display());
    let system_python = if cfg!(windows) { "python" } else { "python3" };
    run(Command::new(system_python).args(["-m", "venv", "--clear"]).arg(&folder), "python3 -m venv")?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    run(pip.arg(&packages), "pip install")?;
    fs::write(&installed, wanted).with_context(|| format!("cannot write {}", installed.display()))?;
    Ok(python)
}
