//! Latency, in one place.
//!
//! Hosts delay every other track by what we report, so a wrong figure here is an audible bug.

use crate::separator::HostRate;

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
    /// For a separator in a host whose blocks have at most `max_block` frames; `None` if no host could handle it.
    pub fn new(host: &HostRate, max_block: usize) -> Option<Self> {
        let frames = |n: usize| u32::try_from(n).ok().filter(|&n| n < 1 << 28);
        let spec = host.separator.spec();
        Some(Self {
            resampling: frames(host.resampling)?,
            separator: frames(spec.latency - host.resampling - host.hop_filling)?,
            hop: frames(spec.hop + host.hop_filling)?,
            slack: frames(max_block.max(host.step))?,
        })
    }

    /// What the host is told.
    pub fn total(&self) -> u32 {
        self.resampling + self.separator + self.hop + self.slack
    }
}
