//! Copying the bundles to where the user's DAWs look.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::bundle;
use crate::workspace::{Profile, Workspace};

/// `cargo xtask install`: bundles, then copies for the current user.
///
/// # Errors
/// The build fails, the user has no known home, or a folder cannot be written.
pub fn run(workspace: &Workspace) -> Result<()> {
    let bundles = bundle::run(workspace, Profile::Release)?;
    let [clap, vst3] = plugin_folders()?;
    for (bundle, folder) in [(&bundles.clap, clap), (&bundles.vst3, vst3)] {
        let to = folder.join(bundle.file_name().context("a bundle has a name")?);
        copy(bundle, &to)?;
        println!("{}", to.display());
    }
    Ok(())
}

/// The current user's folders for CLAP and VST3.
fn plugin_folders() -> Result<[PathBuf; 2]> {
    let folder = |variable: &str| {
        std::env::var_os(variable)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
            .with_context(|| format!("{variable} is not set, so the user's plugin folders are unknown"))
    };
    Ok(match std::env::consts::OS {
        "linux" => {
            let home = folder("HOME")?;
            [home.join(".clap"), home.join(".vst3")]
        }
        "macos" => {
            let plugins = folder("HOME")?.join("Library/Audio/Plug-Ins");
            [plugins.join("CLAP"), plugins.join("VST3")]
        }
        "windows" => {
            let common = folder("LOCALAPPDATA")?.join("Programs").join("Common");
            [common.join("CLAP"), common.join("VST3")]
        }
        other => bail!("no known plugin folders on {other}"),
    })
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        return bundle::replace_file(from, to);
    }
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry.with_context(|| format!("cannot read {}", from.display()))?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}
