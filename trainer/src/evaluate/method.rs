//! What is evaluated: checkpoints, and baselines that say what their figures are worth.

use anyhow::Context;
use engine::STEMS;
use engine::audio::AudioBuffer;
use engine::checkpoint::Checkpoint;
use engine::device::Picked;
use engine::separator::{at_rate, offline};

use super::dataset::SongAudio;
use super::{irm, stem_files};
use crate::{device, embedded};

/// One way to stems.
pub struct Method {
    /// As the user called it.
    pub name: String,
    kind: Kind,
}

enum Kind {
    /// Doing nothing: the mixture is taken for each stem.
    Mixture,
    /// See [`irm`].
    Irm,
    Checkpoint(Box<Checkpoint>, Picked),
}

impl Method {
    /// `mixture`, `irm`, `live`, `studio`, or a checkpoint file, whose network runs where `device` has picked.
    ///
    /// # Errors
    /// The checkpoint cannot be read, or not be run, or not on the card that was asked for by name.
    pub fn new(name: &str, device: device::Args, picked: &Picked) -> anyhow::Result<Self> {
        let kind = match name {
            stem_files::MIXTURE => Kind::Mixture,
            "irm" => Kind::Irm,
            name => {
                let checkpoint = embedded::checkpoint(name)?;
                let picked = device
                    .for_checkpoint(picked, &checkpoint)
                    .with_context(|| format!("{name} cannot be run on that device"))?;
                checkpoint
                    .separator_on(&picked.device)
                    .with_context(|| format!("{name} cannot be run as a separator"))?;
                Kind::Checkpoint(Box::new(checkpoint), picked)
            }
        };
        Ok(Self { name: name.to_owned(), kind })
    }

    /// What it is, for reports.
    pub fn description(&self) -> String {
        match &self.kind {
            Kind::Mixture => "the mixture taken for each stem".into(),
            Kind::Irm => irm::DEFINITION.into(),
            Kind::Checkpoint(..) => "the separator that the plugin runs, offline".into(),
        }
    }

    /// Where its network runs and why, if it has one.
    pub fn device(&self) -> Option<&str> {
        match &self.kind {
            Kind::Mixture | Kind::Irm => None,
            Kind::Checkpoint(_, picked) => Some(&picked.why),
        }
    }

    /// Separates a song; `progress` hears how many frames of the mixture are done.
    ///
    /// # Errors
    /// The separator's.
    pub fn separate(
        &self,
        song: &SongAudio,
        mut progress: impl FnMut(usize),
    ) -> anyhow::Result<[AudioBuffer; STEMS]> {
        let stems = match &self.kind {
            Kind::Mixture => std::array::from_fn(|_| song.mixture.clone()),
            Kind::Irm => irm::separate(&song.mixture, &song.stems),
            Kind::Checkpoint(checkpoint, Picked { device, .. }) => {
                let mut separator = at_rate(checkpoint.separator_on(device)?, song.sample_rate)?.separator;
                offline::separate(&mut separator, &song.mixture, |done, _| progress(done))?
            }
        };
        progress(song.mixture.frames());
        Ok(stems)
    }
}
