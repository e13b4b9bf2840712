//! The U-shaped body that Wave-U-Net and the seed share: valid convolutions, resampling by a whole factor,
//! cropped shortcuts.

use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

use super::layers::{
    BatchNorm, Conv, Filter, ImprovedTransformer, ImprovedTransformerConfig, NormedConv, Resample,
    ResampleDirection, TransposedConv, clamp_to_full_scale, join_cropped, leaky_relu, levels, scale_items,
    share_remainder,
};
use super::params::{Params, Scope};
use super::{Mode, Network, Window};
use crate::{STEMS, Stem};

/// How channels grow from level to level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Growth {
    /// features x 1, 2, 3, ...
    Add,
    /// features x 1, 2, 4, ...
    Double,
}

impl Growth {
    /// Channels at `level`, counted from 0; saturating, so that absurd sizes fail later and with a clear text.
    pub fn channels(self, features: usize, level: usize) -> usize {
        match self {
            Growth::Add => features.saturating_mul(level + 1),
            Growth::Double => features.saturating_mul(1usize.checked_shl(level as u32).unwrap_or(usize::MAX)),
        }
    }
}

/// How the rate changes between levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resampling {
    /// Windowed-sinc filters.
    Fixed,
    /// Strided convolution layers.
    Learned,
}

/// Normalisation and activation of a convolution layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConvKind {
    /// GroupNorm, ReLU.
    Gn,
    /// BatchNorm, ReLU.
    Bn,
    /// LeakyReLU alone.
    Normal,
}

/// What happens at the lowest rate.
#[derive(Debug, Clone, Copy)]
pub enum Bottleneck {
    /// One convolution layer.
    Conv,
    /// One improved-transformer layer.
    Transformer(ImprovedTransformerConfig),
}

/// Everything that tells one member of the family from another.
#[derive(Debug, Clone)]
pub struct UnetsConfig {
    /// Channels of the first level.
    pub features: usize,
    /// Growth of the channels.
    pub growth: Growth,
    /// Number of channel sizes.
    pub levels: usize,
    /// Taps of every convolution.
    pub kernel: usize,
    /// Resampling factor.
    pub stride: usize,
    /// Resampling method.
    pub resampling: Resampling,
    /// Taps of the sinc filters.
    pub taps: usize,
    /// Whether the sinc filters are trained.
    pub train_filters: bool,
    /// Kind of the convolution layers.
    pub conv: ConvKind,
    /// The seed's layers: the encoder's end in a 1x1 convolution and a gated linear unit, the decoder's are
    /// transposed convolutions.
    pub seed_layers: bool,
    /// The lowest level.
    pub bottleneck: Bottleneck,
    /// One network per stem.
    pub separate: bool,
    /// The mixture is brought to a level of 1 before the network, and the stems back after it.
    pub normalise: bool,
    /// The stems are made to add up to the mixture.
    pub add_up: bool,
}

/// Larger networks than this come from broken or hostile files.
const MAX_CHANNELS: usize = 1 << 14;

impl UnetsConfig {
    fn check(&self) -> Result<()> {
        let sizes = [
            ("features", self.features, 1, MAX_CHANNELS),
            ("levels", self.levels, 2, 16),
            ("kernel_size", self.kernel, 1, 255),
            ("stride", self.stride, 1, 64),
        ];
        for (name, value, min, max) in sizes {
            if !(min..=max).contains(&value) {
                candle_core::bail!("{name} must lie in {min}..={max}, not {value}");
            }
        }
        if self.kernel.is_multiple_of(2) {
            candle_core::bail!("kernel_size must be odd, not {}: shortcuts are cropped evenly", self.kernel);
        }
        if self.channels(self.levels - 1) > MAX_CHANNELS {
            candle_core::bail!("{} levels from {} features are too many", self.levels, self.features);
        }
        if let Bottleneck::Transformer(t) = self.bottleneck {
            let possible = (1..=MAX_CHANNELS).contains(&t.hidden) && (1..=16).contains(&t.lstm_layers);
            if !possible || !(0.0..1.0).contains(&t.dropout) {
                candle_core::bail!(
                    "hidden {}, lstm_layers {}, dropout {} make no transformer",
                    t.hidden,
                    t.lstm_layers,
                    t.dropout
                );
            }
        }
        Ok(())
    }

    pub(super) fn channels(&self, level: usize) -> usize {
        self.growth.channels(self.features, level)
    }

    /// Frames that one convolution layer takes off.
    fn shrink(&self) -> usize {
        self.kernel - 1
    }
}

/// A joint U-Net for all stems, or one for each.
#[derive(Debug)]
pub struct Unets {
    config: UnetsConfig,
    unets: Vec<Unet>,
}

impl Unets {
    /// Takes `unets.joint.*`, or `unets.<stem>.*` for each stem.
    pub fn new(params: &Params, config: &UnetsConfig) -> Result<Self> {
        config.check()?;
        let root = params.root().at("unets");
        let unets = if config.separate {
            Stem::ALL.iter().map(|stem| Unet::new(&root.at(stem), config, 1)).collect::<Result<_>>()?
        } else {
            vec![Unet::new(&root.at("joint"), config, STEMS)?]
        };
        Ok(Self { config: config.clone(), unets })
    }
}

