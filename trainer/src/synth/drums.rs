//! Drum kits: which sounds make a kit, and playing hits on it. The sounds themselves are in `strokes`.

use super::dsp::{Biquad, add, frames, gain, normalise, saturate};
use super::mix::Track;
use super::score::{Hit, Piece};
use super::strokes::{self, Family};
use crate::rng::Rng;

/// Renderings of each piece, between which hits alternate.
const VARIATIONS: usize = 3;

/// Plays the hits on a kit of random make. The result has room, equaliser and saturation of its own.
pub fn render(rng: &mut Rng, hits: &[Hit], length: usize) -> Vec<Track> {
    let kit = Kit::build(rng);
    let mut track = Track::silent(length);
    let mut hits = hits.to_vec();
    hits.sort_by(|a, b| a.start.total_cmp(&b.start));
    for (index, hit) in hits.iter().enumerate() {
        let piece = &kit.pieces[hit.piece as usize];
        let mut sound = piece.sounds[rng.below(VARIATIONS)].clone();
        if hit.piece == Piece::OpenHat {
            // The next stroke on the hi-hat ends the open one.
            let next = hits[index + 1..].iter().find(|h| matches!(h.piece, Piece::Hat | Piece::OpenHat));
            if let Some(next) = next {
                cut(&mut sound, frames(next.start - hit.start));
            }
        }
        if hit.velocity < 0.6 {
            // Soft hits are darker too.
            Biquad::low_pass(3_000.0 + 20_000.0 * hit.velocity).run(&mut sound);
        }
        let level = piece.gain * hit.velocity.powf(1.5);
        track.add(frames(hit.start), &sound, level, piece.pan + 0.03 * rng.normal());
    }
    if kit.drive > 0.0 {
        let drive = gain(kit.drive);
        for channel in &mut track.channels {
            channel.iter_mut().for_each(|x| *x = saturate(*x * drive) / drive.sqrt());
        }
    }
    for channel in &mut track.channels {
        kit.equaliser.iter().for_each(|section| section.clone().run(channel));
    }
    track.reverb_send = kit.room;
    vec![track]
}

/// Ends a sound at `end`, with a short fade.
fn cut(sound: &mut Vec<f32>, end: usize) {
    let fade = frames(0.005);
    sound.truncate(end + fade);
    let length = sound.len();
    if length > end {
        let steps = (length - end) as f32;
        sound[end..].iter_mut().enumerate().for_each(|(i, x)| *x *= 1.0 - (i + 1) as f32 / steps);
    }
}

struct Kit {
    pieces: Vec<PieceSound>,
    equaliser: Vec<Biquad>,
    /// Reverb send level.
    room: f32,
    /// Saturation of the bus, dB; 0 for none.
    drive: f32,
}

struct PieceSound {
    sounds: Vec<Vec<f32>>,
    gain: f32,
    pan: f32,
}

impl Kit {
    fn build(rng: &mut Rng) -> Self {
        let main = *rng.pick(&Family::ALL);
        let second = *rng.pick(&Family::ALL);
        let stray = if rng.chance(0.5) { 0.25 } else { 0.0 };
        let width = rng.range(0.0, 0.9);
        let pieces = Piece::ALL
            .iter()
            .map(|&piece| {
                let family = if rng.chance(stray) { second } else { main };
                let make = strokes::Make::draw(rng);
                let mut sounds: Vec<Vec<f32>> =
                    (0..VARIATIONS).map(|_| strokes::render(rng, family, piece, &make)).collect();
                if rng.chance(0.15) {
                    let layer_make = strokes::Make::draw(rng);
                    let layer = strokes::render(rng, second, piece, &layer_make);
                    for sound in &mut sounds {
                        add(sound, 0, &layer, 0.5);
                    }
                }
                for sound in &mut sounds {
                    normalise(sound);
                }
                PieceSound {
                    sounds,
                    gain: gain(usual_level_db(piece) + 3.0 * rng.normal()),
                    pan: width * place(piece),
                }
            })
            .collect();
        let mut equaliser = vec![
            Biquad::peak(rng.log_range(60.0, 300.0), 0.8, 3.0 * rng.normal()),
            Biquad::peak(rng.log_range(300.0, 4_000.0), 0.8, 3.0 * rng.normal()),
            Biquad::high_shelf(rng.log_range(4_000.0, 9_000.0), 3.0 * rng.normal()),
        ];
        if rng.chance(0.08) {
            equaliser.push(Biquad::low_pass(rng.log_range(2_500.0, 9_000.0)));
        }
        if rng.chance(0.08) {
            equaliser.push(Biquad::high_pass(rng.log_range(80.0, 300.0)));
        }
        let room = if main == Family::Acoustic || rng.chance(0.4) { rng.range(0.02, 0.3) } else { 0.0 };
        Self { pieces, equaliser, room, drive: if rng.chance(0.4) { rng.range(0.0, 14.0) } else { 0.0 } }
    }
}

fn usual_level_db(piece: Piece) -> f32 {
    match piece {
        Piece::Kick => 0.0,
        Piece::Snare | Piece::Clap => -2.0,
        Piece::Hat | Piece::OpenHat => -13.0,
        Piece::Ride => -12.0,
        Piece::Crash => -9.0,
        Piece::TomHigh | Piece::TomLow => -4.0,
        Piece::PercussionA | Piece::PercussionB => -10.0,
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
