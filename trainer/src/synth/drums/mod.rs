//! Drums: hits from the composer's score, every one of them made anew, played on a kit of random make.

mod family;
mod kit;
mod plates;
mod shapes;
mod skins;
mod small;

use super::dsp::{add, frames};
use super::mix::Track;
use super::score::{Hit, Piece};
use crate::rng::Rng;
use kit::Kit;

/// Plays the hits on a kit of random make. The result has room, equaliser and saturation of its own.
pub fn render(rng: &mut Rng, hits: &[Hit], length: usize) -> Vec<Track> {
    if hits.is_empty() {
        return Vec::new();
    }
    let kit = Kit::draw(rng);
    let mut microphones = kit.microphones(length);
    let mut hits = hits.to_vec();
    hits.sort_by(|a, b| a.start.total_cmp(&b.start));
    for (index, hit) in hits.iter().enumerate() {
        let start = frames(hit.start);
        if start >= length {
            break;
        }
        let mut sound = kit.stroke(rng, hit.piece, hit.velocity);
        if rng.chance(0.02) && hit.piece != Piece::Kick {
            // A flam: the other stick came a little earlier, that is, this one is late.
            let second = kit.stroke(rng, hit.piece, 0.6 * hit.velocity);
            let late = frames(rng.range(0.015, 0.03));
            sound.resize(sound.len().max(second.len() + late), 0.0);
            add(&mut sound, late, &second, 1.0);
        }
        if hit.piece == Piece::OpenHat {
            // The next stroke on the hi-hat ends the open one.
            let next = hits[index + 1..].iter().find(|h| matches!(h.piece, Piece::Hat | Piece::OpenHat));
            if let Some(next) = next {
                shapes::gate(&mut sound, next.start - hit.start);
            }
        }
        kit.record(rng, &mut microphones, hit.piece, start, &sound);
    }
    vec![kit.mix(microphones)]
}

#[cfg(test)]
mod tests;
