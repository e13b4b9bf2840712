//! Everything that is neither drums, bass nor voice: keys, guitars, organs, pads, leads, bells, winds, strings.

use super::dsp::{Adsr, Biquad, Mode, Noise, Osc, RATE, Svf, add, frames, gain, hertz, ring, saturate};
use super::mix::Track;
use super::score::{Note, Part, Role};
use super::strings::{Pluck, pluck};
use crate::rng::Rng;

/// An instrument, with everything that makes one differ from the next.
enum Instrument {
    /// Struck strings: slightly stretched partials that die one after the other.
    Piano { brightness: f32, stretch: f32, t60: f32 },
    /// Two-operator frequency modulation: electric pianos, bells, plucked sounds.
    Fm { ratio: f32, index: f32, decay: f32, sustain: f32 },
    /// Guitar, harp, sitar.
    String(Pluck),
    /// Drawbars, and a rotating speaker.
    Organ { drawbars: [f32; 9], rotation_hz: f32 },
    /// Detuned saws through a filter: pads, string machines, brass, synth leads.
    Subtractive { width: f32, detune: f32, cutoff: f32, sweep: f32, q: f32, envelope: Adsr, vibrato: f32 },
    /// Struck bars.
    Mallet { ratios: [f32; 4], t60: f32 },
    /// Flutes and reeds: few harmonics, breath and vibrato.
    Wind { harmonics: [f32; 8], breath: f32, vibrato: f32, vibrato_hz: f32 },
}

/// Plays one part on an instrument that suits its role.
pub fn render(rng: &mut Rng, part: &Part, length: usize) -> Track {
    let instrument = choose(rng, part.role);
    let mut track = Track::silent(length);
    let centre = rng.range(-0.7, 0.7);
    let spread = if rng.chance(0.5) { rng.range(0.0, 0.02) } else { 0.0 };
    // Two detuned layers, one for each side, make pads and chords wide.
    let wide = match instrument {
        Instrument::Subtractive { .. } => rng.chance(0.7),
        Instrument::Wind { .. } => false,
        _ => rng.chance(0.15),
    };
    for note in &part.notes {
        if wide {
            let cents = rng.range(0.03, 0.09);
            for side in [-1.0, 1.0] {
                let note = Note { pitch: note.pitch + side * cents, ..*note };
                let sound = play(rng, &instrument, &note);
                track.add(frames(note.start), &sound, 0.7, 0.85 * side);
            }
        } else {
            let sound = play(rng, &instrument, note);
            track.add(frames(note.start), &sound, 1.0, centre + spread * (note.pitch - 60.0));
        }
    }
    if part.role == Role::Power || part.role == Role::Lead && rng.chance(0.15) {
        amplify(rng, &mut track);
    } else if rng.chance(0.2) {
        tremolo(rng, &mut track);
    }
    let equaliser = [
        Biquad::high_pass(if part.role == Role::Power { 60.0 } else { rng.log_range(50.0, 250.0) }),
        Biquad::peak(rng.log_range(250.0, 1_200.0), 0.8, 3.0 * rng.normal()),
        Biquad::peak(rng.log_range(1_200.0, 5_000.0), 0.8, 3.0 * rng.normal()),
        Biquad::high_shelf(rng.log_range(4_000.0, 10_000.0), 3.0 * rng.normal()),
    ];
    for channel in &mut track.channels {
        equaliser.iter().for_each(|section| section.clone().run(channel));
    }
    let power = track.power();
    if power > 1e-12 {
        track.scale(gain(3.5 * rng.normal()) / power.sqrt());
    }
    track.reverb_send = if rng.chance(0.7) { rng.log_range(0.02, 0.5) } else { 0.0 };
    track.delay_send = if rng.chance(0.25) { rng.range(0.05, 0.4) } else { 0.0 };
    track
}

