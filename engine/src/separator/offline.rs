//! A whole file through a separator.

use super::Separator;
use crate::audio::{AudioBuffer, sanitise};
use crate::realtime::FlushDenormals;
use crate::{Error, Result, STEMS};

/// Separates a stereo file: latency removed, tail flushed, each stem exactly as long as the mixture.
/// Every bit is what a stream gives. `progress` hears frames done and frames in all after every hop.
///
/// # Errors
/// Not stereo, or the separator's own.
pub fn separate(
    separator: &mut dyn Separator,
    mixture: &AudioBuffer,
    mut progress: impl FnMut(usize, usize),
) -> Result<[AudioBuffer; STEMS]> {
    if mixture.channels() != 2 {
        return Err(Error::Unsupported(format!("a mixture has 2 channels, not {}", mixture.channels())));
    }
    let _flush = FlushDenormals::new();
    separator.reset();
    let (spec, frames) = (separator.spec(), mixture.frames());
    let mut hop_in = AudioBuffer::new(2, spec.hop);
    let mut hop_out: [AudioBuffer; STEMS] = std::array::from_fn(|_| AudioBuffer::new(2, spec.hop));
    let mut stems: [AudioBuffer; STEMS] = std::array::from_fn(|_| AudioBuffer::new(2, frames));
    for at in (0..frames + spec.latency).step_by(spec.hop.max(1)) {
        let there = spec.hop.min(frames.saturating_sub(at));
        for (hop, mixture) in hop_in.iter_mut().zip(mixture.iter()) {
            hop.fill(0.0);
            let samples = mixture.iter().skip(at).take(there);
            hop.iter_mut().zip(samples).for_each(|(hop, &sample)| *hop = sanitise(sample));
        }
        separator.process(&hop_in, &mut hop_out)?;
        // Frame i of this hop belongs to mixture frame at + i - latency.
        let skip = spec.latency.saturating_sub(at).min(spec.hop);
        let to = at + skip - spec.latency.min(at + skip);
        let count = (spec.hop - skip).min(frames.saturating_sub(to));
        for (stem, hop) in stems.iter_mut().zip(&hop_out) {
            for (stem, hop) in stem.iter_mut().zip(hop.iter()) {
                stem[to..to + count].copy_from_slice(&hop[skip..skip + count]);
            }
        }
        progress((at + spec.hop).saturating_sub(spec.latency).min(frames), frames);
    }
    Ok(stems)
}
