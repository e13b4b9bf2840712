//! Any separator at the host's rate.
//!
//! ```text
//! host hop -> down -> queue -> inner hops -> queue (prefilled) -> up -> + residual -> host hop
//! ```
//!
//! The host's hop is one block of the resamplers, whatever the inner hop is; the second queue is prefilled so that
//! it never runs dry. What resampling loses (all above the model's Nyquist frequency) is the residual: it is
//! shared equally, so that the stems still add up to the delayed mixture.

use super::consistency::share_residual_equally;
use super::{Separator, SeparatorSpec, check_hop};
use crate::audio::{AudioBuffer, Fifo, StreamResampler, gcd, sanitise};
use crate::{Error, Result, STEMS};

/// Presents a separator at another rate, with a latency of a whole number of frames at that rate.
pub struct ResampledSeparator {
    inner: Box<dyn Separator>,
    spec: SeparatorSpec,
    /// At the model's rate: silence in `separated` at the start.
    prefill: usize,
    down: StreamResampler,
    up: StreamResampler,
    /// `[2][host hop]`, the hop without non-finite samples.
    host_mixture: AudioBuffer,
    /// The mixture, delayed by the latency. `[2]`
    dry: Fifo,
    /// `[2][host hop]`
    delayed: AudioBuffer,
    /// `[2][model block]`
    model_mixture: AudioBuffer,
    /// `[2]`, waiting to be a whole inner hop.
    waiting: Fifo,
    /// `[2][inner hop]`
    inner_mixture: AudioBuffer,
    /// `[STEMS][2][inner hop]`
    inner_stems: [AudioBuffer; STEMS],
    /// `[STEMS * 2]`
    separated: Fifo,
    /// `[STEMS * 2][model block]`
    model_stems: AudioBuffer,
    /// `[STEMS * 2][host hop]`
    host_stems: AudioBuffer,
    /// Frames of this stream that are still before its first one.
    before_start: usize,
}

impl ResampledSeparator {
    /// Presents `inner` at `sample_rate` (Hz).
    ///
    /// # Errors
    /// The ratio of the rates is too odd.
    pub fn new(inner: Box<dyn Separator>, sample_rate: u32) -> Result<Self> {
        let model = inner.spec();
        if model.hop == 0 {
            return Err(Error::Unsupported(format!("a separator without a hop: {model:?}")));
        }
        let down = StreamResampler::new(2, sample_rate, model.sample_rate)?;
        let up = StreamResampler::new(2 * STEMS, model.sample_rate, sample_rate)?;
        let (host_block, model_block) = (down.input_block(), down.output_block());
        let divisor = gcd(host_block, model_block);
        let (host_unit, model_unit) = (host_block / divisor, model_block / divisor);
        // After each block, up to this many frames less than were put in have come out of the inner separator.
        let held_back = model.hop - gcd(model.hop, model_block);
        // Then padded, so that the whole is a whole number of host frames.
        let delay = (held_back + model.latency).next_multiple_of(model_unit);
        let prefill = delay - model.latency;
        let latency = down.input_delay() + delay / model_unit * host_unit + up.output_delay();
        let mut separator = Self {
            spec: SeparatorSpec { sample_rate, hop: host_block, latency },
            prefill,
            host_mixture: AudioBuffer::new(2, host_block),
            dry: Fifo::new(2, latency + host_block),
            delayed: AudioBuffer::new(2, host_block),
            model_mixture: AudioBuffer::new(2, model_block),
            waiting: Fifo::new(2, model.hop + model_block),
            inner_mixture: AudioBuffer::new(2, model.hop),
            inner_stems: std::array::from_fn(|_| AudioBuffer::new(2, model.hop)),
            separated: Fifo::new(2 * STEMS, prefill + model.hop + model_block),
            model_stems: AudioBuffer::new(2 * STEMS, model_block),
            host_stems: AudioBuffer::new(2 * STEMS, host_block),
            before_start: 0,
            inner,
            down,
            up,
        };
        separator.reset();
        Ok(separator)
    }

    /// A number of frames at the model's rate as whole host frames, rounded up.
    pub(super) fn in_host_frames(&self, model_frames: usize) -> usize {
        (model_frames * self.up.output_block()).div_ceil(self.up.input_block())
    }

    /// The inner separator's.
    pub(super) fn inner_spec(&self) -> SeparatorSpec {
        self.inner.spec()
    }
}

impl Separator for ResampledSeparator {
    fn spec(&self) -> SeparatorSpec {
        self.spec
    }

    fn process(&mut self, mixture: &AudioBuffer, stems: &mut [AudioBuffer; STEMS]) -> Result<()> {
        check_hop(self.spec.hop, mixture, stems)?;
        for (clean, raw) in self.host_mixture.iter_mut().zip(mixture.iter()) {
            clean.iter_mut().zip(raw).for_each(|(clean, &raw)| *clean = sanitise(raw));
        }
        self.dry.push(self.host_mixture.iter());
        self.dry.pop(self.delayed.iter_mut());

        self.down.process(&self.host_mixture, &mut self.model_mixture)?;
        self.waiting.push(self.model_mixture.iter());
        while self.waiting.len() >= self.inner_mixture.frames() {
            self.waiting.pop(self.inner_mixture.iter_mut());
            self.inner.process(&self.inner_mixture, &mut self.inner_stems)?;
            self.separated.push(self.inner_stems.iter().flat_map(AudioBuffer::iter));
        }
        self.separated.pop(self.model_stems.iter_mut());
        self.up.process(&self.model_stems, &mut self.host_stems)?;

        // The filters ring before the first frame; silence is promised there.
        let silent = self.before_start.min(self.spec.hop);
        self.before_start -= silent;
        for (stem, host) in stems.iter_mut().flat_map(AudioBuffer::iter_mut).zip(self.host_stems.iter()) {
            stem[..silent].fill(0.0);
            stem[silent..].copy_from_slice(&host[silent..]);
        }
        share_residual_equally([self.delayed.channel(0), self.delayed.channel(1)], stems);
        Ok(())
    }

    fn is_on_card(&self) -> bool {
        self.inner.is_on_card()
    }

    fn reset(&mut self) {
        self.inner.reset();
        self.down.reset();
        self.up.reset();
        self.dry.refill(self.spec.latency);
        self.waiting.refill(0);
        self.separated.refill(self.prefill);
        self.before_start = self.spec.latency;
    }
}
