//! What a forward pass of the U-Nets costs, in multiply-accumulate operations (MACs).
//!
//! Counted from the configuration alone: matrix products, convolutions and filters. Norms, activations and biases,
//! a few per cent, are left out, as is usual.

use super::layers::ImprovedTransformerConfig;
use super::unet::{Bottleneck, ConvKind, Resampling, UnetsConfig};
use crate::STEMS;

/// Walks through one U-Net, counting.
struct Counter<'a> {
    config: &'a UnetsConfig,
    /// Frames at the current place.
    frames: usize,
    macs: u64,
}

impl Counter<'_> {
    /// A convolution layer of the encoder (`encoder`: with the seed's gate, if it has one) or the decoder.
    fn conv(&mut self, [input, output]: [usize; 2], stride: usize, encoder: bool) {
        let c = self.config;
        self.frames = (self.frames - c.kernel) / stride + 1;
        self.add(input * output * c.kernel);
        if encoder && c.seed_layers && c.conv == ConvKind::Gn {
            self.add(output * 2 * output);
        }
    }

    fn down(&mut self, channels: usize) {
        match self.config.resampling {
            Resampling::Learned => self.conv([channels; 2], self.config.stride, true),
            Resampling::Fixed => {
                self.frames = (self.frames - 1) / self.config.stride + 1;
                self.add(channels * self.config.taps);
            }
        }
    }

    fn up(&mut self, channels: usize) {
        let c = self.config;
        let before = self.frames;
        self.frames = (before - 1) * c.stride + 1;
        match c.resampling {
            // Counted as it is computed: over the input with zeros between its frames.
            Resampling::Learned => {
                self.frames = self.frames + 1 - c.kernel;
                self.add(channels * channels * c.kernel);
            }
            // A filter between zeros meets a frame with one tap in `stride`.
            Resampling::Fixed => self.macs += (before * channels * c.taps) as u64,
        }
    }

    fn transformer(&mut self, t: ImprovedTransformerConfig) {
        let ImprovedTransformerConfig { size, hidden, lstm_layers, .. } = t;
        self.add(4 * size * size);
        self.add(2 * self.frames * size);
        for layer in 0..lstm_layers {
            let input = if layer == 0 { size } else { 2 * hidden };
            self.add(2 * 4 * hidden * (input + hidden));
        }
        self.add(2 * hidden * size);
    }

    /// So many for each frame.
    fn add(&mut self, per_frame: usize) {
        self.macs += (self.frames * per_frame) as u64;
    }
}

impl UnetsConfig {
    /// MACs of one forward pass of all U-Nets over a window of so many input frames.
    pub(super) fn macs(&self, input_frames: usize) -> u64 {
        let mut counter = Counter { config: self, frames: input_frames, macs: 0 };
        let blocks = self.levels - 1;
        for i in 0..blocks {
            let (here, below) = (self.channels(i), self.channels(i + 1));
            counter.conv([if i == 0 { 2 } else { here }, here], 1, true);
            counter.conv([here, below], 1, true);
            counter.down(below);
        }
        match self.bottleneck {
            Bottleneck::Conv => counter.conv([self.channels(blocks); 2], 1, false),
            Bottleneck::Transformer(transformer) => counter.transformer(transformer),
        }
        for i in (0..blocks).rev() {
            let (here, below) = (self.channels(i), self.channels(i + 1));
            counter.up(below);
            counter.conv([below, here], 1, false);
            counter.conv([2 * here, here], 1, false);
        }
        let stems = if self.separate { 1 } else { STEMS };
        counter.add(self.channels(0) * 2 * stems);
        counter.macs * (STEMS / stems) as u64
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use crate::model::{Network, Params, WaveUnetConfig, WaveUnetDptConfig};

    /// The seed reports 40.54 GMAC for its 3 s window, as counted by a tool for PyTorch.
    #[test]
    fn the_seed_costs_what_it_reports() {
        let published = WaveUnetDptConfig { lstm_layers: 3, ..Default::default() };
        let gmacs = published.unets().macs(137_897) as f64 / 1e9;
        assert!((gmacs / 40.54 - 1.0).abs() < 0.05, "{gmacs}");
    }

    #[test]
    fn a_convolution_network_costs_the_sum_of_its_convolutions() {
        let config = WaveUnetConfig { features: 8, levels: 2, ..Default::default() };
        let network = config.build(&Params::fresh(1, &Device::Cpu)).unwrap();
        let window = network.window(100);
        // By hand, for [input, output, frames] of each convolution of 5 taps.
        let (a, b) = (window.input - 4, window.input - 8);
        let low = (b - 1) / 4 + 1;
        let bottom = low - 4;
        let up = (bottom - 1) * 4 + 1;
        let conv = |input: usize, output: usize, frames: usize| input * output * 5 * frames;
        let by_hand = conv(2, 8, a)
            + conv(8, 16, b)
            + 16 * 15 * low
            + conv(16, 16, bottom)
            + 16 * 15 * bottom
            + conv(16, 8, up - 4)
            + conv(16, 8, up - 8)
            + 8 * 2 * (up - 8);
        assert_eq!(network.macs(window.input), 4 * by_hand as u64);
        assert_eq!(up - 8, window.output);
    }
}
