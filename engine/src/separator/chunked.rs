//! Any network as a separator: windows over the stream, neighbouring segments crossfaded.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::consistency::{share_residual_by_energy, share_residual_equally};
use super::{ChunkPlan, Separator, SeparatorSpec};
use crate::audio::{AudioBuffer, sanitise};
use crate::error::root_cause;
use crate::model::{Mode, Network, Window};
use crate::realtime::{FlushDenormals, is_raised, raise};
use crate::{Error, Result, STEMS};

/// A window in which every sample is below this (-140 dBFS) is silence, and gives silence.
const SILENCE: f32 = 1e-7;

/// Windows that a card gets at once where they need not be given out as they come: enough to keep it busy.
pub const WINDOWS_AT_ONCE: usize = 8;

/// Runs a network on overlapping windows. Before the stream's start there is silence.
///
/// The network runs in a thread of its own, alone: candle would otherwise take all cores of the host.
pub struct ChunkedSeparator {
    /// On the CPU.
    network: Arc<dyn Network>,
    /// The same network on a card; gone for good once the card has failed.
    card: Option<Card>,
    spec: SeparatorSpec,
    plan: ChunkPlan,
    window: Window,
    /// Where in the network's output the segment begins.
    offset: usize,
    /// The newest frames of the mixture, `[2][window.input]`.
    history: Vec<f32>,
    /// How many of the newest frames are silent.
    quiet: usize,
    /// Frames of mixture since the start.
    received: usize,
    /// What the network made of this window, `[STEMS][2][hop + crossfade]`.
    segment: [AudioBuffer; STEMS],
    /// The end of the previous segment, `[STEMS][2][crossfade]`.
    tail: [AudioBuffer; STEMS],
    /// Weight of the new segment, `[crossfade]`.
    fade: Vec<f32>,
    /// Made on the first run, in the thread that runs the separator, so that it can take over its priority.
    pool: Option<ThreadPool>,
}

/// A network whose parameters lie on a card, uploaded once. Windows go there and stems come back.
struct Card {
    network: Arc<dyn Network>,
    device: Device,
    /// Windows that it has memory for, as far as is known.
    at_once: usize,
}

/// What the stream was when a window was taken from it.
struct Taken {
    /// Which of the windows that are not silent it is; none if it is silent.
    index: Option<usize>,
    /// Frames of mixture since the start.
    received: usize,
}

impl ChunkedSeparator {
    /// `sample_rate` in Hz.
    ///
    /// # Errors
    /// A plan that cannot be run with this network.
    pub fn new(network: Arc<dyn Network>, sample_rate: u32, plan: ChunkPlan) -> Result<Self> {
        let (window, offset) = plan.window(network.as_ref())?;
        let fade = |n| (std::f32::consts::FRAC_PI_2 * (n as f32 + 0.5) / plan.crossfade as f32).sin().powi(2);
        Ok(Self {
            network,
            card: None,
            spec: SeparatorSpec { sample_rate, hop: plan.hop, latency: plan.latency() },
            plan,
            window,
            offset,
            history: vec![0.0; 2 * window.input],
            quiet: window.input,
            received: 0,
            segment: std::array::from_fn(|_| AudioBuffer::new(2, plan.segment())),
            tail: std::array::from_fn(|_| AudioBuffer::new(2, plan.crossfade)),
            fade: (0..plan.crossfade).map(fade).collect(),
            pool: None,
        })
    }

    /// Runs the same network on a card from now on. When the card fails, the window in which it does is done again on
    /// the CPU, as are all that follow, so that the stream goes on without a gap.
    ///
    /// It gets at most `at_once` windows at a time; a network that mixes the items of a batch can take only one.
    ///
    /// One window of silence is run right away, so that the first of the stream does not wait for kernels.
    ///
    /// # Errors
    /// The card cannot even run that; the separator then stays on the CPU.
    pub fn use_card(&mut self, network: Arc<dyn Network>, device: Device, at_once: usize) -> Result<()> {
        let silence = vec![0.0; self.history.len()];
        // Not in the pool that stays: that is made where the stream runs, and takes its thread's priority.
        alone(&mut None, || separate_windows(network.as_ref(), &device, &silence, self.window))??;
        self.card = Some(Card { network, device, at_once: at_once.max(1) });
        Ok(())
    }

