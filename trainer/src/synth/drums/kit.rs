//! A kit: which make of which family each piece is, where it stands, and the microphones around it.

use super::super::dsp::{Biquad, add, frames, gain, peak};
use super::super::mix::{Compressor, Reverb, Stereo, Strip, Track};
use super::super::score::Piece;
use super::family::{Family, Make, stroke};
use crate::rng::Rng;

/// A kit of random make.
pub struct Kit {
    main: Family,
    pieces: Vec<Drum>,
    /// Level of the overhead microphones against the close ones; 0 for none.
    overhead: f32,
    overhead_cut_hz: f32,
    /// Distance of the overheads, metres.
    distance: f32,
    room: Option<Room>,
    strip: Strip,
    /// The cutoff of kits that come through a telephone, a wall, a tape.
    band: Vec<Biquad>,
    reverb_send: f32,
}

/// The room around the kit and what its microphones go through.
struct Room {
    reverb: Reverb,
    level: f32,
    squash: Option<Compressor>,
}

/// A piece of the kit.
struct Drum {
    family: Family,
    make: Make,
    /// Another sound under the first.
    layer: Option<(Family, Make)>,
    /// Scales a full stroke to its usual peak.
    gain: f32,
    /// -1 to 1.
    pan: f32,
}

impl Kit {
    /// Builds a kit around one family, with strays from another.
    pub fn draw(rng: &mut Rng) -> Self {
        let main = Family::ALL[rng.weighted(&Family::WEIGHTS)];
        let second = *rng.pick(&Family::ALL);
        let stray = if rng.chance(0.5) { 0.25 } else { 0.0 };
        // Mono kits, kits as the drummer sees them, and as the audience does.
        let width = rng.range(0.0, 0.9) * if rng.chance(0.5) { 1.0 } else { -1.0 };
        let pieces = Piece::ALL
            .iter()
            .map(|&piece| {
                let family = if rng.chance(stray) { second } else { main };
                let make = Make::draw(rng);
                let layer = rng.chance(0.15).then(|| (second, Make::draw(rng)));
                // Two strokes say how loud this make is.
                let loudest = (0..2)
                    .map(|_| peak(&stroke(&mut rng.fork(), family, piece, &make, 0.85)))
                    .fold(1e-6, f32::max);
                let level = gain(usual_level_db(piece) + 2.5 * rng.normal());
                Drum { family, make, layer, gain: level / loudest, pan: width * place(piece) }
            })
            .collect();
        let recorded = main.is_recorded();
        let mut band = Vec::new();
        if rng.chance(0.06) {
            band.push(Biquad::low_pass(rng.log_range(2_500.0, 9_000.0)));
        }
        if rng.chance(0.06) {
            band.push(Biquad::high_pass(rng.log_range(80.0, 300.0)));
        }
        let room = rng.chance(if recorded { 0.85 } else { 0.25 }).then(|| Room::draw(rng));
        Self {
            main,
            pieces,
            overhead: if recorded && rng.chance(0.9) { rng.range(0.2, 0.9) } else { 0.0 },
            overhead_cut_hz: rng.log_range(120.0, 600.0),
            distance: rng.range(0.8, 2.2),
            room,
            strip: Strip::draw(rng, 25.0, 3.0),
            band,
            reverb_send: if rng.chance(0.4) { rng.log_range(0.01, 0.15) } else { 0.0 },
        }
    }

    /// One stroke, at its level.
    pub fn stroke(&self, rng: &mut Rng, piece: Piece, velocity: f32) -> Vec<f32> {
        let drum = &self.pieces[piece as usize];
        let mut sound = stroke(rng, drum.family, piece, &drum.make, velocity);
        if let Some((family, make)) = &drum.layer {
            let layer = stroke(rng, *family, piece, make, velocity);
            add(&mut sound, 0, &layer, 0.4);
        }
        let level = drum.gain * velocity.powf(1.5) * gain(0.8 * rng.normal());
        sound.iter_mut().for_each(|x| *x *= level);
        sound
    }

    /// Hangs up the microphones.
    pub fn microphones(&self, length: usize) -> Microphones {
        let silence = || [vec![0.0; length], vec![0.0; length]];
        let room = if self.room.is_some() { silence() } else { Default::default() };
        let overhead = if self.overhead > 0.0 { silence() } else { Default::default() };
        Microphones { close: Track::silent(length), overhead, room }
    }

