//! Resampling with a delay that is known exactly, and is a whole number of frames at both rates.

use rubato::audioadapter_buffers::direct::SequentialSliceOfVecs;
use rubato::{Fft, FixedSync, Resampler, WindowFunction};

use super::AudioBuffer;
use crate::{Error, Result};

/// Shortest filter at the lower of the two rates, frames. Flat within 0.01 dB up to 0.9 of its
/// Nyquist frequency.
const STREAM_FILTER: usize = 256;

/// The same for whole files, where delay costs nothing.
const FILE_FILTER: usize = 1_024;

/// Longest block of a stream at either rate: rates without a handy ratio would need more delay than is bearable.
const MAX_STREAM_BLOCK: usize = 8_192;

/// Longest block for whole files.
const MAX_FILE_BLOCK: usize = 1 << 20;

/// Resamples block by block, all channels alike.
pub struct StreamResampler {
    fft: Fft<f32>,
    channels: usize,
    input_block: usize,
    output_block: usize,
}

impl StreamResampler {
    /// From and to in Hz.
    ///
    /// # Errors
    /// The ratio of the rates is too odd.
    pub fn new(channels: usize, from: u32, to: u32) -> Result<Self> {
        Self::with_filter(channels, from, to, STREAM_FILTER, MAX_STREAM_BLOCK)
    }

    fn with_filter(channels: usize, from: u32, to: u32, filter: usize, longest: usize) -> Result<Self> {
        let refuse =
            |reason: String| Error::Unsupported(format!("cannot resample {from} Hz to {to} Hz: {reason}"));
        if from == 0 || to == 0 || channels == 0 {
            return Err(refuse("there is nothing to resample".into()));
        }
        let divisor = gcd(from as usize, to as usize);
        let [input, output] = [from, to].map(|rate| rate as usize / divisor);
        // The filter is one block long and delays by half of it: an even block at both rates makes that whole.
        let multiple = filter.div_ceil(input.min(output)).next_multiple_of(2);
        let [input_block, output_block] = [input, output].map(|n| n.saturating_mul(multiple));
        if input_block.max(output_block) > longest {
            return Err(refuse(format!("their ratio is {input}:{output}; common sample rates work")));
        }
        let window = WindowFunction::BlackmanHarris2;
        let fft =
            Fft::new_custom(from as usize, to as usize, input_block, 1, channels, window, FixedSync::Both)
                .map_err(|e| refuse(e.to_string()))?;
        if (fft.fft_size_in(), fft.fft_size_out()) != (input_block, output_block) {
            return Err(refuse("unexpected block sizes".into()));
        }
        Ok(Self { fft, channels, input_block, output_block })
    }

    /// Frames that `process` takes.
    pub fn input_block(&self) -> usize {
        self.input_block
    }

    /// Frames that `process` gives.
    pub fn output_block(&self) -> usize {
        self.output_block
    }

    /// Delay in frames at the input's rate; exactly the same time as `output_delay`.
    pub fn input_delay(&self) -> usize {
        self.input_block / 2
    }

    /// Delay in frames at the output's rate.
    pub fn output_delay(&self) -> usize {
        self.output_block / 2
    }

    /// One block, `[channels][input_block]` -> `[channels][output_block]`. No allocation.
    ///
    /// # Errors
    /// Buffers of another shape.
    pub fn process(&mut self, input: &AudioBuffer, output: &mut AudioBuffer) -> Result<()> {
        let wrong = |e: &dyn std::fmt::Display| Error::Unsupported(format!("resampling: {e}"));
        let input = SequentialSliceOfVecs::new(input.as_vecs(), self.channels, self.input_block);
        let output = SequentialSliceOfVecs::new_mut(output.as_vecs_mut(), self.channels, self.output_block);
        self.fft
            .process_into_buffer(&input.map_err(|e| wrong(&e))?, &mut output.map_err(|e| wrong(&e))?, None)
            .map_err(|e| wrong(&e))?;
        Ok(())
    }

    /// Back to silence, without allocation.
    pub fn reset(&mut self) {
        self.fft.reset();
    }
}

/// A whole file: delay removed, `round(frames * to / from)` frames long.
///
/// # Errors
/// The ratio of the rates is too odd.
pub fn resample(audio: &AudioBuffer, from: u32, to: u32) -> Result<AudioBuffer> {
    if from == to || audio.channels() == 0 {
        return Ok(audio.clone());
    }
    let mut resampler =
        StreamResampler::with_filter(audio.channels(), from, to, FILE_FILTER, MAX_FILE_BLOCK)?;
    let frames = (audio.frames() as u128 * u128::from(to) + u128::from(from / 2)) / u128::from(from);
    let frames = frames as usize;
    let mut resampled = AudioBuffer::new(audio.channels(), frames);
    let mut input = AudioBuffer::new(audio.channels(), resampler.input_block());
    let mut output = AudioBuffer::new(audio.channels(), resampler.output_block());
    let (mut read, mut written, mut skip) = (0, 0, resampler.output_delay());
    while written < frames {
        let there = input.frames().min(audio.frames().saturating_sub(read));
        for (input, audio) in input.iter_mut().zip(audio.iter()) {
            input[there..].fill(0.0);
            input[..there].copy_from_slice(&audio[audio.len().min(read)..][..there]);
        }
        read += there;
        resampler.process(&input, &mut output)?;
        let first = skip.min(output.frames());
        skip -= first;
        let count = (output.frames() - first).min(frames - written);
        for (resampled, output) in resampled.iter_mut().zip(output.iter()) {
            resampled[written..written + count].copy_from_slice(&output[first..first + count]);
        }
        written += count;
    }
    Ok(resampled)
}

/// The greatest common divisor.
pub(crate) fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
