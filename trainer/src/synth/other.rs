//! Everything that is neither drums, bass nor voice: which instrument plays a part, its effects, its place in the mix.

use super::dsp::{Adsr, Biquad, frames, gain};
use super::instruments::{
    Additive, Brass, Fm, Instrument, Mallet, Organ, Piano, Pluck, Strings, Subtractive, Texture, Wind,
};
use super::mix::{Amp, Modulation, Strip, Track};
use super::score::{Note, Part, Role};
use crate::rng::Rng;

/// Kinds of instruments; each has many makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Piano,
    ElectricPiano,
    Clavinet,
    Organ,
    Guitar,
    /// Harp, banjo, sitar, koto, ukulele.
    Plucked,
    Pad,
    /// Many detuned saws.
    SuperSaw,
    Stab,
    Lead,
    Additive,
    Bell,
    Mallet,
    Wind,
    Strings,
    Brass,
    Texture,
}

/// Plays one part on an instrument that suits its role.
pub fn render(rng: &mut Rng, part: &Part, length: usize) -> Track {
    let kind = choose(rng, part.role);
    let instrument = make(rng, kind);
    let mut track = Track::silent(length);
    let centre = rng.range(-0.8, 0.8) * if part.role == Role::Low { 0.4 } else { 1.0 };
    let spread = if rng.chance(0.4) { rng.range(0.0, 0.02) } else { 0.0 };
    // Two layers, one for each side, make pads, chords and doubled guitars wide.
    let wide = rng.chance(match kind {
        Kind::Pad | Kind::SuperSaw | Kind::Strings => 0.7,
        Kind::Guitar if part.role == Role::Power => 0.7,
        Kind::Wind | Kind::Lead | Kind::Mallet => 0.0,
        _ => 0.12,
    });
    let mut previous = None;
    for note in part.notes.iter().filter(|note| frames(note.start) < length) {
        if wide {
            let cents = rng.range(0.02, 0.08);
            for side in [-1.0, 1.0] {
                let late = 0.012 * rng.unit();
                let note = Note { pitch: note.pitch + side * cents, start: note.start + late, ..*note };
                let sound = instrument.play(rng, &note, previous);
                track.add(frames(note.start), &sound, 0.7, 0.85 * side);
            }
        } else {
            let sound = instrument.play(rng, note, previous);
            track.add(frames(note.start), &sound, 1.0, centre + spread * (note.pitch - 60.0));
        }
        previous = Some(note.pitch);
    }
    if track.power() < 1e-12 {
        return track;
    }
    track.level();
    let amplified = part.role == Role::Power
        || matches!(kind, Kind::Guitar | Kind::ElectricPiano | Kind::Lead) && rng.chance(0.35);
    if amplified {
        Amp::guitar(rng).run(&mut track);
        track.level();
    }
    if rng.chance(0.3) {
        Modulation::draw(rng).run(&mut track);
    }
    let low_cut =
        if matches!(part.role, Role::Power | Role::Low) { 35.0 } else { rng.log_range(40.0, 200.0) };
    Strip::draw(rng, low_cut, 3.0).with(tone(rng, kind)).run(&mut track);
    track.level();
    track.scale(gain(level_db(part.role) + 3.0 * rng.normal()));
    track.reverb_send = if rng.chance(0.7) { rng.log_range(0.02, 0.5) } else { 0.0 };
    track.delay_send = if rng.chance(0.2) { rng.range(0.05, 0.4) } else { 0.0 };
    track.duck = if rng.chance(0.6) { rng.range(0.4, 1.0) } else { 0.0 };
    track
}

/// How loud a role is against the others, dB.
pub(super) fn level_db(role: Role) -> f32 {
    match role {
        Role::Pad => -2.5,
        Role::Comp | Role::Power | Role::Riff => 0.0,
        Role::Arpeggio => -2.0,
        Role::Lead => -1.0,
        Role::Low => 0.5,
        Role::Effect => -9.0,
    }
}

/// What synthetic instruments need to be as bright as recorded ones in a mix.
fn tone(rng: &mut Rng, kind: Kind) -> Vec<Biquad> {
    match kind {
        Kind::SuperSaw | Kind::Stab | Kind::Lead | Kind::Pad => {
            vec![Biquad::low_pass(rng.log_range(1_500.0, 12_000.0))]
        }
        _ => vec![Biquad::high_shelf(2_500.0, -3.0)],
    }
}

