//! `--device`: the flag that several commands share.

use anyhow::ensure;
use candle_core::Device;
use engine::checkpoint::Checkpoint;
use engine::device::{DeviceChoice, Picked, pick};

use crate::exit::WrongUse;

/// Where the network runs.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Args {
    /// Where the network runs: auto, cpu, cuda, cuda:N or metal; auto takes a card if this build and machine have one.
    #[arg(long, value_name = "DEVICE", default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
}

impl Args {
    /// For inference.
    ///
    /// # Errors
    /// The card that was asked for is not there.
    pub fn pick(self) -> anyhow::Result<Picked> {
        Ok(pick(self.device)?)
    }

    /// What [`Self::pick`] has picked, or the CPU if it is a card that cannot run this checkpoint's network.
    ///
    /// # Errors
    /// The card was asked for by name.
    pub fn for_checkpoint(self, picked: &Picked, checkpoint: &Checkpoint) -> anyhow::Result<Picked> {
        if picked.device.is_cpu() || checkpoint.runs_on_cards() {
            return Ok(picked.clone());
        }
        let why = format!("a {} runs hop by hop, on the CPU only", checkpoint.header().architecture.name());
        ensure!(
            self.device == DeviceChoice::Auto,
            WrongUse(format!("--device {}: {why}; say cpu or auto", self.device))
        );
        Ok(Picked { device: Device::Cpu, why: format!("cpu: {why}") })
    }

    /// For training, which runs on the CPU only: backward passes and the optimiser work on its memory.
    ///
    /// # Errors
    /// A card was asked for.
    pub fn pick_for_training(self) -> anyhow::Result<Picked> {
        if self.device == DeviceChoice::Auto {
            return Ok(Picked { device: Device::Cpu, why: "cpu: training does not run on cards".into() });
        }
        let picked = self.pick()?;
        ensure!(
            picked.device.is_cpu(),
            WrongUse(format!("--device {}: training does not run on cards; say cpu or auto", self.device))
        );
        Ok(picked)
    }
}
