//! What is played to a separator: generated songs, and what is hard on a stream.

use engine::audio::AudioBuffer;

use crate::rng::Rng;
use crate::synth::Generator;

/// Frames in a second.
const RATE: usize = 44_100;

/// The mixture of a generated song, `[2][frames]`.
pub fn song(seed: u64, seconds: f32) -> AudioBuffer {
    let stems = Generator::default().song(seed, seconds);
    let mut mixture = AudioBuffer::new(2, stems[0].frames());
    for stem in &stems {
        for (mixed, stem) in mixture.iter_mut().zip(stem.iter()) {
            mixed.iter_mut().zip(stem).for_each(|(mixed, x)| *mixed += x);
        }
    }
    mixture
}

/// Copies a hop of music from `start` on, with silence after its end.
pub fn fill(hop: &mut AudioBuffer, music: &AudioBuffer, start: usize) {
    for (to, from) in hop.iter_mut().zip(music.iter()) {
        let from = &from[start.min(from.len())..];
        let count = from.len().min(to.len());
        to[..count].copy_from_slice(&from[..count]);
        to[count..].fill(0.0);
    }
}

/// Seconds of a minute in which there is nothing, after a tail that has decayed into denormal numbers.
pub const SILENCE: std::ops::Range<usize> = 44..50;

/// A minute that nobody would want to play: songs at several levels, a decaying tail, silence, noise, a step, broken
/// samples, a song at full scale.
pub fn minute(seed: u64) -> AudioBuffer {
    let mut rng = Rng::new(seed, &[0x736f_616b]);
    let mut minute = AudioBuffer::new(2, 60 * RATE);
    let soft = rng.log_range(1e-4, 1e-2);
    let parts = [(0, 20, 1.0), (20, 15, soft), (57, 3, 1.0)];
    for (index, (start, seconds, level)) in parts.into_iter().enumerate() {
        let song = song(seed * 8 + index as u64, seconds as f32);
        for (to, from) in minute.iter_mut().zip(song.iter()) {
            let to = &mut to[start * RATE..][..from.len()];
            to.iter_mut().zip(from).for_each(|(to, x)| *to = level * x);
        }
    }
    for (channel, samples) in minute.iter_mut().enumerate() {
        // From full scale to far below the smallest normal number in seven seconds.
        for (n, x) in samples[35 * RATE..42 * RATE].iter_mut().enumerate() {
            let seconds = n as f32 / RATE as f32;
            *x = (-14.0 * seconds).exp() * (700.0 * (1 + channel) as f32 * seconds).sin();
        }
        let level = rng.log_range(1e-3, 1.0);
        samples[50 * RATE..54 * RATE].iter_mut().for_each(|x| *x = rng.range(-level, level));
        samples[54 * RATE..56 * RATE].fill(0.5);
        samples[56 * RATE..57 * RATE].fill(if channel == 0 { f32::NAN } else { f32::INFINITY });
    }
    // The last song at full scale.
    let peak = minute.iter().flat_map(|c| &c[57 * RATE..]).fold(1e-6f32, |peak, x| peak.max(x.abs()));
    minute.iter_mut().flat_map(|c| &mut c[57 * RATE..]).for_each(|x| *x /= peak);
    minute
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_everything_in_it() {
        let minute = minute(3);
        assert_eq!(minute.frames(), 60 * RATE);
        for channel in minute.iter() {
            let silence = &channel[SILENCE.start * RATE..SILENCE.end * RATE];
            assert!(silence.iter().all(|x| *x == 0.0));
            assert!(
                channel[40 * RATE..42 * RATE].iter().any(|x| *x != 0.0 && !x.is_normal()),
                "a denormal tail"
            );
            assert!(channel[56 * RATE].is_nan() || channel[56 * RATE].is_infinite());
            assert!(channel[57 * RATE..].iter().all(|x| x.abs() <= 1.0));
        }
    }
}
