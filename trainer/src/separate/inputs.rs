//! Which songs there are, where their stems go, and their mixtures as hops.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use engine::audio::{AudioBuffer, Reader, to_stereo};

use crate::exit::WrongUse;

/// What audio files are called when a folder is searched.
const EXTENSIONS: [&str; 11] =
    ["wav", "wave", "flac", "mp3", "ogg", "oga", "m4a", "mp4", "aac", "aif", "aiff"];

/// A song to be separated.
#[derive(Debug, PartialEq, Eq)]
pub struct Song {
    /// Its mixture.
    pub input: PathBuf,
    /// Where its stems go.
    pub folder: PathBuf,
}

/// All songs that the inputs name, each with a folder of its own below `output`.
///
/// # Errors
/// Two songs would overwrite each other's stems; a folder cannot be read, or has no song.
pub fn find(inputs: &[PathBuf], output: &Path) -> anyhow::Result<Vec<Song>> {
    let mut songs = Vec::new();
    for input in inputs {
        if input.is_dir() {
            let before = songs.len();
            search(input, output, &mut songs)?;
            ensure!(
                songs.len() > before,
                "there is no audio file in {}; these are looked for: {}",
                input.display(),
                EXTENSIONS.join(", ")
            );
        } else {
            songs.push(Song { input: input.clone(), folder: output.join(song_name(input)?) });
        }
    }
    let mut seen: HashMap<&Path, &Path> = HashMap::new();
    for Song { input, folder } in &songs {
        if let Some(first) = seen.insert(folder, input) {
            bail!(WrongUse(format!(
                "{} and {} would both be written to {}: separate them one at a time",
                first.display(),
                input.display(),
                folder.display()
            )));
        }
    }
    Ok(songs)
}

/// The songs in a folder and below it, by name.
fn search(folder: &Path, output: &Path, songs: &mut Vec<Song>) -> anyhow::Result<()> {
    let fail = || format!("cannot list the folder {}", folder.display());
    let mut entries = std::fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|e| e.path())).collect::<Result<Vec<_>, _>>())
        .with_context(fail)?;
    entries.sort();
    let is_audio = |path: &Path| {
        let extension = path.extension().and_then(|e| e.to_str()).map(str::to_lowercase);
        path.is_file() && extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
    };
    // What lies beside a mixture are its stems.
    if let Some(mixture) = entries.iter().find(|path| is_mixture(path) && is_audio(path)) {
        songs.push(Song { input: mixture.clone(), folder: output.join(song_name(mixture)?) });
        return Ok(());
    }
    for entry in &entries {
        if entry.is_dir() {
            let has_mixture = std::fs::read_dir(entry)
                .is_ok_and(|mut inside| inside.any(|e| e.is_ok_and(|e| is_mixture(&e.path()))));
            // A song's folder is named by its mixture already.
            let below = if has_mixture {
                output.to_owned()
            } else {
                output.join(entry.file_name().unwrap_or_default())
            };
            search(entry, &below, songs)?;
        } else if is_audio(entry) {
            songs.push(Song { input: entry.clone(), folder: output.join(song_name(entry)?) });
        }
    }
    Ok(())
}

fn is_mixture(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem == "mixture")
}

/// The file's name without its extension; for MUSDB's mixture.wav, its folder's name.
fn song_name(input: &Path) -> anyhow::Result<String> {
    let own = input.file_stem().with_context(|| WrongUse(format!("{} is no file", input.display())))?;
    let folder = input.parent().and_then(Path::file_name).filter(|_| is_mixture(input));
    Ok(folder.unwrap_or(own).to_string_lossy().into_owned())
}

/// A mixture that is read hop by hop, as stereo.
pub struct Mixture {
    reader: Reader,
    path: PathBuf,
    /// The block that was read last, and how many of its frames are used up.
    block: AudioBuffer,
    used: usize,
}

impl Mixture {
    /// Opens a file.
    ///
    /// # Errors
    /// It cannot be read, or has more than two channels.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let reader = Reader::open(path)?;
        to_stereo(AudioBuffer::new(reader.channels(), 0)).with_context(|| path.display().to_string())?;
        Ok(Self { reader, path: path.to_owned(), block: AudioBuffer::new(2, 0), used: 0 })
    }

    /// Hz.
    pub fn sample_rate(&self) -> u32 {
        self.reader.sample_rate()
    }

    /// Frames in the file, as its header says; an estimate for MP3.
    pub fn frames(&self) -> Option<u64> {
        self.reader.frames()
    }

    /// Fills a hop, `[2][hop]`, from its start; the number of frames, less than a hop at the end.
    ///
    /// # Errors
    /// The file is damaged or cut off.
    pub fn fill(&mut self, hop: &mut AudioBuffer) -> engine::Result<usize> {
        let mut filled = 0;
        while filled < hop.frames() {
            if self.used == self.block.frames() {
                let Some(block) = self.reader.next_block()? else {
                    if filled == 0 && self.used == 0 {
                        let reason = "holds no audio".to_owned();
                        return Err(engine::Error::Audio { path: self.path.clone(), reason });
                    }
                    break;
                };
                (self.block, self.used) = (to_stereo(block)?, 0);
            }
            let count = (hop.frames() - filled).min(self.block.frames() - self.used);
            for (hop, block) in hop.iter_mut().zip(self.block.iter()) {
                hop[filled..filled + count].copy_from_slice(&block[self.used..self.used + count]);
            }
            filled += count;
            self.used += count;
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_song_is_named_after_its_file_or_after_the_folder_of_its_mixture() {
        let name = |path: &str| song_name(Path::new(path));
        assert_eq!(name("a/Song one.flac").unwrap(), "Song one");
        assert_eq!(name("a/Artist - Title/mixture.wav").unwrap(), "Artist - Title");
        assert_eq!(name("mixture.wav").unwrap(), "mixture");
        assert!(name("/").unwrap_err().is::<WrongUse>());
    }

    #[test]
    fn two_inputs_never_write_to_the_same_folder() {
        let folders = |names: &[&str]| -> anyhow::Result<Vec<PathBuf>> {
            let inputs: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
            Ok(find(&inputs, Path::new("out"))?.into_iter().map(|song| song.folder).collect())
        };
        assert_eq!(folders(&["a/x.wav", "a/y.wav"]).unwrap(), [Path::new("out/x"), Path::new("out/y")]);
        let error = folders(&["a/x.wav", "b/x.mp3"]).unwrap_err();
        assert!(error.is::<WrongUse>() && error.to_string().contains("out/x"));
    }

    #[test]
    fn a_folder_gives_its_mixtures_and_other_songs_but_no_stems() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["test/A/mixture.wav", "test/A/drums.wav", "B.FLAC", "notes.txt", "album/C.mp3"];
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        let songs = find(&[folder.path().to_owned()], Path::new("out")).unwrap();
        let found: Vec<_> = songs
            .iter()
            .map(|song| (song.input.strip_prefix(folder.path()).unwrap(), song.folder.as_path()))
            .collect();
        let wanted =
            [("B.FLAC", "out/B"), ("album/C.mp3", "out/album/C"), ("test/A/mixture.wav", "out/test/A")];
        assert_eq!(found, wanted.map(|(input, folder)| (Path::new(input), Path::new(folder))));
        std::fs::create_dir(folder.path().join("empty")).unwrap();
        let error = find(&[folder.path().join("empty")], Path::new("out")).unwrap_err().to_string();
        assert!(error.contains("no audio file") && error.contains("flac"), "{error}");
    }
}
