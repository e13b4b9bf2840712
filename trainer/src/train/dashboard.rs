//! What a run shows in TensorBoard, and under which names.

use std::path::Path;

use engine::Stem;

use super::learner::{Learnt, SAMPLE_RATE};
use super::measure::Heard;
use super::recipe::{self, Recipe};
use super::tensorboard::{Board, Value, picture, sound};
use crate::metrics::plain_sdr::Report;

/// The run's curves, sounds and pictures.
pub struct Dashboard {
    board: Board,
    config: recipe::Tensorboard,
    /// Names of the loss's terms; none if there is only one.
    terms: Vec<&'static str>,
    steps_per_epoch: u64,
    /// Whether mixture and targets, which never change, have been shown since this start.
    shown: bool,
}

impl Dashboard {
    /// Begins a new event file in the run's folder, `done` steps into the run.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn open(folder: &Path, recipe: &Recipe, done: u64) -> anyhow::Result<Self> {
        let terms: Vec<_> = recipe.loss.terms.iter().map(|term| term.kind.name()).collect();
        Ok(Self {
            board: Board::open(folder, done)?,
            config: recipe.tensorboard.clone(),
            terms: if terms.len() > 1 { terms } else { Vec::new() },
            steps_per_epoch: recipe.steps_per_epoch,
            shown: false,
        })
    }

    /// The curves of a step. `step` is the number of steps done; throughput is in seconds of audio per second, and
    /// `waited` the share of the time that went into waiting for data.
    pub fn step(&mut self, step: u64, learnt: &Learnt, throughput: f64, waited: f64) -> anyhow::Result<()> {
        let mut values = vec![
            Value::scalar("loss/train", f64::from(learnt.loss)),
            Value::scalar("learning_rate", learnt.rate),
            Value::scalar("gradient_norm", learnt.gradient_norm),
            Value::scalar("speed/audio_seconds_per_second", throughput),
            Value::scalar("speed/share_waited_for_data", waited),
        ];
        let terms = self.terms.iter().zip(&learnt.terms);
        values
            .extend(terms.map(|(name, term)| Value::scalar(format!("loss/train_{name}"), f64::from(*term))));
        if self.steps_per_epoch > 0 {
            values.push(Value::scalar("epoch", step as f64 / self.steps_per_epoch as f64));
        }
        self.board.write(step, values)
    }

    /// The results of validation number `validation`, counted from 1, and what the first song sounds and looks like.
    pub fn validation(
        &mut self,
        step: u64,
        validation: u64,
        report: &Report,
        loss: Option<f64>,
        heard: Option<&Heard>,
    ) -> anyhow::Result<()> {
        let by_stem = report.separated.by_stem();
        let mut curves = vec![("sdr/mean".to_owned(), report.separated.mean())];
        curves.extend(Stem::ALL.iter().map(|stem| (format!("sdr/{stem}"), by_stem[*stem as usize])));
        curves.extend(loss.map(|loss| ("loss/validation".to_owned(), loss)));
        // A stem that no held-out song has has no SDR.
        curves.retain(|(_, value)| value.is_finite());
        let values = curves.into_iter().map(|(tag, value)| Value::scalar(tag, value)).collect();
        self.board.write(step, values)?;
        let due = self.config.media_every > 0 && (validation - 1).is_multiple_of(self.config.media_every);
        match heard {
            Some(heard) if due => self.media(step, heard),
            _ => Ok(()),
        }
    }

    fn media(&mut self, step: u64, heard: &Heard) -> anyhow::Result<()> {
        let frames = (self.config.media_seconds * SAMPLE_RATE as f32) as usize;
        if !self.shown {
            let mut values = vec![
                sound("mixture", &heard.mixture, frames)?,
                picture("spectrogram/mixture", &[&heard.mixture], frames)?,
            ];
            for (stem, target) in Stem::ALL.iter().zip(&heard.targets) {
                values.push(sound(&format!("{stem}/target"), target, frames)?);
            }
            self.board.write(step, values)?;
            self.shown = true;
        }
        for ((stem, estimate), target) in Stem::ALL.iter().zip(&heard.estimates).zip(&heard.targets) {
            let values = vec![
                sound(&format!("{stem}/prediction"), estimate, frames)?,
                picture(&format!("spectrogram/{stem}_target_above_prediction"), &[target, estimate], frames)?,
            ];
            self.board.write(step, values)?;
        }
        Ok(())
    }
}
