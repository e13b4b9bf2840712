//! Setting the periods of a voice down at other times.

use super::{HOP, Mark, Voice};
use crate::rng::Rng;
use crate::synth::dsp::RATE;

/// A pair of times that belong together. Between two of them time runs evenly.
#[derive(Debug, Clone, Copy)]
pub struct Knot {
    /// Frames in the result. Never falls from knot to knot.
    pub out: f32,
    /// Frames in the recording.
    pub source: f32,
    /// Factor on the level from here to the next knot.
    pub level: f32,
}

/// Plays a recorded voice along the knots, at other pitches.
///
/// `pitch` gives the wanted pitch in Hz from the frame in the result and the recording's own pitch there; it is
/// asked in rising order of frames. `formants` above 1 makes the throat shorter. The result begins at frame 0 and
/// ends a little after the last knot.
pub fn overlap_add(
    rng: &mut Rng,
    signal: &[f32],
    voice: &Voice,
    knots: &[Knot],
    formants: f32,
    mut pitch: impl FnMut(f32, f32) -> f32,
) -> Vec<f32> {
    let (Some(first), Some(last)) = (knots.first(), knots.last()) else { return Vec::new() };
    let mut out = vec![0.0; last.out.max(0.0) as usize + 2 * HOP];
    let mut time = first.out.max(0.0);
    let mut segment = 0;
    while time < last.out {
        while segment + 2 < knots.len() && knots[segment + 1].out <= time {
            segment += 1;
        }
        let (from, to) = (knots[segment], knots[(segment + 1).min(knots.len() - 1)]);
        let length = (to.out - from.out).max(1.0);
        let speed = (to.source - from.source) / length;
        let source = from.source + (time - from.out) * speed;
        let index = nearest(&voice.marks, source);
        let Some(mut mark) = voice.marks.get(index).copied() else { break };
        if mark.voiced {
            if speed < 0.5 {
                // Where time nearly stands still, neighbours take turns: a period repeated is a buzz.
                let neighbour = (index + rng.below(3)).saturating_sub(1);
                mark = voice.marks.get(neighbour).filter(|m| m.voiced).copied().unwrap_or(mark);
            }
            let hz = pitch(time, RATE / mark.period).clamp(30.0, 2_000.0);
            let period = RATE / hz;
            // More periods in the same time must not be louder.
            let level = from.level * (period / mark.period).sqrt();
            place(&mut out, time, signal, mark.at as f32, mark.period, formants, level);
            time += period;
        } else {
            // Noise that is stretched must not repeat either.
            let wander = if speed < 0.7 { HOP as f32 * rng.range(-1.0, 1.0) } else { 0.0 };
            place(&mut out, time, signal, source + wander, HOP as f32, 1.0, from.level);
            time += HOP as f32;
        }
    }
    out
}

/// The mark nearest to a frame.
fn nearest(marks: &[Mark], frame: f32) -> usize {
    let after = marks.partition_point(|mark| (mark.at as f32) < frame);
    let distance = |index: usize| marks.get(index).map_or(f32::INFINITY, |m| (m.at as f32 - frame).abs());
    match after.checked_sub(1) {
        Some(before) if distance(before) < distance(after) => before,
        _ => after,
    }
}

/// Adds what lies within `reach` frames of `centre`, under a Hann window, around `time`.
fn place(out: &mut [f32], time: f32, signal: &[f32], centre: f32, reach: f32, formants: f32, level: f32) {
    let half = reach / formants;
    let from = (time - half).ceil().max(0.0) as usize;
    let to = ((time + half).floor().max(0.0) as usize + 1).min(out.len());
    let turn = std::f32::consts::PI / half;
    for (n, sum) in out.get_mut(from..to).into_iter().flatten().enumerate() {
        let offset = (from + n) as f32 - time;
        let window = 0.5 + 0.5 * (turn * offset).cos();
        *sum += level * window * at(signal, centre + offset * formants);
    }
}

/// The signal between its samples: a cubic through four of them (Catmull and Rom).
fn at(signal: &[f32], place: f32) -> f32 {
    let whole = place.floor();
    let t = place - whole;
    let first = whole as isize - 1;
    let x: [f32; 4] = match usize::try_from(first).ok().and_then(|f| signal.get(f..f + 4)) {
        Some(window) => std::array::from_fn(|i| window[i]),
        None => std::array::from_fn(|i| {
            usize::try_from(first + i as isize).ok().and_then(|n| signal.get(n)).copied().unwrap_or(0.0)
        }),
    };
    let slope = [0.5 * (x[2] - x[0]), 0.5 * (x[3] - x[1])];
    let a = 2.0 * (x[1] - x[2]) + slope[0] + slope[1];
    let b = 3.0 * (x[2] - x[1]) - 2.0 * slope[0] - slope[1];
    ((a * t + b) * t + slope[0]) * t + x[1]
}
