//! Audio in memory and in files.

mod buffer;
mod fifo;
mod read;
mod resample;
mod sanitise;
mod write;

pub use buffer::AudioBuffer;
pub(crate) use fifo::Fifo;
pub use read::{AudioFile, Reader, read, read_track};
pub(crate) use resample::gcd;
pub use resample::{StreamResampler, resample};
pub use sanitise::{INPUT_LIMIT, sanitise};
pub use write::{Format, Writer, write_wav};

use crate::{Error, Result};

/// Rates (Hz) and channel counts of files that we read and write; anything else is a broken header.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=768_000;
const CHANNELS: std::ops::RangeInclusive<usize> = 1..=64;

/// Mono becomes dual mono, stereo stays.
///
/// # Errors
/// More than two channels: which of them would be left and right?
pub fn to_stereo(audio: AudioBuffer) -> Result<AudioBuffer> {
    match audio.channels() {
        2 => Ok(audio),
        1 => {
            let mono = audio.channel(0).to_vec();
            let mut stereo = AudioBuffer::new(2, mono.len());
            stereo.iter_mut().for_each(|c| c.copy_from_slice(&mono));
            Ok(stereo)
        }
        n => {
            Err(Error::Unsupported(format!("expected mono or stereo, found {n} channels: mix it down first")))
        }
    }
}
