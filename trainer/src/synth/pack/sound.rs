//! One recording in memory, and playing it at another pitch and for another time.

use std::sync::OnceLock;

use engine::audio::AudioBuffer;

use crate::synth::dsp::{Biquad, RATE, frames, hertz};
use crate::synth::resing::Voice;

/// The longest that is kept of a recording, seconds.
const LONGEST: f32 = 30.0;

/// Samples below this part of the peak, before the first and after the last louder one, are cut away: -54 dB.
const SILENCE: f32 = 0.002;

/// A recording at [`RATE`], its silence trimmed.
pub struct Sound {
    /// One or two channels, scaled to a peak of [`i16::MAX`]: half the memory of floats, and still 96 dB.
    channels: Vec<Vec<i16>>,
    /// Factor to a level of 1 over the loudest fifth of a second: peaks of short sounds say little of loudness.
    loudness: f32,
    /// MIDI note number.
    pub pitch: Option<f32>,
    /// Whether the instrument's maker mapped it to its note.
    pub mapped: bool,
    /// 0 to 1.
    pub velocity: Option<f32>,
    /// Frames between which it can be repeated for as long as a note lasts; none if it dies away by itself.
    sustain: Option<(usize, usize)>,
    /// Made when it is first asked for: few sounds are voices.
    voice: OnceLock<Voice>,
}

impl Sound {
    /// Takes over a decoded file, its silent ends trimmed if asked for; `None` if it is silent altogether.
    pub fn new(audio: &AudioBuffer, trim: bool) -> Option<Self> {
        let kept = audio.channels().min(2);
        let peak = audio
            .iter()
            .take(kept)
            .flatten()
            .fold(0f32, |p, x| if x.is_finite() { p.max(x.abs()) } else { p });
        if peak < 1e-5 {
            return None;
        }
        let threshold = if trim { SILENCE * peak } else { -1.0 };
        let loud = |frame: &usize| (0..kept).any(|c| audio.channel(c)[*frame].abs() > threshold);
        let first = (0..audio.frames()).find(loud)?.saturating_sub(frames(0.001));
        let last = (first..audio.frames()).rev().find(loud)?.min(first + frames(LONGEST));
        let scale = f32::from(i16::MAX) / peak;
        let channels: Vec<Vec<i16>> = (0..kept)
            .map(|c| audio.channel(c)[first..=last].iter().map(|x| (x * scale).round() as i16).collect())
            .collect();
        let mut sound = Self {
            channels,
            loudness: 1.0,
            pitch: None,
            mapped: false,
            velocity: None,
            sustain: None,
            voice: OnceLock::new(),
        };
        let mono = sound.mono();
        sound.loudness = 1.0 / loudest(&mono).max(1e-4);
        Some(sound)
    }

    /// Looks for a part that can be repeated for as long as a note lasts.
    pub fn find_sustain(&mut self) {
        self.sustain = sustain(&self.mono());
    }

    /// One of the single-cycle waves that a wavetable holds one after the other, as a sound that goes on for ever.
    /// `place` in 0..1 chooses it; `None` if the sound has no pitch, so no cycle.
    pub fn cycle(&self, place: f32) -> Option<Self> {
        const TURNS: usize = 8;
        let length = (RATE / hertz(self.pitch?)).round() as usize;
        let cycles = self.frames() / length.max(1);
        let first = (place * cycles as f32) as usize * length;
        let wave = self.channels[0].get(first..first + length)?;
        let channels = vec![wave.repeat(TURNS)];
        let sustain = Some((length, TURNS * length));
        let mut sound = Self {
            channels,
            loudness: 1.0,
            sustain,
            pitch: self.pitch,
            mapped: self.mapped,
            velocity: self.velocity,
            voice: OnceLock::new(),
        };
        sound.loudness = 1.0 / loudest(&sound.mono()).max(1e-4);
        Some(sound)
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.channels.iter().map(|c| 2 * c.len()).sum()
    }

    /// Length in frames.
    pub fn frames(&self) -> usize {
        self.channels[0].len()
    }

    /// Whether it can be held for as long as a note lasts.
    pub fn sustains(&self) -> bool {
        self.sustain.is_some()
    }

