//! From the audio thread to the worker and back: rings, worker thread, latency budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

use atomic_float::AtomicF32;

use crate::audio::AudioBuffer;
use crate::{Result, STEMS, Separator};

/// Where the latency comes from, in host frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LatencyBudget {
    /// Both resamplers and the padding that makes the whole a whole number of host frames; 0 at the model's rate.
    pub resampling: u32,
    /// The separator's own delay: lookahead and crossfade.
    pub separator: u32,
    /// Filling one hop before it can be separated.
    pub hop: u32,
    /// Time the worker may take: the longer of the largest host block and one hop.
    pub slack: u32,
}

impl LatencyBudget {
    /// What the host is told.
    pub fn total(&self) -> u32 {
        self.resampling + self.separator + self.hop + self.slack
    }
}

/// How a stream is to run. Constant between two activations.
#[derive(Debug, Clone, Copy)]
pub struct StreamConfig {
    /// The host's rate, Hz.
    pub sample_rate: u32,
    /// The largest block that `process` will see, frames.
    pub max_block: usize,
    /// The audio thread waits for the worker (bouncing) instead of dropping out.
    pub offline: bool,
}

/// What the stream tells the editor; written by the audio and worker threads, read by anyone.
#[derive(Debug, Default)]
pub struct Monitor {
    /// Times that the worker was late.
    pub dropouts: AtomicU64,
    /// Frames that were missing in all.
    pub missing_frames: AtomicU64,
    /// Time the worker needs for a hop / duration of a hop, smoothed. Below 1 is in time.
    pub load: AtomicF32,
    /// [`LatencyBudget::total`] of the running stream, host frames.
    pub latency_frames: AtomicU32,
    /// The worker has died; the stream passes the dry signal.
    pub failed: AtomicBool,
}

/// One block's worth of output, aligned to each other: all are `latency().total()` frames behind the input.
pub struct StreamBlock<'a> {
    /// The delayed input, bit for bit (after the removal of non-finite samples). `[2][frames]`
    pub dry: [&'a [f32]; 2],
    /// The stems. `[STEMS][2][frames]`. They add up to `dry`, or are fading to silence in a dropout.
    pub stems: [[&'a [f32]; 2]; STEMS],
}

/// The audio thread's end of a running separator. Dropping it stops and joins the worker.
pub struct Stream {
    _todo: (),
}

impl Stream {
    /// Starts the worker and allocates everything. Not for the audio thread.
    ///
    /// # Errors
    /// The rate cannot be resampled to the model's, or no thread can be started.
    pub fn start(separator: Box<dyn Separator>, config: StreamConfig) -> Result<Self> {
        let _ = (separator, config, AudioBuffer::default());
        Ok(Self { _todo: () })
    }

    /// The latency, part by part.
    pub fn latency(&self) -> LatencyBudget {
        LatencyBudget::default()
    }

    /// Shared with the editor.
    pub fn monitor(&self) -> Arc<Monitor> {
        Arc::default()
    }

    /// One block of at most `max_block` frames. No allocation, lock, system call or panic,
    /// except that it waits for the worker when offline.
    pub fn process(&mut self, input: [&[f32]; 2]) -> StreamBlock<'_> {
        let _ = input;
        StreamBlock { dry: [&[]; 2], stems: [[&[]; 2]; STEMS] }
    }

    /// Forgets all audio, for a transport jump. Callable on the audio thread.
    pub fn reset(&mut self) {}
}
