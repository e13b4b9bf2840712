//! From tracks to stems: panning, reverb, delay, levels, and one master gain for everything.

use super::dsp::{Biquad, INAUDIBLE, OnePole, RATE, frames, gain};
use crate::rng::Rng;

/// Left and right, of equal length.
pub type Stereo = [Vec<f32>; 2];

/// What an instrument gives to the mixer.
pub struct Track {
    /// Left and right, of the song's length.
    pub channels: Stereo,
    /// How much of it goes to the reverb.
    pub reverb_send: f32,
    /// How much of it goes to the echo.
    pub delay_send: f32,
}

impl Track {
    /// A silent track.
    pub fn silent(length: usize) -> Self {
        Self { channels: [vec![0.0; length], vec![0.0; length]], reverb_send: 0.0, delay_send: 0.0 }
    }

    /// Adds a mono sound at a place from -1 (left) to 1 (right), at constant power.
    pub fn add(&mut self, start: usize, sound: &[f32], level: f32, pan: f32) {
        let angle = (pan.clamp(-1.0, 1.0) + 1.0) * std::f32::consts::FRAC_PI_4;
        let gains =
            [level * angle.cos() * std::f32::consts::SQRT_2, level * angle.sin() * std::f32::consts::SQRT_2];
        for (channel, gain) in self.channels.iter_mut().zip(gains) {
            super::dsp::add(channel, start, sound, gain);
        }
    }

    /// Mean square over both channels.
    pub fn power(&self) -> f32 {
        power(&self.channels)
    }

    /// Scales everything.
    pub fn scale(&mut self, factor: f32) {
        self.channels.iter_mut().flatten().for_each(|x| *x *= factor);
    }
}

/// Mean square over both channels.
pub fn power(channels: &Stereo) -> f32 {
    let sum: f64 = channels.iter().flatten().map(|x| f64::from(x * x)).sum();
    (sum / (2 * channels[0].len()).max(1) as f64) as f32
}

/// The song's room and echo, the same for all stems, each stem through a copy of its own.
pub struct Space {
    size: f32,
    t60: f32,
    damping_hz: f32,
    echo_seconds: f32,
    feedback: f32,
}

impl Space {
    /// A random space, its echo in time with the song.
    pub fn draw(rng: &mut Rng, bpm: f32) -> Self {
        Self {
            size: rng.log_range(0.4, 1.6),
            t60: rng.log_range(0.3, 3.5),
            damping_hz: rng.log_range(1_500.0, 9_000.0),
            echo_seconds: 60.0 / bpm * *rng.pick(&[0.5, 0.75, 0.75, 1.0, 0.25]),
            feedback: rng.range(0.1, 0.5),
        }
    }

    /// Sums the tracks of a stem, with their reverb and echo.
    pub fn stem(&self, tracks: &[Track], length: usize) -> Stereo {
        let mut dry = [vec![0.0; length], vec![0.0; length]];
        let mut reverb = [vec![0.0; length], vec![0.0; length]];
        let mut echo = [vec![0.0; length], vec![0.0; length]];
        let wet = tracks.iter().any(|t| t.reverb_send > 0.0);
        let echoing = tracks.iter().any(|t| t.delay_send > 0.0);
        for track in tracks {
            for side in 0..2 {
                let source = &track.channels[side];
                super::dsp::add(&mut dry[side], 0, source, 1.0);
                if track.reverb_send > 0.0 {
                    super::dsp::add(&mut reverb[side], 0, source, track.reverb_send);
                }
                if track.delay_send > 0.0 {
                    super::dsp::add(&mut echo[side], 0, source, track.delay_send);
                }
            }
        }
        if echoing {
            self.echo(&mut echo);
            (0..2).for_each(|side| super::dsp::add(&mut dry[side], 0, &echo[side], 1.0));
        }
        if wet {
            self.reverberate(&mut reverb);
            (0..2).for_each(|side| super::dsp::add(&mut dry[side], 0, &reverb[side], 1.0));
        }
        dry
    }

    /// Echoes that cross from side to side; the input itself is not in the result.
    fn echo(&self, channels: &mut Stereo) {
        let delay = frames(self.echo_seconds).max(1);
        let mut soft = [OnePole::new(self.damping_hz), OnePole::new(self.damping_hz)];
        let length = channels[0].len();
        let input = channels.clone();
        for side in channels.iter_mut() {
            side.fill(0.0);
        }
        for n in delay..length {
            for side in 0..2 {
                let returned = input[side][n - delay] + self.feedback * channels[1 - side][n - delay];
                channels[side][n] = soft[side].low(returned + INAUDIBLE);
            }
        }
    }

