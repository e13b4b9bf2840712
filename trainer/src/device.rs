//! `--device`: the flag that several commands share.

use anyhow::ensure;
use candle_core::Device;
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

    /// For training, which has no path on a card yet: the optimiser works on the CPU's memory.
    ///
    /// # Errors
    /// A card was asked for.
    pub fn pick_for_training(self) -> anyhow::Result<Picked> {
        if self.device == DeviceChoice::Auto {
            return Ok(Picked { device: Device::Cpu, why: "cpu: training does not run on cards yet".into() });
        }
        let picked = self.pick()?;
        ensure!(
            picked.device.is_cpu(),
            WrongUse(format!(
                "--device {}: training does not run on cards yet; say cpu or auto",
                self.device
            ))
        );
        Ok(picked)
    }
}
