//! What all instruments are made of: noise, oscillators, filters, modes, envelopes. Everything is mono at [`RATE`].

use std::f32::consts::{PI, TAU};

/// The rate of all generated songs, Hz.
pub const RATE: f32 = 44_100.0;

/// Added to what goes into filters, so that in silence they do not sink into denormal numbers, which are up to a
/// hundred times slower than others. It is 360 dB down.
pub const INAUDIBLE: f32 = 1e-18;

/// Seconds to frames.
pub fn frames(seconds: f32) -> usize {
    (seconds.max(0.0) * RATE) as usize
}

/// MIDI note number to Hz.
pub fn hertz(pitch: f32) -> f32 {
    440.0 * ((pitch - 69.0) / 12.0).exp2()
}

/// Decibels to a factor.
pub fn gain(db: f32) -> f32 {
    10f32.powf(db / 20.0)
}

/// A smooth saturation to ±1, close to the hyperbolic tangent and much cheaper.
pub fn saturate(x: f32) -> f32 {
    let x = x.clamp(-3.0, 3.0);
    x * (27.0 + x * x) / (27.0 + 9.0 * x * x)
}

/// The factor per frame of an exponential decay by 60 dB in `t60` seconds.
pub fn decay(t60: f32) -> f32 {
    (-6.908 / (t60.max(1e-4) * RATE)).exp()
}

/// White noise, uniform in ±1.
pub struct Noise(u32);

impl Noise {
    /// Noise from a seed.
    pub fn new(seed: u64) -> Self {
        Self((seed as u32 ^ (seed >> 32) as u32) | 1)
    }

    /// The next sample.
    pub fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 as i32 as f32 / 2_147_483_648.0
    }
}

/// A one-pole low-pass filter.
#[derive(Clone)]
pub struct OnePole {
    coefficient: f32,
    state: f32,
}

impl OnePole {
    /// Cutoff in Hz.
    pub fn new(cutoff_hz: f32) -> Self {
        Self { coefficient: 1.0 - (-TAU * cutoff_hz / RATE).exp(), state: 0.0 }
    }

    /// The low-passed sample; subtract it from the input for the high-pass.
    pub fn low(&mut self, x: f32) -> f32 {
        self.state += self.coefficient * (x - self.state);
        self.state
    }
}

/// A state-variable filter (trapezoidal integration, after Zavalishin), whose cutoff may move at any sample.
#[derive(Clone, Default)]
pub struct Svf {
    g: f32,
    k: f32,
    a1: f32,
    ic1: f32,
    ic2: f32,
}

/// The three outputs of [`Svf`].
pub struct SvfOut {
    /// Low-pass.
    pub low: f32,
    /// Band-pass, unity gain at the centre.
    pub band: f32,
    /// High-pass.
    pub high: f32,
}

impl Svf {
    /// Cutoff or centre in Hz; `q` 0.7 is flat.
    pub fn new(cutoff_hz: f32, q: f32) -> Self {
        let mut filter = Self::default();
        filter.tune(cutoff_hz, q);
        filter
    }

    /// Moves the cutoff.
    pub fn tune(&mut self, cutoff_hz: f32, q: f32) {
        self.g = (PI * (cutoff_hz / RATE).clamp(1e-4, 0.47)).tan();
        self.k = 1.0 / q;
        self.a1 = 1.0 / (1.0 + self.g * (self.g + self.k));
    }

    /// One sample.
    pub fn next(&mut self, x: f32) -> SvfOut {
        let v3 = x - self.ic2;
        let v1 = self.a1 * (self.ic1 + self.g * v3);
        let v2 = self.ic2 + self.g * v1;
        self.ic1 = 2.0 * v1 - self.ic1;
        self.ic2 = 2.0 * v2 - self.ic2;
        SvfOut { low: v2, band: self.k * v1, high: x - self.k * v1 - v2 }
    }
}

/// A second-order equaliser section (Bristow-Johnson's cookbook).
#[derive(Clone)]
pub struct Biquad {
    b: [f32; 3],
    a: [f32; 2],
    s: [f32; 2],
}

impl Biquad {
    /// A bell of `db` at `hz`.
    pub fn peak(hz: f32, q: f32, db: f32) -> Self {
        let (cos, alpha, a) = Self::prepare(hz, q, db);
        Self::normalised(
            [1.0 + alpha * a, -2.0 * cos, 1.0 - alpha * a],
            [1.0 + alpha / a, -2.0 * cos, 1.0 - alpha / a],
        )
    }