    /// Frequency of the middle of its spectrum, roughly: how often the signal changes its sign. Hz.
    pub fn brightness(&self) -> f32 {
        let crossings = self.channels[0].windows(2).filter(|w| (w[0] < 0) != (w[1] < 0)).count();
        crossings as f32 * RATE / (2 * self.frames()) as f32
    }

    /// The mean of its channels, at a peak of at most 1.
    pub fn mono(&self) -> Vec<f32> {
        let scale = 1.0 / (self.channels.len() as f32 * f32::from(i16::MAX));
        (0..self.frames())
            .map(|n| self.channels.iter().map(|c| f32::from(c[n])).sum::<f32>() * scale)
            .collect()
    }

    /// What makes it sing: see [`Voice`].
    pub fn voice(&self) -> &Voice {
        self.voice.get_or_init(|| {
            let signal = self.mono();
            match self.pitch {
                Some(pitch) if self.mapped => Voice::of_note(&signal, hertz(pitch)),
                _ => Voice::of_speech(&signal),
            }
        })
    }

    /// A part of it as it is, at the level of 1 that [`Sound::play`] uses.
    pub fn excerpt(&self, range: std::ops::Range<usize>) -> Vec<f32> {
        let scale = self.loudness / f32::from(i16::MAX);
        let end = range.end.min(self.frames());
        self.channels[0][range.start.min(end)..end].iter().map(|x| f32::from(*x) * scale).collect()
    }

    /// Plays it `ratio` times faster, so higher, at a level of 1 over its loudest fifth of a second.
    ///
    /// It is held for `held` seconds (a part of it is repeated if it is too short and sustains), then released in
    /// `release` seconds. One or two channels, as it was recorded.
    pub fn play(&self, ratio: f32, held: f32, release: f32) -> Vec<Vec<f32>> {
        self.render(ratio, Some((held, release)), self.loudness)
    }

    /// Plays the whole recording `ratio` times faster, at a peak of 1.
    pub fn strike(&self, ratio: f32) -> Vec<Vec<f32>> {
        self.render(ratio, None, 1.0)
    }

    fn render(&self, ratio: f32, note: Option<(f32, f32)>, level: f32) -> Vec<Vec<f32>> {
        let ratio = ratio.clamp(0.1, 10.0);
        let wanted = note.map(|(held, release)| frames(held + release) + 1);
        // What of the recording that takes.
        let source = wanted.map_or(self.frames(), |w| (w as f32 * ratio) as usize + TAPS);
        let scale = level / f32::from(i16::MAX);
        self.channels
            .iter()
            .map(|channel| {
                let at = |n: usize| channel.get(n).map_or(0.0, |x| f32::from(*x) * scale);
                let long: Vec<f32> = match self.sustain {
                    Some((from, to)) if source > to => {
                        (0..source).map(|n| looped(&at, n, from, to)).collect()
                    }
                    _ => (0..source.min(channel.len())).map(at).collect(),
                };
                let mut out = faster(long, ratio);
                if let (Some(wanted), Some((held, release))) = (wanted, note) {
                    out.truncate(wanted);
                    let held = frames(held).min(out.len());
                    let step = 1.0 / (release.max(0.002) * RATE);
                    for (n, x) in out[held..].iter_mut().enumerate() {
                        let down = (1.0 - n as f32 * step).max(0.0);
                        *x *= down * down;
                    }
                }
                soft_ends(&mut out);
                out
            })
            .collect()
    }
}

/// The highest level over a fifth of a second.
fn loudest(signal: &[f32]) -> f32 {
    let block = frames(0.2).min(signal.len()).max(1);
    signal
        .chunks(block.div_ceil(4))
        .map(|chunk| chunk.iter().map(|x| x * x).sum::<f32>())
        .collect::<Vec<_>>()
        .windows(4.min(signal.len().div_ceil(block.div_ceil(4))))
        .map(|quarters| (quarters.iter().sum::<f32>() / block as f32).sqrt())
        .fold(0.0, f32::max)
}

