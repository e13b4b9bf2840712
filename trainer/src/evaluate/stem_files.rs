//! The stem files of one song: finding them in its folder, and reading them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use engine::Stem;
use engine::audio::{AudioBuffer, Reader};

/// Files with other endings may lie in a song's folder without being taken for stems.
const ENDINGS: [&str; 4] = ["wav", "flac", "aif", "aiff"];

/// The file that is no stem but their sum.
pub const MIXTURE: &str = "mixture";

/// The audio files of a folder by their name without its ending; the four stems first, in their order.
///
/// # Errors
/// The folder cannot be read, or two files have the same name.
pub fn find(folder: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let fail = || format!("cannot open the folder {}", folder.display());
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).with_context(fail)? {
        let path = entry.with_context(fail)?.path();
        let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default().to_lowercase();
        let Some(name) = path.file_stem().and_then(OsStr::to_str) else { continue };
        if name.starts_with('.') || !ENDINGS.contains(&ending.as_str()) || !path.is_file() {
            continue;
        }
        if let Some(other) = found.insert(name.to_owned(), path.clone()) {
            bail!("{} and {} are both called {name}: remove one", other.display(), path.display());
        }
    }
    let mut files: Vec<(String, PathBuf)> = found.into_iter().collect();
    // A stable sort: other stems stay in alphabetical order.
    files.sort_by_key(|(name, _)| Stem::ALL.iter().position(|s| s.name() == name).unwrap_or(usize::MAX));
    Ok(files)
}

/// The first `limit` frames of a file, and its rate in Hz.
///
/// # Errors
/// Not readable, or with samples that are no numbers.
pub fn read(path: &Path, limit: usize) -> anyhow::Result<(AudioBuffer, u32)> {
    let mut reader = Reader::open(path)?;
    let mut channels = vec![Vec::new(); reader.channels()];
    while channels[0].len() < limit {
        let Some(block) = reader.next_block()? else { break };
        for (channel, block) in channels.iter_mut().zip(block.iter()) {
            let there = limit.saturating_sub(channel.len()).min(block.len());
            channel.extend_from_slice(&block[..there]);
        }
    }
    ensure!(!channels[0].is_empty(), "{} holds no audio", path.display());
    ensure!(
        channels.iter().flatten().all(|x| x.is_finite()),
        "{} holds samples that are no numbers (NaN or infinite)",
        path.display()
    );
    let audio = AudioBuffer::from_channels(channels).unwrap_or_default();
    Ok((audio, reader.sample_rate()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stems_come_in_their_order_and_other_files_are_no_stems() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["vocals.wav", "piano.flac", "drums.WAV", "bass.flac", "notes.txt", ".hidden.wav"] {
            std::fs::write(folder.path().join(name), b"x").unwrap();
        }
        let names = || find(folder.path()).map(|files| files.into_iter().map(|f| f.0).collect::<Vec<_>>());
        assert_eq!(names().unwrap(), ["drums", "bass", "vocals", "piano"]);
        std::fs::write(folder.path().join("bass.wav"), b"x").unwrap();
        let error = names().unwrap_err().to_string();
        assert!(error.contains("bass.wav") && error.contains("bass.flac"), "{error}");
    }
}