    /// Everything well above `hz` by `db`.
    pub fn high_shelf(hz: f32, db: f32) -> Self {
        let (cos, alpha, a) = Self::prepare(hz, 0.7, db);
        let root = 2.0 * a.sqrt() * alpha;
        Self::normalised(
            [
                a * ((a + 1.0) + (a - 1.0) * cos + root),
                -2.0 * a * ((a - 1.0) + (a + 1.0) * cos),
                a * ((a + 1.0) + (a - 1.0) * cos - root),
            ],
            [
                (a + 1.0) - (a - 1.0) * cos + root,
                2.0 * ((a - 1.0) - (a + 1.0) * cos),
                (a + 1.0) - (a - 1.0) * cos - root,
            ],
        )
    }

    /// A second-order high-pass.
    pub fn high_pass(hz: f32) -> Self {
        let (cos, alpha, _) = Self::prepare(hz, 0.707, 0.0);
        let b = (1.0 + cos) / 2.0;
        Self::normalised([b, -2.0 * b, b], [1.0 + alpha, -2.0 * cos, 1.0 - alpha])
    }

    /// A second-order low-pass.
    pub fn low_pass(hz: f32) -> Self {
        let (cos, alpha, _) = Self::prepare(hz, 0.707, 0.0);
        let b = (1.0 - cos) / 2.0;
        Self::normalised([b, 2.0 * b, b], [1.0 + alpha, -2.0 * cos, 1.0 - alpha])
    }

    fn prepare(hz: f32, q: f32, db: f32) -> (f32, f32, f32) {
        let w = TAU * (hz / RATE).clamp(1e-4, 0.49);
        (w.cos(), w.sin() / (2.0 * q), 10f32.powf(db / 40.0))
    }

    fn normalised(b: [f32; 3], a: [f32; 3]) -> Self {
        Self { b: b.map(|x| x / a[0]), a: [a[1] / a[0], a[2] / a[0]], s: [0.0; 2] }
    }

    /// One sample.
    pub fn next(&mut self, x: f32) -> f32 {
        let y = self.b[0] * x + self.s[0];
        self.s[0] = self.b[1] * x - self.a[0] * y + self.s[1];
        self.s[1] = self.b[2] * x - self.a[1] * y;
        y
    }

    /// Both channels through sections one after the other, in place. Faster than one section at a time: none has
    /// to wait for the whole signal to be through the one before.
    pub fn cascade(sections: &[Biquad], channels: &mut [Vec<f32>; 2]) {
        let mut sections: Vec<[Biquad; 2]> = sections.iter().map(|s| [s.clone(), s.clone()]).collect();
        let [left, right] = channels;
        for (left, right) in left.iter_mut().zip(right.iter_mut()) {
            let (mut l, mut r) = (*left + INAUDIBLE, *right + INAUDIBLE);
            for section in &mut sections {
                l = section[0].next(l);
                r = section[1].next(r);
            }
            (*left, *right) = (l, r);
        }
    }

    /// A whole signal in place.
    pub fn run(mut self, signal: &mut [f32]) {
        signal.iter_mut().for_each(|x| *x = self.next(*x + INAUDIBLE));
    }
}

/// An oscillator without audible aliasing (polynomial corrections at the steps).
pub struct Osc {
    phase: f32,
}

impl Osc {
    /// Starts at a phase in [0, 1).
    pub fn new(phase: f32) -> Self {
        Self { phase }
    }

    fn advance(&mut self, step: f32) -> f32 {
        let phase = self.phase;
        self.phase += step;
        while self.phase >= 1.0 {
            self.phase -= 1.0;
        }
        phase
    }

    /// A sawtooth.
    pub fn saw(&mut self, hz: f32) -> f32 {
        let step = hz / RATE;
        let phase = self.advance(step);
        2.0 * phase - 1.0 - correction(phase, step)
    }

    /// A pulse, high for `width` of its period.
    pub fn pulse(&mut self, hz: f32, width: f32) -> f32 {
        let step = hz / RATE;
        let phase = self.advance(step);
        let fall = if phase < width { phase + 1.0 - width } else { phase - width };
        let level = if phase < width { 1.0 } else { -1.0 };
        level + correction(phase, step) - correction(fall, step) + 1.0 - 2.0 * width
    }