/// The part between 40 and 85% of a sound that goes on, its borders where the signal is most alike.
fn sustain(signal: &[f32]) -> Option<(usize, usize)> {
    const MATCH: usize = 1_024;
    let length = signal.len();
    if length < 8 * MATCH {
        return None;
    }
    let level = |from: usize, to: usize| {
        (signal[from..to].iter().map(|x| x * x).sum::<f32>() / (to - from) as f32).sqrt()
    };
    // Struck and plucked sounds lose 6 dB and more between these two places.
    if level(length * 7 / 10, length * 85 / 100) < 0.5 * level(length / 5, length * 35 / 100) {
        return None;
    }
    let end = length * 85 / 100;
    let tail = &signal[end - MATCH..end];
    let likeness = |from: usize| {
        let window = &signal[from - MATCH..from];
        let (mut product, mut energy) = (0.0, 1e-9);
        for (a, b) in window.iter().zip(tail).step_by(4) {
            product += a * b;
            energy += a * a;
        }
        product / f32::sqrt(energy)
    };
    // Some two seconds are enough to choose from, first coarsely, then around the best.
    let first = (length * 2 / 5).max(MATCH);
    let candidates = first..(length * 3 / 5).min(first + frames(2.0)).max(first + 1);
    let best = |range: &mut dyn Iterator<Item = usize>| {
        range.map(|at| (likeness(at), at)).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, at)| at)
    };
    let coarse = best(&mut candidates.step_by(8))?;
    Some((best(&mut (coarse.saturating_sub(8).max(MATCH)..coarse + 8))?, end))
}

/// Frame `n` of a sound whose part `from..to` repeats, the end of every turn fading into the beginning of the next.
fn looped(at: &impl Fn(usize) -> f32, n: usize, from: usize, to: usize) -> f32 {
    let period = to - from;
    let fade = (period / 2).min(from).min(2_048);
    let place = if n < to { n } else { from + (n - from) % period };
    if place + fade < to || fade == 0 {
        return at(place);
    }
    // Both are alike, so that the fade is linear in amplitude.
    let part = (place + fade - to) as f32 / fade as f32;
    at(place) * (1.0 - part) + at(place - period) * part
}

/// Half a millisecond in, two out: no sound begins or ends in a click.
fn soft_ends(signal: &mut [f32]) {
    let (rise, fall) = (frames(0.0005), frames(0.002));
    let length = signal.len();
    for (n, x) in signal.iter_mut().take(rise).enumerate() {
        *x *= n as f32 / rise as f32;
    }
    for (n, x) in signal[length.saturating_sub(fall)..].iter_mut().rev().enumerate() {
        *x *= n as f32 / fall as f32;
    }
}

/// Taps of the interpolating filter.
const TAPS: usize = 16;
/// Fractions of a sample for which it is tabulated: errors stay 60 dB down.
const PHASES: usize = 1_024;

/// A windowed sine cardinal for every fraction of a sample.
fn kernels() -> &'static [[f32; TAPS]] {
    static KERNELS: OnceLock<Vec<[f32; TAPS]>> = OnceLock::new();
    KERNELS.get_or_init(|| {
        (0..=PHASES)
            .map(|phase| {
                let fraction = phase as f64 / PHASES as f64;
                let taps: [f64; TAPS] = std::array::from_fn(|tap| {
                    let x = tap as f64 - (TAPS / 2 - 1) as f64 - fraction;
                    let angle = std::f64::consts::PI * x;
                    let sinc = if x.abs() < 1e-9 { 1.0 } else { angle.sin() / angle };
                    let window = (angle / TAPS as f64).cos();
                    sinc * window * window
                });
                let sum: f64 = taps.iter().sum();
                taps.map(|tap| (tap / sum) as f32)
            })
            .collect()
    })
}