fn choose(rng: &mut Rng, role: Role) -> Instrument {
    let pick = match role {
        Role::Pad => *rng.pick(&[0, 0, 0, 1, 5, 6]),
        Role::Comp => *rng.pick(&[0, 1, 2, 2, 3, 3, 4]),
        Role::Arpeggio => *rng.pick(&[2, 3, 4, 4, 5, 7, 1]),
        Role::Lead => *rng.pick(&[2, 3, 4, 5, 6, 6, 7, 8]),
        Role::Power => 4,
    };
    match pick {
        // Pads and strings swell slowly; leads and brass speak at once.
        0 | 5 => Instrument::Subtractive {
            width: rng.range(0.0, 0.5),
            detune: rng.range(0.001, 0.01),
            cutoff: rng.log_range(500.0, 5_000.0),
            sweep: rng.range(0.0, 2.5),
            q: rng.log_range(0.6, 2.5),
            envelope: if pick == 0 {
                Adsr {
                    attack: rng.log_range(0.05, 0.6),
                    decay: 1.0,
                    sustain: rng.range(0.7, 1.0),
                    release: rng.log_range(0.1, 1.0),
                }
            } else {
                Adsr {
                    attack: rng.log_range(0.003, 0.04),
                    decay: rng.log_range(0.1, 0.6),
                    sustain: rng.range(0.2, 0.8),
                    release: rng.log_range(0.04, 0.3),
                }
            },
            vibrato: if rng.chance(0.5) { rng.range(0.0, 0.25) } else { 0.0 },
        },
        1 => {
            let mut drawbars = [0.0; 9];
            drawbars.iter_mut().for_each(|d| *d = if rng.chance(0.6) { rng.unit() } else { 0.0 });
            drawbars[2] = 1.0;
            Instrument::Organ {
                drawbars,
                rotation_hz: if rng.chance(0.7) { rng.range(0.7, 6.8) } else { 0.0 },
            }
        }
        2 => Instrument::Fm {
            ratio: *rng.pick(&[1.0, 1.0, 2.0, 3.0, 3.5, 7.0, 14.0]),
            index: rng.log_range(0.3, 3.0),
            decay: rng.log_range(0.3, 2.5),
            sustain: 0.05,
        },
        3 => Instrument::Piano {
            brightness: rng.range(0.55, 0.85),
            stretch: rng.log_range(0.0001, 0.0012),
            t60: rng.range(2.0, 8.0),
        },
        4 => Instrument::String(Pluck {
            pluck_hz: rng.log_range(1_500.0, 9_000.0),
            position: rng.range(0.06, 0.45),
            t60: rng.range(1.5, 6.0),
            damping: rng.range(0.1, 0.5),
            release: rng.range(0.03, 0.25),
        }),
        6 => {
            let mut harmonics = [0.0; 8];
            let odd = rng.chance(0.4);
            let fall = rng.range(0.35, 0.8);
            for (i, h) in harmonics.iter_mut().enumerate() {
                *h = fall.powi(i as i32) * if odd && i % 2 == 1 { 0.15 } else { rng.range(0.5, 1.2) };
            }
            Instrument::Wind {
                harmonics,
                breath: rng.log_range(0.01, 0.2),
                vibrato: rng.range(0.0, 0.35),
                vibrato_hz: rng.range(4.5, 6.5),
            }
        }
        7 => Instrument::Mallet {
            ratios: *rng.pick(&[
                [1.0, 3.93, 9.5, 16.0],
                [1.0, 2.76, 5.4, 8.93],
                [1.0, 4.0, 10.0, 13.0],
                [0.5, 1.0, 1.19, 2.0],
            ]),
            t60: rng.log_range(0.4, 3.0),
        },
        _ => Instrument::Subtractive {
            width: 0.5,
            detune: 0.0,
            cutoff: rng.log_range(800.0, 8_000.0),
            sweep: rng.range(0.0, 3.0),
            q: rng.log_range(0.7, 5.0),
            envelope: Adsr { attack: 0.005, decay: 0.3, sustain: rng.range(0.3, 0.9), release: 0.08 },
            vibrato: rng.range(0.0, 0.3),
        },
    }
}