    /// A sawtooth in step with the pulse that was just drawn, whose frequency it shares: the phase does not move.
    pub fn ramp(&self, hz: f32) -> f32 {
        2.0 * self.phase - 1.0 - correction(self.phase, hz / RATE)
    }

    /// A sine, its phase moved by `modulation` (radians): frequency modulation as in the DX7.
    pub fn sine(&mut self, hz: f32, modulation: f32) -> f32 {
        (TAU * self.advance(hz / RATE) + modulation).sin()
    }
}

fn correction(phase: f32, step: f32) -> f32 {
    if phase < step {
        let t = phase / step;
        2.0 * t - t * t - 1.0
    } else if phase > 1.0 - step {
        let t = (phase - 1.0) / step;
        t * t + 2.0 * t + 1.0
    } else {
        0.0
    }
}

/// A decaying sine wave, as a struck body rings.
#[derive(Clone, Copy)]
pub struct Mode {
    /// Frequency.
    pub hz: f32,
    /// Level at the start.
    pub amplitude: f32,
    /// Time to fall by 60 dB, seconds.
    pub t60: f32,
}

/// Adds modes to a signal, all starting at its first sample. Modes above 20 kHz are left out.
pub fn ring(modes: &[Mode], out: &mut [f32]) {
    const LANES: usize = 8;
    let audible: Vec<Mode> = modes.iter().copied().filter(|m| m.hz < 20_000.0).collect();
    for group in audible.chunks(LANES) {
        // Eight rotating complex numbers side by side, so that the compiler can use vector registers.
        let (mut re, mut im) = ([0f32; LANES], [0f32; LANES]);
        let (mut cos, mut sin) = ([0f32; LANES], [0f32; LANES]);
        let mut longest = 0f32;
        for (lane, mode) in group.iter().enumerate() {
            let w = TAU * mode.hz / RATE;
            let r = decay(mode.t60);
            (cos[lane], sin[lane]) = (r * w.cos(), r * w.sin());
            re[lane] = mode.amplitude;
            longest = longest.max(mode.t60);
        }
        let end = out.len().min(frames(longest * 1.3) + 1);
        for sample in &mut out[..end] {
            for lane in 0..LANES {
                let turned = re[lane] * cos[lane] - im[lane] * sin[lane];
                im[lane] = re[lane] * sin[lane] + im[lane] * cos[lane];
                re[lane] = turned;
            }
            *sample += (im[0] + im[4]) + (im[1] + im[5]) + ((im[2] + im[6]) + (im[3] + im[7]));
        }
    }
}

/// An envelope: linear attack, exponential approach to the sustain level, release after the note.
pub struct Adsr {
    /// Seconds to full level.
    pub attack: f32,
    /// Seconds in which most of the way to the sustain level is gone.
    pub decay: f32,
    /// Level while held.
    pub sustain: f32,
    /// Seconds to silence after the end.
    pub release: f32,
}

impl Adsr {
    /// The level at each frame of a note that is held for `held` seconds, down to its silence.
    pub fn curve(&self, held: f32) -> Vec<f32> {
        let attack = 1.0 / (self.attack.max(1e-4) * RATE);
        let fade = (-3.0 / (self.decay.max(1e-3) * RATE)).exp();
        let release = 1.0 / (self.release.max(1e-3) * RATE);
        let held = frames(held);
        let length = held + frames(self.release) + 1;
        let (mut up, mut above, mut down) = (0.0f32, 1.0 - self.sustain, 1.0f32);
        (0..length)
            .map(|frame| {
                if frame >= held {
                    down = (down - release).max(0.0);
                } else if up < 1.0 {
                    up = (up + attack).min(1.0);
                } else {
                    above *= fade;
                }
                up * (self.sustain + above) * down * down
            })
            .collect()
    }
}

/// Adds `source * gain` to `target` from `start` on; what lies beyond the end is lost.
pub fn add(target: &mut [f32], start: usize, source: &[f32], gain: f32) {
    if start < target.len() {
        for (t, s) in target[start..].iter_mut().zip(source) {
            *t += s * gain;
        }
    }
}

/// The largest absolute sample.
pub fn peak(signal: &[f32]) -> f32 {
    signal.iter().fold(0.0, |peak, x| peak.max(x.abs()))
}