/// Reads a signal `ratio` times faster.
pub fn faster(mut signal: Vec<f32>, ratio: f32) -> Vec<f32> {
    if (ratio - 1.0).abs() < 1e-6 {
        return signal;
    }
    if ratio > 1.02 {
        // What would be mirrored at half the rate has to go first.
        (0..2).for_each(|_| Biquad::low_pass(0.45 * RATE / ratio).run(&mut signal));
    }
    let kernels = kernels();
    let length = (signal.len() as f64 / f64::from(ratio)) as usize;
    (0..length)
        .map(|n| {
            let place = n as f64 * f64::from(ratio);
            let whole = place as usize;
            let kernel = &kernels[((place - whole as f64) * PHASES as f64 + 0.5) as usize];
            let first = whole as isize - (TAPS / 2 - 1) as isize;
            match usize::try_from(first).ok().and_then(|first| signal.get(first..first + TAPS)) {
                Some(window) => window.iter().zip(kernel).map(|(x, k)| x * k).sum(),
                None => kernel
                    .iter()
                    .enumerate()
                    .map(|(tap, k)| {
                        let place = usize::try_from(first + tap as isize).ok();
                        place.and_then(|p| signal.get(p)).map_or(0.0, |x| x * k)
                    })
                    .sum(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f32, seconds: f32, t60: f32) -> AudioBuffer {
        let wave = (0..frames(seconds)).map(|n| {
            let t = n as f32 / RATE;
            (std::f32::consts::TAU * hz * t).sin() * 0.3 * (-6.9 * t / t60).exp()
        });
        let silence = vec![0.0; 5_000];
        AudioBuffer::from_channels(vec![silence.iter().copied().chain(wave).chain(silence.clone()).collect()])
            .unwrap()
    }

    fn frequency(signal: &[f32]) -> f32 {
        let middle = &signal[signal.len() / 4..signal.len() * 3 / 4];
        let crossings = middle.windows(2).filter(|w| w[0] < 0.0 && w[1] >= 0.0).count();
        crossings as f32 * RATE / middle.len() as f32
    }

    #[test]
    fn silence_around_a_sound_is_cut_and_its_level_evened() {
        let sound = Sound::new(&tone(440.0, 1.0, 1e9), true).unwrap();
        assert!(sound.frames().abs_diff(frames(1.0)) < frames(0.003), "{}", sound.frames());
        let played = sound.play(1.0, 0.5, 0.05);
        let power = played[0][4_000..20_000].iter().map(|x| x * x).sum::<f32>() / 16_000.0;
        assert!((power - 1.0).abs() < 0.1, "{power}");
        assert!(Sound::new(&AudioBuffer::new(2, 1_000), true).is_none());
    }

    #[test]
    fn a_sound_played_faster_is_higher_and_as_clean() {
        let sound = Sound::new(&tone(440.0, 1.0, 1e9), true).unwrap();
        for ratio in [0.5, 0.9, 1.3, 2.0] {
            let played = &sound.play(ratio, 0.3, 0.01)[0];
            let hz = frequency(played);
            assert!((hz / (440.0 * ratio) - 1.0).abs() < 0.01, "{hz} at {ratio}");
            // What a sine of that frequency cannot explain is 50 dB down.
            let middle = &played[3_000..11_000];
            let angle = |n: usize| std::f32::consts::TAU * 440.0 * ratio * n as f32 / RATE;
            let project = |f: fn(f32) -> f32| {
                middle.iter().enumerate().map(|(n, x)| x * f(angle(n))).sum::<f32>() * 2.0
                    / middle.len() as f32
            };
            let (sin, cos) = (project(f32::sin), project(f32::cos));
            let rest = middle
                .iter()
                .enumerate()
                .map(|(n, x)| (x - sin * angle(n).sin() - cos * angle(n).cos()).powi(2));
            let rest = rest.sum::<f32>() / middle.len() as f32;
            assert!(rest < 1e-5 * (sin * sin + cos * cos), "{rest} at {ratio}");
        }
    }

    #[test]
    fn sounds_that_go_on_are_held_and_others_die_away() {
        let mut held = Sound::new(&tone(440.0, 1.0, 1e9), true).unwrap();
        held.find_sustain();
        let long = &held.play(1.0, 4.0, 0.1)[0];
        assert!(long.len() > frames(4.0));
        let level = |from: f32| {
            let part = &long[frames(from)..frames(from + 0.1)];
            (part.iter().map(|x| x * x).sum::<f32>() / part.len() as f32).sqrt()
        };
        // No dip at the joins, and no step between one sample and the next.
        (0..38).for_each(|n| assert!((level(0.1 * n as f32 + 0.1) - 1.0).abs() < 0.1, "{n}"));
        let step = long.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
        assert!(step < 1.2 * std::f32::consts::TAU * 440.0 / RATE * std::f32::consts::SQRT_2, "{step}");
        let mut plucked = Sound::new(&tone(440.0, 1.0, 1.0), true).unwrap();
        plucked.find_sustain();
        assert!(!plucked.sustains() && plucked.play(1.0, 4.0, 0.1)[0].len() < frames(1.1));
    }
}
