//! The improved transformer layer of DPTNet (Chen, Mao and Liu 2020), as the seed uses it.

use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

use super::{BiLstm, Dropout, LayerNorm, Linear, SelfAttention};
use crate::model::Mode;
use crate::model::params::Scope;

/// The axis that the LSTM runs along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recurrence {
    /// Along the batch, as the seed was released: at batch 1 every frame is a sequence of length one.
    Frame,
    /// Along time, as DPTNet intends.
    #[default]
    Time,
}

/// Sizes of an [`ImprovedTransformer`].
#[derive(Debug, Clone, Copy)]
pub struct ImprovedTransformerConfig {
    /// Features per frame.
    pub size: usize,
    /// Attention heads.
    pub heads: usize,
    /// LSTM units per direction.
    pub hidden: usize,
    /// Stacked bidirectional LSTM layers.
    pub lstm_layers: usize,
    /// The LSTM's axis.
    pub recurrence: Recurrence,
    /// Probability of all three dropouts.
    pub dropout: f32,
}

/// x -> x + attention -> norm -> y -> y + Linear(ReLU(BiLSTM(y))) -> norm. `[batch, frames, size]` -> the same.
#[derive(Debug)]
pub struct ImprovedTransformer {
    attention: SelfAttention,
    norm1: LayerNorm,
    lstm: BiLstm,
    linear: Linear,
    norm2: LayerNorm,
    dropouts: [Dropout; 3],
    recurrence: Recurrence,
}

impl ImprovedTransformer {
    /// Takes `self_attn.*`, `norm1.*`, `lstm.*`, `linear.*`, `norm2.*`, PyTorch's names.
    pub fn new(scope: &Scope<'_>, config: ImprovedTransformerConfig) -> Result<Self> {
        let ImprovedTransformerConfig { size, heads, hidden, lstm_layers, recurrence, dropout } = config;
        Ok(Self {
            attention: SelfAttention::new(&scope.at("self_attn"), size, heads)?,
            norm1: LayerNorm::new(&scope.at("norm1"), size)?,
            lstm: BiLstm::new(&scope.at("lstm"), size, hidden, lstm_layers)?,
            linear: Linear::new(&scope.at("linear"), 2 * hidden, size)?,
            norm2: LayerNorm::new(&scope.at("norm2"), size)?,
            dropouts: [1, 2, 3].map(|id| Dropout::new(dropout, id)),
            recurrence,
        })
    }

    /// `[batch, frames, size]` -> the same.
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let [after_attention, inside, after_linear] = self.dropouts;
        let attended = after_attention.forward(&self.attention.forward(x)?, mode)?;
        let y = self.norm1.forward(&(x + attended)?)?;
        let recurrent = match self.recurrence {
            Recurrence::Time => self.lstm.forward(&y)?,
            Recurrence::Frame => self.lstm.forward(&y.transpose(0, 1)?)?.transpose(0, 1)?,
        };
        let fed = self.linear.forward(&inside.forward(&recurrent.relu()?, mode)?)?;
        self.norm2.forward(&(y + after_linear.forward(&fed, mode)?)?)
    }
}
