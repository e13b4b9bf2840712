//! One stroke on one piece of percussion, in eight families of synthesis.

use std::f32::consts::TAU;

use super::dsp::{Mode, Noise, Osc, RATE, Svf, add, decay, frames, ring, saturate};
use super::score::Piece;
use crate::rng::Rng;

/// How a kit makes its sounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// Membranes and cymbals as sums of modes, with stick and wire noise.
    Acoustic,
    /// Long sines, as in the TR-808.
    Long,
    /// Swept sines and noise, as in the TR-909.
    Punchy,
    /// Frequency modulation.
    Electronic,
    /// Brushes: swept noise, soft membranes.
    Brushes,
    /// Hands: congas, cajon, shakers, bells.
    Hands,
    /// Struck metal and scrap.
    Metal,
    /// Old samplers: few bits, low rate.
    Lofi,
}

impl Family {
    /// All families.
    pub const ALL: [Family; 8] = [
        Family::Acoustic,
        Family::Long,
        Family::Punchy,
        Family::Electronic,
        Family::Brushes,
        Family::Hands,
        Family::Metal,
        Family::Lofi,
    ];
}

/// What makes one instrument of a family differ from another: drawn once for each piece of a kit.
pub struct Make {
    /// Factor on frequencies.
    pitch: f32,
    /// Factor on decay times.
    length: f32,
    /// -1 dark to 1 bright.
    colour: f32,
    /// Level of noise against tone.
    noise: f32,
    /// Depth of the pitch sweep.
    sweep: f32,
    /// For whatever else: inharmonicity and the like.
    seed: u64,
}

impl Make {
    /// A random make.
    pub fn draw(rng: &mut Rng) -> Self {
        Self {
            pitch: rng.log_range(0.75, 1.33),
            length: rng.log_range(0.5, 1.8),
            colour: rng.range(-1.0, 1.0),
            noise: rng.log_range(0.4, 2.0),
            sweep: rng.log_range(0.5, 2.0),
            seed: rng.bits(),
        }
    }
}

/// Renders one stroke. Two strokes of the same make differ slightly, as with every player.
pub fn render(rng: &mut Rng, family: Family, piece: Piece, make: &Make) -> Vec<f32> {
    // Each stroke is a little different.
    let make = Make {
        pitch: make.pitch * (1.0 + 0.006 * rng.normal()),
        length: make.length * (1.0 + 0.06 * rng.normal()),
        colour: make.colour + 0.06 * rng.normal(),
        noise: make.noise * (1.0 + 0.08 * rng.normal()),
        ..*make
    };
    let noise = &mut Noise::new(rng.bits());
    let m = &make;
    let mut sound = match piece {
        Piece::Kick => kick(family, m, noise),
        Piece::Snare => snare(family, m, noise),
        Piece::Hat => cymbal(family, m, noise, 0.07, 1.0),
        Piece::OpenHat => cymbal(family, m, noise, 0.55, 1.0),
        Piece::Ride => cymbal(family, m, noise, 1.6, 0.7),
        Piece::Crash => cymbal(family, m, noise, 2.2, 0.55),
        Piece::TomHigh => tom(family, m, noise, 165.0),
        Piece::TomLow => tom(family, m, noise, 92.0),
        Piece::Clap => clap(m, noise),
        Piece::PercussionA | Piece::PercussionB => percussion(m, noise),
    };
    if family == Family::Lofi {
        crush(&mut sound, 2 + (m.seed % 5) as usize, 5.0 + (m.seed / 8 % 4) as f32);
    }
    // The last few milliseconds fade, so that no sound ends in a click.
    let tail = frames(0.01).min(sound.len());
    let start = sound.len() - tail;
    sound[start..].iter_mut().enumerate().for_each(|(i, x)| *x *= 1.0 - i as f32 / tail as f32);
    sound
}

/// Zeros of the Bessel functions: how a round membrane rings.
const MEMBRANE: [f32; 10] = [1.0, 1.593, 2.136, 2.296, 2.653, 2.918, 3.156, 3.501, 3.600, 4.059];

