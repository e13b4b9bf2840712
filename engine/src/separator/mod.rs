//! A network made into a stream: push one hop of mixture, get one hop of stems.

mod chunked;
mod consistency;
mod host_rate;
pub mod offline;
mod plan;
mod reference;
mod resampled;
mod streaming;

pub use chunked::{ChunkedSeparator, WINDOWS_AT_ONCE};
pub use host_rate::{HostRate, at_rate};
pub use plan::ChunkPlan;
pub use reference::ReferenceStream;
pub use resampled::ResampledSeparator;
pub use streaming::StreamingSeparator;

pub use crate::kernels::Precision;

use crate::audio::AudioBuffer;
use crate::{Result, STEMS};

/// What a separator takes, gives and costs in time. Frames are at `sample_rate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeparatorSpec {
    /// Hz.
    pub sample_rate: u32,
    /// Frames that one `process` call takes and gives.
    pub hop: usize,
    /// Stem frame n belongs to mixture frame n - latency, exactly (hop filling not counted).
    pub latency: usize,
}

/// Stereo mixture in, four stereo stems out, hop by hop, in [`crate::Stem::ALL`]'s order.
pub trait Separator: Send {
    /// Sample rate, hop and latency; constant for the separator's life.
    fn spec(&self) -> SeparatorSpec;

    /// Exactly one hop in (`[2][hop]`), one hop per stem out (each `[2][hop]`).
    /// Stem frame n of the stream belongs to mixture frame n - latency; before that it is silence.
    /// Non-finite input frames count as silence and leave no trace in the state.
    fn process(&mut self, mixture: &AudioBuffer, stems: &mut [AudioBuffer; STEMS]) -> Result<()>;

    /// How many hops at a time are the fastest where they need not be given out as they come; at least 1.
    fn hops_at_once(&self) -> usize {
        1
    }

    /// Several hops one after the other, as many mixtures as stems.
    fn process_many(&mut self, mixtures: &[AudioBuffer], stems: &mut [[AudioBuffer; STEMS]]) -> Result<()> {
        mixtures.iter().zip(stems).try_for_each(|(mixture, stems)| self.process(mixture, stems))
    }

    /// Back to the state after construction, without allocation.
    fn reset(&mut self);

    /// Whether a card does the work. It may fail in mid-stream; the CPU then goes on.
    fn is_on_card(&self) -> bool {
        false
    }

    /// Appends the root mean square of each part of the carried state, to be watched over hours; nothing where there
    /// is none.
    fn state_rms(&self, _out: &mut Vec<f32>) {}
}

impl Separator for Box<dyn Separator> {
    fn spec(&self) -> SeparatorSpec {
        (**self).spec()
    }

    fn process(&mut self, mixture: &AudioBuffer, stems: &mut [AudioBuffer; STEMS]) -> Result<()> {
        (**self).process(mixture, stems)
    }

    fn hops_at_once(&self) -> usize {
        (**self).hops_at_once()
    }

    fn process_many(&mut self, mixtures: &[AudioBuffer], stems: &mut [[AudioBuffer; STEMS]]) -> Result<()> {
        (**self).process_many(mixtures, stems)
    }

    fn reset(&mut self) {
        (**self).reset();
    }

    fn is_on_card(&self) -> bool {
        (**self).is_on_card()
    }

    fn state_rms(&self, out: &mut Vec<f32>) {
        (**self).state_rms(out);
    }
}

/// Every separator's first line of defence: the buffers have the shape that `process` promises.
fn check_hop(hop: usize, mixture: &AudioBuffer, stems: &[AudioBuffer; STEMS]) -> Result<()> {
    let shape = |buffer: &AudioBuffer| (buffer.channels(), buffer.frames());
    match std::iter::once(mixture).chain(stems).map(shape).find(|&shape| shape != (2, hop)) {
        Some(found) => Err(crate::Error::Unsupported(format!("a hop is [2][{hop}], found {found:?}"))),
        None => Ok(()),
    }
}