    /// A feedback delay network of eight lines (Jot 1991), replaced in place by its output.
    fn reverberate(&self, channels: &mut Stereo) {
        const LINES: usize = 8;
        const PRIMES: [f32; LINES] = [1_031.0, 1_327.0, 1_523.0, 1_871.0, 2_053.0, 2_311.0, 2_539.0, 2_903.0];
        let lengths = PRIMES.map(|p| (p * self.size) as usize + 1);
        let gains = lengths.map(|l| 10f32.powf(-3.0 * l as f32 / (self.t60 * RATE)));
        let mut lines = lengths.map(|l| vec![0.0f32; l]);
        let mut positions = [0usize; LINES];
        let mut low = [0.0f32; LINES];
        let damping = 1.0 - (-std::f32::consts::TAU * self.damping_hz / RATE).exp();
        let pre_delay = frames(0.012 * self.size);
        let mut high_pass = [Biquad::high_pass(150.0), Biquad::high_pass(150.0)];
        let input = channels.clone();
        for n in 0..channels[0].len() {
            let mut taps = [0.0f32; LINES];
            for (i, tap) in taps.iter_mut().enumerate() {
                low[i] += damping * (lines[i][positions[i]] - low[i]);
                *tap = low[i] * gains[i];
            }
            channels[0][n] = 0.35 * (taps[0] + taps[2] - taps[4] + taps[6]);
            channels[1][n] = 0.35 * (taps[1] - taps[3] + taps[5] + taps[7]);
            // Householder's reflection mixes the lines without changing their energy.
            let mean = taps.iter().sum::<f32>() * (2.0 / LINES as f32);
            let dry = match n.checked_sub(pre_delay) {
                Some(then) => [high_pass[0].next(input[0][then]), high_pass[1].next(input[1][then])],
                None => [0.0; 2],
            };
            for i in 0..LINES {
                lines[i][positions[i]] = taps[i] - mean + dry[i % 2] + INAUDIBLE;
                positions[i] = if positions[i] + 1 == lengths[i] { 0 } else { positions[i] + 1 };
            }
        }
    }
}

/// Sets the stems' levels as in real music, then one gain for all, so that the mixture peaks below full scale.
///
/// Every sample ends as a whole multiple of 2^-23, so stems add up to the mixture without any rounding, in any order.
pub fn master(rng: &mut Rng, stems: &mut [Stereo; engine::STEMS]) {
    // Means and deviations in dB: the input SDR of a stem then lies between about -12 and +2 dB.
    const LEVELS: [(f32, f32); engine::STEMS] = [(0.0, 3.0), (-1.0, 3.0), (-0.5, 3.0), (0.5, 3.0)];
    for (stem, (mean, deviation)) in stems.iter_mut().zip(LEVELS) {
        let level = loud_power(stem);
        let target = gain(mean + deviation * rng.normal().clamp(-2.0, 2.0));
        if level > 1e-10 {
            let factor = target / level.sqrt();
            stem.iter_mut().flatten().for_each(|x| *x *= factor);
        }
    }
    let length = stems[0][0].len();
    // The loudest of the mixture's two channels at each frame.
    let level: Vec<f32> = (0..length)
        .map(|n| {
            (0..2).map(|side| stems.iter().map(|stem| stem[side][n]).sum::<f32>().abs()).fold(0.0, f32::max)
        })
        .collect();
    let gains = if rng.chance(0.6) { limit(rng, &level) } else { vec![1.0; length] };
    let mut peak = 1e-9f32;
    for (n, g) in gains.iter().enumerate() {
        let loudest = stems.iter().flatten().fold(level[n], |peak, channel| peak.max(channel[n].abs()));
        peak = peak.max(loudest * g);
    }
    let master = rng.range(0.25, 0.97) / peak;
    const GRID: f32 = 8_388_608.0;
    for stem in stems.iter_mut() {
        for channel in stem.iter_mut() {
            for (x, g) in channel.iter_mut().zip(&gains) {
                *x = (*x * g * master * GRID).round() / GRID;
            }
        }
    }
}

/// Power of the parts where something sounds, so that pauses don't make an instrument louder.
fn loud_power(stem: &Stereo) -> f32 {
    let block = frames(0.4);
    let mut powers: Vec<f32> = stem[0]
        .chunks(block)
        .zip(stem[1].chunks(block))
        .map(|(l, r)| l.iter().chain(r).map(|x| x * x).sum::<f32>() / (2 * l.len()) as f32)
        .collect();
    powers.sort_by(f32::total_cmp);
    let Some(&loudest) = powers.last() else { return 0.0 };
    let sounding: Vec<f32> = powers.into_iter().filter(|p| *p > 0.01 * loudest).collect();
    sounding.iter().sum::<f32>() / sounding.len().max(1) as f32
}

/// A master limiter's gain curve from the mixture's level, to be applied to all stems alike.
fn limit(rng: &mut Rng, level: &[f32]) -> Vec<f32> {
    let loudest = level.iter().fold(0f32, |peak, x| peak.max(*x));
    let threshold = loudest * gain(-rng.range(1.0, 9.0));
    let release = 1.0 - (-1.0 / (rng.log_range(0.03, 0.25) * RATE)).exp();
    let attack = 1.0 - (-1.0 / (0.002 * RATE)).exp();
    let mut current = 1.0f32;
    level
        .iter()
        .map(|&level| {
            let wanted = if level > threshold { threshold / level } else { 1.0 };
            current += if wanted < current { attack } else { release } * (wanted - current);
            current
        })
        .collect()
}