/// A sine whose pitch falls from `hz * (1 + sweep)` to `hz`, with an exponential decay.
fn swept(hz: f32, sweep: f32, sweep_time: f32, t60: f32) -> Vec<f32> {
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
fn burst(noise: &mut Noise, hz: f32, q: f32, t60: f32) -> Vec<f32> {
    let mut filter = Svf::new(hz, q);
    let fade = decay(t60);
    let mut level = 1.0;
    (0..frames(t60 * 1.1))
        .map(|_| {
            level *= fade;
            filter.next(noise.next()).band * level
        })
        .collect()
}

/// Noise above `hz` with an exponential decay.
fn hiss(noise: &mut Noise, hz: f32, t60: f32) -> Vec<f32> {
    let mut filter = Svf::new(hz, 0.8);
    let fade = decay(t60);
    let mut level = 1.0;
    (0..frames(t60 * 1.1))
        .map(|_| {
            level *= fade;
            filter.next(noise.next()).high * level
        })
        .collect()
}

fn membrane(hz: f32, t60: f32, tilt: f32, modes: usize) -> Vec<Mode> {
    MEMBRANE[..modes]
        .iter()
        .enumerate()
        .map(|(i, ratio)| Mode {
            hz: hz * ratio,
            amplitude: 0.8f32.powf(tilt * i as f32) * if i % 3 == 1 { 0.6 } else { 1.0 },
            t60: t60 / (1.0 + 0.45 * i as f32),
        })
        .collect()
}

/// Layers sounds; the result is as long as the longest.
fn layers(sounds: &[(&[f32], f32)]) -> Vec<f32> {
    let mut out = vec![0.0; sounds.iter().map(|s| s.0.len()).max().unwrap_or(0)];
    sounds.iter().for_each(|(sound, level)| add(&mut out, 0, sound, *level));
    out
}

fn kick(family: Family, m: &Make, noise: &mut Noise) -> Vec<f32> {
    let bright = 2f32.powf(m.colour);
    match family {
        Family::Acoustic | Family::Lofi | Family::Hands => {
            let hz = 58.0 * m.pitch;
            let body = swept(hz, 1.3 * m.sweep, 0.018, 0.36 * m.length);
            let mut skin = vec![0.0; frames(0.3)];
            ring(&membrane(hz * 1.4, 0.22 * m.length, 2.0 - m.colour, 8), &mut skin);
            let click = burst(noise, 3_200.0 * bright, 0.6, 0.02);
            let shell = burst(noise, 240.0 * bright, 0.7, 0.09 * m.length);
            layers(&[(&body, 1.0), (&skin, 0.16), (&click, 0.35 * m.noise), (&shell, 0.3 * m.noise)])
        }
        Family::Long => {
            let body = swept(46.0 * m.pitch, 1.2 * m.sweep, 0.025, 1.1 * m.length);
            let click = hiss(noise, 1_500.0, 0.006);
            let drive = 1.0 + 1.5 * m.noise;
            layers(&[
                (&body.iter().map(|x| saturate(x * drive)).collect::<Vec<_>>(), 1.0),
                (&click, 0.12 * bright),
            ])
        }
        Family::Punchy => {
            let body = swept(52.0 * m.pitch, 5.0 * m.sweep, 0.022, 0.45 * m.length);
            let click = burst(noise, 4_000.0 * bright, 0.5, 0.012);
            layers(&[
                (&body.iter().map(|x| saturate(x * (1.5 + m.noise))).collect::<Vec<_>>(), 1.0),
                (&click, 0.4 * m.noise),
            ])
        }
        Family::Electronic | Family::Metal => {
            let body = swept(55.0 * m.pitch, 9.0 * m.sweep, 0.03, 0.35 * m.length);
            let tone = fm(180.0 * m.pitch, 1.7, 4.0 * bright, 0.06 * m.length);
            let click = hiss(noise, 2_500.0, 0.01);
            layers(&[(&body, 1.0), (&tone, 0.35), (&click, 0.3 * m.noise)])
        }
        Family::Brushes => {
            let body = swept(62.0 * m.pitch, 0.5, 0.02, 0.3 * m.length);
            let felt = burst(noise, 160.0, 0.6, 0.08);
            layers(&[(&body, 1.0), (&felt, 0.5 * m.noise)])
        }
    }
}

fn snare(family: Family, m: &Make, noise: &mut Noise) -> Vec<f32> {
    let bright = 2f32.powf(0.7 * m.colour);
    match family {
        Family::Acoustic | Family::Lofi => {
            let mut skin = vec![0.0; frames(0.4)];
            ring(&membrane(185.0 * m.pitch, 0.22 * m.length, 1.2 - m.colour, 10), &mut skin);
            let wires = hiss(noise, 1_400.0 * bright, 0.2 * m.length);
            let wires_low = burst(noise, 900.0 * bright, 0.5, 0.13 * m.length);
            let stick = burst(noise, 3_500.0 * bright, 0.6, 0.012);
            layers(&[(&skin, 0.3), (&wires, 0.4 * m.noise), (&wires_low, 0.5 * m.noise), (&stick, 0.6)])
        }
        Family::Long => {
            let low = swept(180.0 * m.pitch, 0.2, 0.02, 0.16 * m.length);
            let high = swept(330.0 * m.pitch, 0.2, 0.02, 0.1 * m.length);
            let snap = hiss(noise, 1_800.0 * bright, 0.18 * m.length);
            layers(&[(&low, 0.8), (&high, 0.5), (&snap, 0.5 * m.noise)])
        }
        Family::Punchy => {
            let low = swept(190.0 * m.pitch, 1.0 * m.sweep, 0.03, 0.13 * m.length);
            let snap = hiss(noise, 900.0 * bright, 0.26 * m.length);
            layers(&[(&low, 0.9), (&snap, 0.55 * m.noise)])
        }
        Family::Electronic => {
            let tone = fm(210.0 * m.pitch, 2.3, 5.0 * bright, 0.16 * m.length);
            let snap = burst(noise, 2_600.0 * bright, 0.4, 0.2 * m.length);
            layers(&[(&tone, 0.6), (&snap, 0.8 * m.noise)])
        }
        Family::Brushes => {
            // A brush arrives slowly and stirs.
            let mut filter = Svf::new(2_400.0 * bright, 0.4);
            let length = frames(0.28 * m.length);
            let stir: Vec<f32> = (0..length)
                .map(|i| {
                    let t = i as f32 / length as f32;
                    filter.next(noise.next()).band * (t * 9.0).min(1.0) * (1.0 - t).powi(2)
                })
                .collect();
            let mut skin = vec![0.0; frames(0.2)];
            ring(&membrane(200.0 * m.pitch, 0.12, 1.8, 6), &mut skin);
            layers(&[(&stir, m.noise), (&skin, 0.12)])
        }
        Family::Hands => {
            let mut skin = vec![0.0; frames(0.5)];
            ring(&membrane(240.0 * m.pitch, 0.3 * m.length, 1.0 - m.colour, 9), &mut skin);
            let slap = burst(noise, 1_500.0 * bright, 0.5, 0.03);
            layers(&[(&skin, 0.4), (&slap, 0.8 * m.noise)])
        }
        Family::Metal => {
            let mut plate = vec![0.0; frames(0.6)];
            ring(&scrap(m, 320.0, 14, 0.25 * m.length), &mut plate);
            let snap = hiss(noise, 1_000.0 * bright, 0.12 * m.length);
            layers(&[(&plate, 0.25), (&snap, 0.6 * m.noise)])
        }
    }
}

fn tom(family: Family, m: &Make, noise: &mut Noise, hz: f32) -> Vec<f32> {
    let hz = hz * m.pitch;
    match family {
        Family::Long | Family::Punchy => {
            let body = swept(hz, 0.6 * m.sweep, 0.05, 0.5 * m.length);
            let hit = burst(noise, 900.0, 0.5, 0.03);
            layers(&[(&body, 1.0), (&hit, 0.2 * m.noise)])
        }
        Family::Electronic => swept(hz * 1.2, 3.0 * m.sweep, 0.12, 0.4 * m.length),
        Family::Metal => {
            let mut plate = vec![0.0; frames(0.9)];
            ring(&scrap(m, hz * 1.5, 12, 0.5 * m.length), &mut plate);
            plate
        }
        Family::Acoustic | Family::Brushes | Family::Hands | Family::Lofi => {
            let mut skin = vec![0.0; frames(0.9)];
            ring(&membrane(hz, 0.55 * m.length, 1.5 - m.colour, 9), &mut skin);
            let body = swept(hz, 0.35 * m.sweep, 0.04, 0.4 * m.length);
            let stick = burst(noise, 2_200.0, 0.5, 0.015);
            layers(&[(&body, 0.8), (&skin, 0.25), (&stick, 0.4 * m.noise)])
        }
    }
}

/// Hi-hats and cymbals: `t60` seconds long, `high` scales how far up they sound.
fn cymbal(family: Family, m: &Make, noise: &mut Noise, t60: f32, high: f32) -> Vec<f32> {
    let t60 = t60 * m.length;
    let bright = 2f32.powf(0.4 * m.colour) * high;
    match family {
        Family::Long | Family::Electronic => {
            // Six square waves a cracked chord apart, and what is left of them above 6 kHz.
            let mut oscillators: Vec<(Osc, f32)> = [263.0, 400.0, 421.0, 474.0, 587.0, 845.0]
                .iter()
                .enumerate()
                .map(|(i, hz)| {
                    (Osc::new(0.13 * i as f32), hz * m.pitch * if m.seed & 1 == 0 { 1.0 } else { 1.7 })
                })
                .collect();
            let mut filters = [Svf::new(6_500.0 * bright, 0.9), Svf::new(6_500.0 * bright, 0.9)];
            let fade = decay(t60);
            let mut level = 1.0;
            (0..frames(t60))
                .map(|_| {
                    level *= fade;
                    let chord: f32 = oscillators.iter_mut().map(|(o, hz)| o.pulse(*hz, 0.5)).sum();
                    let x = chord + noise.next() * m.noise;
                    let x = filters[0].next(x).high;
                    filters[1].next(x).high * level
                })
                .collect()
        }
        Family::Acoustic | Family::Metal | Family::Punchy => {
            // A plate: many modes, unevenly spread, with the hiss of those too dense to count.
            let mut out = hiss(noise, 5_500.0 * bright, t60);
            let soft = burst(noise, 3_000.0 * bright, 0.5, t60 * 0.6);
            add(&mut out, 0, &soft, 0.3);
            let mut generator = Noise::new(m.seed);
            let count = if t60 > 0.3 { 32 } else { 16 };
            let modes: Vec<Mode> = (0..count)
                .map(|_| {
                    let u = 0.5 + 0.5 * generator.next();
                    Mode {
                        hz: 340.0 * m.pitch * (40.0 * bright).powf(u),
                        amplitude: 0.03 * (0.3 + u) * m.noise.recip(),
                        t60: t60 * (1.3 - 0.7 * u),
                    }
                })
                .collect();
            ring(&modes, &mut out);
            out
        }
        Family::Brushes | Family::Hands | Family::Lofi => {
            let mut out = burst(noise, 7_000.0 * bright, 0.35, t60);
            let top = hiss(noise, 9_000.0, t60 * 0.7);
            add(&mut out, 0, &top, 0.5);
            // Brushed cymbals and shakers arrive softly.
            let attack = if family == Family::Lofi { 2 } else { frames(0.012) };
            out.iter_mut().take(attack).enumerate().for_each(|(i, x)| *x *= i as f32 / attack as f32);
            out
        }
    }
}

fn clap(m: &Make, noise: &mut Noise) -> Vec<f32> {
    let hz = 1_150.0 * m.pitch * 2f32.powf(0.4 * m.colour);
    let mut out = burst(noise, hz, 0.9, 0.22 * m.length);
    out.iter_mut().for_each(|x| *x *= 0.6);
    // Several hands, not quite together.
    let hands = 2 + (m.seed % 4) as usize;
    let mut late = out.clone();
    late.iter_mut().for_each(|x| *x = 0.0);
    for hand in 0..hands {
        let hz = hz * (1.0 + 0.05 * noise.next());
        let clap = burst(noise, hz, 1.1, 0.018);
        add(&mut late, frames(0.009 * hand as f32 * m.length), &clap, 1.0);
    }
    let start = frames(0.009 * (hands - 1) as f32 * m.length);
    add(&mut late, start, &out, 1.0);
    late
}

/// Small percussion, chosen by the make: conga, shaker, tambourine, woodblock, cowbell, triangle.
fn percussion(m: &Make, noise: &mut Noise) -> Vec<f32> {
    let mut out = vec![0.0; frames(0.6)];
    match m.seed % 6 {
        0 => {
            ring(&membrane(260.0 * m.pitch, 0.3 * m.length, 1.3, 8), &mut out);
            add(&mut out, 0, &burst(noise, 1_800.0, 0.6, 0.02), m.noise);
        }
        1 => {
            let mut shake = burst(noise, 6_000.0 * m.pitch, 0.6, 0.09 * m.length);
            let attack = frames(0.02);
            shake.iter_mut().take(attack).enumerate().for_each(|(i, x)| *x *= i as f32 / attack as f32);
            add(&mut out, 0, &shake, 1.0);
        }
        2 => {
            let jingles: Vec<Mode> =
                [5_100.0, 6_230.0, 7_480.0, 8_900.0, 10_700.0, 12_100.0, 13_900.0, 9_700.0]
                    .iter()
                    .map(|hz| Mode { hz: hz * m.pitch, amplitude: 0.2, t60: 0.22 * m.length })
                    .collect();
            ring(&jingles, &mut out);
            add(&mut out, 0, &hiss(noise, 6_000.0, 0.1 * m.length), 0.7 * m.noise);
        }
        3 => ring(
            &[1.0, 2.57, 4.1, 6.3].map(|r| Mode {
                hz: 780.0 * m.pitch * r,
                amplitude: 1.0 / r,
                t60: 0.09 * m.length,
            }),
            &mut out,
        ),
        4 => {
            let (mut low, mut high) = (Osc::new(0.0), Osc::new(0.3));
            let mut filter = Svf::new(1_900.0 * m.pitch, 1.0);
            let fade = decay(0.35 * m.length);
            let mut level = 1.0;
            for x in &mut out {
                level *= fade;
                let tone = low.pulse(545.0 * m.pitch, 0.5) + high.pulse(815.0 * m.pitch, 0.5);
                *x = filter.next(tone).band * level;
            }
        }
        _ => {
            let mut long = vec![0.0; frames(1.5)];
            let bar = [1.0, 2.76, 5.4, 8.93, 1.51, 3.3];
            ring(
                &bar.map(|r| Mode { hz: 1_250.0 * m.pitch * r, amplitude: 0.4, t60: 1.4 * m.length }),
                &mut long,
            );
            return long;
        }
    }
    out
}

/// A two-operator tone with a decaying modulator.
fn fm(hz: f32, ratio: f32, index: f32, t60: f32) -> Vec<f32> {
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

/// The modes of a piece of scrap metal, always the same for one make.
fn scrap(m: &Make, hz: f32, count: usize, t60: f32) -> Vec<Mode> {
    let mut generator = Noise::new(m.seed);
    (0..count)
        .map(|i| {
            let ratio = 1.0 + i as f32 * (0.6 + 0.5 * generator.next().abs());
            Mode {
                hz: hz * m.pitch * ratio,
                amplitude: 1.0 / (1.0 + 0.2 * i as f32),
                t60: t60 / (1.0 + 0.1 * i as f32),
            }
        })
        .collect()
}

/// Holds samples and rounds them, as an old sampler does.
fn crush(sound: &mut [f32], hold: usize, bits: f32) {
    let steps = bits.exp2();
    for chunk in sound.chunks_mut(hold.max(1)) {
        let held = (chunk[0] * steps).round() / steps;
        chunk.fill(held);
    }
}
