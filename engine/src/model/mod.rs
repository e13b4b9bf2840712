//! Networks: the mathematical functions that separators run.

use candle_core::{Result, Tensor};

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

/// A network that separates a stereo window into the four stems.
pub trait Network: Send + Sync {
    /// The smallest window whose output has at least `output_frames` frames.
    fn window(&self, output_frames: usize) -> Window;

    /// `[batch, 2, window.input]` -> `[batch, STEMS, 2, window.output]`, stems in [`crate::Stem::ALL`]'s order.
    /// `train` switches dropout and batch statistics on and the final clamp off.
    ///
    /// # Errors
    /// A frame count that is not a window's.
    fn forward(&self, mixture: &Tensor, train: bool) -> Result<Tensor>;
}
