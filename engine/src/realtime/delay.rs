//! The delay of the dry signal.

use super::Frame;

/// A delay of a fixed number of frames.
pub(super) struct DelayLine {
    frames: Vec<Frame>,
    at: usize,
}

impl DelayLine {
    /// `delay` in frames, at least 1.
    pub fn new(delay: usize) -> Self {
        Self { frames: vec![[0.0; 2]; delay.max(1)], at: 0 }
    }

    /// One frame in, the one from `delay` frames ago out.
    pub fn push(&mut self, frame: Frame) -> Frame {
        let delayed = std::mem::replace(&mut self.frames[self.at], frame);
        self.at = if self.at + 1 == self.frames.len() { 0 } else { self.at + 1 };
        delayed
    }

    /// Silences what is in it.
    pub fn clear(&mut self) {
        self.frames.fill([0.0; 2]);
    }
}
