//! The network as a whole: spectra, bands, blocks, masks, stems.

use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::BandDptConfig;
use super::blocks::{Block, BlockState};
use super::config::inputs_of;
use super::spectra::{Framing, seen_level};
use crate::STEMS;
use crate::model::layers::cpu::with_slice;
use crate::model::layers::{BandLinear, LayerNorm};
use crate::model::params::Init;
use crate::model::{Mode, Network, Params, Window};

/// The improved transformer across bands and along time, causal. Spectra of a long window are split into bands, each
/// with features of its own; blocks mix them along time and across bands; each band's features become complex masks,
/// which add up to one over the stems.
pub struct BandDpt {
    config: BandDptConfig,
    framing: Arc<Framing>,
    split: BandLinear,
    blocks: Vec<Block>,
    norm: LayerNorm,
    hidden: BandLinear,
    output: BandLinear,
}

/// What a single stream carries from step to step.
pub struct BandDptState {
    /// Mixture before the next step, `[2][analysis_window - hop]`.
    past: Vec<f32>,
    /// Spectra of the last `taps - 1` steps.
    spectra: Vec<f32>,
    /// What was seen of each band's level.
    levels: Vec<f32>,
    blocks: Vec<BlockState>,
    /// Windows that are not over yet, `[STEMS * 2][synthesis_window - hop]`.
    tail: Vec<f32>,
}

/// Masks start close to an equal share for every stem.
const MASK_GAIN: f32 = 0.1;

/// Weights within `gain / sqrt(inputs)`.
fn uniform(gain: f32, inputs: usize) -> Init {
    Init::Uniform(gain / (inputs as f32).sqrt())
}

/// A band's first layer starts from magnitudes and level. Real and imaginary parts are noise to it until it has learnt
/// to set phases against each other.
fn seeing_magnitudes(width: usize) -> Init {
    let zeros = 4 * width;
    Init::UniformBehind { zeros, bound: 1.0 / ((inputs_of(width) - zeros) as f32).sqrt() }
}

impl BandDpt {
    /// Takes `split.*`, `blocks.<n>.*` and `masks.*`.
    ///
    /// # Errors
    /// Sizes that make no network; parameters that are missing or of another shape.
    pub fn new(params: &Params, config: &BandDptConfig) -> Result<Self> {
        config.check()?;
        let (root, size, hidden) = (params.root(), config.size, config.mask_hidden);
        let masks = root.at("masks");
        let sizes = |inputs: &dyn Fn(usize) -> usize, outputs: &dyn Fn(usize) -> usize| {
            (0..config.bands.len()).map(|band| [inputs(band), outputs(band)]).collect()
        };
        let (inputs, outputs) = (config.band_inputs(), config.band_outputs());
        let blocks = (0..config.blocks).map(|n| Block::new(&root.at("blocks").at(n), config));
        Ok(Self {
            framing: Arc::new(Framing::new(config)),
            split: BandLinear::new(&root.at("split"), "", sizes(&|band| inputs[band], &|_| size), |band| {
                seeing_magnitudes(config.bands[band])
            })?,
            blocks: blocks.collect::<Result<_>>()?,
            norm: LayerNorm::new(&masks.at("norm"), size)?,
            hidden: BandLinear::new(&masks, "hidden.", sizes(&|_| size, &|_| hidden), |_| {
                uniform(1.0, size)
            })?,
            output: BandLinear::new(&masks, "output.", sizes(&|_| hidden, &|band| outputs[band]), |_| {
                uniform(MASK_GAIN, hidden)
            })?,
            config: config.clone(),
        })
    }

    /// The sizes.
    pub fn config(&self) -> &BandDptConfig {
        &self.config
    }

    /// Masks for features `[frames, batch, inputs of all bands]`: `[frames, batch, bins * taps * 16]`.
    fn masks(&self, features: &Tensor, state: Option<&mut BandDptState>) -> Result<Tensor> {
        let (frames, batch, _) = features.dims3()?;
        let (bands, size) = (self.config.bands.len(), self.config.size);
        let mut states = state.map(|state| state.blocks.iter_mut());
        let mut x = self.split.forward(features)?.reshape((frames, batch * bands, size))?;
        for block in &self.blocks {
            x = block.forward(&x, bands, states.as_mut().and_then(Iterator::next))?;
        }
        let x = self.norm.forward(&x)?.reshape((frames, batch, bands * size))?;
        self.output.forward(&self.hidden.forward(&x)?.tanh()?)
    }

    /// The state before a stream.
    pub fn start(&self) -> BandDptState {
        let Self { config, framing, .. } = self;
        BandDptState {
            past: vec![0.0; 2 * (config.analysis_window - config.hop)],
            spectra: vec![0.0; (config.taps - 1) * framing.spectrum_len()],
            levels: vec![seen_level(0.0); config.bands.len()],
            blocks: (0..config.blocks).map(|_| BlockState::default()).collect(),
            tail: vec![0.0; STEMS * 2 * config.latency()],
        }
    }