fn play(rng: &mut Rng, instrument: &Instrument, note: &Note) -> Vec<f32> {
    let hz = hertz(note.pitch);
    let noise = &mut Noise::new(rng.bits());
    let mut sound = match instrument {
        Instrument::String(string) => {
            let mut sound = pluck(string, note, noise);
            sound.iter_mut().for_each(|x| *x *= 2.0);
            return sound;
        }
        Instrument::Piano { brightness, stretch, t60 } => {
            let t60 = t60 * (261.0 / hz).powf(0.6);
            let mut out = vec![0.0; frames((note.length + 0.15).min(t60))];
            let bright = brightness * (0.8 + 0.2 * note.velocity);
            let modes: Vec<Mode> = (1..=16)
                .map(|n| {
                    let n = n as f32;
                    Mode {
                        hz: hz * n * (1.0 + stretch * n * n).sqrt(),
                        amplitude: 0.5 * bright.powf(n - 1.0) * (0.4 + (n * 0.36).sin().abs()),
                        t60: t60 / (1.0 + 0.22 * n),
                    }
                })
                .collect();
            ring(&modes, &mut out);
            let mut hammer = Svf::new(500.0 + hz, 0.6);
            out.iter_mut()
                .take(frames(0.02))
                .enumerate()
                .for_each(|(i, x)| *x += hammer.next(noise.next()).band * 0.5 * (1.0 - i as f32 / 882.0));
            out
        }
        Instrument::Fm { ratio, index, decay, sustain } => {
            let envelope = Adsr { attack: 0.002, decay: *decay, sustain: *sustain, release: 0.12 };
            let (mut carrier, mut modulator) = (Osc::new(0.0), Osc::new(0.0));
            // Fewer sidebands for high notes, or they would fold back.
            let index = index * (600.0 / (hz * ratio)).min(1.0).sqrt() * (0.3 + 0.7 * note.velocity);
            envelope
                .curve(note.length)
                .into_iter()
                .map(|level| {
                    let modulation = modulator.sine(hz * ratio, 0.0) * index * level;
                    carrier.sine(hz, modulation) * level
                })
                .collect()
        }
        Instrument::Organ { drawbars, rotation_hz } => {
            const FOOTAGES: [f32; 9] = [0.5, 1.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0];
            let modes: Vec<Mode> = FOOTAGES
                .iter()
                .zip(drawbars)
                .filter(|(_, level)| **level > 0.0)
                .map(|(f, level)| Mode { hz: hz * f, amplitude: 0.3 * level, t60: 1e3 })
                .collect();
            let envelope = Adsr { attack: 0.006, decay: 1.0, sustain: 1.0, release: 0.03 };
            let curve = envelope.curve(note.length);
            let mut out = vec![0.0; curve.len()];
            ring(&modes, &mut out);
            let mut swell = 1.0;
            for (i, (x, level)) in out.iter_mut().zip(curve).enumerate() {
                if i % 32 == 0 && *rotation_hz > 0.0 {
                    // All notes of a song turn with one speaker: its phase is the song's time.
                    let turns = rotation_hz * (note.start + i as f32 / RATE);
                    swell = 1.0 + 0.25 * (std::f32::consts::TAU * turns).sin();
                }
                *x *= level * swell;
            }
            out
        }
        Instrument::Subtractive { width, detune, cutoff, sweep, q, envelope, vibrato } => {
            let mut oscillators = [Osc::new(rng.unit()), Osc::new(rng.unit())];
            let mut filter = Svf::default();
            let (mut hz_now, mut phase) = (hz, 0.0f32);
            envelope
                .curve(note.length)
                .into_iter()
                .enumerate()
                .map(|(i, level)| {
                    let t = i as f32 / RATE;
                    if i % 16 == 0 {
                        let open = (-t / (envelope.decay + envelope.attack)).exp() * sweep * note.velocity;
                        filter.tune(cutoff * open.exp2(), *q);
                        phase += std::f32::consts::TAU * 5.4 * 16.0 / RATE;
                        hz_now = hz * (1.0 + 0.0578 * vibrato * (t * 3.0).min(1.0) * phase.sin());
                    }
                    let x = if *width > 0.05 {
                        oscillators[0].pulse(hz_now, *width) + oscillators[1].saw(hz_now * (1.0 + detune))
                    } else {
                        oscillators[0].saw(hz_now) + oscillators[1].saw(hz_now * (1.0 + detune))
                    };
                    0.4 * filter.next(x).low * level
                })
                .collect()
        }
        Instrument::Mallet { ratios, t60 } => {
            let t60 = t60 * (500.0 / hz).powf(0.4);
            let mut out = vec![0.0; frames(t60)];
            let modes: Vec<Mode> = ratios
                .iter()
                .enumerate()
                .map(|(i, r)| Mode {
                    hz: hz * r,
                    amplitude: 0.7f32.powi(i as i32 * 2),
                    t60: t60 / (1.0 + i as f32),
                })
                .collect();
            ring(&modes, &mut out);
            let knock: Vec<f32> = (0..frames(0.006)).map(|_| noise.next() * 0.2).collect();
            add(&mut out, 0, &knock, 1.0);
            out
        }
        Instrument::Wind { harmonics, breath, vibrato, vibrato_hz } => {
            let envelope = Adsr { attack: 0.05, decay: 0.5, sustain: 0.85, release: 0.08 };
            let mut air = Svf::new((hz * 2.0).min(9_000.0), 0.5);
            let (mut phase, mut sway, mut hz_now) = (0.0f32, 0.0f32, hz);
            let audible = ((16_000.0 / hz) as usize).clamp(1, harmonics.len());
            envelope
                .curve(note.length)
                .into_iter()
                .enumerate()
                .map(|(i, level)| {
                    let t = i as f32 / RATE;
                    if i % 16 == 0 {
                        sway += std::f32::consts::TAU * vibrato_hz * 16.0 / RATE;
                        hz_now = hz * (1.0 + 0.0578 * vibrato * (t * 2.5).min(1.0) * sway.sin());
                    }
                    phase = (phase + std::f32::consts::TAU * hz_now / RATE) % std::f32::consts::TAU;
                    // sin(n x) from sin((n-1) x) and sin((n-2) x).
                    let (sin, twice_cos) = (phase.sin(), 2.0 * phase.cos());
                    let (mut before, mut current, mut sum) = (0.0, sin, 0.0);
                    for harmonic in &harmonics[..audible] {
                        sum += harmonic * current;
                        (before, current) = (current, twice_cos * current - before);
                    }
                    (0.5 * sum + breath * air.next(noise.next()).band) * level
                })
                .collect()
        }
    };
    let level = note.velocity * note.velocity;
    sound.iter_mut().for_each(|x| *x *= level);
    sound
}