impl Network for Unets {
    fn window(&self, output_frames: usize) -> Window {
        let c = &self.config;
        let learned = c.resampling == Resampling::Learned;
        let blocks = c.levels - 1;
        let convs = 2 * c.shrink();
        // What a strided convolution layer takes off beyond the change of rate, down or up.
        let strided = if learned { c.shrink() } else { 0 };
        // From the top of the decoder to the bottleneck: frames that each level needs for the one above.
        let mut bottleneck = output_frames.max(1);
        for _ in 0..blocks {
            bottleneck = (bottleneck + convs + strided - 1).div_ceil(c.stride) + 1;
        }
        if !learned {
            // The resampling filters reflect once at each edge, which takes more than half their taps.
            bottleneck = bottleneck.max(c.taps / 2 + 1);
        }
        let mut output = bottleneck;
        let mut input = bottleneck + if matches!(c.bottleneck, Bottleneck::Conv) { c.shrink() } else { 0 };
        for _ in 0..blocks {
            output = (output - 1) * c.stride + 1 - strided - convs;
            input = (input - 1) * c.stride + 1 + strided + convs;
        }
        Window { input, output, output_start: (input - output) / 2 }
    }

    fn forward(&self, mixture: &Tensor, mode: Mode) -> Result<Tensor> {
        let (batch, channels, _) = mixture.dims3()?;
        if channels != 2 {
            candle_core::bail!("a mixture has 2 channels, not {channels}");
        }
        // A little above 0, so that silence stays silence.
        let levels = match self.config.normalise {
            true => Some(levels(mixture)?.into_iter().map(|level| level + 1e-5).collect::<Vec<_>>()),
            false => None,
        };
        let x = match &levels {
            Some(levels) => scale_items(mixture, levels.iter().map(|level| 1.0 / level).collect())?,
            None => mixture.clone(),
        };
        let x = x.transpose(1, 2)?.contiguous()?;
        let outputs = self.unets.iter().map(|unet| unet.forward(&x, mode)).collect::<Result<Vec<_>>>()?;
        let output = Tensor::cat(&outputs, 2)?.transpose(1, 2)?.contiguous()?;
        let output = match levels {
            Some(levels) => scale_items(&output, levels)?,
            None => output,
        };
        let output = output.reshape((batch, STEMS, 2, ()))?;
        let output = match self.config.add_up {
            true => {
                let frames = output.dim(3)?;
                let mixture = mixture.narrow(2, (mixture.dim(2)? - frames) / 2, frames)?;
                share_remainder(&output, &mixture)?
            }
            false => output,
        };
        match mode {
            Mode::Evaluate => clamp_to_full_scale(&output),
            Mode::Train { .. } => Ok(output),
        }
    }

    fn macs(&self, input_frames: usize) -> u64 {
        self.config.macs(input_frames)
    }
}

#[derive(Debug)]
struct Unet {
    encoder: Vec<EncoderBlock>,
    bottleneck: BottleneckLayer,
    decoder: Vec<DecoderBlock>,
    output: Conv,
}

impl Unet {
    fn new(scope: &Scope<'_>, c: &UnetsConfig, stems: usize) -> Result<Self> {
        let blocks = c.levels - 1;
        let encoder = (0..blocks)
            .map(|i| {
                let input = if i == 0 { 2 } else { c.channels(i) };
                let scope = scope.at("encoder").at(i);
                let sizes = [input, c.channels(i), c.channels(i + 1)];
                EncoderBlock::new(&scope, c, sizes)
            })
            .collect::<Result<_>>()?;
        let lowest = c.channels(blocks);
        let bottleneck = match c.bottleneck {
            Bottleneck::Conv => BottleneckLayer::Conv(ConvLayer::new(
                &scope.at("bottleneck"),
                c,
                Role::Plain,
                [lowest; 2],
                1,
            )?),
            Bottleneck::Transformer(transformer) => BottleneckLayer::Transformer(ImprovedTransformer::new(
                &scope.at("bottleneck").at("transformer"),
                transformer,
            )?),
        };
        let decoder = (0..blocks)
            .map(|i| {
                let level = blocks - 1 - i;
                let scope = scope.at("decoder").at(i);
                DecoderBlock::new(&scope, c, c.channels(level + 1), c.channels(level))
            })
            .collect::<Result<_>>()?;
        let output = Conv::new(&scope.at("output_conv"), c.channels(0), 2 * stems, 1, 1)?;
        Ok(Self { encoder, bottleneck, decoder, output })
    }

