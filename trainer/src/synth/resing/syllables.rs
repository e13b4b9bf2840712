//! Where the syllables of a recorded voice begin and end: at the dips of its loudness.

use super::HOP;
use crate::synth::dsp::{Biquad, frames};

/// A consonant or several, then a vowel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Syllable {
    /// First frame.
    pub start: usize,
    /// Where its vowel begins: this is what a listener takes for the beat.
    pub onset: usize,
    /// The frame after its last.
    pub end: usize,
    /// Root mean square of its vowel.
    pub level: f32,
}

/// dB that the loudness must fall between two syllables.
const DIP: f32 = 2.5;
/// dB below the loudest syllable, below which there is none.
const RANGE: f32 = 28.0;
/// Hops between the middles of two syllables: 90 ms.
const APART: usize = 18;

impl Syllable {
    /// With the level of its vowel.
    pub fn new(signal: &[f32], start: usize, onset: usize, end: usize) -> Self {
        let vowel = &signal[onset.min(signal.len())..end.min(signal.len())];
        let power = vowel.iter().map(|x| x * x).sum::<f32>() / vowel.len().max(1) as f32;
        Self { start, onset, end, level: power.sqrt() }
    }
}

/// Finds them; `hz` is the pitch at every [`HOP`]th frame. A voice without any is one syllable as a whole.
pub fn find(signal: &[f32], hz: &[f32]) -> Vec<Syllable> {
    let loudness = loudness(signal);
    let count = loudness.len().min(hz.len());
    let loudest = loudness.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    // Middles: voiced peaks, between any two of which the loudness dips.
    let mut middles: Vec<usize> = Vec::new();
    for n in 1..count.saturating_sub(1) {
        let peak = loudness[n] >= loudness[n - 1] && loudness[n] > loudness[n + 1];
        if !peak || hz[n] <= 0.0 || loudness[n] < loudest - RANGE {
            continue;
        }
        if let Some(last) = middles.last_mut() {
            let dip = lowest(&loudness, *last, n);
            let lower = loudness[*last].min(loudness[n]);
            if lower - loudness[dip] < DIP || n - *last < APART {
                if loudness[n] > loudness[*last] {
                    *last = n;
                }
                continue;
            }
        }
        middles.push(n);
    }
    let mut syllables = Vec::new();
    for (index, &middle) in middles.iter().enumerate() {
        let from = if index == 0 { 0 } else { lowest(&loudness, middles[index - 1], middle) };
        let to = match middles.get(index + 1) {
            Some(next) => lowest(&loudness, middle, *next),
            None => count - 1,
        };
        // Pauses belong to nobody.
        let sounds = |n: &usize| loudness[*n] > loudest - RANGE - 8.0;
        let start = (from..=middle).find(sounds).unwrap_or(middle);
        let end = (middle..=to).rev().find(sounds).unwrap_or(middle) + 1;
        // The vowel is there when it has a pitch and is within 5 dB of its peak.
        let vowel = |n: &usize| hz[*n] > 0.0 && loudness[*n] > loudness[middle] - 5.0;
        let onset = (start..=middle).rev().take_while(vowel).last().unwrap_or(middle);
        let end = (end * HOP).min(signal.len());
        if end > onset * HOP + frames(0.03) {
            syllables.push(Syllable::new(signal, start * HOP, onset * HOP, end));
        }
    }
    if syllables.is_empty() {
        syllables.push(Syllable::new(signal, 0, 0, signal.len()));
    }
    syllables
}

/// The index of the lowest value.
fn lowest(values: &[f32], from: usize, to: usize) -> usize {
    (from..to).min_by(|a, b| values[*a].total_cmp(&values[*b])).unwrap_or(from)
}

/// Loudness of the range where vowels are, dB, at every [`HOP`]th frame, smoothed over some 50 ms.
fn loudness(signal: &[f32]) -> Vec<f32> {
    let mut vowels = signal.to_vec();
    Biquad::high_pass(250.0).run(&mut vowels);
    Biquad::low_pass(3_000.0).run(&mut vowels);
    let powers: Vec<f32> =
        vowels.chunks(HOP).map(|hop| hop.iter().map(|x| x * x).sum::<f32>() / hop.len() as f32).collect();
    const REACH: usize = 5;
    (0..powers.len())
        .map(|n| {
            let (mut sum, mut weights) = (0.0, 0.0);
            let from = n.saturating_sub(REACH);
            for (m, power) in powers.iter().enumerate().skip(from).take(n + REACH + 1 - from) {
                let weight = (REACH + 1 - m.abs_diff(n)) as f32;
                sum += weight * power;
                weights += weight;
            }
            10.0 * (sum / weights + 1e-12).log10()
        })
        .collect()
}
