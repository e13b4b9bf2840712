//! The dual-path block: an improved transformer along time, causal, then one across bands.
//!
//! DPTNet (Chen, Mao and Liu 2020) runs its layers within and across chunks of time; here they run along time and
//! across bands, with normalisation before each part and GRUs, whose states stay bounded over hours, for LSTMs.

use candle_core::{Result, Tensor};

use super::BandDptConfig;
use crate::model::layers::{BandAttention, BiGru, Gru, LayerNorm, Linear, TimeAttention};
use crate::model::params::Scope;

/// What one block remembers of the past of a single stream.
#[derive(Default)]
pub struct BlockState {
    /// `[bands, time_hidden]`.
    hidden: Option<Tensor>,
    /// Queries, keys and values of the last frames, `[at most span - 1, bands, 3 * size]`.
    attended: Option<Tensor>,
}

/// Two layers.
pub struct Block {
    time: TimeLayer,
    bands: BandLayer,
}

impl Block {
    /// Takes `time.*` and `bands.*`.
    pub fn new(scope: &Scope<'_>, config: &BandDptConfig) -> Result<Self> {
        Ok(Self {
            time: TimeLayer::new(&scope.at("time"), config)?,
            bands: BandLayer::new(&scope.at("bands"), config)?,
        })
    }

    /// `[frames, batch * bands, size]` -> the same. With a state, which is for a batch of one, a stream goes on.
    pub fn forward(&self, x: &Tensor, bands: usize, state: Option<&mut BlockState>) -> Result<Tensor> {
        let (frames, rows, size) = x.dims3()?;
        let x = self.time.forward(x, state)?;
        let x = self.bands.forward(&x.reshape((frames * rows / bands, bands, size))?)?;
        x.reshape((frames, rows, size))
    }
}

struct TimeLayer {
    attention: Option<(LayerNorm, TimeAttention)>,
    /// Earlier frames that attention sees.
    memory: usize,
    norm: LayerNorm,
    gru: Gru,
    linear: Linear,
}

impl TimeLayer {
    fn new(scope: &Scope<'_>, config: &BandDptConfig) -> Result<Self> {
        let BandDptConfig { size, heads, attention_span: span, time_hidden: hidden, .. } = *config;
        let attention = || {
            let attention = TimeAttention::new(&scope.at("attention"), size, heads, span)?;
            Ok::<_, candle_core::Error>((LayerNorm::new(&scope.at("norm1"), size)?, attention))
        };
        Ok(Self {
            attention: if span > 0 { Some(attention()?) } else { None },
            memory: span.saturating_sub(1),
            norm: LayerNorm::new(&scope.at("norm2"), size)?,
            gru: Gru::new(&scope.at("gru"), size, hidden)?,
            linear: Linear::new(&scope.at("linear"), hidden, size)?,
        })
    }

    fn forward(&self, x: &Tensor, mut state: Option<&mut BlockState>) -> Result<Tensor> {
        let mut x = x.clone();
        if let Some((norm, attention)) = &self.attention {
            let past = state.as_ref().and_then(|state| state.attended.clone());
            let (attended, seen) = attention.forward(&norm.forward(&x)?, past.as_ref())?;
            x = (x + attended)?;
            if let Some(state) = &mut state {
                let seen = match &past {
                    Some(past) => Tensor::cat(&[past, &seen], 0)?,
                    None => seen,
                };
                let all = seen.dim(0)?;
                let kept = all.min(self.memory);
                state.attended =
                    if kept > 0 { Some(seen.narrow(0, all - kept, kept)?.copy()?) } else { None };
            }
        }
        let before = state.as_ref().and_then(|state| state.hidden.clone());
        let recurrent = self.gru.along_frames(&self.norm.forward(&x)?, before.as_ref())?;
        if let Some(state) = &mut state {
            state.hidden = Some(recurrent.get(recurrent.dim(0)? - 1)?.copy()?);
        }
        x + self.linear.forward(&recurrent.relu()?)?
    }
}

struct BandLayer {
    norm1: LayerNorm,
    attention: BandAttention,
    norm2: LayerNorm,
    gru: BiGru,
    linear: Linear,
}

impl BandLayer {
    fn new(scope: &Scope<'_>, config: &BandDptConfig) -> Result<Self> {
        let BandDptConfig { size, heads, band_hidden: hidden, .. } = *config;
        Ok(Self {
            norm1: LayerNorm::new(&scope.at("norm1"), size)?,
            attention: BandAttention::new(&scope.at("attention"), size, heads)?,
            norm2: LayerNorm::new(&scope.at("norm2"), size)?,
            gru: BiGru::new(scope, size, hidden)?,
            linear: Linear::new(&scope.at("linear"), 2 * hidden, size)?,
        })
    }

    /// `[frames, bands, size]` -> the same.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = (x + self.attention.forward(&self.norm1.forward(x)?)?)?;
        let recurrent = self.gru.across_bands(&self.norm2.forward(&x)?)?;
        x + self.linear.forward(&recurrent.relu()?)?
    }
}
