//! Plucked strings: a delay line that loses its highs with every pass (Karplus and Strong, 1983).

use super::dsp::{Noise, OnePole, RATE, frames, hertz};
use super::score::Note;

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
}

/// One plucked note.
pub fn pluck(string: &Pluck, note: &Note, noise: &mut Noise) -> Vec<f32> {
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
    let comb = ((whole as f32 * string.position) as usize).max(1);
    for i in 0..=whole {
        line[i] = excitation[i] - if i >= comb { excitation[i - comb] } else { 0.0 };
    }
    let loss = (-6.908 * period / (t60 * RATE)).exp();
    let size = line.len();
    let mut position = whole + 1;
    let mut previous = 0.0;
    let held = frames(note.length);
    let release = (frames(string.release) as f32).max(1.0);
    (0..length)
        .map(|n| {
            // The samples written `whole` and `whole + 1` frames ago.
            // A line of `whole + 2`: those are the next two places to be written to.
            let older = if position + 1 == size { 0 } else { position + 1 };
            let b = line[older];
            let a = line[if older + 1 == size { 0 } else { older + 1 }];
            let read = a + fraction * (b - a);
            let damped = (1.0 - string.damping) * read + string.damping * previous;
            previous = read;
            line[position] = damped * loss;
            position = older;
            let after = n.saturating_sub(held) as f32 / release;
            read * (1.0 - after).max(0.0) * note.velocity
        })
        .collect()
}
