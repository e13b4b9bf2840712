//! From the audio thread to the worker and back: rings, worker thread, latency budget.
//!
//! ```text
//! audio thread:  input -> delay line ------------------------------> dry
//!                   \-> input ring -> worker -> output ring -> stems (faded when they are late)
//! ```
//!
//! Everything is counted in host frames since the last restart. Frame t of the input is played at
//! t + `LatencyBudget::total()`, come what may: a stem frame that is not there by then is silence, and is
//! thrown away when it arrives. So nothing can ever drift.

#![warn(clippy::disallowed_methods)]

mod control;
mod declick;
mod delay;
mod denormals;
mod latency;
mod monitor;
mod priority;
mod stream;
mod worker;

pub(crate) use denormals::FlushDenormals;
pub use latency::LatencyBudget;
pub use monitor::Monitor;
pub(crate) use priority::{is_raised, raise};
pub use stream::{Stream, StreamBlock, StreamConfig};

use crate::STEMS;

/// One stereo frame of the mixture.
type Frame = [f32; 2];

/// One frame of the stems, `[STEMS][2]`.
type StemFrame = [Frame; STEMS];
