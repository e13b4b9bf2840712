//! Which network a checkpoint or a recipe names, with every hyper-parameter.

use std::sync::Arc;

use candle_core::Result;
use serde::{Deserialize, Serialize};

use super::layers::Recurrence;
use super::params::Params;
use super::{BandDpt, BandDptConfig, ConvKind, Network, WaveUnetConfig, WaveUnetDptConfig};

/// A network's kind and sizes; in JSON and TOML an object tagged by `name`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Architecture {
    /// Wave-U-Net as Wave-U-Net-Pytorch has it.
    WaveUnet(WaveUnetConfig),
    /// The seed: Wave-U-Net with DPTNet's improved transformer in the bottleneck.
    WaveUnetDpt(WaveUnetDptConfig),
    /// The Live network: the improved transformer across bands and along time, causal.
    BandDpt(BandDptConfig),
}

impl Architecture {
    /// Makes the network from fresh or loaded parameters.
    ///
    /// # Errors
    /// Sizes that make no network; parameters that are missing, superfluous or of another shape.
    pub fn build(&self, params: &Params) -> Result<Arc<dyn Network>> {
        let network: Arc<dyn Network> = match self {
            Self::WaveUnet(config) => Arc::new(config.build(params)?),
            Self::WaveUnetDpt(config) => Arc::new(config.build(params)?),
            Self::BandDpt(config) => Arc::new(BandDpt::new(params, config)?),
        };
        match params.unused() {
            Some(name) => {
                candle_core::bail!("tensor {name} does not belong to a {} of these sizes", self.name())
            }
            None => Ok(network),
        }
    }

    /// Whether the network carries a state from hop to hop. The others are run on windows, laid as a
    /// [`crate::separator::ChunkPlan`] says.
    pub fn streams(&self) -> bool {
        matches!(self, Self::BandDpt(_))
    }

    /// Whether the network sees the items of a batch together, by a recurrence from one to the next, or in training by
    /// the statistics of all: a batch can then not be divided.
    pub fn mixes_items(&self) -> bool {
        match self {
            Self::WaveUnet(config) => config.conv == ConvKind::Bn,
            Self::WaveUnetDpt(config) => config.recurrence == Recurrence::Frame,
            Self::BandDpt(_) => false,
        }
    }

    /// The name in files.
    pub fn name(&self) -> &'static str {
        match self {
            Self::WaveUnet(_) => "wave_unet",
            Self::WaveUnetDpt(_) => "wave_unet_dpt",
            Self::BandDpt(_) => "band_dpt",
        }
    }
}
