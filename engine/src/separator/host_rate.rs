//! A separator at the host's rate, and what its latency is made of.

use super::{ResampledSeparator, Separator};
use crate::Result;

/// A separator that runs at the host's rate. Frames are at that rate.
pub struct HostRate {
    /// At the host's rate.
    pub separator: Box<dyn Separator>,
    /// How much of `spec().latency` comes from resampling; 0 at the model's rate.
    pub resampling: usize,
    /// How much of `spec().latency` comes from filling the model's own hop, beyond `spec().hop`; 0 at its rate.
    pub hop_filling: usize,
    /// The most frames that wait for one run of the model: the time that it may take to be in time.
    pub step: usize,
}

/// Presents a separator at the host's rate (Hz); at its own rate it stays as it is.
///
/// # Errors
/// The rate cannot be resampled to the separator's.
pub fn at_rate(separator: Box<dyn Separator>, sample_rate: u32) -> Result<HostRate> {
    let spec = separator.spec();
    if spec.sample_rate == sample_rate {
        return Ok(HostRate { separator, resampling: 0, hop_filling: 0, step: spec.hop });
    }
    let resampled = ResampledSeparator::new(separator, sample_rate)?;
    let (host, model) = (resampled.spec(), resampled.inner_spec());
    let step = resampled.in_host_frames(model.hop).max(host.hop);
    let hop_filling = step - host.hop;
    let resampling = host.latency - resampled.in_host_frames(model.latency) - hop_filling;
    Ok(HostRate { separator: Box::new(resampled), resampling, hop_filling, step })
}
