//! Decoded songs on the disk, for files that excerpts cannot be read from directly.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::Context;
use engine::audio::{AudioBuffer, Format, resample, to_stereo, write_wav};

use super::wav::{RATE, Wav};

/// Counted up whenever the same file would be decoded differently.
const VERSION: u32 = 1;

/// A folder of stereo WAV files at 44.1 kHz, one for each decoded track, named by its source's place and state, so
/// that a file which has changed since is decoded anew.
pub struct Cache {
    folder: PathBuf,
}

/// The reason why a decoded song could not be kept: the disk's fault, not the song's.
#[derive(Debug)]
pub struct CannotKeep(String);

impl std::fmt::Display for CannotKeep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Cache {
    /// Nothing is written before there is something to keep.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The decoded track `track` of `source`: what is in the cache if it is whole and newer than `source`; otherwise
    /// what `decode` gives, with its rate in Hz.
    ///
    /// # Errors
    /// What `decode` says; more than two channels; numbers that are not finite; [`CannotKeep`] when the disk is full.
    pub fn wav(
        &self,
        source: &Path,
        track: usize,
        decode: impl FnOnce() -> anyhow::Result<(AudioBuffer, u32)>,
    ) -> anyhow::Result<Wav> {
        let (place, state) = identity(source, track)?;
        let path = self.folder.join(format!("{place:016x}-{state:016x}.wav"));
        if path.exists()
            && let Ok(wav) = Wav::open(&path)
        {
            return Ok(wav);
        }
        let (audio, rate) = decode()?;
        let audio = to_stereo(audio)
            .and_then(|audio| resample(&audio, rate, RATE))
            .with_context(|| source.display().to_string())?;
        let peak =
            audio.iter().flatten().fold(0.0, |peak: f32, x| if x.abs() <= peak { peak } else { x.abs() });
        anyhow::ensure!(
            peak.is_finite(),
            "{} is damaged: it holds numbers that are not finite",
            source.display()
        );
        // Half a step of 16 bits is far below what training could notice; clipping is not.
        let format = if peak < 1.0 { Format::Int16 } else { Format::Float32 };
        let keep = || -> anyhow::Result<()> {
            std::fs::create_dir_all(&self.folder)?;
            self.remove_older(place, &path)?;
            Ok(write_wav(&path, &audio, RATE, format)?)
        };
        keep().with_context(|| {
            CannotKeep(format!(
                "cannot keep the decoded {} in {}; `data.cache` may name another folder",
                source.display(),
                self.folder.display()
            ))
        })?;
        Wav::open(&path)
    }

    /// What was decoded from an earlier state of the file, but not `current`: another process may just have written it.
    fn remove_older(&self, place: u64, current: &Path) -> std::io::Result<()> {
        let prefix = format!("{place:016x}-");
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(&prefix) && path != current {
                match std::fs::remove_file(&path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// What tells a track from all others, and what tells whether it has changed.
fn identity(source: &Path, track: usize) -> anyhow::Result<(u64, u64)> {
    let cannot_read = || format!("cannot read {}", source.display());
    let absolute = source.canonicalize().with_context(cannot_read)?;
    let metadata = source.metadata().with_context(cannot_read)?;
    let modified = metadata.modified().with_context(cannot_read)?;
    Ok((hash(&(absolute, track)), hash(&(metadata.len(), modified, VERSION))))
}

fn hash(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::{Duration, SystemTime};

    use super::*;

    fn level(level: f32) -> AudioBuffer {
        AudioBuffer::from_channels(vec![vec![level; 100]]).unwrap()
    }

    fn first(wav: &Wav) -> f32 {
        let mut sum = [vec![0.0], vec![0.0]];
        wav.add_excerpt(50, &mut sum).unwrap();
        assert_eq!(sum[0], sum[1]);
        sum[0][0]
    }

    #[test]
    fn files_are_decoded_once_and_again_when_they_or_the_cache_have_changed() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("song");
        std::fs::write(&source, b"one").unwrap();
        let cache = Cache::new(&folder.path().join("cache"));
        let decoded = Cell::new(0);
        let get = |x: f32| {
            let decode = || {
                decoded.set(decoded.get() + 1);
                Ok((level(x), 44_100))
            };
            first(&cache.wav(&source, 0, decode).unwrap())
        };
        assert_eq!((get(0.5), get(0.25), decoded.get()), (0.5, 0.5, 1));

        // Same size, later time.
        let later = SystemTime::now() + Duration::from_secs(5);
        std::fs::File::options().write(true).open(&source).unwrap().set_modified(later).unwrap();
        assert_eq!((get(0.25), get(0.5), decoded.get()), (0.25, 0.25, 2));
        let kept: Vec<_> =
            std::fs::read_dir(folder.path().join("cache")).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(kept.len(), 1, "the stale one is gone: {kept:?}");

        let cut = std::fs::read(&kept[0]).unwrap();
        std::fs::write(&kept[0], &cut[..cut.len() / 2]).unwrap();
        assert_eq!((get(0.125), decoded.get()), (0.125, 3));
        std::fs::remove_dir_all(folder.path().join("cache")).unwrap();
        assert_eq!((get(2.5), decoded.get()), (2.5, 4), "beyond full scale nothing is clipped");
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_not_the_songs_fault() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("song");
        std::fs::write(&source, b"one").unwrap();
        let cache = Cache::new(&source.join("inside a file"));
        let error = cache.wav(&source, 0, || Ok((level(0.5), 44_100))).unwrap_err();
        assert!(error.is::<CannotKeep>(), "{error:?}");
        let error = cache.wav(&source, 0, || anyhow::bail!("is no music")).unwrap_err();
        assert!(!error.is::<CannotKeep>(), "{error:?}");
    }
}
