//! The families of drum synthesis, and what makes one drum of a family differ from the next.

use super::super::score::Piece;
use super::{plates, shapes, skins, small};
use crate::rng::Rng;

/// How a kit makes its sounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// A jazz or pop kit: membranes and cymbals as sums of modes, with stick and wire noise.
    Acoustic,
    /// A large kit, hit hard: deeper, longer, saturated.
    Rock,
    /// Modern metal: clicking kicks, short and bright.
    Metal,
    /// Brushes: stirred noise, soft membranes.
    Brushes,
    /// Played with hands: cajon, congas, shakers.
    Hands,
    /// Gran cassa, timpani, field drum, clashed plates.
    Orchestral,
    /// Long sines, bridged-T ringing and squares, as in the TR-808.
    Tr808,
    /// Swept sines and noise, as in the TR-909.
    Tr909,
    /// Eight-bit samples behind a gate, as in the drum computers of the eighties.
    Digital,
    /// Frequency modulation.
    Electronic,
    /// Struck scrap and overdrive.
    Industrial,
    /// Old samplers: few bits, low rate, dark.
    Lofi,
    /// Sampled breaks: played faster than recorded, squashed.
    Break,
    /// Clicks, blips and bursts.
    Glitch,
}

impl Family {
    /// All families.
    pub const ALL: [Family; 14] = [
        Family::Acoustic,
        Family::Rock,
        Family::Metal,
        Family::Brushes,
        Family::Hands,
        Family::Orchestral,
        Family::Tr808,
        Family::Tr909,
        Family::Digital,
        Family::Electronic,
        Family::Industrial,
        Family::Lofi,
        Family::Break,
        Family::Glitch,
    ];

    /// How often songs use it.
    pub const WEIGHTS: [f32; 14] = [3.0, 3.0, 1.2, 0.8, 1.0, 0.5, 1.5, 1.5, 1.0, 1.0, 0.7, 1.0, 1.0, 0.6];

    /// Whether a room with microphones stands around it.
    pub fn is_recorded(self) -> bool {
        use Family::{Acoustic, Break, Brushes, Hands, Lofi, Metal, Orchestral, Rock};
        matches!(self, Acoustic | Rock | Metal | Brushes | Hands | Orchestral | Lofi | Break)
    }
}

/// What makes one instrument of a family differ from another: drawn once for each piece of a kit.
#[derive(Clone, Copy)]
pub struct Make {
    /// Factor on frequencies.
    pub pitch: f32,
    /// Factor on decay times.
    pub length: f32,
    /// -1 dark to 1 bright.
    pub colour: f32,
    /// Level of noise against tone.
    pub noise: f32,
    /// Depth of the pitch sweep.
    pub sweep: f32,
    /// Where the stick meets the skin: 0 the middle, 1 the rim.
    pub place: f32,
    /// For whatever else: inharmonicity and the like.
    pub seed: u64,
}

impl Make {
    /// A random make.
    pub fn draw(rng: &mut Rng) -> Self {
        Self {
            pitch: rng.log_range(0.72, 1.4),
            length: rng.log_range(0.5, 1.9),
            colour: rng.range(-1.0, 1.0),
            noise: rng.log_range(0.4, 2.0),
            sweep: rng.log_range(0.5, 2.0),
            place: rng.range(0.1, 0.6),
            seed: rng.bits(),
        }
    }

    /// The same instrument at one stroke: no player hits twice alike, and soft strokes are duller and shorter.
    /// Machines repeat themselves more closely: `looseness` is 1 for players, less for machines.
    fn at(&self, rng: &mut Rng, velocity: f32, looseness: f32) -> Self {
        Self {
            pitch: self.pitch * (1.0 + looseness * (0.008 * rng.normal() + 0.015 * (velocity - 0.7))),
            length: self.length * (1.0 + looseness * (0.08 * rng.normal() + 0.3 * (velocity - 0.7))),
            colour: self.colour + looseness * (0.12 * rng.normal() + 1.2 * (velocity - 0.7)),
            noise: self.noise * (1.0 + looseness * (0.12 * rng.normal() + 0.9 * (velocity - 0.7))),
            sweep: self.sweep * (0.7 + 0.4 * velocity),
            place: (self.place + looseness * 0.12 * rng.normal()).clamp(0.0, 1.0),
            seed: self.seed,
        }
    }
}

/// One stroke, its level about that of a full stroke whatever the velocity: mono.
pub fn stroke(rng: &mut Rng, family: Family, piece: Piece, make: &Make, velocity: f32) -> Vec<f32> {
    use shapes::{crush, gate};
    let machine = matches!(family, Family::Tr808 | Family::Tr909 | Family::Digital | Family::Glitch);
    let make = &make.at(rng, velocity, if machine { 0.5 } else { 1.0 });
    let noise = &mut super::super::dsp::Noise::new(rng.bits());
    let mut sound = match piece {
        Piece::Kick => skins::kick(family, make, noise),
        Piece::Snare => skins::snare(family, make, noise),
        Piece::TomHigh => skins::tom(family, make, noise, 165.0),
        Piece::TomLow => skins::tom(family, make, noise, 92.0),
        Piece::Hat => plates::cymbal(family, make, noise, 0.07, 1.0),
        Piece::OpenHat => plates::cymbal(family, make, noise, 0.5, 1.0),
        Piece::Ride => plates::cymbal(family, make, noise, 1.5, 0.7),
        Piece::Crash => plates::cymbal(family, make, noise, 2.0, 0.55),
        Piece::Clap => small::clap(make, noise),
        Piece::PercussionA | Piece::PercussionB => small::percussion(family, make, noise),
    };
    match family {
        Family::Lofi => crush(&mut sound, 2 + (make.seed % 4) as usize, 6.0 + (make.seed / 8 % 4) as f32),
        Family::Digital => {
            crush(&mut sound, 1 + (make.seed % 2) as usize, 8.0);
            if piece == Piece::Snare || piece == Piece::TomHigh || piece == Piece::TomLow {
                gate(&mut sound, 0.22 * make.length);
            }
        }
        _ => {}
    }
    shapes::fade_out(&mut sound, 0.01);
    sound
}
