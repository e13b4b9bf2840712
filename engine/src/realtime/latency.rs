//! Latency, in one place.
//!
//! Hosts delay every other track by what we report, so a wrong figure here is an audible bug.

/// Where the latency comes from, in host frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LatencyBudget {
    /// Both resamplers and the padding that makes the whole a whole number of host frames; 0 at the model's rate.
    pub resampling: u32,
    /// The separator's own delay: lookahead and crossfade.
    pub separator: u32,
    /// Filling one hop before it can be separated.
    pub hop: u32,
    /// Time the worker may take: the longer of the largest host block and one of the model's hops, because a
    /// whole block arrives, and is due, at the same instant.
    pub slack: u32,
}

impl LatencyBudget {
    /// What the host is told.
    pub fn total(&self) -> u32 {
        self.resampling + self.separator + self.hop + self.slack
    }
}
