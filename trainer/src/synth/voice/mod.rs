//! Voices: who sings the lines, how they are recorded, where they stand.

mod glottis;
mod phonemes;
mod phrase;
mod singer;

use super::dsp::{Biquad, frames, gain};
use super::mix::{Modulation, Strip, Track};
use super::score::{VocalLine, Voice};
use crate::rng::Rng;
use phrase::Phrase;
use singer::Singer;

/// Sings all lines; the lead is in the middle.
pub fn render(rng: &mut Rng, lines: &[VocalLine], length: usize) -> Vec<Track> {
    let delay = if rng.chance(0.35) { rng.range(0.05, 0.35) } else { 0.0 };
    let reverb = rng.log_range(0.02, 0.4);
    let presence = Biquad::high_shelf(rng.log_range(3_500.0, 7_000.0), rng.range(0.0, 8.0));
    let effect = if rng.chance(0.05) { Some(Modulation::draw(rng)) } else { None };
    // Through a telephone or a megaphone.
    let narrow = rng.chance(0.03);
    let lead_pitch = middle(lines.first());
    let lead = Singer::draw(rng, lead_pitch);
    let mut tracks = Vec::new();
    for line in lines.iter().filter(|line| !line.notes.is_empty()) {
        let other = Singer::draw(rng, middle(Some(line)));
        let singer = match line.voice {
            Voice::Lead | Voice::Double => &lead,
            // Often the same singer has sung everything.
            Voice::Harmony => {
                if rng.chance(0.6) {
                    &lead
                } else {
                    &other
                }
            }
            Voice::Choir => &other,
        };
        let mono = sing(rng, singer, line, length);
        let mut track = Track::silent(length);
        let pan = match line.voice {
            Voice::Lead => 0.08 * rng.normal(),
            Voice::Double => rng.range(-0.6, 0.6),
            Voice::Harmony | Voice::Choir => rng.range(-0.95, 0.95),
        };
        track.add(0, &mono, 1.0, pan);
        let mut tone = vec![presence.clone()];
        if narrow {
            tone.extend([Biquad::high_pass(450.0), Biquad::low_pass(3_200.0)]);
        }
        Strip::draw(rng, low_cut_hz(line), 2.0).with(tone).compressed(rng).run(&mut track);
        if let Some(effect) = &effect {
            effect.run(&mut track);
        }
        track.level();
        track.scale(gain(match line.voice {
            Voice::Lead => 0.0,
            Voice::Double => rng.range(-12.0, -3.0),
            Voice::Harmony => rng.range(-10.0, -3.0),
            Voice::Choir => rng.range(-12.0, -6.0),
        }));
        track.reverb_send = reverb * if line.voice == Voice::Choir { 2.0 } else { 1.0 };
        track.delay_send = if line.voice == Voice::Lead { delay } else { 0.0 };
        tracks.push(track);
    }
    tracks
}

/// Where the desk cuts off the microphone's rumble, Hz.
fn low_cut_hz(line: &VocalLine) -> f32 {
    if line.voice == Voice::Lead { 70.0 } else { 110.0 }
}

/// The middle of a line's range.
fn middle(line: Option<&VocalLine>) -> f32 {
    let notes = line.map_or(&[][..], |line| &line.notes);
    let sum: f32 = notes.iter().map(|n| n.pitch).sum();
    if notes.is_empty() { 60.0 } else { sum / notes.len() as f32 }
}

fn sing(rng: &mut Rng, singer: &Singer, line: &VocalLine, length: usize) -> Vec<f32> {
    let mut out = vec![0.0; length];
    let notes = &line.notes;
    let mut first = 0;
    // Phrase by phrase: notes that follow each other without a gap are sung in one breath.
    while first < notes.len() {
        let mut last = first;
        while last + 1 < notes.len()
            && notes[last + 1].start <= notes[last].start + notes[last].length + 0.06
            && notes[last + 1].start - notes[first].start < 12.0
        {
            last += 1;
        }
        let start = frames(notes[first].start);
        if start < length {
            breathe(rng, singer, &mut out, start);
            let range = first..last + 1;
            let phrase = Phrase {
                notes: &notes[range.clone()],
                syllables: line.syllables.get(range).unwrap_or(&[]),
                spoken: line.spoken,
                open: line.voice == Voice::Choir,
            };
            super::dsp::add(&mut out, start, &phrase.sing(rng, singer), 1.0);
        }
        first = last + 1;
    }
    out
}

/// Air drawn in before a phrase: audible in close recordings.
fn breathe(rng: &mut Rng, singer: &Singer, out: &mut [f32], before: usize) {
    let length = frames(rng.range(0.15, 0.35));
    if before < length + frames(0.05) || !rng.chance(0.5) {
        return;
    }
    let mut noise = super::dsp::Noise::new(rng.bits());
    let mut throat = super::dsp::Svf::new(1_700.0 * singer.formants, 0.6);
    let level = 0.02 * rng.range(0.3, 1.5);
    let start = before - frames(0.03) - length;
    for (i, x) in out[start..start + length].iter_mut().enumerate() {
        let shape = (std::f32::consts::PI * i as f32 / length as f32).sin();
        *x += level * shape * throat.next(noise.next()).band;
    }
}

#[cfg(test)]
mod tests;
