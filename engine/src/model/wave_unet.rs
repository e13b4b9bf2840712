//! Wave-U-Net (Stoller, Ewert and Dixon 2018) as Wave-U-Net-Pytorch has it.

use candle_core::Result;
use serde::{Deserialize, Serialize};

use super::params::Params;
use super::unet::{Bottleneck, ConvKind, Growth, Resampling, Unets, UnetsConfig};

/// Hyper-parameters, with Wave-U-Net-Pytorch's defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WaveUnetConfig {
    /// Channels of the first level.
    pub features: usize,
    /// How channels grow from level to level.
    pub growth: Growth,
    /// Channel sizes; there are `levels - 1` encoder and decoder blocks.
    pub levels: usize,
    /// Taps of every convolution.
    pub kernel_size: usize,
    /// Factor of every resampling.
    pub stride: usize,
    /// Fixed sinc filters (15 taps, not trained) or strided convolutions.
    pub resampling: Resampling,
    /// Normalisation and activation of the convolution layers.
    pub conv: ConvKind,
    /// One network per stem instead of a joint one.
    pub separate: bool,
}

impl Default for WaveUnetConfig {
    fn default() -> Self {
        Self {
            features: 32,
            growth: Growth::Double,
            levels: 6,
            kernel_size: 5,
            stride: 4,
            resampling: Resampling::Fixed,
            conv: ConvKind::Gn,
            separate: true,
        }
    }
}

impl WaveUnetConfig {
    /// Makes the network.
    pub fn build(&self, params: &Params) -> Result<Unets> {
        let config = UnetsConfig {
            features: self.features,
            growth: self.growth,
            levels: self.levels,
            kernel: self.kernel_size,
            stride: self.stride,
            resampling: self.resampling,
            taps: 15,
            train_filters: false,
            conv: self.conv,
            seed_layers: false,
            bottleneck: Bottleneck::Conv,
            separate: self.separate,
            normalise: false,
            add_up: false,
        };
        Unets::new(params, &config)
    }
}
