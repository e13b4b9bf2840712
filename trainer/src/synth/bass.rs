//! Bass instruments: plucked, bowed out of oscillators, frequency-modulated, or plain deep sines.

use super::dsp::{Adsr, Biquad, Noise, Osc, RATE, Svf, frames, gain, hertz, saturate};
use super::mix::Track;
use super::score::Note;
use super::strings::{Pluck, pluck};
use crate::rng::Rng;

enum Instrument {
    /// Electric and upright bass.
    String(Pluck),
    /// One or two oscillators through a low-pass filter with an envelope.
    Subtractive { saw: f32, width: f32, detune: f32, cutoff: f32, sweep: f32, q: f32, decay: f32 },
    /// Two operators.
    Fm { ratio: f32, index: f32, decay: f32 },
    /// A sine with a little saturation, gliding between notes.
    Sub { drive: f32, glide: f32, decay: f32 },
}

/// Plays a bass line on an instrument of random make.
pub fn render(rng: &mut Rng, notes: &[Note], length: usize) -> Vec<Track> {
    let instrument = match rng.weighted(&[4.0, 1.5, 3.0, 1.2, 1.5]) {
        0 => Instrument::String(Pluck {
            pluck_hz: rng.log_range(200.0, 1_500.0),
            position: rng.range(0.08, 0.3),
            t60: rng.range(2.0, 6.0),
            damping: rng.range(0.35, 0.5),
            release: rng.range(0.03, 0.12),
        }),
        1 => Instrument::String(Pluck {
            pluck_hz: rng.log_range(120.0, 400.0),
            position: rng.range(0.2, 0.4),
            t60: rng.range(0.8, 2.0),
            damping: 0.5,
            release: rng.range(0.08, 0.2),
        }),
        2 => Instrument::Subtractive {
            saw: rng.unit(),
            width: rng.range(0.2, 0.5),
            detune: if rng.chance(0.4) { rng.range(0.002, 0.012) } else { 0.0 },
            cutoff: rng.log_range(80.0, 400.0),
            sweep: rng.range(0.0, 2.5),
            q: rng.log_range(0.6, 4.0),
            decay: rng.log_range(0.08, 0.8),
        },
        3 => Instrument::Fm {
            ratio: *rng.pick(&[0.5, 1.0, 1.0, 1.0, 2.0]),
            index: rng.range(0.3, 1.8),
            decay: rng.log_range(0.1, 0.8),
        },
        _ => Instrument::Sub {
            drive: rng.range(1.0, 4.0),
            glide: rng.range(0.0, 0.06),
            decay: rng.range(0.5, 3.0),
        },
    };
    let mut track = Track::silent(length);
    let mut previous = None;
    for note in notes {
        let sound = play(rng, &instrument, note, previous);
        let level = if matches!(instrument, Instrument::String(_)) { 2.5 } else { 0.5 };
        track.add(frames(note.start), &sound, level, 0.0);
        previous = Some(note.pitch);
    }
    let amplifier = [
        Biquad::peak(rng.log_range(70.0, 200.0), 0.8, 2.0 * rng.normal()),
        Biquad::peak(rng.log_range(500.0, 1_600.0), 0.7, 3.0 * rng.normal()),
        Biquad::low_pass(rng.log_range(400.0, 4_000.0)),
    ];
    let drive = if rng.chance(0.2) { rng.range(3.0, 14.0) } else { 0.0 };
    // Basses stand in the middle: process one channel, copy it.
    let channel = &mut track.channels[0];
    if drive > 0.0 {
        let drive = gain(drive);
        channel.iter_mut().for_each(|x| *x = saturate(*x * drive) / drive.sqrt());
    }
    for section in amplifier {
        section.run(channel);
    }
    track.channels[1] = track.channels[0].clone();
    track.reverb_send = if rng.chance(0.15) { rng.range(0.01, 0.1) } else { 0.0 };
    vec![track]
}

fn play(rng: &mut Rng, instrument: &Instrument, note: &Note, previous: Option<f32>) -> Vec<f32> {
    let hz = hertz(note.pitch);
    match *instrument {
        Instrument::String(string) => pluck(&string, note, &mut Noise::new(rng.bits())),
        Instrument::Subtractive { saw, width, detune, cutoff, sweep, q, decay } => {
            let envelope = Adsr { attack: 0.004, decay: decay * 2.0, sustain: 0.6, release: 0.05 };
            let filter_envelope = Adsr { attack: 0.003, decay, sustain: 0.15, release: 0.05 };
            let mut oscillators = [Osc::new(rng.unit()), Osc::new(rng.unit()), Osc::new(rng.unit())];
            let mut filter = Svf::default();
            let opening = filter_envelope.curve(note.length);
            envelope
                .curve(note.length)
                .into_iter()
                .zip(opening)
                .enumerate()
                .map(|(i, (level, open))| {
                    if i % 16 == 0 {
                        filter.tune(cutoff * (open * sweep * note.velocity).exp2() + hz * 0.5, q);
                    }
                    let mut x = saw * oscillators[0].saw(hz) + (1.0 - saw) * oscillators[1].pulse(hz, width);
                    if detune > 0.0 {
                        x = 0.6 * (x + oscillators[2].saw(hz * (1.0 + detune)));
                    }
                    filter.next(x).low * level * note.velocity
                })
                .collect()
        }
        Instrument::Fm { ratio, index, decay } => {
            let envelope = Adsr { attack: 0.004, decay: decay * 3.0, sustain: 0.4, release: 0.06 };
            let brightness = Adsr { attack: 0.002, decay, sustain: 0.3, release: 0.06 };
            let (mut carrier, mut modulator) = (Osc::new(0.0), Osc::new(0.0));
            envelope
                .curve(note.length)
                .into_iter()
                .zip(brightness.curve(note.length))
                .map(|(level, bright)| {
                    let modulation = modulator.sine(hz * ratio, 0.0) * index * bright * note.velocity;
                    carrier.sine(hz, modulation) * level * note.velocity
                })
                .collect()
        }
        Instrument::Sub { drive, glide, decay } => {
            let envelope = Adsr { attack: 0.005, decay, sustain: 0.3, release: 0.08 };
            let from = previous.unwrap_or(note.pitch);
            let mut oscillator = Osc::new(0.0);
            envelope
                .curve(note.length)
                .into_iter()
                .enumerate()
                .map(|(i, level)| {
                    let t = i as f32 / RATE;
                    let bend = if glide > 0.0 { (from - note.pitch) * (-t / glide).exp() } else { 0.0 };
                    let hz = if bend.abs() > 0.01 { hertz(note.pitch + bend) } else { hz };
                    saturate(oscillator.sine(hz, 0.0) * drive) * level * note.velocity
                })
                .collect()
        }
    }
}