    /// Puts a stroke before all microphones.
    pub fn record(&self, rng: &mut Rng, at: &mut Microphones, piece: Piece, start: usize, sound: &[f32]) {
        let pan = self.pieces[piece as usize].pan;
        let metal = matches!(piece, Piece::Hat | Piece::OpenHat | Piece::Ride | Piece::Crash);
        // Cymbals are often heard through the overheads only.
        let close = if self.overhead > 0.0 && metal { 0.5 } else { 1.0 };
        at.close.add(start, sound, close, pan + 0.02 * rng.normal());
        for side in 0..2 {
            if self.overhead > 0.0 {
                // Two microphones 0.8 m apart above the kit: level and time of arrival say where a piece stands.
                let across = pan * 0.7 - if side == 0 { -0.4 } else { 0.4 };
                let away = (self.distance * self.distance + across * across).sqrt();
                let late = frames(away / 343.0 + 0.000_05 * rng.normal().abs());
                add(&mut at.overhead[side], start + late, sound, 1.2 / away);
            }
            if self.room.is_some() {
                let toward = 1.0 + 0.4 * pan * if side == 0 { -1.0 } else { 1.0 };
                let send = if metal { 0.5 } else { 1.0 };
                add(&mut at.room[side], start, sound, send * toward);
            }
        }
    }

    /// Mixes the microphones down.
    pub fn mix(&self, microphones: Microphones) -> Track {
        let Microphones { mut close, mut overhead, mut room } = microphones;
        if self.overhead > 0.0 {
            for channel in &mut overhead {
                Biquad::high_pass(self.overhead_cut_hz).run(channel);
            }
            close.absorb(&overhead, self.overhead);
        }
        if let Some(settings) = &self.room {
            settings.reverb.run(&mut room);
            if let Some(squash) = &settings.squash {
                squash.run(&mut room);
            }
            close.absorb(&room, settings.level);
        }
        self.strip.run(&mut close);
        Biquad::cascade(&self.band, &mut close.channels);
        if self.main == Family::Break || self.main == Family::Industrial {
            // These were compressed to death before anybody mixed them.
            Compressor { threshold_db: -8.0, ratio: 6.0, attack: 0.003, release: 0.08 }
                .run(&mut close.channels);
        }
        close.reverb_send = self.reverb_send;
        close
    }
}

/// What the microphones have heard.
pub struct Microphones {
    close: Track,
    overhead: Stereo,
    room: Stereo,
}

impl Room {
    fn draw(rng: &mut Rng) -> Self {
        let reverb = Reverb {
            size: rng.log_range(0.15, 0.7),
            t60: rng.log_range(0.15, 1.3),
            damping_hz: rng.log_range(3_000.0, 12_000.0),
            low_cut_hz: rng.log_range(40.0, 200.0),
            early: rng.range(0.3, 1.0),
        };
        let squash = rng.chance(0.4).then(|| Compressor {
            threshold_db: rng.range(-12.0, -2.0),
            ratio: rng.range(4.0, 12.0),
            attack: rng.log_range(0.001, 0.01),
            release: rng.log_range(0.05, 0.3),
        });
        Self { reverb, level: rng.log_range(0.07, 0.5), squash }
    }
}

fn usual_level_db(piece: Piece) -> f32 {
    match piece {
        Piece::Kick => -4.5,
        Piece::Snare | Piece::Clap => 1.5,
        Piece::Hat | Piece::OpenHat => -8.5,
        Piece::Ride => -9.0,
        Piece::Crash => -6.5,
        Piece::TomHigh | Piece::TomLow => -2.5,
        Piece::PercussionA | Piece::PercussionB => -5.0,
    }
}

/// Where a piece stands, as the drummer sees it.
fn place(piece: Piece) -> f32 {
    match piece {
        Piece::Kick | Piece::Snare | Piece::Clap => 0.0,
        Piece::Hat | Piece::OpenHat => -0.5,
        Piece::Ride => 0.6,
        Piece::Crash => -0.4,
        Piece::TomHigh => -0.3,
        Piece::TomLow => 0.5,
        Piece::PercussionA => 0.7,
        Piece::PercussionB => -0.7,
    }
}
