//! Oscillators through a filter, as in analogue synthesisers.

use super::super::dsp::{Adsr, Noise, Osc, RATE, Svf, hertz, saturate};
use super::super::score::Note;
use super::{Instrument, STEP, Vibrato};
use crate::rng::Rng;

/// A patch.
pub struct Subtractive {
    /// 1 saws, 0 pulses.
    pub saw: f32,
    /// Width of the pulses, 0 to 0.5.
    pub width: f32,
    /// Level of a square wave an octave below.
    pub sub: f32,
    /// Oscillators side by side, at least 1.
    pub copies: usize,
    /// How far apart the outer ones are, as a part of the frequency.
    pub detune: f32,
    /// Level of white noise.
    pub noise: f32,
    /// Cutoff of the filter, Hz.
    pub cutoff: f32,
    /// How much of the note's frequency is added to it.
    pub tracking: f32,
    /// How far the filter's envelope opens it, octaves.
    pub sweep: f32,
    /// Resonance.
    pub q: f32,
    /// Loudness.
    pub amplitude: Adsr,
    /// The filter's envelope.
    pub filter: Adsr,
    /// Semitones.
    pub vibrato: f32,
    /// Seconds from one pitch to the next.
    pub glide: f32,
    /// Swings a second and octaves of a filter that wobbles.
    pub wobble: (f32, f32),
    /// Overdrive; 0 for none.
    pub drive: f32,
}

impl Instrument for Subtractive {
    fn play(&self, rng: &mut Rng, note: &Note, previous: Option<f32>) -> Vec<f32> {
        let copies = self.copies.max(1);
        let mut oscillators: Vec<(Osc, f32)> = (0..copies)
            .map(|i| {
                let place = if copies > 1 { 2.0 * i as f32 / (copies - 1) as f32 - 1.0 } else { 0.0 };
                (Osc::new(rng.unit()), 1.0 + self.detune * place)
            })
            .collect();
        let mut below = Osc::new(rng.unit());
        let mut noise = Noise::new(rng.bits());
        let mut filter = Svf::default();
        let vibrato = Vibrato::new(self.vibrato, 5.4, rng.unit());
        let level = 0.6 / (copies as f32).sqrt();
        let from = previous.unwrap_or(note.pitch).clamp(note.pitch - 12.0, note.pitch + 12.0);
        let mut hz = hertz(note.pitch);
        // Analogue oscillators are never quite in tune.
        let drift = 0.02 * rng.normal();
        let opening = self.filter.curve(note.length);
        let mut out = self.amplitude.curve(note.length);
        for (i, x) in out.iter_mut().enumerate() {
            if i % STEP == 0 {
                let t = i as f32 / RATE;
                let bend = if self.glide > 0.0 { (from - note.pitch) * (-t / self.glide).exp() } else { 0.0 };
                hz = hertz(note.pitch + drift + bend + vibrato.at(t));
                let wobble = if self.wobble.1 > 0.0 {
                    self.wobble.1
                        * (0.5 - 0.5 * (std::f32::consts::TAU * self.wobble.0 * (note.start + t)).cos())
                } else {
                    0.0
                };
                let open = opening.get(i).copied().unwrap_or(0.0);
                let octaves = open * self.sweep * (0.3 + 0.7 * note.velocity) + wobble;
                filter.tune((self.cutoff + self.tracking * hz) * octaves.exp2(), self.q);
            }
            let mut sum = 0.0;
            for (oscillator, ratio) in &mut oscillators {
                let hz = hz * *ratio;
                sum += if self.saw >= 1.0 {
                    oscillator.saw(hz)
                } else {
                    let pulse = oscillator.pulse(hz, self.width);
                    // A ramp from the same phase: the two share their steps.
                    pulse * (1.0 - self.saw) + self.saw * oscillator.ramp(hz)
                };
            }
            let mut sample = level * sum;
            if self.sub > 0.0 {
                sample += self.sub * 0.5 * below.pulse(0.5 * hz, 0.5);
            }
            if self.noise > 0.0 {
                sample += self.noise * noise.next();
            }
            let mut sample = filter.next(sample).low;
            if self.drive > 0.0 {
                sample = saturate(sample * (1.0 + self.drive)) * 0.8;
            }
            *x *= sample * note.velocity;
        }
        out
    }
}