/// An overdriven guitar amplifier with its speaker.
fn amplify(rng: &mut Rng, track: &mut Track) {
    let drive = gain(rng.range(10.0, 40.0));
    let bias = rng.range(0.0, 0.2);
    let speaker = [
        Biquad::high_pass(80.0),
        Biquad::peak(2_600.0, 0.9, 5.0),
        Biquad::low_pass(rng.range(3_500.0, 5_500.0)),
    ];
    for channel in &mut track.channels {
        Biquad::high_pass(110.0).run(channel);
        channel.iter_mut().for_each(|x| *x = saturate(*x * drive + bias) - saturate(bias));
        speaker.iter().for_each(|section| section.clone().run(channel));
    }
}

/// Volume that swings, from side to side or on both.
fn tremolo(rng: &mut Rng, track: &mut Track) {
    let (hz, depth) = (rng.range(0.2, 7.0), rng.range(0.1, 0.5));
    let opposite = if rng.chance(0.5) { std::f32::consts::PI } else { 0.0 };
    for (side, channel) in track.channels.iter_mut().enumerate() {
        let phase = opposite * side as f32;
        for (block, samples) in channel.chunks_mut(32).enumerate() {
            let t = block as f32 * 32.0 / RATE;
            let level = 1.0 - depth * (0.5 + 0.5 * (std::f32::consts::TAU * hz * t + phase).sin());
            samples.iter_mut().for_each(|x| *x *= level);
        }
    }
}
