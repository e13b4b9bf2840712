//! `--device`: the flag that several commands share.

use anyhow::ensure;
use candle_core::Device;
use engine::checkpoint::Checkpoint;
use engine::device::{DeviceChoice, MatmulPrecision, Picked, cuda_cards, pick, set_matmul_precision};

use crate::exit::WrongUse;

/// Where the network runs.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Args {
    /// Where the network runs: auto, cpu, cuda, cuda:N or metal; auto takes a card if this build and machine have one.
    #[arg(long, value_name = "DEVICE", default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// How a card multiplies matrices: f32, tf32 or bf16; weights and all else are f32, and on the CPU everything is.
    #[arg(long, value_name = "PRECISION", default_value_t = MatmulPrecision::F32)]
    pub precision: MatmulPrecision,
}

impl Args {
    /// The device, with the precision chosen for the whole process.
    ///
    /// # Errors
    /// The card that was asked for is not there, or there is no card for that precision.
    pub fn pick(self) -> anyhow::Result<Picked> {
        let picked = pick(self.device)?;
        ensure!(
            !picked.device.is_cpu() || self.precision == MatmulPrecision::F32,
            WrongUse(format!("--precision {} is for cards; the CPU has f32", self.precision))
        );
        set_matmul_precision(self.precision);
        Ok(picked)
    }

    /// The same for one of several processes on this machine: they take the cards that they see in turn, the first the
    /// one that was asked for.
    pub fn for_process(self, rank: usize) -> Self {
        Self { device: in_turn(self.device, rank, cuda_cards()), ..self }
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
}

fn in_turn(choice: DeviceChoice, rank: usize, cards: usize) -> DeviceChoice {
    match choice {
        DeviceChoice::Cuda(first) if cards > 0 && rank > 0 => DeviceChoice::Cuda((first + rank) % cards),
        DeviceChoice::Auto if cards > 0 && rank > 0 => DeviceChoice::Cuda(rank % cards),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_take_cards_in_turn() {
        use DeviceChoice::{Auto, Cpu, Cuda};
        let taken = |choice, cards| [0, 1, 2, 3].map(|rank| in_turn(choice, rank, cards));
        assert_eq!(taken(Cuda(0), 4), [Cuda(0), Cuda(1), Cuda(2), Cuda(3)]);
        assert_eq!(taken(Cuda(1), 2), [Cuda(1), Cuda(0), Cuda(1), Cuda(0)]);
        // Each sees only its own.
        assert_eq!(taken(Cuda(0), 1), [Cuda(0); 4]);
        assert_eq!(taken(Auto, 2), [Auto, Cuda(1), Cuda(0), Cuda(1)]);
        assert_eq!(taken(Auto, 0), [Auto; 4]);
        // That there is none is for `pick` to say.
        assert_eq!(taken(Cuda(7), 2)[0], Cuda(7));
        assert_eq!(taken(Cpu, 2), [Cpu; 4]);
    }
}
