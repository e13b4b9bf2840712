//! The pitch of a voice: normalised cross-correlation, and the smoothest path through its peaks.
//!
//! After Talkin, "A robust algorithm for pitch tracking" (1995), reduced to what one clean voice needs.

use crate::synth::dsp::{Biquad, RATE};

/// Frames from one value to the next: 5 ms.
pub const HOP: usize = 220;

/// Pitch is looked for at a quarter of the rate.
const DECIMATION: usize = 4;
/// Frames at that rate that are compared: 20 ms.
const WINDOW: usize = 220;
/// Peaks that are followed in each window.
const PEAKS: usize = 5;
/// Cost of calling a window unvoiced: a correlation of half says voiced.
const UNVOICED: f32 = 0.5;
/// Cost of a change between voiced and unvoiced.
const CHANGE: f32 = 0.25;

/// A possible pitch of one window: Hz and its cost; 0 Hz says that it has none.
#[derive(Clone, Copy)]
struct Candidate {
    hz: f32,
    cost: f32,
}

/// The pitch at every [`HOP`]th frame in Hz, 0 where the voice has none.
pub fn track(signal: &[f32], lowest_hz: f32, highest_hz: f32) -> Vec<f32> {
    let mut low = signal.to_vec();
    (0..2).for_each(|_| Biquad::low_pass(1_500.0).run(&mut low));
    let low: Vec<f32> = low.into_iter().step_by(DECIMATION).collect();
    let mut energy = vec![0.0f64];
    energy.extend(low.iter().scan(0.0, |sum, x| {
        *sum += f64::from(x * x);
        Some(*sum)
    }));
    let rate = RATE / DECIMATION as f32;
    let lags = (rate / highest_hz).floor().max(2.0) as usize..(rate / lowest_hz).ceil() as usize + 1;
    let windows = signal.len() / HOP;
    let centre = |window: usize| window * HOP / DECIMATION;
    let span = |from: usize, to: usize| energy[to.min(low.len())] - energy[from.min(low.len())];
    let power = |window: usize| span(centre(window).saturating_sub(WINDOW / 2), centre(window) + WINDOW / 2);
    let loudest = (0..windows).map(power).fold(0.0, f64::max);
    let candidates: Vec<Vec<Candidate>> = (0..windows)
        .map(|window| {
            // 40 dB below the loudest there is no voice.
            if power(window) < 1e-4 * loudest || loudest == 0.0 {
                return vec![Candidate { hz: 0.0, cost: 0.0 }];
            }
            let mut found = peaks(&low, &span, centre(window), lags.clone(), rate);
            found.push(Candidate { hz: 0.0, cost: UNVOICED });
            found
        })
        .collect();
    smoothest(&candidates)
}

/// The highest peaks of the correlation of a window with what comes before and after it.
fn peaks(
    low: &[f32],
    span: &impl Fn(usize, usize) -> f64,
    centre: usize,
    lags: std::ops::Range<usize>,
    rate: f32,
) -> Vec<Candidate> {
    let correlation = |lag: usize| {
        let Some(first) = centre.checked_sub((WINDOW + lag) / 2) else { return 0.0 };
        let second = first + lag;
        let Some(b) = low.get(second..second + WINDOW) else { return 0.0 };
        let product: f32 = low[first..first + WINDOW].iter().zip(b).map(|(a, b)| a * b).sum();
        let energies = span(first, first + WINDOW) * span(second, second + WINDOW);
        product / (energies.sqrt() as f32).max(1e-12)
    };
    let longest = lags.end as f32;
    let from = lags.start - 1;
    let values: Vec<f32> = (from..lags.end + 1).map(correlation).collect();
    let mut found: Vec<Candidate> = values
        .windows(3)
        .enumerate()
        .filter(|(_, v)| v[1] > 0.3 && v[1] >= v[0] && v[1] > v[2])
        .map(|(index, v)| {
            // The top of the parabola through three values.
            let shift = 0.5 * (v[0] - v[2]) / (v[0] - 2.0 * v[1] + v[2]).min(-1e-9);
            let lag = (from + 1 + index) as f32 + shift;
            // Twice the period fits as well as the period: prefer the shorter.
            Candidate { hz: rate / lag, cost: 1.0 - v[1] * (1.0 - 0.15 * lag / longest) }
        })
        .collect();
    found.sort_by(|a, b| a.cost.total_cmp(&b.cost));
    found.truncate(PEAKS);
    found
}

/// Dynamic programming: the path of the least cost, jumps of pitch included.
fn smoothest(candidates: &[Vec<Candidate>]) -> Vec<f32> {
    let Some(first) = candidates.first() else { return Vec::new() };
    let mut costs: Vec<f32> = first.iter().map(|c| c.cost).collect();
    let mut back: Vec<Vec<usize>> = Vec::with_capacity(candidates.len());
    for pair in candidates.windows(2) {
        let mut from = Vec::with_capacity(pair[1].len());
        let mut next = Vec::with_capacity(pair[1].len());
        for to in &pair[1] {
            let reach = |(index, before): (usize, &Candidate)| {
                let jump = match (before.hz > 0.0, to.hz > 0.0) {
                    (true, true) => (before.hz / to.hz).log2().abs().min(1.0),
                    (false, false) => 0.0,
                    _ => CHANGE,
                };
                (costs[index] + jump, index)
            };
            let best = pair[0].iter().enumerate().map(reach).min_by(|a, b| a.0.total_cmp(&b.0));
            let (cost, index) = best.unwrap_or((0.0, 0));
            next.push(cost + to.cost);
            from.push(index);
        }
        costs = next;
        back.push(from);
    }
    let best = costs.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1));
    let mut index = best.map_or(0, |(index, _)| index);
    let mut path = vec![0.0; candidates.len()];
    for window in (0..candidates.len()).rev() {
        path[window] = candidates[window][index].hz;
        if window > 0 {
            index = back[window - 1][index];
        }
    }
    path
}
