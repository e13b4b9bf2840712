//! What goes into a plugin: impulses, noise, music of sorts. The same on every machine.

use engine::audio::AudioBuffer;

/// A generator of even noise in -1 to 1 (xorshift64*).
pub struct Noise(u64);

impl Noise {
    /// Different seeds, different noise.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next random number, in -1 to 1.
    pub fn sample(&mut self) -> f32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40;
        bits as f32 / (1 << 23) as f32 - 1.0
    }

    /// A whole number from 1 to `largest`.
    pub fn at_most(&mut self, largest: usize) -> usize {
        let part = (f64::from(self.sample()) + 1.0) / 2.0;
        1 + ((part * largest as f64) as usize).min(largest - 1)
    }
}

/// Silence but for one frame, half of full scale, in both channels.
pub fn impulse(frames: usize, at: usize) -> AudioBuffer {
    let mut buffer = AudioBuffer::new(2, frames);
    buffer.iter_mut().for_each(|channel| channel[at] = 0.5);
    buffer
}

/// Something with drums, a bass, chords and noise in it, different left and right, below full scale.
/// It keeps every part of a separator busy; nobody has to like it.
pub fn music(frames: usize, sample_rate: u32, seed: u64) -> AudioBuffer {
    let mut noise = Noise::new(seed);
    let rate = f64::from(sample_rate);
    let tune = 1.0 + f64::from(noise.sample()) * 0.1;
    let mut buffer = AudioBuffer::new(2, frames);
    for frame in 0..frames {
        let seconds = frame as f64 / rate;
        let beat = (seconds * 2.2).fract();
        let kick = (-beat * 18.0).exp() * (300.0 * tune * (1.0 - (-beat * 30.0).exp())).sin();
        let snare = (-((seconds * 1.1 + 0.5).fract()) * 12.0).exp() * f64::from(noise.sample());
        let bass = wave(seconds, 55.0 * tune) + 0.4 * wave(seconds, 110.0 * tune);
        let chord = wave(seconds, 220.0 * tune) + wave(seconds, 277.2 * tune) + wave(seconds, 329.6 * tune);
        let voice =
            wave(seconds + 0.002 * wave(seconds, 5.5), 440.0 * tune) * (0.5 + 0.5 * wave(seconds, 0.7));
        let centre = 0.3 * kick + 0.15 * bass + 0.12 * voice;
        let side = 0.05 * chord + 0.1 * snare;
        buffer.channel_mut(0)[frame] = (centre + side) as f32;
        buffer.channel_mut(1)[frame] = (centre - 0.6 * side) as f32;
    }
    buffer
}

fn wave(seconds: f64, hertz: f64) -> f64 {
    (std::f64::consts::TAU * hertz * seconds).sin()
}
