//! Drum patterns: grooves in many styles, with ghost notes, fills and stops.

use super::compose::{Section, Time};
use super::score::{Hit, Piece};
use crate::rng::Rng;

/// A groove: a probability for each of the 16 steps of a bar, by piece.
struct Groove {
    kick: [u8; 16],
    snare: [u8; 16],
    hat: [u8; 16],
}

/// Probabilities in tenths.
const GROOVES: [Groove; 12] = [
    // Rock.
    Groove {
        kick: [10, 0, 1, 1, 0, 0, 2, 1, 9, 0, 4, 0, 0, 0, 2, 0],
        snare: [0, 0, 0, 0, 10, 0, 0, 1, 0, 1, 0, 0, 10, 0, 0, 1],
        hat: [10, 0, 10, 0, 10, 0, 10, 0, 10, 0, 10, 0, 10, 0, 10, 0],
    },
    // Four on the floor.
    Groove {
        kick: [10, 0, 0, 0, 10, 0, 0, 0, 10, 0, 0, 0, 10, 0, 0, 1],
        snare: [0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0],
        hat: [2, 2, 10, 2, 2, 2, 10, 2, 2, 2, 10, 2, 2, 2, 10, 2],
    },
    // Boom bap.
    Groove {
        kick: [10, 0, 2, 5, 0, 0, 2, 3, 2, 0, 8, 2, 0, 1, 0, 1],
        snare: [0, 0, 0, 0, 10, 0, 0, 2, 0, 2, 0, 0, 10, 0, 0, 2],
        hat: [10, 0, 9, 1, 10, 0, 9, 2, 10, 0, 9, 1, 10, 0, 9, 3],
    },
    // Trap: half time, fast hats.
    Groove {
        kick: [10, 0, 0, 3, 0, 0, 3, 2, 1, 0, 6, 0, 0, 2, 2, 0],
        snare: [0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0],
        hat: [10, 5, 10, 5, 10, 5, 10, 7, 10, 5, 10, 5, 10, 8, 10, 8],
    },
    // Breakbeat.
    Groove {
        kick: [10, 0, 9, 0, 0, 0, 1, 0, 0, 1, 9, 2, 0, 0, 1, 0],
        snare: [0, 0, 0, 0, 10, 0, 0, 7, 0, 6, 0, 1, 10, 0, 0, 5],
        hat: [10, 2, 10, 2, 10, 2, 10, 2, 10, 2, 10, 2, 10, 2, 10, 2],
    },
    // Half-time rock.
    Groove {
        kick: [10, 0, 0, 0, 2, 0, 2, 0, 0, 0, 3, 1, 3, 0, 2, 0],
        snare: [0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 1],
        hat: [10, 0, 4, 0, 10, 0, 4, 0, 10, 0, 4, 0, 10, 0, 4, 0],
    },
    // Latin: clave and tumbao.
    Groove {
        kick: [4, 0, 0, 6, 0, 0, 8, 0, 3, 0, 0, 6, 0, 0, 8, 0],
        snare: [9, 0, 0, 9, 0, 0, 9, 0, 0, 0, 9, 0, 9, 0, 0, 0],
        hat: [9, 4, 9, 9, 9, 4, 9, 4, 9, 4, 9, 9, 9, 4, 9, 4],
    },
    // Jazz ride.
    Groove {
        kick: [4, 0, 0, 1, 2, 0, 0, 1, 4, 0, 0, 2, 2, 0, 0, 1],
        snare: [0, 0, 0, 2, 1, 0, 0, 3, 0, 0, 0, 2, 1, 0, 0, 2],
        hat: [9, 0, 0, 0, 10, 0, 0, 9, 9, 0, 0, 0, 10, 0, 0, 9],
    },
    // Funk sixteenths.
    Groove {
        kick: [10, 0, 2, 3, 0, 0, 6, 3, 0, 2, 6, 0, 0, 3, 2, 0],
        snare: [0, 1, 0, 3, 10, 0, 0, 5, 0, 4, 0, 3, 10, 0, 1, 3],
        hat: [10, 8, 10, 8, 10, 8, 10, 8, 10, 8, 10, 8, 10, 8, 10, 8],
    },
    // Reggae: the third beat alone.
    Groove {
        kick: [1, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 1, 0],
        snare: [0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 1, 0, 0, 1, 1],
        hat: [8, 0, 9, 3, 8, 0, 9, 3, 8, 0, 9, 3, 8, 0, 9, 3],
    },
    // Toms and no cymbals.
    Groove {
        kick: [10, 0, 0, 0, 3, 0, 5, 0, 6, 0, 0, 0, 3, 0, 5, 0],
        snare: [0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 2],
        hat: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    },
    // Double kick.
    Groove {
        kick: [10, 8, 10, 8, 9, 8, 10, 8, 10, 8, 10, 8, 9, 8, 10, 8],
        snare: [0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0],
        hat: [9, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0],
    },
];