fn choose(rng: &mut Rng, role: Role) -> Kind {
    use Kind::*;
    *rng.pick(match role {
        Role::Pad => &[Pad, Pad, Strings, Strings, Organ, Additive, SuperSaw, Brass, Wind][..],
        Role::Comp => &[
            Piano,
            Piano,
            ElectricPiano,
            ElectricPiano,
            Guitar,
            Guitar,
            Guitar,
            Organ,
            Clavinet,
            Stab,
            SuperSaw,
            Brass,
            Plucked,
        ],
        Role::Arpeggio => &[Guitar, Guitar, Plucked, Piano, ElectricPiano, Stab, Mallet, Additive, Bell],
        Role::Lead => &[
            Lead, Lead, Guitar, Wind, Wind, Brass, Strings, Mallet, Piano, Plucked, Bell, Additive, SuperSaw,
        ],
        Role::Power => &[Guitar],
        Role::Riff => &[Guitar, Guitar, Stab, Lead, Brass, Clavinet, Organ, Piano],
        Role::Low => {
            &[Piano, Piano, Guitar, Guitar, Strings, Brass, Pad, Stab, Organ, ElectricPiano, Additive]
        }
        Role::Effect => &[Texture],
    })
}

fn make(rng: &mut Rng, kind: Kind) -> Box<dyn Instrument> {
    match kind {
        Kind::Piano => Box::new(Piano {
            brightness: rng.range(0.5, 0.82),
            stretch: rng.log_range(0.0001, 0.0009),
            t60: rng.range(2.5, 9.0),
            hammer: rng.range(0.1, 0.6),
            beating: rng.range(0.0003, 0.002),
        }),
        Kind::Clavinet => Box::new(Pluck {
            pluck_hz: rng.log_range(3_000.0, 9_000.0),
            position: rng.range(0.05, 0.2),
            t60: rng.range(0.8, 2.5),
            damping: rng.range(0.1, 0.3),
            release: 0.02,
            click: rng.range(0.2, 0.6),
            buzz: rng.range(0.0, 0.6),
            body_hz: 0.0,
        }),
        Kind::ElectricPiano => Box::new(Fm {
            carrier: 1.0,
            modulators: [
                (1.0, rng.range(0.2, 1.6), rng.log_range(0.3, 2.0)),
                (*rng.pick(&[7.0, 9.0, 14.0]), rng.range(0.1, 0.9), rng.log_range(0.05, 0.3)),
            ],
            feedback: 0.0,
            amplitude: Adsr { attack: 0.002, decay: rng.log_range(0.8, 4.0), sustain: 0.03, release: 0.15 },
        }),
        Kind::Bell => Box::new(Fm {
            carrier: 1.0,
            modulators: [
                (*rng.pick(&[1.41, 2.76, 3.5, 5.4]), rng.range(0.5, 3.0), rng.log_range(0.5, 3.0)),
                (*rng.pick(&[2.0, 7.13, 11.0]), rng.range(0.0, 1.0), rng.log_range(0.1, 1.0)),
            ],
            feedback: 0.0,
            amplitude: Adsr { attack: 0.001, decay: rng.log_range(1.0, 4.0), sustain: 0.0, release: 0.8 },
        }),
        Kind::Organ => Box::new(Organ::draw(rng)),
        Kind::Guitar => {
            let acoustic = rng.chance(0.5);
            Box::new(Pluck {
                pluck_hz: rng.log_range(1_500.0, 9_000.0),
                position: rng.range(0.06, 0.4),
                t60: rng.range(1.5, 6.0),
                damping: rng.range(0.1, 0.5),
                release: rng.range(0.03, 0.25),
                click: if acoustic { rng.range(0.05, 0.4) } else { rng.range(0.0, 0.15) },
                buzz: 0.0,
                body_hz: if acoustic { rng.range(85.0, 125.0) } else { 0.0 },
            })
        }
        Kind::Plucked => Box::new(Pluck {
            pluck_hz: rng.log_range(2_000.0, 12_000.0),
            position: rng.range(0.04, 0.5),
            t60: rng.log_range(0.5, 6.0),
            damping: rng.range(0.02, 0.5),
            release: rng.range(0.05, 0.5),
            click: rng.range(0.0, 0.4),
            buzz: if rng.chance(0.3) { rng.range(0.2, 1.0) } else { 0.0 },
            body_hz: rng.range(110.0, 320.0),
        }),
        Kind::Pad => Box::new(Subtractive {
            saw: rng.unit().round(),
            copies: 2 + rng.below(2),
            detune: rng.range(0.001, 0.008),
            cutoff: rng.log_range(250.0, 3_000.0),
            sweep: rng.range(0.0, 2.5),
            q: rng.log_range(0.6, 2.5),
            amplitude: Adsr {
                attack: rng.log_range(0.05, 0.6),
                decay: 1.0,
                sustain: rng.range(0.7, 1.0),
                release: rng.log_range(0.1, 1.0),
            },
            filter: Adsr { attack: rng.log_range(0.01, 0.8), decay: 1.5, sustain: 0.4, release: 0.5 },
            wobble: if rng.chance(0.2) { (rng.log_range(0.1, 4.0), rng.range(0.5, 2.0)) } else { (0.0, 0.0) },
            noise: if rng.chance(0.2) { 0.02 } else { 0.0 },
            ..synthesiser(rng)
        }),
        Kind::SuperSaw => Box::new(Subtractive {
            saw: 1.0,
            copies: 5,
            detune: rng.range(0.006, 0.016),
            cutoff: rng.log_range(800.0, 6_000.0),
            amplitude: Adsr { attack: rng.log_range(0.003, 0.1), decay: 0.8, sustain: 0.8, release: 0.2 },
            ..synthesiser(rng)
        }),
        Kind::Stab => Box::new(Subtractive {
            saw: rng.unit().round(),
            amplitude: Adsr {
                attack: rng.log_range(0.002, 0.03),
                decay: rng.log_range(0.1, 0.6),
                sustain: rng.range(0.1, 0.7),
                release: rng.log_range(0.04, 0.3),
            },
            ..synthesiser(rng)
        }),
        Kind::Lead => Box::new(Subtractive {
            copies: 1 + rng.below(2),
            detune: 0.003,
            vibrato: rng.range(0.0, 0.3),
            glide: if rng.chance(0.4) { rng.range(0.01, 0.09) } else { 0.0 },
            ..synthesiser(rng)
        }),
        Kind::Additive => {
            let slow = rng.chance(0.5);
            let amplitude = Adsr {
                attack: if slow { rng.log_range(0.05, 0.4) } else { 0.004 },
                decay: rng.log_range(0.3, 2.0),
                sustain: if slow { 0.8 } else { 0.2 },
                release: rng.log_range(0.05, 0.5),
            };
            Box::new(Additive::draw(rng, amplitude))
        }
        Kind::Mallet => Box::new(Mallet::draw(rng)),
        Kind::Wind => Box::new(Wind::draw(rng)),
        Kind::Strings => Box::new(Strings::draw(rng)),
        Kind::Brass => Box::new(Brass::draw(rng)),
        Kind::Texture => Box::new(Texture::draw(rng)),
    }
}

/// A patch in the middle of everything, which others depart from.
fn synthesiser(rng: &mut Rng) -> Subtractive {
    Subtractive {
        saw: if rng.chance(0.6) { 1.0 } else { 0.0 },
        width: rng.range(0.1, 0.5),
        sub: if rng.chance(0.15) { 0.4 } else { 0.0 },
        copies: 1 + rng.below(2),
        detune: rng.range(0.001, 0.01),
        noise: 0.0,
        cutoff: rng.log_range(300.0, 4_000.0),
        tracking: rng.range(0.0, 1.0),
        sweep: rng.range(0.0, 3.0),
        q: rng.log_range(0.6, 4.0),
        amplitude: Adsr { attack: 0.005, decay: 0.3, sustain: rng.range(0.3, 0.9), release: 0.08 },
        filter: Adsr { attack: 0.003, decay: rng.log_range(0.08, 0.8), sustain: 0.1, release: 0.1 },
        vibrato: 0.0,
        glide: 0.0,
        wobble: (0.0, 0.0),
        drive: if rng.chance(0.15) { rng.range(0.3, 2.0) } else { 0.0 },
    }
}
