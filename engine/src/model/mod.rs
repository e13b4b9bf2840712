//! Networks: the mathematical functions that separators run.

pub mod agreement;
mod architecture;
mod band_dpt;
mod cost;
pub mod layers;
pub mod params;
mod unet;
mod wave_unet;
mod wave_unet_dpt;

use candle_core::{Result, Tensor};

pub use architecture::Architecture;
pub use band_dpt::{BandDpt, BandDptConfig, BandDptState, Windows};
pub(crate) use band_dpt::{FLOOR, QUIET, inputs_of, seen_level};
pub use params::{Parameter, Params};
pub use unet::{ConvKind, Growth, Resampling};
pub use wave_unet::WaveUnetConfig;
pub use wave_unet_dpt::WaveUnetDptConfig;

/// The window that a network works on, in frames at its own rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Frames in.
    pub input: usize,
    /// Frames out.
    pub output: usize,
    /// Output frame 0 belongs to input frame `output_start`.
    pub output_start: usize,
}

/// What a forward pass is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Inference: no dropout, stored statistics, outputs clamped to full scale.
    Evaluate,
    /// Training: dropout (its mask follows from the seed alone), batch statistics, no clamp.
    Train {
        /// A new one for each step.
        seed: u64,
        /// The number of the first item in its batch: more than 0 where several processes share a batch.
        first_item: usize,
    },
}

/// A network that separates a stereo window into the four stems.
pub trait Network: Send + Sync {
    /// The smallest window whose output has at least `output_frames` frames.
    fn window(&self, output_frames: usize) -> Window;

    /// `[batch, 2, window.input]` -> `[batch, STEMS, 2, window.output]`, stems in [`crate::Stem::ALL`]'s order.
    ///
    /// # Errors
    /// A frame count that is not a window's.
    fn forward(&self, mixture: &Tensor, mode: Mode) -> Result<Tensor>;

    /// Multiply-accumulate operations of [`Self::forward`] over one window of so many input frames: products,
    /// convolutions and filters; norms, activations and biases are not counted.
    fn macs(&self, input_frames: usize) -> u64;
}
