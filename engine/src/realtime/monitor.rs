//! What a running stream lets others see.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

use atomic_float::AtomicF32;

/// What the stream tells the editor; written by the audio and worker threads, read by anyone.
#[derive(Debug, Default)]
pub struct Monitor {
    /// Times that the worker was late.
    pub dropouts: AtomicU64,
    /// Frames that were missing in all.
    pub missing_frames: AtomicU64,
    /// Time the worker needs for a hop / duration of a hop, smoothed. Below 1 is in time.
    pub load: AtomicF32,
    /// [`super::LatencyBudget::total`] of the running stream, host frames.
    pub latency_frames: AtomicU32,
    /// A card does the work, and has not failed so far.
    pub on_card: AtomicBool,
    /// The worker has died; the stream passes the dry signal.
    pub failed: AtomicBool,
}
