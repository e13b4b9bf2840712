//! Hi-hats and cymbals.

use super::super::dsp::{Mode, Noise, Osc, Svf, add, decay, frames, ring};
use super::family::{Family, Make};
use super::shapes::{burst, hiss, scrap, soften};

/// A cymbal: `t60` seconds long, `high` scales how far up it sounds.
pub fn cymbal(family: Family, m: &Make, noise: &mut Noise, t60: f32, high: f32) -> Vec<f32> {
    let t60 = t60 * m.length;
    let bright = 2f32.powf(0.4 * m.colour) * high;
    match family {
        Family::Tr808 | Family::Digital => squares(m, noise, t60, bright),
        Family::Electronic | Family::Glitch => ring_modulated(m, noise, t60, bright),
        Family::Industrial => {
            let mut out = scrap(m, 700.0 * bright, 24, t60);
            out.iter_mut().for_each(|x| *x *= 0.2);
            add(&mut out, 0, &hiss(noise, 4_000.0 * bright, 0.8 * t60), 0.6 * m.noise);
            out
        }
        Family::Acoustic
        | Family::Rock
        | Family::Metal
        | Family::Tr909
        | Family::Orchestral
        | Family::Break => {
            let (high, long) = match family {
                Family::Rock | Family::Orchestral => (0.7, 1.2),
                // Played faster than it was recorded.
                Family::Break => (1.3, 0.7),
                _ => (1.0, 1.0),
            };
            plate(m, noise, t60 * long, bright * high)
        }
        Family::Brushes | Family::Hands | Family::Lofi => {
            let mut out = burst(noise, 6_500.0 * bright, 0.35, t60);
            add(&mut out, 0, &hiss(noise, 9_000.0, t60 * 0.7), 0.5);
            // Brushed cymbals and shakers arrive softly.
            soften(&mut out, if family == Family::Lofi { 0.0 } else { 0.012 });
            out
        }
    }
}

/// A plate: many modes, unevenly spread, with the hiss of those too dense to count. The low modes stay longest, the
/// top builds up a little late in large plates, as energy moves up through the metal.
fn plate(m: &Make, noise: &mut Noise, t60: f32, bright: f32) -> Vec<f32> {
    let mut out = hiss(noise, 5_500.0 * bright, t60);
    if t60 > 0.8 {
        soften(&mut out, 0.02);
    }
    add(&mut out, 0, &burst(noise, 2_600.0 * bright, 0.5, t60 * 0.6), 0.4);
    add(&mut out, 0, &burst(noise, 4_500.0, 0.7, 0.012), 0.5);
    let mut generator = Noise::new(m.seed);
    let count = if t60 > 0.3 { 32 } else { 16 };
    let modes: Vec<Mode> = (0..count)
        .map(|_| {
            let u = 0.5 + 0.5 * generator.next();
            Mode {
                hz: 340.0 * m.pitch * (40.0 * bright).powf(u),
                amplitude: 0.035 * (0.4 + u) * m.noise.recip(),
                t60: t60 * (1.3 - 0.7 * u),
            }
        })
        .collect();
    ring(&modes, &mut out);
    out
}

/// Six square waves a cracked chord apart, and what is left of them above 6 kHz.
fn squares(m: &Make, noise: &mut Noise, t60: f32, bright: f32) -> Vec<f32> {
    let octave = if m.seed & 1 == 0 { 1.0 } else { 1.7 };
    let mut oscillators: Vec<(Osc, f32)> = [263.0, 400.0, 421.0, 474.0, 587.0, 845.0]
        .iter()
        .enumerate()
        .map(|(i, hz)| (Osc::new(0.13 * i as f32), hz * m.pitch * octave))
        .collect();
    let mut filters = [Svf::new(6_000.0 * bright, 0.9), Svf::new(6_000.0 * bright, 0.9)];
    decaying(t60, |_| {
        let chord: f32 = oscillators.iter_mut().map(|(o, hz)| o.pulse(*hz, 0.5)).sum();
        let x = chord + noise.next() * m.noise;
        let x = filters[0].next(x).high;
        filters[1].next(x).high
    })
}

/// Two pulses that modulate each other: clangs from the first synthesisers.
fn ring_modulated(m: &Make, noise: &mut Noise, t60: f32, bright: f32) -> Vec<f32> {
    let ratio = 1.37 + 0.1 * (m.seed % 7) as f32;
    let (mut first, mut second) = (Osc::new(0.0), Osc::new(0.4));
    let (a, b) = (1_730.0 * m.pitch, 1_730.0 * m.pitch * ratio);
    let mut filter = Svf::new(4_500.0 * bright, 1.2);
    decaying(t60, |level| {
        let clang = first.sine(a, 3.0 * level * second.sine(b, 0.0));
        filter.next(clang + 0.7 * m.noise * noise.next()).high
    })
}

fn decaying(t60: f32, mut next: impl FnMut(f32) -> f32) -> Vec<f32> {
    let fade = decay(t60);
    let mut level = 1.0;
    (0..frames(t60))
        .map(|_| {
            level *= fade;
            next(level) * level
        })
        .collect()
}
