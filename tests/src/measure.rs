//! What is said about signals: levels, nulls, dropouts, distortion. All over all channels and frames.

use engine::audio::AudioBuffer;

/// Said instead of minus infinity, which JSON does not have: silence, or no difference at all.
pub const FLOOR_DB: f64 = -300.0;

/// The mean power of a signal, full scale squared = 1.
fn power(signal: &AudioBuffer) -> f64 {
    let sum: f64 = signal.iter().flatten().map(|sample| f64::from(*sample).powi(2)).sum();
    sum / (signal.channels() * signal.frames()).max(1) as f64
}

fn decibel(power: f64) -> f64 {
    (10.0 * power.log10()).max(FLOOR_DB)
}

/// Root mean square, dB of full scale.
pub fn rms_db(signal: &AudioBuffer) -> f64 {
    decibel(power(signal))
}

/// The largest sample, dB of full scale.
pub fn peak_db(signal: &AudioBuffer) -> f64 {
    decibel(f64::from(signal.iter().flatten().fold(0.0_f32, |peak, sample| peak.max(sample.abs()))).powi(2))
}

/// What is left of `expected` when `found` is taken away from it, dB below `expected`.
/// [`FLOOR_DB`] means: the same samples. Both have the same shape.
pub fn null_db(found: &AudioBuffer, expected: &AudioBuffer) -> f64 {
    let left = power(&difference(found, expected));
    if left == 0.0 { FLOOR_DB } else { decibel(left / power(expected)) }
}

/// `a - b`, of the same shape.
pub fn difference(a: &AudioBuffer, b: &AudioBuffer) -> AudioBuffer {
    combine(a, b, |a, b| a - b)
}

/// All signals added up; they have the same shape.
pub fn sum<'a>(signals: impl IntoIterator<Item = &'a AudioBuffer>) -> AudioBuffer {
    signals
        .into_iter()
        .cloned()
        .reduce(|total, signal| combine(&total, &signal, |a, b| a + b))
        .unwrap_or_default()
}

fn combine(a: &AudioBuffer, b: &AudioBuffer, operation: impl Fn(f32, f32) -> f32) -> AudioBuffer {
    assert_eq!((a.channels(), a.frames()), (b.channels(), b.frames()), "signals of different shape");
    let mut result = a.clone();
    for (to, from) in result.iter_mut().zip(b.iter()) {
        to.iter_mut().zip(from).for_each(|(to, from)| *to = operation(*to, *from));
    }
    result
}

/// The name of the definition behind [`sdr_db`].
pub const SDR_DEFINITION: &str =
    "plain SDR: 10 log10(sum of s^2 / sum of (s - e)^2) over the whole song and both channels";

/// Plain signal-to-distortion ratio of an estimate; `None` where the reference is silent. Same shapes.
pub fn sdr_db(estimate: &AudioBuffer, reference: &AudioBuffer) -> Option<f64> {
    (power(reference) > 0.0).then(|| -null_db(estimate, reference))
}

/// Where the stems do not add up to the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropouts {
    /// How often.
    pub events: usize,
    /// For how many frames in all.
    pub frames: usize,
    /// How many of the events begin in the first second.
    pub in_first_second: usize,
}

/// -80 dB of full scale: a hundred times what adding up rounded samples can make.
const DROPOUT_LEVEL: f32 = 1e-4;
/// Gaps nearer than 50 ms to each other are one event.
const DROPOUT_JOIN_SECONDS: f64 = 0.05;

/// Looks for dropouts from outside: frames in which the stems' sum is not the delayed input.
/// A dropout in silence cannot be seen, nor heard.
pub fn dropouts(sum: &AudioBuffer, expected: &AudioBuffer, sample_rate: u32) -> Dropouts {
    let join = (DROPOUT_JOIN_SECONDS * f64::from(sample_rate)) as usize;
    let wrong = difference(sum, expected);
    let mut found = Dropouts::default();
    let mut last = None;
    for frame in 0..wrong.frames() {
        // Not "greater than": NaN is a dropout, too.
        if wrong.iter().all(|channel| channel[frame].abs() <= DROPOUT_LEVEL) {
            continue;
        }
        found.frames += 1;
        if last.is_none_or(|last| frame - last > join) {
            found.events += 1;
            found.in_first_second += usize::from(frame < sample_rate as usize);
        }
        last = Some(frame);
    }
    found
}

/// The first frame in which two signals differ, if any. Samples are compared by their bits.
pub fn first_difference(a: &AudioBuffer, b: &AudioBuffer) -> Option<usize> {
    if (a.channels(), a.frames()) != (b.channels(), b.frames()) {
        return Some(a.frames().min(b.frames()));
    }
    (0..a.frames())
        .find(|frame| a.iter().zip(b.iter()).any(|(a, b)| a[*frame].to_bits() != b[*frame].to_bits()))
}

/// The index of the largest sample.
pub fn peak_frame(signal: &AudioBuffer) -> usize {
    let level = |frame: usize| signal.iter().map(|channel| channel[frame].abs()).fold(0.0, f32::max);
    (0..signal.frames()).max_by(|a, b| level(*a).total_cmp(&level(*b))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::music;

    #[test]
    fn a_tenth_of_the_signal_missing_is_a_null_of_minus_20_db() {
        let signal = music(4_000, 44_100, 1);
        let mut most = signal.clone();
        most.iter_mut().flatten().for_each(|sample| *sample *= 0.9);
        assert!((null_db(&most, &signal) + 20.0).abs() < 0.01);
        assert_eq!(null_db(&signal, &signal), FLOOR_DB);
        assert!((sdr_db(&most, &signal).unwrap() - 20.0).abs() < 0.01);
        assert_eq!(sdr_db(&signal, &AudioBuffer::new(2, 4_000)), None);
    }

    #[test]
    fn a_gap_is_one_dropout_even_where_the_signal_crosses_zero() {
        let signal = music(88_200, 44_100, 2);
        let mut faulty = signal.clone();
        faulty.iter_mut().for_each(|channel| channel[10_000..12_000].fill(0.0));
        faulty.iter_mut().for_each(|channel| channel[60_000..60_500].fill(f32::NAN));
        let found = dropouts(&faulty, &signal, 44_100);
        assert_eq!((found.events, found.in_first_second), (2, 1));
        assert!((2_300..=2_500).contains(&found.frames), "{found:?}");
        assert_eq!(dropouts(&signal, &signal, 44_100), Dropouts::default());
    }

    #[test]
    fn minus_zero_differs_from_zero() {
        let zero = AudioBuffer::new(1, 3);
        let mut other = zero.clone();
        other.channel_mut(0)[2] = -0.0;
        assert_eq!(first_difference(&zero, &other), Some(2));
        assert_eq!(first_difference(&zero, &zero), None);
    }
}
