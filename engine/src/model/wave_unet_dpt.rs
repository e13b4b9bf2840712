//! The seed: Wave-U-Net with DPTNet's improved transformer in the bottleneck.

use candle_core::Result;
use serde::{Deserialize, Serialize};

use super::layers::{ImprovedTransformerConfig, Recurrence};
use super::params::Params;
use super::unet::{Bottleneck, ConvKind, Growth, Resampling, Unets, UnetsConfig};

/// Hyper-parameters, with the seed's defaults, save that the LSTM runs along time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WaveUnetDptConfig {
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
    /// Sinc filters (21 taps, trained) or strided convolutions.
    pub resampling: Resampling,
    /// One network per stem instead of a joint one.
    pub separate: bool,
    /// Attention heads.
    pub heads: usize,
    /// LSTM units per direction; 0 for as many as the bottleneck has channels.
    pub hidden: usize,
    /// Stacked bidirectional LSTM layers: 1 in the released code, 3 in the report.
    pub lstm_layers: usize,
    /// The axis that the LSTM runs along.
    pub recurrence: Recurrence,
    /// Probability of the transformer's dropouts.
    pub dropout: f32,
    /// Brings every window to the same level before the network and the stems back after it. Group normalisation
    /// forgets how loud its input was; the seed has to guess it.
    pub normalise: bool,
    /// Shares what the stems lack to the mixture equally among them, so that the network learns only how they
    /// differ. The seed's stems need not add up.
    pub add_up: bool,
}

impl Default for WaveUnetDptConfig {
    fn default() -> Self {
        Self {
            features: 32,
            growth: Growth::Double,
            levels: 6,
            kernel_size: 5,
            stride: 4,
            resampling: Resampling::Fixed,
            separate: false,
            heads: 4,
            hidden: 0,
            lstm_layers: 1,
            recurrence: Recurrence::Time,
            dropout: 0.2,
            normalise: false,
            add_up: false,
        }
    }
}

impl WaveUnetDptConfig {
    /// Makes the network.
    pub fn build(&self, params: &Params) -> Result<Unets> {
        Unets::new(params, &self.unets())
    }

    /// The same as a member of the family.
    pub(super) fn unets(&self) -> UnetsConfig {
        let size = self.growth.channels(self.features, self.levels.saturating_sub(1));
        let transformer = ImprovedTransformerConfig {
            size,
            heads: self.heads,
            hidden: if self.hidden == 0 { size } else { self.hidden },
            lstm_layers: self.lstm_layers,
            recurrence: self.recurrence,
            dropout: self.dropout,
        };
        UnetsConfig {
            features: self.features,
            growth: self.growth,
            levels: self.levels,
            kernel: self.kernel_size,
            stride: self.stride,
            resampling: self.resampling,
            taps: 21,
            train_filters: true,
            conv: ConvKind::Gn,
            seed_layers: true,
            bottleneck: Bottleneck::Transformer(transformer),
            separate: self.separate,
            normalise: self.normalise,
            add_up: self.add_up,
        }
    }
}
