//! A signal through a plugin, block by block.

use anyhow::{Context, Result, ensure};
use engine::audio::AudioBuffer;
use engine::{STEMS, Stem};

use crate::measure::sum;
use crate::plugin::Plugin;
use crate::signals::Noise;

/// How a host cuts time into blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocks {
    /// All of this size; the last one may be shorter.
    Fixed(usize),
    /// A different size each time, from 1 to this.
    Varying(usize),
}

impl Blocks {
    /// The largest block, which the host promises on activation.
    pub fn largest(self) -> usize {
        match self {
            Blocks::Fixed(frames) | Blocks::Varying(frames) => frames,
        }
    }

    /// The sizes that `frames` are cut into.
    pub fn cut(self, frames: usize) -> Vec<usize> {
        let mut noise = Noise::new(frames as u64);
        let mut sizes = Vec::new();
        let mut left = frames;
        while left > 0 {
            let size = match self {
                Blocks::Fixed(size) => size,
                Blocks::Varying(largest) => noise.at_most(largest),
            };
            sizes.push(size.min(left));
            left -= size.min(left);
        }
        sizes
    }
}

/// What came out of the plugin, from its first frame on: nothing is removed.
#[derive(Debug, Clone, PartialEq)]
pub struct Take {
    /// The main bus.
    pub main: AudioBuffer,
    /// The stems; `None` when their buses were not connected.
    pub stems: Option<[AudioBuffer; STEMS]>,
}

impl Take {
    /// Silence of the right shape, to be recorded over.
    pub fn new(main_channels: usize, with_stems: bool, frames: usize) -> Self {
        Self {
            main: AudioBuffer::new(main_channels, frames),
            stems: with_stems.then(|| std::array::from_fn(|_| AudioBuffer::new(2, frames))),
        }
    }

    /// Takes the plugin's last block as frames `start` and after. Does not allocate.
    pub fn record(&mut self, plugin: &dyn Plugin, start: usize) {
        let stems = self.stems.iter_mut().flatten();
        for (bus, buffer) in std::iter::once(&mut self.main).chain(stems).enumerate() {
            for (channel, samples) in buffer.iter_mut().enumerate() {
                let block = plugin.output(bus, channel);
                samples[start..start + block.len()].copy_from_slice(block);
            }
        }
    }

    /// The stems.
    ///
    /// # Errors
    /// Their buses were not connected.
    pub fn stems(&self) -> Result<&[AudioBuffer; STEMS]> {
        self.stems.as_ref().context("the stems' buses were not connected")
    }

    /// The stems added up.
    ///
    /// # Errors
    /// Their buses were not connected.
    pub fn sum(&self) -> Result<AudioBuffer> {
        Ok(sum(self.stems()?))
    }
}

/// Whether output buses 1 to 4 are there with their names and two channels each, as this host needs them.
///
/// # Errors
/// They are offered, but differ from that.
pub fn has_stems(plugin: &dyn Plugin, connected: usize) -> Result<bool> {
    let offered = plugin.outputs()?;
    for (bus, stem) in offered.iter().skip(1).zip(Stem::ALL) {
        let same = bus.name.eq_ignore_ascii_case(stem.name()) && bus.channels == 2;
        ensure!(same, "output bus \"{}\" with {} channels is not the {stem}", bus.name, bus.channels);
    }
    Ok(offered.len() > STEMS && connected > STEMS)
}

/// Plays a signal through an active plugin as fast as it goes. Output and input have the same length.
///
/// # Errors
/// The plugin reports one, or breaks a rule.
pub fn play(plugin: &mut dyn Plugin, input: &AudioBuffer, blocks: Blocks, stems: bool) -> Result<Take> {
    let main_channels = plugin.outputs()?.first().context("the plugin has no output")?.channels;
    let mut take = Take::new(main_channels, stems, input.frames());
    let mut start = 0;
    for size in blocks.cut(input.frames()) {
        let block: Vec<&[f32]> = input.iter().map(|channel| &channel[start..start + size]).collect();
        plugin.process(&block)?;
        take.record(plugin, start);
        start += size;
    }
    Ok(take)
}

/// `signal` as it must come out of a plugin: `latency` frames later, and as long as before.
pub fn delayed(signal: &AudioBuffer, latency: usize) -> AudioBuffer {
    let mut result = AudioBuffer::new(signal.channels(), signal.frames());
    for (to, from) in result.iter_mut().zip(signal.iter()) {
        let late = latency.min(from.len());
        to[late..].copy_from_slice(&from[..from.len() - late]);
    }
    result
}

/// `signal` with silence behind it, for the plugin's tail.
pub fn padded(signal: &AudioBuffer, frames: usize) -> AudioBuffer {
    let mut result = AudioBuffer::new(signal.channels(), signal.frames() + frames);
    for (to, from) in result.iter_mut().zip(signal.iter()) {
        to[..from.len()].copy_from_slice(from);
    }
    result
}

/// `signal` from frame `start` on.
pub fn from_frame(signal: &AudioBuffer, start: usize) -> AudioBuffer {
    let channels = signal.iter().map(|channel| channel[start.min(channel.len())..].to_vec()).collect();
    AudioBuffer::from_channels(channels).unwrap_or_default()
}
