//! Bass: which instrument plays the line, its amplifier, its place in the mix.

use super::dsp::{Adsr, Biquad, frames};
use super::instruments::{Fm, Instrument, Pluck, Sub, Subtractive};
use super::mix::{Amp, Modulation, Strip, Track};
use super::score::Note;
use crate::rng::Rng;

/// Plays a bass line on an instrument of random make.
pub fn render(rng: &mut Rng, notes: &[Note], length: usize) -> Vec<Track> {
    if notes.is_empty() {
        return Vec::new();
    }
    let (instrument, stringed) = choose(rng);
    let mut track = Track::silent(length);
    let mut previous = None;
    for note in notes.iter().filter(|note| frames(note.start) < length) {
        let sound = instrument.play(rng, note, previous);
        // Basses stand in the middle: one channel is played and processed, then copied.
        super::dsp::add(&mut track.channels[0], frames(note.start), &sound, 1.0);
        previous = Some(note.pitch);
    }
    track.channels[1] = track.channels[0].clone();
    track.level();
    let dry = [track.channels[0].clone(), track.channels[1].clone()];
    if rng.chance(if stringed { 0.5 } else { 0.2 }) {
        // Through an amplifier, with some of the direct signal beside it.
        Amp::bass(rng).run(&mut track);
        track.level();
        track.absorb(&dry, rng.range(0.0, 1.0));
    }
    let tone = [
        Biquad::peak(rng.log_range(60.0, 120.0), 0.8, 1.5 + 2.0 * rng.normal()),
        Biquad::high_shelf(900.0, -2.0),
        Biquad::low_pass(rng.log_range(600.0, 8_000.0)),
    ];
    let strip = Strip::draw(rng, if stringed { 32.0 } else { 24.0 }, 2.5).with(tone);
    if rng.chance(0.6) { strip.compressed(rng) } else { strip }.run(&mut track);
    if rng.chance(0.12) {
        track.level();
        Modulation::draw(rng).run(&mut track);
    }
    track.reverb_send = if rng.chance(0.15) { rng.range(0.01, 0.1) } else { 0.0 };
    track.duck = if rng.chance(0.7) { rng.range(0.5, 1.0) } else { 0.0 };
    vec![track]
}

/// An instrument, and whether it has strings.
fn choose(rng: &mut Rng) -> (Box<dyn Instrument>, bool) {
    // Finger, plectrum, slap, upright; synthesiser, frequency modulation, deep sine.
    match rng.weighted(&[3.0, 1.6, 0.8, 1.2, 3.0, 1.0, 1.5]) {
        0 => (
            Box::new(Pluck {
                pluck_hz: rng.log_range(300.0, 2_500.0),
                position: rng.range(0.08, 0.3),
                t60: rng.range(2.0, 6.0),
                damping: rng.range(0.3, 0.5),
                release: rng.range(0.03, 0.12),
                click: rng.range(0.0, 0.1),
                buzz: 0.0,
                body_hz: 0.0,
            }),
            true,
        ),
        1 => (
            Box::new(Pluck {
                pluck_hz: rng.log_range(2_000.0, 8_000.0),
                position: rng.range(0.06, 0.15),
                t60: rng.range(1.5, 5.0),
                damping: rng.range(0.12, 0.4),
                release: rng.range(0.03, 0.1),
                click: rng.range(0.1, 0.5),
                buzz: rng.range(0.0, 0.3),
                body_hz: 0.0,
            }),
            true,
        ),
        2 => (
            Box::new(Pluck {
                pluck_hz: rng.log_range(5_000.0, 14_000.0),
                position: rng.range(0.04, 0.12),
                t60: rng.range(1.5, 4.0),
                damping: rng.range(0.05, 0.25),
                release: rng.range(0.02, 0.06),
                click: rng.range(0.3, 1.0),
                buzz: rng.range(0.2, 1.0),
                body_hz: 0.0,
            }),
            true,
        ),
        3 => (
            Box::new(Pluck {
                pluck_hz: rng.log_range(200.0, 900.0),
                position: rng.range(0.2, 0.4),
                t60: rng.range(0.8, 2.0),
                damping: rng.range(0.4, 0.5),
                release: rng.range(0.08, 0.2),
                click: rng.range(0.05, 0.3),
                buzz: 0.0,
                body_hz: rng.range(90.0, 130.0),
            }),
            true,
        ),
        4 => (Box::new(synthesiser(rng)), false),
        5 => (
            Box::new(Fm {
                carrier: 1.0,
                modulators: [
                    (*rng.pick(&[0.5, 1.0, 1.0, 1.0, 2.0]), rng.range(0.3, 2.2), rng.log_range(0.1, 0.8)),
                    (*rng.pick(&[1.0, 2.0, 3.0, 5.0]), rng.range(0.0, 1.2), rng.log_range(0.03, 0.3)),
                ],
                feedback: rng.range(0.0, 0.8),
                amplitude: Adsr {
                    attack: 0.003,
                    decay: rng.log_range(0.3, 2.0),
                    sustain: 0.4,
                    release: 0.06,
                },
            }),
            false,
        ),
        _ => (
            Box::new(Sub {
                drive: rng.log_range(0.8, 8.0),
                glide: if rng.chance(0.4) { rng.range(0.01, 0.08) } else { 0.0 },
                drop: if rng.chance(0.6) { rng.range(2.0, 18.0) } else { 0.0 },
                decay: rng.range(0.5, 3.0),
            }),
            false,
        ),
    }
}

