//! A whole song through a separator: latency removed, tail flushed, each stem exactly as long as the mixture.
//! Every bit is what a stream gives, save on a card, which may take several hops at once.

use std::ops::Range;

use super::Separator;
use crate::audio::{AudioBuffer, sanitise};
use crate::realtime::FlushDenormals;
use crate::{Error, Result, STEMS};

/// Separates a song as it comes, in memory that does not grow with it.
///
/// `source` fills a hop of mixture `[2][hop]` from its start and returns how many frames it had; fewer than a hop
/// end the song. `sink` gets the stems, `[STEMS][2][hop]`, and which of their frames come next in the song; it is
/// called for every hop, with an empty range while nothing is due.
///
/// # Errors
/// The separator's, the source's or the sink's own.
pub fn stream(
    separator: &mut dyn Separator,
    mut source: impl FnMut(&mut AudioBuffer) -> Result<usize>,
    mut sink: impl FnMut(&[AudioBuffer; STEMS], Range<usize>) -> Result<()>,
) -> Result<()> {
    let _flush = FlushDenormals::new();
    separator.reset();
    let spec = separator.spec();
    let at_once = separator.hops_at_once().max(1);
    let mut mixtures: Vec<AudioBuffer> = (0..at_once).map(|_| AudioBuffer::new(2, spec.hop)).collect();
    let mut stems: Vec<[AudioBuffer; STEMS]> =
        (0..at_once).map(|_| std::array::from_fn(|_| AudioBuffer::new(2, spec.hop))).collect();
    // Frames of the song that went in and came out, hops that went in, and frames that the separator still holds back.
    let (mut taken, mut given, mut hops, mut latency) = (0, 0, 0, spec.latency);
    let mut ended = false;
    loop {
        let mut count = 0;
        for mixture in &mut mixtures {
            mixture.clear();
            if !ended {
                let frames = source(mixture)?.min(spec.hop);
                for channel in mixture.iter_mut() {
                    channel[..frames].iter_mut().for_each(|sample| *sample = sanitise(*sample));
                    channel[frames..].fill(0.0);
                }
                taken += frames;
                ended = frames < spec.hop;
            }
            if ended && (taken == 0 || hops * spec.hop >= taken + spec.latency) {
                break;
            }
            hops += 1;
            count += 1;
        }
        if count == 0 {
            return Ok(());
        }
        separator.process_many(&mixtures[..count], &mut stems[..count])?;
        for stems in &stems[..count] {
            let skip = latency.min(spec.hop);
            latency -= skip;
            let frames = (spec.hop - skip).min(taken - given);
            given += frames;
            sink(stems, skip..skip + frames)?;
        }
    }
}

/// Separates a stereo song in memory. `progress` hears frames done and frames in all after every hop.
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
    let all = mixture.frames();
    let mut stems: [AudioBuffer; STEMS] = std::array::from_fn(|_| AudioBuffer::new(2, all));
    let (mut taken, mut given) = (0, 0);
    let source = |hop: &mut AudioBuffer| {
        let count = hop.frames().min(all - taken);
        for (hop, mixture) in hop.iter_mut().zip(mixture.iter()) {
            hop[..count].copy_from_slice(&mixture[taken..taken + count]);
        }
        taken += count;
        Ok(count)
    };
    let sink = |hops: &[AudioBuffer; STEMS], frames: Range<usize>| {
        for (stem, hop) in stems.iter_mut().zip(hops) {
            for (stem, hop) in stem.iter_mut().zip(hop.iter()) {
                stem[given..given + frames.len()].copy_from_slice(&hop[frames.clone()]);
            }
        }
        given += frames.len();
        progress(given, all);
        Ok(())
    };
    stream(separator, source, sink)?;
    Ok(stems)
}
