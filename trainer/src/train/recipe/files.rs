//! Which files a folder's songs consist of, and which of its songs are kept from training.

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use engine::Stem;

use super::ensure;

/// The files that make up each stem, inside a song's folder. The files of a list are added together. A `*` in a file
/// name stands for any characters, so that `drums/*.wav` is every WAV file in the song's drums folder. An empty list
/// says that the songs have no such stem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StemFiles {
    /// drums.wav if not given.
    pub drums: Names,
    /// bass.wav if not given.
    pub bass: Names,
    /// other.wav if not given.
    pub other: Names,
    /// vocals.wav if not given.
    pub vocals: Names,
}

/// One file name, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Names(pub Vec<String>);

impl Default for StemFiles {
    fn default() -> Self {
        let [drums, bass, other, vocals] = Stem::ALL.map(|stem| Names(vec![format!("{stem}.wav")]));
        Self { drums, bass, other, vocals }
    }
}

impl StemFiles {
    /// One stem's file names.
    pub fn of(&self, stem: Stem) -> &[String] {
        match stem {
            Stem::Drums => &self.drums.0,
            Stem::Bass => &self.bass.0,
            Stem::Other => &self.other.0,
            Stem::Vocals => &self.vocals.0,
        }
    }

    /// What is wrong with the values, in the user's words.
    pub fn check(&self) -> Result<(), String> {
        let mut names = Stem::ALL.iter().flat_map(|stem| self.of(*stem)).peekable();
        ensure(names.peek().is_some(), "`files` must name at least one file")?;
        let stays_inside = |name: &String| {
            let folders = name.rsplit_once('/').map_or("", |(folders, _)| folders);
            !name.contains('\\')
                && !folders.contains('*')
                && name.split('/').all(|part| !part.is_empty() && part != "..")
        };
        ensure(
            names.all(stays_inside),
            "`files` must be names relative to a song's folder, such as \"stems/drums.wav\" or \"drums/*.wav\"",
        )
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Names;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a file name or a list of file names")
            }

            fn visit_str<E>(self, name: &str) -> Result<Names, E> {
                Ok(Names(vec![name.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

/// Songs that are never trained on, so that `validation.source = { kind = "hold_out" }` can measure on them: so many
/// by the seed's choice, or those with these names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HoldOut {
    /// How many songs.
    pub songs: usize,
    /// Which ones: another seed chooses others. The choice depends on the songs' names alone, so that it stays the
    /// same wherever the folder lies, and whatever the run's own seed is.
    pub seed: u64,
    /// Names of songs: their folders' names, or their files' without .stem.mp4.
    pub names: Vec<String>,
}

impl HoldOut {
    /// What is wrong with the values, in the user's words.
    pub fn check(&self) -> Result<(), String> {
        ensure(
            self.songs == 0 || self.names.is_empty(),
            "`hold_out` takes either a number of `songs` or their `names`, not both",
        )
    }

    /// Whether any song is held out.
    pub fn is_some(&self) -> bool {
        self.songs > 0 || !self.names.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stem_may_be_one_file_or_several_or_none() {
        let files: StemFiles =
            toml::from_str("drums = ['kick.wav', 'snare/*.flac']\nbass = 'b.mp3'\nother = []").unwrap();
        assert_eq!(files.of(Stem::Drums), ["kick.wav", "snare/*.flac"]);
        assert_eq!(files.of(Stem::Bass), ["b.mp3"]);
        assert!(files.of(Stem::Other).is_empty());
        assert_eq!(files.of(Stem::Vocals), ["vocals.wav"]);
        files.check().unwrap();
        let error = toml::from_str::<StemFiles>("drums = 3").unwrap_err().to_string();
        assert!(error.contains("a file name or a list of file names"), "{error}");
        for outside in ["../x.wav", "/etc/passwd", "a//b", "*/x.wav", ""] {
            let bass = Names(vec![outside.into()]);
            assert!(StemFiles { bass, ..StemFiles::default() }.check().is_err(), "{outside}");
        }
    }
}