/// A synthesised bass: plain, acid, reese or wobbling.
fn synthesiser(rng: &mut Rng) -> Subtractive {
    let filter = |decay: f32| Adsr { attack: 0.003, decay, sustain: 0.12, release: 0.06 };
    let mut patch = Subtractive {
        saw: *rng.pick(&[0.0, 0.5, 1.0, 1.0]),
        width: rng.range(0.2, 0.5),
        sub: if rng.chance(0.5) { rng.range(0.2, 0.9) } else { 0.0 },
        copies: 1 + rng.below(2),
        detune: rng.range(0.001, 0.008),
        noise: 0.0,
        cutoff: rng.log_range(80.0, 700.0),
        tracking: rng.range(0.5, 2.0),
        sweep: rng.range(0.0, 3.0),
        q: rng.log_range(0.6, 3.0),
        amplitude: Adsr { attack: 0.004, decay: rng.log_range(0.2, 1.5), sustain: 0.6, release: 0.05 },
        filter: filter(rng.log_range(0.08, 0.8)),
        vibrato: 0.0,
        glide: if rng.chance(0.3) { rng.range(0.01, 0.06) } else { 0.0 },
        wobble: (0.0, 0.0),
        drive: if rng.chance(0.3) { rng.range(0.5, 3.0) } else { 0.0 },
    };
    match rng.weighted(&[4.0, 1.0, 1.0, 0.7]) {
        // Acid.
        1 => {
            patch.q = rng.range(4.0, 10.0);
            patch.sweep = rng.range(2.0, 4.0);
            patch.filter = filter(rng.range(0.08, 0.3));
            patch.glide = rng.range(0.02, 0.08);
            patch.copies = 1;
        }
        // Reese.
        2 => {
            patch.saw = 1.0;
            patch.copies = 3;
            patch.detune = rng.range(0.006, 0.015);
            patch.cutoff = rng.log_range(300.0, 1_500.0);
        }
        // Wobble.
        3 => {
            patch.saw = 1.0;
            patch.cutoff = rng.log_range(60.0, 150.0);
            patch.wobble = (*rng.pick(&[1.0, 2.0, 3.0, 4.0, 6.0]), rng.range(2.0, 5.0));
            patch.q = rng.range(1.0, 4.0);
            patch.drive = rng.range(0.5, 3.0);
        }
        _ => {}
    }
    patch
}
