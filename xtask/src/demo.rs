//! The headless host: a song goes in, stems, figures and pictures come out.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::{Products, Profile, Workspace, run as run_program};
use crate::{bundle, setup};

/// Length and seed of the song that `trainer synth` makes. Its four stems are about as loud as each other, and neither the training
/// nor the validation of the embedded checkpoint has seen it.
const SONG_SECONDS: &str = "20";
const SONG_SEED: &str = "100";

/// `cargo xtask demo [SONG]`.
///
/// # Errors
/// Something cannot be built, the song cannot be read, or the host fails.
pub fn run(workspace: &Workspace, song: Option<PathBuf>) -> Result<()> {
    if let Some(song) = &song
        && !song.exists()
    {
        bail!("no such song: {}", song.display());
    }
    let bundles = build(workspace)?;
    let folder = workspace.target.join("demo");
    let song = match song {
        Some(song) => song,
        None => make_song(workspace, &folder.join("song"))?,
    };
    let (mixture, references) = parts_of(&song)?;
    let mut host = Command::new(workspace.program(Profile::Release, "host"));
    host.args(["--format", "clap", "--offline", "--block", "512"]);
    host.arg("--bundle").arg(&bundles.clap);
    host.arg("--input").arg(mixture).arg("--output").arg(&folder);
    host.arg("--spectrograms").arg(folder.join("spectrograms.png"));
    host.arg("--json").arg(folder.join("report.json"));
    if let Some(references) = references {
        host.arg("--references").arg(references);
    }
    run_program(&mut host, "the host")
}

/// `cargo xtask host ...`: bundles unless told which bundle to load, then passes everything on.
///
/// # Errors
/// Something cannot be built, or the host fails.
pub fn host(workspace: &Workspace, arguments: Vec<OsString>) -> Result<()> {
    let starts = |argument: &OsString, with: &str| argument.to_string_lossy().starts_with(with);
    let told = |option: &str| arguments.iter().any(|argument| starts(argument, option));
    let mut host = Command::new(workspace.program(Profile::Release, "host"));
    if told("--bundle") || told("--help") || told("-h") {
        setup::run()?;
        workspace.build_release(Products::All)?;
    } else {
        host.env("TRIBUTARY_BUNDLES", build(workspace)?.folder);
    }
    run_program(host.args(arguments), "the host")
}

fn build(workspace: &Workspace) -> Result<bundle::Bundles> {
    setup::run()?;
    workspace.build_release(Products::All)?;
    bundle::lay_out(workspace, Profile::Release, bundle::Edition::Usual)
}

fn make_song(workspace: &Workspace, folder: &Path) -> Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot replace {}", folder.display()))?;
    }
    let mut trainer = Command::new(workspace.program(Profile::Release, "trainer"));
    trainer.args(["synth", "--songs", "1", "--seconds", SONG_SECONDS, "--seed", SONG_SEED, "-o"]).arg(folder);
    run_program(&mut trainer, "trainer synth")?;
    find_song(folder)?
        .with_context(|| format!("trainer synth left no mixture.wav under {}", folder.display()))
}

/// The first folder at or under `folder` that has a mixture.
fn find_song(folder: &Path) -> Result<Option<PathBuf>> {
    if folder.join("mixture.wav").exists() {
        return Ok(Some(folder.to_owned()));
    }
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut folders: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
    folders.sort();
    for folder in folders {
        if let Some(song) = find_song(&folder)? {
            return Ok(Some(song));
        }
    }
    Ok(None)
}

/// The mixture, and the folder with the true stems if there are any.
fn parts_of(song: &Path) -> Result<(PathBuf, Option<PathBuf>)> {
    if !song.is_dir() {
        return Ok((song.to_owned(), None));
    }
    let mixture = song.join("mixture.wav");
    if !mixture.exists() {
        bail!("{} has no mixture.wav", song.display());
    }
    let has_stems = ["drums", "bass", "other", "vocals"]
        .iter()
        .any(|stem| song.join(stem).with_extension("wav").exists());
    Ok((mixture, has_stems.then(|| song.to_owned())))
}