    /// What the card, if there is one that works, or else the CPU makes of windows, one behind the other.
    fn separate(&mut self, windows: &[f32]) -> Result<Vec<f32>> {
        let (window, len) = (self.window, self.history.len());
        let mut separated = Vec::new();
        let mut rest = windows;
        while !rest.is_empty() {
            let Some(Card { network, device, at_once }) = &mut self.card else { break };
            let count = (rest.len() / len).min(*at_once);
            let (now, later) = rest.split_at(count * len);
            match alone(&mut self.pool, || separate_windows(network.as_ref(), device, now, window))? {
                Ok(stems) => {
                    separated.extend(stems);
                    rest = later;
                }
                // It may only lack the memory for so many.
                Err(_) if count > 1 => *at_once = 1,
                Err(error) => {
                    let why = root_cause(&error);
                    eprintln!("warning: the card failed, and the CPU goes on with the stream ({why})");
                    self.card = None;
                }
            }
        }
        for now in rest.chunks_exact(len) {
            let network = self.network.as_ref();
            separated
                .extend(alone(&mut self.pool, || separate_windows(network, &Device::Cpu, now, window))??);
        }
        Ok(separated)
    }

    fn remember(&mut self, mixture: &AudioBuffer) {
        let (hop, length) = (self.plan.hop, self.window.input);
        for (kept, new) in self.history.chunks_exact_mut(length).zip(mixture.iter()) {
            kept.copy_within(hop.., 0);
            kept[length - hop..].iter_mut().zip(new).for_each(|(kept, &new)| *kept = sanitise(new));
        }
        let newest = |c: usize| &self.history[(c + 1) * length - hop..(c + 1) * length];
        let loud = newest(0).iter().zip(newest(1)).rposition(|(l, r)| l.abs().max(r.abs()) >= SILENCE);
        self.quiet = match loud {
            Some(last) => hop - 1 - last,
            None => (self.quiet + hop).min(length),
        };
        self.received += hop;
    }

    /// Fills `segment` from what the network made of a window, `[STEMS][2][window.output]`; the stems then add up to the
    /// mixture.
    fn fill_segment(&mut self, history: &[f32], separated: &[f32], received: usize) {
        let Window { input, output, .. } = self.window;
        let segment_frames = self.plan.segment();
        let channels = self.segment.iter_mut().flat_map(AudioBuffer::iter_mut);
        for (channel, separated) in channels.zip(separated.chunks_exact(output)) {
            channel.copy_from_slice(&separated[self.offset..self.offset + segment_frames]);
        }
        let finite = self.segment.iter().flat_map(AudioBuffer::iter).flatten().all(|x| x.is_finite());
        let end = input - self.plan.lookahead;
        let mixture = [0, 1].map(|c| &history[c * input..][end - segment_frames..end]);
        if finite {
            share_residual_by_energy(mixture, &mut self.segment);
        } else {
            self.segment.iter_mut().for_each(AudioBuffer::clear);
            share_residual_equally(mixture, &mut self.segment);
        }
        // What a network makes of the nothing before the stream is not part of it.
        let before_start = (segment_frames + self.plan.lookahead).saturating_sub(received);
        for channel in self.segment.iter_mut().flat_map(AudioBuffer::iter_mut) {
            channel[..before_start.min(segment_frames)].fill(0.0);
        }
    }