    /// One or more steps of a stream: `[2][steps * hop]` of mixture in, `[STEMS * 2][steps * hop]` out, which belong to
    /// the mixture [`BandDptConfig::latency`] frames earlier. By candle operations: kernels are faster on a CPU.
    pub fn advance(&self, mixture: &[f32], state: &mut BandDptState) -> Result<Vec<f32>> {
        let Self { config, framing, .. } = self;
        let (new, kept) = (mixture.len() / 2, config.analysis_window - config.hop);
        if new == 0 || !new.is_multiple_of(config.hop) {
            candle_core::bail!("a stream goes on by hops of {} frames, not by {new}", config.hop);
        }
        let channels = state.past.chunks_exact(kept.max(1)).zip(mixture.chunks_exact(new));
        let seen: Vec<f32> = if kept > 0 {
            channels.flat_map(|(past, new)| past.iter().chain(new)).copied().collect()
        } else {
            mixture.to_vec()
        };
        state.past = seen.chunks_exact(kept + new).flat_map(|channel| &channel[new..]).copied().collect();

        let spectra = framing.analyse(&seen, 1);
        let features = framing.features(&spectra, &mut state.levels);
        let (steps, device) = (new / config.hop, &candle_core::Device::Cpu);
        let width = features.len() / steps;
        let masks = self.masks(&Tensor::from_vec(features, (steps, 1, width), device)?, Some(state))?;
        let mut all = std::mem::take(&mut state.spectra);
        all.extend(&spectra);
        state.spectra = all[all.len() - (config.taps - 1) * framing.spectrum_len()..].to_vec();
        let stems = framing.synthesise(&masks, all)?;

        let latency = config.latency();
        with_slice(&stems, |stems| {
            let mut out = Vec::with_capacity(STEMS * 2 * new);
            for (stem, tail) in stems.chunks_exact(new + latency).zip(state.tail.chunks_exact_mut(latency)) {
                let mut stem = stem.to_vec();
                stem.iter_mut().zip(&*tail).for_each(|(now, before)| *now += before);
                tail.copy_from_slice(&stem[new..]);
                out.extend(&stem[..new]);
            }
            out
        })
    }
}

impl Network for BandDpt {
    fn window(&self, output_frames: usize) -> Window {
        let latency = self.config.latency();
        let input = (output_frames + latency).div_ceil(self.config.hop).max(1) * self.config.hop;
        Window { input, output: input - latency, output_start: 0 }
    }

    fn forward(&self, mixture: &Tensor, _mode: Mode) -> Result<Tensor> {
        let (batch, channels, frames) = mixture.dims3()?;
        let Self { config, framing, .. } = self;
        let latency = config.latency();
        if channels != 2 || !frames.is_multiple_of(config.hop) || frames <= latency {
            candle_core::bail!("{:?} is no window of hops of {} frames", mixture.dims(), config.hop);
        }
        let past = config.analysis_window - config.hop;
        let seen = with_slice(mixture, |mixture| {
            let mut seen = Vec::with_capacity(batch * 2 * (past + frames));
            for channel in mixture.chunks_exact(frames) {
                seen.resize(seen.len() + past, 0.0);
                seen.extend(channel);
            }
            seen
        })?;
        let spectra = framing.analyse(&seen, batch);
        let features = framing.features(&spectra, &mut vec![seen_level(0.0); batch * config.bands.len()]);
        let steps = frames / config.hop;
        let width = features.len() / (steps * batch);
        let features = Tensor::from_vec(features, (steps, batch, width), mixture.device())?;
        let masks = self.masks(&features, None)?;
        let before = vec![0.0; (config.taps - 1) * batch * framing.spectrum_len()];
        let stems = framing.synthesise(&masks, [before, spectra].concat())?;
        stems.narrow(3, latency, frames - latency)
    }