    /// `[batch, frames, 2]` -> `[batch, frames', 2 * stems]`.
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let mut shortcuts = Vec::with_capacity(self.encoder.len());
        let mut x = x.clone();
        for block in &self.encoder {
            let shortcut = block.pre_shortcut.forward(&x, mode)?;
            x = block.resample.forward(&block.post_shortcut.forward(&shortcut, mode)?, mode)?;
            shortcuts.push(shortcut);
        }
        x = match &self.bottleneck {
            BottleneckLayer::Conv(layer) => layer.forward(&x, mode)?,
            BottleneckLayer::Transformer(layer) => layer.forward(&x, mode)?,
        };
        for (block, shortcut) in self.decoder.iter().zip(shortcuts.iter().rev()) {
            let up = block.pre_shortcut.forward(&block.resample.forward(&x, mode)?, mode)?;
            x = block.post_shortcut.forward(&join_cropped(shortcut, &up)?, mode)?;
        }
        self.output.forward(&x)
    }
}

#[derive(Debug)]
struct EncoderBlock {
    pre_shortcut: ConvLayer,
    post_shortcut: ConvLayer,
    resample: Resampler,
}

impl EncoderBlock {
    fn new(scope: &Scope<'_>, c: &UnetsConfig, [input, shortcut, output]: [usize; 3]) -> Result<Self> {
        let role = if c.seed_layers { Role::Gated } else { Role::Plain };
        let resample = scope.at("resample");
        Ok(Self {
            pre_shortcut: ConvLayer::new(&scope.at("pre_shortcut"), c, role, [input, shortcut], 1)?,
            post_shortcut: ConvLayer::new(&scope.at("post_shortcut"), c, role, [shortcut, output], 1)?,
            resample: match c.resampling {
                Resampling::Fixed => Resampler::sinc(&resample, c, output, ResampleDirection::Down)?,
                Resampling::Learned => {
                    Resampler::Learned(ConvLayer::new(&resample, c, role, [output; 2], c.stride)?)
                }
            },
        })
    }
}

#[derive(Debug)]
struct DecoderBlock {
    resample: Resampler,
    pre_shortcut: ConvLayer,
    post_shortcut: ConvLayer,
}

impl DecoderBlock {
    fn new(scope: &Scope<'_>, c: &UnetsConfig, input: usize, output: usize) -> Result<Self> {
        let resample = scope.at("resample");
        let role = if c.seed_layers { Role::Transposed } else { Role::Plain };
        Ok(Self {
            resample: match c.resampling {
                Resampling::Fixed => Resampler::sinc(&resample, c, input, ResampleDirection::Up)?,
                Resampling::Learned => {
                    Resampler::Learned(ConvLayer::new(&resample, c, Role::Transposed, [input; 2], c.stride)?)
                }
            },
            pre_shortcut: ConvLayer::new(&scope.at("pre_shortcut"), c, role, [input, output], 1)?,
            post_shortcut: ConvLayer::new(&scope.at("post_shortcut"), c, role, [2 * output, output], 1)?,
        })
    }
}

#[derive(Debug)]
enum BottleneckLayer {
    Conv(ConvLayer),
    Transformer(ImprovedTransformer),
}

#[derive(Debug)]
enum Resampler {
    Sinc(Resample),
    Learned(ConvLayer),
}

impl Resampler {
    fn sinc(
        scope: &Scope<'_>,
        c: &UnetsConfig,
        channels: usize,
        direction: ResampleDirection,
    ) -> Result<Self> {
        Ok(Self::Sinc(Resample::new(scope, channels, c.taps, c.stride, direction, c.train_filters)?))
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        match self {
            Self::Sinc(resample) => resample.forward(x),
            Self::Learned(layer) => layer.forward(x, mode),
        }
    }
}

/// Where a convolution layer stands, which decides its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Plain,
    Gated,
    Transposed,
}

/// Convolution, normalisation, activation, and for [`Role::Gated`] a 1x1 convolution with a gated linear unit.
#[derive(Debug)]
enum ConvLayer {
    Normed(NormedConv),
    Batch(Filter, BatchNorm),
    Plain(Filter),
}

impl ConvLayer {
    fn new(
        scope: &Scope<'_>,
        c: &UnetsConfig,
        role: Role,
        [input, output]: [usize; 2],
        stride: usize,
    ) -> Result<Self> {
        let place = scope.at("filter");
        let filter = match role {
            Role::Transposed => {
                Filter::Transposed(TransposedConv::new(&place, input, output, c.kernel, stride)?)
            }
            _ => Filter::Conv(Conv::new(&place, input, output, c.kernel, stride)?),
        };
        let gated = role == Role::Gated;
        match c.conv {
            ConvKind::Gn => Ok(Self::Normed(NormedConv::new(scope, filter, output, gated)?)),
            _ if gated => candle_core::bail!("gated layers have group normalisation"),
            ConvKind::Bn => Ok(Self::Batch(filter, BatchNorm::new(&scope.at("norm"), output)?)),
            ConvKind::Normal => Ok(Self::Plain(filter)),
        }
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        match self {
            Self::Normed(layer) => layer.forward(x),
            Self::Batch(filter, norm) => norm.forward(&filter.forward(x)?, mode)?.relu(),
            Self::Plain(filter) => leaky_relu(&filter.forward(x)?),
        }
    }
}
