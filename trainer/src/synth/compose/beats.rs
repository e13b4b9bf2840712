//! Drum patterns: grooves in many styles, with ghost notes, fills and stops.

use super::super::score::{Hit, Piece};
use super::Song;
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
pub fn drums(rng: &mut Rng, song: &Song) -> Vec<Hit> {
    let mut hits = Vec::new();
    let base = rng.below(GROOVES.len());
    let set = Set { percussion: [rng.chance(0.35), rng.chance(0.2)], claps: rng.chance(0.25) };
    let rolls = if rng.chance(0.15) { rng.range(0.03, 0.15) } else { 0.0 };
    for section in song.sections.iter().filter(|s| s.drums) {
        let dice = &mut section.dice(DRUMS);
        let manner = Manner::draw(dice, base);
        let steps = song.time.bar_steps();
        // Drawn once for the section, so that bars repeat; some change.
        let pattern = manner.bar(dice, &set, steps);
        for bar in section.bars.clone() {
            let bar_hits = if dice.chance(0.25) { manner.bar(dice, &set, steps) } else { pattern.clone() };
            let last = bar + 1 == section.bars.end;
            let fill_from = if last && rng.chance(0.45) { steps - *rng.pick(&[2, 4, 4, 8]) } else { steps };
            let mut play = |rng: &mut Rng, step: usize, late: f32, piece: Piece, level: f32| {
                let velocity = level * (0.65 + 0.35 * section.energy) * (1.0 + 0.12 * rng.normal());
                let start = song.time.at(bar * steps + step, rng) + late * song.time.step();
                hits.push(Hit { start, piece, velocity: velocity.clamp(0.05, 1.0) });
            };
            if bar == section.bars.start && rng.chance(0.5) {
                play(rng, 0, 0.0, Piece::Crash, 0.8);
            }
            for (step, piece, level) in bar_hits.into_iter().filter(|hit| hit.0 < fill_from) {
                play(rng, step, 0.0, piece, level);
                if piece == Piece::Hat && rng.chance(rolls) {
                    // Twice or three times as fast.
                    let strokes = *rng.pick(&[2, 3, 4]);
                    for stroke in 1..strokes {
                        play(rng, step, stroke as f32 / strokes as f32, piece, level * 0.85);
                    }
                }
            }
            fill(rng, fill_from, steps, &mut play);
        }
    }
    hits
}

/// What is played at the end of a section instead of the groove.
fn fill(rng: &mut Rng, from: usize, to: usize, play: &mut impl FnMut(&mut Rng, usize, f32, Piece, f32)) {
    let kind = rng.below(4);
    for step in from..to {
        let way = (step - from) as f32 / (to - from) as f32;
        let level = 0.5 + 0.4 * way;
        match kind {
            // A roll that grows.
            0 => {
                play(rng, step, 0.0, Piece::Snare, 0.3 + 0.5 * way);
                play(rng, step, 0.5, Piece::Snare, 0.25 + 0.5 * way);
            }
            // Down the toms.
            1 => {
                let piece = [Piece::Snare, Piece::TomHigh, Piece::TomLow][((way * 3.0) as usize).min(2)];
                play(rng, step, 0.0, piece, level);
            }
            _ => {
                if rng.chance(0.75) {
                    let pieces = [Piece::Snare, Piece::TomHigh, Piece::TomLow, Piece::TomLow, Piece::Kick];
                    let piece = *rng.pick(&pieces);
                    play(rng, step, 0.0, piece, level);
                }
            }
        }
    }
}

/// What the kit of a song has besides drums and cymbals.
struct Set {
    percussion: [bool; 2],
    claps: bool,
}

/// How a section is played.
struct Manner {
    groove: &'static Groove,
    cymbal: Piece,
    open_chance: f32,
    toms: bool,
    /// Stripped grooves: only some of kick, snare and cymbal.
    uses: [bool; 3],
    /// Strokes in a bar of each percussion instrument.
    pulses: [usize; 2],
}

impl Manner {
    fn draw(dice: &mut Rng, base: usize) -> Self {
        Self {
            groove: &GROOVES[if dice.chance(0.7) { base } else { dice.below(GROOVES.len()) }],
            cymbal: *dice.pick(&[Piece::Hat, Piece::Hat, Piece::Hat, Piece::Ride, Piece::OpenHat]),
            open_chance: dice.range(0.0, 0.25),
            toms: dice.chance(0.1),
            uses: [dice.chance(0.93), dice.chance(0.92), dice.chance(0.92)],
            pulses: [2 + dice.below(10), 2 + dice.below(7)],
        }
    }

    /// One bar: step, piece and level.
    fn bar(&self, dice: &mut Rng, set: &Set, steps: usize) -> Vec<(usize, Piece, f32)> {
        let mut bar = Vec::new();
        for step in 0..steps {
            let hit = |dice: &mut Rng, tenths: u8| dice.chance(f32::from(tenths) / 10.0);
            if self.uses[0] && hit(dice, self.groove.kick[step]) {
                bar.push((step, Piece::Kick, 0.85));
            }
            if self.uses[1] && hit(dice, self.groove.snare[step]) {
                let ghost = self.groove.snare[step] < 8;
                let piece = if set.claps && !ghost { Piece::Clap } else { Piece::Snare };
                bar.push((step, piece, if ghost { 0.3 } else { 0.85 }));
                if set.claps && !ghost && step % 8 == 4 {
                    bar.push((step, Piece::Snare, 0.6));
                }
            }
            if self.uses[2] && hit(dice, self.groove.hat[step]) {
                let open = step % 4 == 2 && dice.chance(self.open_chance);
                let level = if step % 4 == 0 { 0.7 } else { 0.5 };
                bar.push((step, if open { Piece::OpenHat } else { self.cymbal }, level));
            }
            if self.toms && dice.chance(0.2) {
                bar.push((step, *dice.pick(&[Piece::TomHigh, Piece::TomLow]), 0.6));
            }
            for (index, piece) in [Piece::PercussionA, Piece::PercussionB].into_iter().enumerate() {
                // Euclidean rhythms: as even as the grid allows.
                if set.percussion[index] && (step * self.pulses[index]) % steps < self.pulses[index] {
                    bar.push((step, piece, if step % 4 == 0 { 0.7 } else { 0.5 }));
                }
            }
        }
        bar
    }
}

/// The purpose of these dice.
const DRUMS: u64 = 0x6472_756d;