    fn macs(&self, input_frames: usize) -> u64 {
        (input_frames / self.config.hop) as u64 * self.config.macs_per_step()
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn small() -> BandDptConfig {
        BandDptConfig {
            analysis_window: 64,
            synthesis_window: 32,
            hop: 16,
            bands: vec![3, 5, 9, 16],
            size: 8,
            blocks: 2,
            heads: 2,
            attention_span: 5,
            time_hidden: 6,
            band_hidden: 5,
            mask_hidden: 7,
            taps: 2,
        }
    }

    fn noise(count: usize, seed: u64) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..count).map(|_| rng.random_range(-0.5..0.5)).collect()
    }

    /// The network with weights far from the start, where masks are nearly equal.
    fn network(config: &BandDptConfig) -> BandDpt {
        let params = Params::fresh(3, &Device::Cpu);
        let network = BandDpt::new(&params, config).unwrap();
        for (index, parameter) in params.into_variables().into_values().enumerate() {
            let shape = parameter.var.shape().clone();
            let moved = Tensor::from_vec(noise(shape.elem_count(), index as u64), &shape, &Device::Cpu);
            parameter.var.set(&(parameter.var.as_tensor() + moved.unwrap()).unwrap()).unwrap();
        }
        network
    }

    fn whole(network: &BandDpt, mixture: &[f32], batch: usize) -> Vec<Vec<f32>> {
        let frames = mixture.len() / (2 * batch);
        let mixture = Tensor::from_slice(mixture, (batch, 2, frames), &Device::Cpu).unwrap();
        let stems = network.forward(&mixture, Mode::Evaluate).unwrap();
        stems.flatten_to(2).unwrap().to_vec2::<f32>().unwrap()
    }

    #[test]
    fn a_stream_gives_what_the_whole_file_gives_in_steps_of_any_length() {
        for config in [small(), BandDptConfig { attention_span: 0, taps: 1, synthesis_window: 64, ..small() }]
        {
            let network = network(&config);
            let (hop, latency) = (config.hop, config.latency());
            let frames = 23 * hop;
            let mixture = noise(2 * frames, 1);
            let expected = whole(&network, &mixture, 1);
            let (mut state, mut found, mut at) = (network.start(), vec![Vec::<f32>::new(); STEMS * 2], 0);
            for steps in [1, 2, 7, 1, 1, 11] {
                let part = at..at + steps * hop;
                at = part.end;
                let hops = [&mixture[part.clone()], &mixture[frames..][part]].concat();
                let stems = network.advance(&hops, &mut state).unwrap();
                found.iter_mut().zip(stems.chunks_exact(steps * hop)).for_each(|(all, new)| all.extend(new));
            }
            for (expected, found) in expected.iter().zip(&found) {
                assert_eq!(expected.len(), frames - latency);
                for (x, y) in expected.iter().zip(&found[latency..]) {
                    assert!((x - y).abs() < 2e-5, "{x} {y}");
                }
            }
        }
    }

    #[test]
    fn the_future_and_other_items_change_nothing() {
        let config = small();
        let network = network(&config);
        let frames = 12 * config.hop;
        let mixture = noise(4 * frames, 1);
        let both = whole(&network, &mixture, 2);
        let second = whole(&network, &mixture[2 * frames..], 1);
        let difference =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max);
        assert!(second.iter().zip(&both[STEMS * 2..]).all(|(a, b)| difference(a, b) < 1e-6));
        let mut other = mixture[2 * frames..].to_vec();
        let now = 7 * config.hop;
        other[now..frames].iter_mut().for_each(|x| *x = -*x);
        let changed = whole(&network, &other, 1);
        let past = now - config.latency();
        assert!(second.iter().zip(&changed).all(|(a, b)| difference(&a[..past], &b[..past]) == 0.0));
        assert!(difference(&second[0][past..], &changed[0][past..]) > 1e-3);
    }

    #[test]
    fn bands_start_from_magnitudes_and_see_how_their_level_rises() {
        let config = small();
        let params = Params::fresh(3, &Device::Cpu);
        let network = BandDpt::new(&params, &config).unwrap();
        let variables = params.into_variables();
        for (band, &width) in config.bands.iter().enumerate() {
            let weight = variables[&format!("split.{band}.weight")].var.flatten_all().unwrap();
            for row in weight.to_vec1::<f32>().unwrap().chunks_exact(inputs_of(width)) {
                let (phased, others) = row.split_at(4 * width);
                assert!(phased.iter().all(|w| *w == 0.0) && others.iter().any(|w| *w != 0.0));
            }
        }
        // Silence, an onset, and the same again.
        let loud = noise(network.framing.spectrum_len(), 1);
        let spectra = [vec![0.0; loud.len()], loud.clone(), loud].concat();
        let mut levels = vec![seen_level(0.0); config.bands.len()];
        let features = network.framing.features(&spectra, &mut levels);
        let inputs: usize = config.band_inputs().iter().sum();
        let mut end = 0;
        for (&width, level) in config.bands.iter().zip(levels) {
            end += inputs_of(width);
            let [silent, onset, steady] =
                [0, 1, 2].map(|step| [2, 1].map(|back| features[step * inputs + end - back]));
            assert_eq!([silent, steady], [[seen_level(0.0), 0.0], [level, 0.0]]);
            assert!(onset[0] == level && onset[1] == level - silent[0] && onset[1] > 0.5, "{onset:?}");
        }
    }

    #[test]
    fn silence_gives_silence_and_a_network_says_what_it_costs() {
        let network = network(&small());
        assert!(whole(&network, &[0.0; 2 * 160], 1).iter().flatten().all(|x| *x == 0.0));
        // Bands of 3, 5, 9 and 16 bins; by hand.
        let attention = |seen: usize| 4 * (4 * 8 * 8 + 2 * seen * 8);
        let grus = 4 * (3 * 6 * 14 + 6 * 8) + 4 * (2 * 3 * 5 * 13 + 10 * 8);
        let ends = 8 * (6 * 33 + 2 * 4) + 4 * 8 * 7 + 7 * 33 * 2 * 16 + 33 * 2 * 8 * 4;
        assert_eq!(network.macs(160), 10 * (2 * (attention(5) + attention(4) + grus) + ends) as u64);
        assert_eq!(network.window(1), Window { input: 32, output: 16, output_start: 0 });
        assert!(
            network
                .forward(
                    &Tensor::zeros((1, 2, 40), candle_core::DType::F32, &Device::Cpu).unwrap(),
                    Mode::Evaluate
                )
                .is_err()
        );
    }
}
