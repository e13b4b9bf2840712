//! Laying out the CLAP and VST3 bundles, as each system wants them.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::setup;
use crate::workspace::{Products, Profile, Workspace};

/// The cards that a plugin can be built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Gpu {
    /// NVIDIA's.
    Cuda,
}

/// The plugins that are built from this repository; hosts may have both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edition {
    /// Runs everywhere.
    Usual,
    /// Loads only where an NVIDIA driver is.
    Cuda,
}

impl Edition {
    fn name(self) -> &'static str {
        match self {
            Edition::Usual => "Tributary",
            Edition::Cuda => "Tributary CUDA",
        }
    }

    fn identifier(self) -> &'static str {
        match self {
            Edition::Usual => "org.tributary.tributary",
            Edition::Cuda => "org.tributary.tributary-cuda",
        }
    }
}

/// Both formats of one build.
pub struct Bundles {
    /// The folder that holds the two.
    pub folder: PathBuf,
    /// A file on Linux and Windows, a folder on macOS.
    pub clap: PathBuf,
    /// A folder everywhere.
    pub vst3: PathBuf,
}

impl fmt::Display for Bundles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.clap.display(), self.vst3.display())
    }
}

/// `cargo xtask bundle`: builds the plugin and lays out both bundles.
///
/// # Errors
/// Something is missing, the build fails, or the bundles cannot be written.
pub fn run(workspace: &Workspace, profile: Profile) -> Result<Bundles> {
    setup::run()?;
    match profile {
        // With all that tests start from outside, and with the features that tests have.
        Profile::Dev => workspace.build_dev()?,
        Profile::Release => workspace.build_release(Products::Plugin)?,
    }
    lay_out(workspace, profile, Edition::Usual)
}

/// Lays out the bundles of a plugin that has been built.
///
/// # Errors
/// The bundles cannot be written, or the system has no known layout.
pub fn lay_out(workspace: &Workspace, profile: Profile, edition: Edition) -> Result<Bundles> {
    use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
    let name = edition.name();
    let library = workspace.built(profile, &format!("{DLL_PREFIX}plugin{DLL_SUFFIX}"));
    let folder = workspace.target.join(match profile {
        Profile::Dev => "bundled-dev",
        Profile::Release => "bundled",
    });
    let clap = folder.join(format!("{name}.clap"));
    let vst3 = folder.join(format!("{name}.vst3"));
    match std::env::consts::OS {
        "linux" => {
            replace_file(&library, &clap)?;
            let binary = format!("Contents/{}-linux/{name}.so", std::env::consts::ARCH);
            replace_file(&library, &vst3.join(binary))?;
        }
        "windows" => {
            let architecture = match std::env::consts::ARCH {
                "aarch64" => "arm64",
                other => other,
            };
            replace_file(&library, &clap)?;
            replace_file(&library, &vst3.join(format!("Contents/{architecture}-win/{name}.vst3")))?;
        }
        "macos" => {
            for bundle in [&clap, &vst3] {
                replace_file(&library, &bundle.join("Contents/MacOS").join(name))?;
                write_file(&bundle.join("Contents/PkgInfo"), b"BNDL????")?;
                write_file(&bundle.join("Contents/Info.plist"), info_plist(edition).as_bytes())?;
            }
        }
        other => bail!("no known layout of plugin bundles on {other}"),
    }
    Ok(Bundles { folder, clap, vst3 })
}

/// Copies a file into place so that whoever has the old one open or mapped keeps it whole.
///
/// # Errors
/// Names the file that cannot be read or written.
pub fn replace_file(from: &Path, to: &Path) -> Result<()> {
    in_place(to, |temporary| {
        fs::copy(from, temporary).map(drop).with_context(|| format!("cannot copy {}", from.display()))
    })
}

fn write_file(to: &Path, bytes: &[u8]) -> Result<()> {
    in_place(to, |temporary| fs::write(temporary, bytes).context("cannot write"))
}

fn in_place(to: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let folder = to.parent().context("a file needs a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut name = to.file_name().context("a file needs a name")?.to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = folder.join(name);
    write(&temporary)
        .and_then(|()| fs::rename(&temporary, to).context("cannot rename"))
        .inspect_err(|_| {
            // The failure to report is the one above.
            let _ = fs::remove_file(&temporary);
        })
        .with_context(|| format!("{} was not replaced", to.display()))
}

fn info_plist(edition: Edition) -> String {
    let (name, identifier) = (edition.name(), edition.identifier());
    let version = env!("CARGO_PKG_VERSION");
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>CFBundleExecutable</key><string>{name}</string>
  <key>CFBundleIdentifier</key><string>{identifier}</string>
  <key>CFBundleName</key><string>{name}</string>
  <key>CFBundleDisplayName</key><string>{name}</string>
  <key>CFBundlePackageType</key><string>BNDL</string>
  <key>CFBundleSignature</key><string>????</string>
  <key>CFBundleInfoDictionaryVersion</key><string>6.0</string>
  <key>CFBundleShortVersionString</key><string>{version}</string>
  <key>CFBundleVersion</key><string>{version}</string>
  <key>NSHighResolutionCapable</key><true/>
</dict>
</plist>
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_stays_whole_for_those_who_have_it_open() {
        let folder = std::env::temp_dir().join(format!("tributary-bundle-{}", std::process::id()));
        let target = folder.join("a/b/plugin");
        write_file(&target, b"old").unwrap();
        let mut open = fs::File::open(&target).unwrap();
        write_file(&folder.join("source"), b"new").unwrap();
        replace_file(&folder.join("source"), &target).unwrap();
        let mut old = String::new();
        std::io::Read::read_to_string(&mut open, &mut old).unwrap();
        assert_eq!(old, "old");
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.join("a/b")).unwrap().count(), 1, "no temporary file is left");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_missing_library_is_named_and_leaves_the_old_bundle_alone() {
        let folder = std::env::temp_dir().join(format!("tributary-missing-{}", std::process::id()));
        let target = folder.join("plugin");
        write_file(&target, b"old").unwrap();
        let error = replace_file(&folder.join("absent.so"), &target).unwrap_err();
        assert!(format!("{error:#}").contains("absent.so"), "{error:#}");
        assert_eq!(fs::read(&target).unwrap(), b"old");
        fs::remove_dir_all(folder).unwrap();
    }
}
