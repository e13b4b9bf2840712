//! Where things lie, and how programs are called.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The two ways to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Optimised, with debug assertions: for tests.
    Dev,
    /// What users get.
    Release,
}

impl Profile {
    /// cargo's folder under the target folder.
    fn folder(self) -> &'static str {
        match self {
            Profile::Dev => "debug",
            Profile::Release => "release",
        }
    }
}

/// How much of a release is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Products {
    /// The plugin only.
    Plugin,
    /// The plugin, and the programs `host` and `trainer`.
    All,
}

/// A program ended with a failure; it has already said why.
#[derive(Debug)]
pub struct Failed {
    what: String,
    /// Its exit code, to be passed on.
    pub code: u8,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed (exit code {})", self.what, self.code)
    }
}

impl std::error::Error for Failed {}

/// The repository and its build folder.
pub struct Workspace {
    /// The folder with the workspace's Cargo.toml.
    pub root: PathBuf,
    /// Where cargo builds: `CARGO_TARGET_DIR`, or `target` in the root.
    pub target: PathBuf,
}

impl Workspace {
    /// Finds the repository that this program was built from.
    ///
    /// # Errors
    /// The repository has been moved or deleted since.
    pub fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let root = root
            .canonicalize()
            .with_context(|| format!("no repository at {}; run `cargo xtask` inside one", root.display()))?;
        let target = match std::env::var_os("CARGO_TARGET_DIR").filter(|folder| !folder.is_empty()) {
            Some(folder) => std::path::absolute(&folder)
                .with_context(|| format!("CARGO_TARGET_DIR is {}", Path::new(&folder).display()))?,
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// A cargo command, to be run in the root.
    pub fn cargo<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(arguments).current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
        command
    }

    /// Builds what users get. The packages are always the same ones, built in one go: with others, shared
    /// dependencies would get other features, and be built once more.
    ///
    /// # Errors
    /// cargo fails.
    pub fn build_release(&self, what: Products) -> Result<()> {
        let mut command = self.cargo(["build", "--release"]);
        command.args(["--package", "plugin", "--package", "tests", "--package", "trainer"]);
        if what == Products::Plugin {
            command.arg("--lib");
        }
        run(&mut command, "cargo build")
    }

    /// Builds every package for tests.
    ///
    /// # Errors
    /// cargo fails.
    pub fn build_dev(&self) -> Result<()> {
        run(&mut self.cargo(["build", "--workspace"]), "cargo build")
    }

    /// The path of a file that cargo has built.
    pub fn built(&self, profile: Profile, file: &str) -> PathBuf {
        self.target.join(profile.folder()).join(file)
    }

    /// The path of a program that cargo has built.
    pub fn program(&self, profile: Profile, name: &str) -> PathBuf {
        self.built(profile, &format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }
}

/// Runs a command to its end, with its output going where ours goes.
///
/// # Errors
/// It cannot be started, or it ends with a failure ([`Failed`]).
pub fn run(command: &mut Command, what: &str) -> Result<()> {
    let program = command.get_program().to_owned();
    let status =
        command.status().with_context(|| format!("cannot start {}", Path::new(&program).display()))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    ensure!(status.success(), Failed { what: what.to_owned(), code: code.max(1) });
    Ok(())
}

/// Whether a program can be run and ends well; its output is hidden.
pub fn succeeds(program: impl AsRef<OsStr>, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}
