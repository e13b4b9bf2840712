//! Plucked strings: a delay line that loses its highs with every pass (Karplus and Strong, 1983).

use super::super::dsp::{Noise, OnePole, RATE, Svf, frames, hertz, saturate};
use super::super::score::Note;
use super::Instrument;
use crate::rng::Rng;

/// What string, and how it is plucked.
#[derive(Clone, Copy)]
pub struct Pluck {
    /// Brightness of the pluck: cutoff of its noise, Hz.
    pub pluck_hz: f32,
    /// Where on the string, as a part of its length: harmonics with a node there are missing.
    pub position: f32,
    /// Time to fall by 60 dB at the note A2, seconds; higher notes die faster.
    pub t60: f32,
    /// 0 to 1: how fast highs are lost, 0.5 the most.
    pub damping: f32,
    /// Time to silence after the note's end, seconds.
    pub release: f32,
    /// Noise of nail, plectrum or thumb against the string.
    pub click: f32,
    /// How hard the string hits the frets or the bridge: slapped basses and sitars.
    pub buzz: f32,
    /// Resonance of the body, Hz; 0 for none.
    pub body_hz: f32,
}

impl Instrument for Pluck {
    fn play(&self, rng: &mut Rng, note: &Note, _previous: Option<f32>) -> Vec<f32> {
        let noise = &mut Noise::new(rng.bits());
        // No two strokes meet the string in the same place.
        let position = (self.position * (1.0 + 0.1 * rng.normal())).clamp(0.03, 0.5);
        let mut out = string(self, position, note, noise);
        if self.buzz > 0.0 {
            let hard = 1.0 + 6.0 * self.buzz * note.velocity;
            out.iter_mut().for_each(|x| *x = saturate(*x * hard) / hard.sqrt());
        }
        if self.click > 0.0 {
            let mut nail = Svf::new(2_800.0 + 1_500.0 * note.velocity, 0.8);
            let length = frames(0.008);
            for (i, x) in out.iter_mut().take(length).enumerate() {
                let fade = 1.0 - i as f32 / length as f32;
                *x += self.click * note.velocity * nail.next(noise.next()).band * fade;
            }
        }
        if self.body_hz > 0.0 {
            let mut body = [Svf::new(self.body_hz, 3.0), Svf::new(2.1 * self.body_hz, 4.0)];
            for x in &mut out {
                *x += 0.8 * body[0].next(*x).band + 0.5 * body[1].next(*x).band;
            }
        }
        out
    }
}

fn string(string: &Pluck, position: f32, note: &Note, noise: &mut Noise) -> Vec<f32> {
    let hz = hertz(note.pitch);
    let t60 = string.t60 * (110.0 / hz).powf(0.5);
    let length = frames((note.length + string.release).min(t60 * 1.2)) + 1;
    let period = RATE / hz;
    // The loss filter (1-d) x[n] + d x[n-1] delays by d; linear interpolation makes up the fraction.
    let delay = (period - string.damping).max(2.0);
    let whole = delay as usize;
    let fraction = delay - whole as f32;
    let mut line = vec![0.0f32; whole + 2];
    let mut softness = OnePole::new(string.pluck_hz * (0.4 + 0.6 * note.velocity));
    let excitation: Vec<f32> = (0..whole + 1).map(|_| softness.low(noise.next())).collect();
    // A soft pluck lets less of the noise through; all are brought to about the same level.
    let energy = excitation.iter().map(|x| x * x).sum::<f32>() / excitation.len() as f32;
    let level = 0.5 * energy.max(1e-6).sqrt().recip();
    let comb = ((whole as f32 * position) as usize).max(1);
    for i in 0..=whole {
        line[i] = level * (excitation[i] - if i >= comb { excitation[i - comb] } else { 0.0 });
    }
    let loss = (-6.908 * period / (t60 * RATE)).exp();
    let size = line.len();
    let mut at = whole + 1;
    let mut previous = 0.0;
    let held = frames(note.length);
    let release = (frames(string.release) as f32).max(1.0);
    (0..length)
        .map(|n| {
            // The samples written `whole` and `whole + 1` frames ago.
            // A line of `whole + 2`: those are the next two places to be written to.
            let older = if at + 1 == size { 0 } else { at + 1 };
            let b = line[older];
            let a = line[if older + 1 == size { 0 } else { older + 1 }];
            let read = a + fraction * (b - a);
            let damped = (1.0 - string.damping) * read + string.damping * previous;
            previous = read;
            line[at] = damped * loss;
            at = older;
            let after = n.saturating_sub(held) as f32 / release;
            read * (1.0 - after).max(0.0) * note.velocity
        })
        .collect()
}
