//! Planar f32 audio.

/// Planar audio, `[channels][frames]`, full scale = 1.0. All channels have the same length.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AudioBuffer {
    channels: Vec<Vec<f32>>,
}

impl AudioBuffer {
    /// Silence.
    pub fn new(channels: usize, frames: usize) -> Self {
        Self { channels: vec![vec![0.0; frames]; channels] }
    }

    /// Takes over channels of equal length; `None` when the lengths differ.
    pub fn from_channels(channels: Vec<Vec<f32>>) -> Option<Self> {
        let frames = channels.first().map_or(0, Vec::len);
        channels.iter().all(|c| c.len() == frames).then_some(Self { channels })
    }

    /// Number of frames.
    pub fn frames(&self) -> usize {
        self.channels.first().map_or(0, Vec::len)
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.channels.len()
    }

    /// One channel's samples.
    pub fn channel(&self, index: usize) -> &[f32] {
        &self.channels[index]
    }

    /// One channel's samples, to be written.
    pub fn channel_mut(&mut self, index: usize) -> &mut [f32] {
        &mut self.channels[index]
    }

    /// The channels, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[f32]> {
        self.channels.iter().map(Vec::as_slice)
    }

    /// The channels, in order, to be written.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        self.channels.iter_mut().map(Vec::as_mut_slice)
    }

    /// The channels as they are stored, for libraries that want it so.
    pub(crate) fn as_vecs(&self) -> &[Vec<f32>] {
        &self.channels
    }

    /// The channels as they are stored, to be written; their lengths must stay.
    pub(crate) fn as_vecs_mut(&mut self) -> &mut [Vec<f32>] {
        &mut self.channels
    }

    /// Silences everything, without allocation.
    pub fn clear(&mut self) {
        self.iter_mut().for_each(|c| c.fill(0.0));
    }
}
