//! Layers that the networks share.
//!
//! Everything is channels-last, `[batch, frames, channels]`: a convolution is then one matrix product over
//! overlapping rows, without an im2col copy. The heavy layers are candle custom operations with a backward pass
//! of their own, because candle's one-dimensional convolutions, fused norms and unrolled recurrences are
//! either wrong or slow in training; every gradient is checked against finite differences in this crate's tests. Those
//! operations are for the CPU; on cards, [`plain`] puts the same layers together from candle's own.

mod activation;
mod attend;
mod attention;
mod band_linear;
mod conv;
pub(super) mod cpu;
mod dropout;
mod elementwise;
mod group_norm;
mod gru;
mod lanes;
mod layer_norm;
mod linear;
mod lstm;
mod norm;
mod normed_conv;
pub(super) mod plain;
#[cfg(target_arch = "x86_64")]
mod product;
mod resample;
mod sequence_attention;
mod sequences;
mod transformer;

pub use activation::leaky_relu;
pub use attention::SelfAttention;
pub use band_linear::BandLinear;
pub use conv::{Conv, TransposedConv};
pub use dropout::Dropout;
pub use elementwise::{clamp_to_full_scale, join_cropped, levels, scale_items, share_remainder};
pub use gru::{BiGru, Gru};
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use lstm::BiLstm;
pub use norm::BatchNorm;
pub use normed_conv::{Filter, NormedConv};
pub use plain::{is_for as is_unfused, unfused};
pub use resample::{Resample, ResampleDirection};
pub use sequence_attention::{BandAttention, TimeAttention};
pub use transformer::{ImprovedTransformer, ImprovedTransformerConfig, Recurrence};

#[cfg(test)]
mod gradient_checks;
#[cfg(test)]
mod sequence_checks;
