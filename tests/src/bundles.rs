//! Where the built bundles and programs are.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};

use crate::plugin::Format;

/// The environment variable by which `cargo xtask` names the folder with the bundles.
pub const FOLDER_VARIABLE: &str = "TRIBUTARY_BUNDLES";

/// A bundle in the folder that the environment names; `None` when it names none.
pub fn named(format: Format) -> Option<PathBuf> {
    env::var_os(FOLDER_VARIABLE).map(|folder| file_in(Path::new(&folder), format))
}

/// The development bundle that tests run on. Without `cargo xtask test` around it, it is built first, so that
/// plain `cargo test` never tests a stale plugin or skips.
///
/// # Errors
/// It cannot be built.
pub fn for_tests(format: Format) -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    if let Some(bundle) = named(format) {
        return Ok(bundle);
    }
    let folder = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    folder.as_ref().map(|folder| file_in(folder, format)).map_err(|error| anyhow::anyhow!("{error}"))
}

/// A program that is built beside the running test, e.g. `trainer`.
///
/// # Errors
/// It cannot be built.
pub fn program(name: &str) -> Result<PathBuf> {
    for_tests(Format::Clap)?;
    let path = build_folder()?.join(format!("{name}{}", env::consts::EXE_SUFFIX));
    ensure!(path.exists(), "{} is missing; `cargo xtask bundle --dev` makes it", path.display());
    Ok(path)
}

fn file_in(folder: &Path, format: Format) -> PathBuf {
    folder.join("Tributary").with_extension(format.extension())
}

/// The folder with the programs of the running test's profile, `target/debug`.
fn build_folder() -> Result<PathBuf> {
    let test = env::current_exe().context("where is the running test?")?;
    let folder = test.ancestors().nth(2).context("a test lies in the build folder")?;
    Ok(folder.to_owned())
}

fn build() -> Result<PathBuf> {
    let target = build_folder()?.parent().context("the build folder lies in the target folder")?.to_owned();
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["xtask", "bundle", "--dev"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("CARGO_TARGET_DIR", &target)
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "`cargo xtask bundle --dev` failed: {status}");
    Ok(target.join("bundled-dev"))
}