/// Hits for all sections with drums.
pub fn drums(rng: &mut Rng, time: &Time, sections: &[Section]) -> Vec<Hit> {
    let mut hits = Vec::new();
    let steps = time.bar_steps();
    let base = rng.below(GROOVES.len());
    let percussion = [rng.chance(0.35), rng.chance(0.2)];
    let claps = rng.chance(0.25);
    for section in sections.iter().filter(|s| s.drums) {
        let groove = &GROOVES[if rng.chance(0.7) { base } else { rng.below(GROOVES.len()) }];
        let cymbal = *rng.pick(&[Piece::Hat, Piece::Hat, Piece::Hat, Piece::Ride, Piece::OpenHat]);
        let open_chance = rng.range(0.0, 0.25);
        let toms = rng.chance(0.1);
        // Stripped grooves: only some of the kit.
        let uses = [rng.chance(0.93), rng.chance(0.92), rng.chance(0.92)];
        // Drawn once for the section, so that bars repeat; some decisions change from bar to bar.
        let pulses = [2 + rng.below(10), 2 + rng.below(7)];
        let bar_of = |rng: &mut Rng| -> Vec<(usize, Piece, f32)> {
            let mut bar = Vec::new();
            for step in 0..steps {
                let hit = |rng: &mut Rng, tenths: u8| rng.chance(f32::from(tenths) / 10.0);
                if uses[0] && hit(rng, groove.kick[step]) {
                    bar.push((step, Piece::Kick, 0.85));
                }
                if uses[1] && hit(rng, groove.snare[step]) {
                    let ghost = groove.snare[step] < 8;
                    let piece = if claps && !ghost { Piece::Clap } else { Piece::Snare };
                    bar.push((step, piece, if ghost { 0.3 } else { 0.85 }));
                    if claps && !ghost && step % 8 == 4 {
                        bar.push((step, Piece::Snare, 0.6));
                    }
                }
                if uses[2] && hit(rng, groove.hat[step]) {
                    let open = step % 4 == 2 && rng.chance(open_chance);
                    let level = if step % 4 == 0 { 0.7 } else { 0.5 };
                    bar.push((step, if open { Piece::OpenHat } else { cymbal }, level));
                }
                if toms && rng.chance(0.2) {
                    bar.push((step, *rng.pick(&[Piece::TomHigh, Piece::TomLow]), 0.6));
                }
                for (index, piece) in [Piece::PercussionA, Piece::PercussionB].into_iter().enumerate() {
                    // Euclidean rhythms: as even as the grid allows.
                    if percussion[index] && (step * pulses[index]) % steps < pulses[index] {
                        bar.push((step, piece, if step % 4 == 0 { 0.7 } else { 0.5 }));
                    }
                }
            }
            bar
        };
        let pattern = bar_of(rng);
        for bar in section.bars.clone() {
            let last = bar + 1 == section.bars.end;
            let bar_hits = if rng.chance(0.25) { bar_of(rng) } else { pattern.clone() };
            let fill_from = if last && rng.chance(0.45) { steps - *rng.pick(&[2, 4, 4, 8]) } else { steps };
            let stop = last && rng.chance(0.06);
            let mut play = |rng: &mut Rng, step: usize, piece: Piece, level: f32| {
                let velocity = level * (0.65 + 0.35 * section.energy) * (1.0 + 0.12 * rng.normal());
                let start = time.at(bar * steps + step, rng);
                hits.push(Hit { start, piece, velocity: velocity.clamp(0.05, 1.0) });
            };
            if bar == section.bars.start && rng.chance(0.5) {
                play(rng, 0, Piece::Crash, 0.8);
            }
            for (step, piece, level) in bar_hits {
                if step < fill_from && !(stop && step > 0) {
                    play(rng, step, piece, level);
                }
            }
            for step in fill_from..steps {
                if rng.chance(0.75) {
                    let piece =
                        *rng.pick(&[Piece::Snare, Piece::TomHigh, Piece::TomLow, Piece::TomLow, Piece::Kick]);
                    play(
                        rng,
                        step,
                        piece,
                        0.5 + 0.4 * (step - fill_from) as f32 / (steps - fill_from) as f32,
                    );
                }
            }
        }
    }
    hits
}
