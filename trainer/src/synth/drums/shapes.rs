//! What strokes are layered from: swept sines, bursts of noise, membranes, and what old samplers do to them.

use std::f32::consts::TAU;

use super::super::dsp::{Mode, Noise, Osc, RATE, Svf, add, decay, frames, ring, saturate};
use super::family::Make;

/// Zeros of the Bessel functions: how a round membrane rings.
const MEMBRANE: [f32; 10] = [1.0, 1.593, 2.136, 2.296, 2.653, 2.918, 3.156, 3.501, 3.600, 4.059];

/// A sine whose pitch falls from `hz * (1 + sweep)` to `hz`, with an exponential decay.
pub fn swept(hz: f32, sweep: f32, sweep_time: f32, t60: f32) -> Vec<f32> {
    let mut out = vec![0.0; frames(t60 * 1.1)];
    let (fall, fade) = (decay(sweep_time * 3.0), decay(t60));
    let (mut extra, mut level, mut phase) = (sweep, 1.0, 0.0f32);
    for x in &mut out {
        *x = phase.sin() * level;
        phase = (phase + TAU * hz * (1.0 + extra) / RATE) % TAU;
        extra *= fall;
        level *= fade;
    }
    out
}

/// Noise with an exponential decay, band-passed around `hz`.
pub fn burst(noise: &mut Noise, hz: f32, q: f32, t60: f32) -> Vec<f32> {
    let mut filter = Svf::new(hz, q);
    shaped(noise, t60, |x| filter.next(x).band)
}

/// Noise above `hz` with an exponential decay.
pub fn hiss(noise: &mut Noise, hz: f32, t60: f32) -> Vec<f32> {
    let mut filter = Svf::new(hz, 0.8);
    shaped(noise, t60, |x| filter.next(x).high)
}

fn shaped(noise: &mut Noise, t60: f32, mut filter: impl FnMut(f32) -> f32) -> Vec<f32> {
    let fade = decay(t60);
    let mut level = 1.0;
    (0..frames(t60 * 1.1))
        .map(|_| {
            level *= fade;
            filter(noise.next()) * level
        })
        .collect()
}

/// A membrane, struck at `make.place`: towards the rim the higher modes speak.
pub fn membrane(make: &Make, hz: f32, t60: f32, tilt: f32, modes: usize) -> Vec<f32> {
    let rim = 1.6 - make.place;
    let modes: Vec<Mode> = MEMBRANE[..modes]
        .iter()
        .enumerate()
        .map(|(i, ratio)| Mode {
            hz: hz * ratio,
            amplitude: 0.8f32.powf(tilt.max(0.2) * rim * i as f32)
                * if i % 3 == 1 { 0.4 + make.place } else { 1.0 },
            t60: t60 / (1.0 + 0.45 * i as f32),
        })
        .collect();
    rung(&modes)
}

/// Modes, ringing until the longest is 60 dB down.
pub fn rung(modes: &[Mode]) -> Vec<f32> {
    let longest = modes.iter().fold(0f32, |longest, m| longest.max(m.t60));
    let mut out = vec![0.0; frames(longest)];
    ring(modes, &mut out);
    out
}

/// The modes of a piece of scrap metal, always the same for one make.
pub fn scrap(m: &Make, hz: f32, count: usize, t60: f32) -> Vec<f32> {
    let mut generator = Noise::new(m.seed);
    let modes: Vec<Mode> = (0..count)
        .map(|i| {
            let ratio = 1.0 + i as f32 * (0.6 + 0.5 * generator.next().abs());
            Mode {
                hz: hz * m.pitch * ratio,
                amplitude: 1.0 / (1.0 + 0.2 * i as f32),
                t60: t60 / (1.0 + 0.1 * i as f32),
            }
        })
        .collect();
    rung(&modes)
}

/// A two-operator tone with a decaying modulator.
pub fn fm(hz: f32, ratio: f32, index: f32, t60: f32) -> Vec<f32> {
    let (mut carrier, mut modulator) = (Osc::new(0.0), Osc::new(0.0));
    let (fade, fade_index) = (decay(t60), decay(t60 * 0.5));
    let (mut level, mut depth) = (1.0, index);
    (0..frames(t60 * 1.1))
        .map(|_| {
            level *= fade;
            depth *= fade_index;
            let m = modulator.sine(hz * ratio, 0.0) * depth;
            carrier.sine(hz, m) * level
        })
        .collect()
}

/// A layer of a stroke: its level, and how it is made.
pub type Layer<'a> = (f32, &'a dyn Fn(&mut Noise) -> Vec<f32>);

/// Layers sounds; the result is as long as the longest. Layers of level 0 are skipped.
pub fn layers(sounds: &[Layer], noise: &mut Noise) -> Vec<f32> {
    let mut out: Vec<f32> = Vec::new();
    for (level, make) in sounds {
        if *level > 0.0 {
            let sound = make(noise);
            if out.len() < sound.len() {
                out.resize(sound.len(), 0.0);
            }
            add(&mut out, 0, &sound, *level);
        }
    }
    out
}

/// Overdrive; 0 leaves the sound alone.
pub fn overdrive(sound: &mut [f32], drive: f32) {
    if drive > 0.0 {
        sound.iter_mut().for_each(|x| *x = saturate(*x * (1.0 + drive)));
    }
}

/// Fades in over `seconds`, as what is stirred or shaken does.
pub fn soften(sound: &mut [f32], seconds: f32) {
    let attack = frames(seconds);
    sound.iter_mut().take(attack).enumerate().for_each(|(i, x)| *x *= i as f32 / attack as f32);
}

/// Fades out over the last `seconds`, so that no sound ends in a click.
pub fn fade_out(sound: &mut [f32], seconds: f32) {
    let tail = frames(seconds).min(sound.len());
    let start = sound.len() - tail;
    sound[start..].iter_mut().enumerate().for_each(|(i, x)| *x *= 1.0 - i as f32 / tail as f32);
}

/// Ends a sound at `seconds`, within a few milliseconds.
pub fn gate(sound: &mut Vec<f32>, seconds: f32) {
    sound.truncate(frames(seconds + 0.005));
    fade_out(sound, 0.005);
}

/// Holds samples and rounds them, as an old sampler does.
pub fn crush(sound: &mut [f32], hold: usize, bits: f32) {
    let steps = bits.exp2();
    for chunk in sound.chunks_mut(hold.max(1)) {
        let held = (chunk[0] * steps).round() / steps;
        chunk.fill(held);
    }
}
