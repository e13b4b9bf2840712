//! The stem files of one song, written as the stems come.

use std::ops::Range;
use std::path::Path;

use engine::audio::{AudioBuffer, Format, Writer};
use engine::{Error, Result, STEMS, Stem};

/// The files; they get their names at the end, so that a song that fails half-way leaves none.
pub struct Outputs {
    stems: Vec<(Stem, Writer)>,
    rest: Option<Writer>,
}

impl Outputs {
    /// Starts `folder`/<stem>.<extension> for each of `stems`, and `folder`/rest.<extension> for the sum of the
    /// others if `rest` is asked for. `frames`, where known, is how many will come.
    ///
    /// # Errors
    /// The folder cannot be made or written to; the format cannot hold the song.
    pub fn create(
        folder: &Path,
        stems: &[Stem],
        rest: bool,
        sample_rate: u32,
        format: Format,
        frames: Option<u64>,
    ) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let start = |name: &str| {
            let path = folder.join(name).with_extension(format.extension());
            Writer::create(&path, 2, sample_rate, format, frames)
        };
        let chosen = Stem::ALL.into_iter().filter(|stem| stems.contains(stem));
        Ok(Self {
            stems: chosen.map(|stem| Ok((stem, start(stem.name())?))).collect::<Result<_>>()?,
            rest: rest.then(|| start("rest")).transpose()?,
        })
    }

    /// Appends some frames of a hop of stems, `[STEMS][2][hop]`.
    ///
    /// # Errors
    /// The disk is full.
    pub fn push(&mut self, hops: &[AudioBuffer; STEMS], frames: Range<usize>) -> Result<()> {
        for (stem, writer) in &mut self.stems {
            writer.push(&hops[*stem as usize], frames.clone())?;
        }
        if let Some(writer) = &mut self.rest {
            let mut sum = AudioBuffer::new(2, hops[0].frames());
            for stem in Stem::ALL.into_iter().filter(|stem| self.stems.iter().all(|(s, _)| s != stem)) {
                for (sum, hop) in sum.iter_mut().zip(hops[stem as usize].iter()) {
                    sum.iter_mut().zip(hop).for_each(|(sum, x)| *sum += x);
                }
            }
            writer.push(&sum, frames)?;
        }
        Ok(())
    }

    /// Completes all files.
    ///
    /// # Errors
    /// The disk is full.
    pub fn finish(self) -> Result<()> {
        self.stems.into_iter().map(|(_, writer)| writer).chain(self.rest).try_for_each(Writer::finish)
    }
}