    /// The segment, crossfaded with the previous one's tail, goes out; its own tail is kept.
    fn crossfade(&mut self, stems: &mut [AudioBuffer; STEMS]) {
        let hop = self.plan.hop;
        let channels = self.segment.iter().flat_map(AudioBuffer::iter);
        let tails = self.tail.iter_mut().flat_map(AudioBuffer::iter_mut);
        for ((stem, new), tail) in stems.iter_mut().flat_map(AudioBuffer::iter_mut).zip(channels).zip(tails) {
            stem.copy_from_slice(&new[..hop]);
            for ((stem, &old), &weight) in stem.iter_mut().zip(&*tail).zip(&self.fade) {
                *stem = old + weight * (*stem - old);
            }
            tail.copy_from_slice(&new[hop..]);
        }
    }
}

impl Separator for ChunkedSeparator {
    fn spec(&self) -> SeparatorSpec {
        self.spec
    }

    fn process(&mut self, mixture: &AudioBuffer, stems: &mut [AudioBuffer; STEMS]) -> Result<()> {
        self.process_many(std::slice::from_ref(mixture), std::slice::from_mut(stems))
    }

    fn hops_at_once(&self) -> usize {
        self.card.as_ref().map_or(1, |card| card.at_once)
    }

    fn process_many(&mut self, mixtures: &[AudioBuffer], stems: &mut [[AudioBuffer; STEMS]]) -> Result<()> {
        let (mut windows, mut taken) = (Vec::new(), Vec::new());
        for (mixture, stems) in mixtures.iter().zip(&*stems) {
            super::check_hop(self.plan.hop, mixture, stems)?;
            self.remember(mixture);
            let silent = self.quiet == self.window.input;
            let index = (!silent).then(|| windows.len() / self.history.len());
            if !silent {
                windows.extend(&self.history);
            }
            taken.push(Taken { index, received: self.received });
        }
        let separated = self.separate(&windows)?;
        let per_window = STEMS * 2 * self.window.output;
        for (Taken { index, received }, stems) in taken.into_iter().zip(stems) {
            match index {
                Some(index) => {
                    let history = &windows[index * self.history.len()..][..self.history.len()];
                    self.fill_segment(history, &separated[index * per_window..][..per_window], received);
                }
                None => self.segment.iter_mut().for_each(AudioBuffer::clear),
            }
            self.crossfade(stems);
        }
        Ok(())
    }

    fn is_on_card(&self) -> bool {
        self.card.is_some()
    }

    fn reset(&mut self) {
        self.history.fill(0.0);
        self.quiet = self.window.input;
        self.received = 0;
        self.tail.iter_mut().for_each(AudioBuffer::clear);
    }
}

/// The stems of windows `[2][input]`, one behind the other, on the host: each `[STEMS][2][output]`.
fn separate_windows(
    network: &dyn Network,
    device: &Device,
    windows: &[f32],
    Window { input, output, .. }: Window,
) -> candle_core::Result<Vec<f32>> {
    let count = windows.len() / (2 * input);
    let mixture = Tensor::from_slice(windows, (count, 2, input), device)?;
    let stems = network.forward(&mixture, Mode::Evaluate)?;
    if stems.dims() != [count, STEMS, 2, output] {
        candle_core::bail!("expected [{count}, {STEMS}, 2, {output}], found {:?}", stems.shape());
    }
    stems.flatten_all()?.to_vec1::<f32>()
}

/// Runs a network, or what of it a card leaves to the host, in the thread that is the only one for it.
fn alone<R: Send>(pool: &mut Option<ThreadPool>, run: impl FnOnce() -> R + Send) -> Result<R> {
    let pool = match pool {
        Some(pool) => pool,
        None => pool.insert(single_thread()?),
    };
    Ok(pool.install(|| {
        let _flush = FlushDenormals::new();
        run()
    }))
}

fn single_thread() -> Result<ThreadPool> {
    let raised = is_raised();
    ThreadPoolBuilder::new()
        .num_threads(1)
        .thread_name(|_| "tributary-network".into())
        .start_handler(move |_| {
            if raised {
                raise();
            }
        })
        .build()
        .map_err(|e| Error::Unsupported(format!("cannot start the network's thread: {e}")))
}
