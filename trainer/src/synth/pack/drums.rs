//! Drums from recordings: which recording plays which piece of the kit, and a little variation at every hit.

use super::{Group, Pack};
use crate::rng::Rng;
use crate::synth::dsp::{Biquad, RATE, frames, gain};
use crate::synth::mix::{Strip, Track};
use crate::synth::score::{Hit, Piece};

/// What plays one piece in one song.
struct Voice<'a> {
    /// One; or two that alternate, as the hands of a percussionist do.
    groups: Vec<&'a Group>,
    /// Factor on the rate.
    tuning: f32,
    gain: f32,
    pan: f32,
    /// The recording of the last hit: no two hits in a row use the same where there is a choice.
    last: usize,
}

impl Pack {
    /// Whether it has a recording for this piece.
    pub fn has_piece(&self, piece: Piece) -> bool {
        self.drums.iter().any(|group| suits(group, piece))
    }

    /// Whether it has a recording for a piece that may be played in place of this one.
    pub fn has_stand_in(&self, piece: Piece) -> bool {
        stand_in(piece).is_some_and(|other| self.has_piece(other))
    }

    /// Plays the hits on one of the pack's kits; pieces that it lacks are played on what stands in for them, or left
    /// out. Now and then a recorded loop runs along.
    pub fn drums(&self, rng: &mut Rng, hits: &[Hit], bpm: f32, length: usize) -> Track {
        let mut kits: Vec<&str> = self.drums.iter().map(|group| group.instrument.as_str()).collect();
        kits.dedup();
        kits.retain(|kit| {
            let has = |piece| self.drums.iter().any(|g| g.instrument == *kit && suits(g, piece));
            has(Piece::Kick) && has(Piece::Snare)
        });
        let kit = if kits.is_empty() { "" } else { *rng.pick(&kits) };
        let width = rng.range(0.0, 0.9);
        // One tuning for the whole kit, so that its pieces still belong together.
        let tuning = (0.06 * rng.normal()).exp();
        let mut voices: Vec<Option<Voice>> =
            Piece::ALL.iter().map(|&piece| self.voice(rng, kit, piece, width, tuning)).collect();
        let mut hits = hits.to_vec();
        hits.sort_by(|a, b| a.start.total_cmp(&b.start));
        let mut track = Track::silent(length);
        for (index, hit) in hits.iter().enumerate() {
            let Some(Some(voice)) = voices.get_mut(hit.piece as usize) else { continue };
            let group = voice.groups[rng.below(voice.groups.len())];
            let chosen = group.layer(rng, None, hit.velocity, voice.last);
            voice.last = chosen;
            let mut sound = group.sounds[chosen].strike(voice.tuning * (1.0 + 0.006 * rng.normal()));
            let next = hits[index + 1..].iter().find(|next| ends(hit.piece, next.piece));
            let longest = next.map_or(f32::INFINITY, |next| next.start - hit.start);
            for channel in &mut sound {
                fade(channel, longest);
                if hit.velocity < 0.6 && group.sounds[chosen].velocity.is_none() {
                    // Soft hits are darker too; layers are so by themselves.
                    Biquad::low_pass(3_000.0 + 20_000.0 * hit.velocity).run(channel);
                }
            }
            let level = voice.gain * hit.velocity.powf(1.5) * gain(0.6 * rng.normal());
            add(&mut track, hit.start, &sound, level, voice.pan);
        }
        if rng.chance(0.15) {
            self.run_loop(rng, &hits, bpm, &mut track);
        }
        bus(rng, &mut track);
        track
    }

    /// Lays a loop under the hits, played so much faster or slower that it lasts a whole number of beats.
    fn run_loop(&self, rng: &mut Rng, hits: &[Hit], bpm: f32, track: &mut Track) {
        let beat = 60.0 / bpm;
        let fitting: Vec<(&Group, f32, f32)> = self
            .drums
            .iter()
            .filter(|group| group.kind == "loop")
            .filter_map(|group| {
                let seconds = group.sounds[0].frames() as f32 / RATE;
                let ratio = |beats: &f32| seconds / (beats * beat);
                let away = |beats: &f32| ratio(beats).ln().abs();
                let beats =
                    [1.0, 2.0, 4.0, 8.0, 16.0].into_iter().min_by(|a, b| away(a).total_cmp(&away(b)))?;
                // Farther off it would sound like another instrument.
                (away(&beats) < 0.3).then(|| (group, ratio(&beats), beats * beat))
            })
            .collect();
        if fitting.is_empty() {
            return;
        }
        let &(group, ratio, seconds) = rng.pick(&fitting);
        let mut turn = group.sounds[0].strike(ratio);
        turn.iter_mut().for_each(|channel| fade(channel, seconds));
        let level = gain(rng.range(-14.0, -4.0));
        let end = track.channels[0].len() as f32 / RATE;
        let turns = (end / seconds) as usize + 1;
        for start in (0..turns).map(|turn| turn as f32 * seconds) {
            // It pauses when the drummer does.
            if hits.iter().any(|hit| (start - 0.05..start + seconds).contains(&hit.start)) {
                add(track, start, &turn, level, 0.0);
            }
        }
    }

    fn voice(&self, rng: &mut Rng, kit: &str, piece: Piece, width: f32, tuning: f32) -> Option<Voice<'_>> {
        let of = |piece| self.drums.iter().filter(|group| suits(group, piece)).collect::<Vec<&Group>>();
        let mut all = of(piece);
        if all.is_empty() {
            all = of(stand_in(piece)?);
        }
        let own: Vec<&Group> = all.iter().copied().filter(|group| group.instrument == kit).collect();
        let mut choices = if !own.is_empty() && rng.chance(0.75) { own } else { all };
        if choices.is_empty() {
            return None;
        }
        let mut tuning = tuning * (0.03 * rng.normal()).exp();
        if matches!(piece, Piece::TomHigh | Piece::TomLow) {
            // Of one kit, the upper or the lower half.
            let kit = rng.pick(&choices).instrument.clone();
            choices.retain(|group| group.instrument == kit);
            choices.sort_by(|a, b| a.sounds[0].brightness().total_cmp(&b.sounds[0].brightness()));
            let half = choices.len() / 2;
            match piece {
                Piece::TomLow => choices.truncate(half.max(1)),
                _ if half == 0 => tuning *= 1.4,
                _ => drop(choices.drain(..half)),
            }
        }
        let first = *rng.pick(&choices);
        let mut groups = vec![first];
        let percussion = matches!(piece, Piece::PercussionA | Piece::PercussionB);
        let relatives: Vec<&Group> =
            choices.into_iter().filter(|g| g.instrument == first.instrument).collect();
        if percussion && relatives.len() > 1 && rng.chance(0.5) {
            groups.push(*rng.pick(&relatives));
        }
        let (level, place) = setting(piece);
        let gain = gain(level + 2.5 * rng.normal());
        Some(Voice { groups, tuning, gain, pan: width * place, last: usize::MAX })
    }
}

/// Whether a group can play a piece.
fn suits(group: &Group, piece: Piece) -> bool {
    let named = |word: &str| group.articulation.contains(word);
    match (group.kind.as_str(), piece) {
        ("kick", Piece::Kick) | ("snare", Piece::Snare) | ("clap", Piece::Clap) => true,
        ("tom", Piece::TomHigh | Piece::TomLow) => true,
        ("perc", Piece::PercussionA | Piece::PercussionB) => true,
        // Closed hats are over soon.
        ("hihat", Piece::OpenHat) => named("open") || group.sounds[0].frames() > frames(0.95),
        ("hihat", Piece::Hat) => !named("open") && group.sounds[0].frames() <= frames(0.95),
        ("cymbal", Piece::Ride) => named("ride"),
        ("cymbal", Piece::Crash) => !named("ride"),
        _ => false,
    }
}

/// What a drummer would play where a piece is missing.
fn stand_in(piece: Piece) -> Option<Piece> {
    match piece {
        Piece::Clap => Some(Piece::Snare),
        Piece::Hat | Piece::Crash | Piece::Ride => Some(Piece::OpenHat),
        Piece::OpenHat => Some(Piece::Hat),
        Piece::PercussionA | Piece::PercussionB => Some(Piece::TomHigh),
        Piece::Kick | Piece::Snare | Piece::TomHigh | Piece::TomLow => None,
    }
}

/// Whether `next` ends the sound of `piece`.
fn ends(piece: Piece, next: Piece) -> bool {
    piece == Piece::OpenHat && matches!(next, Piece::Hat | Piece::OpenHat)
}

/// A usual level in dB of the peak, and the place from left to right.
fn setting(piece: Piece) -> (f32, f32) {
    match piece {
        Piece::Kick => (-2.0, 0.0),
        Piece::Snare => (-1.5, 0.0),
        Piece::Clap => (-3.0, 0.1),
        Piece::Hat => (-13.0, -0.5),
        Piece::OpenHat => (-14.0, -0.5),
        Piece::Ride => (-13.0, 0.6),
        Piece::Crash => (-9.0, -0.4),
        Piece::TomHigh => (-4.0, -0.3),
        Piece::TomLow => (-4.0, 0.5),
        Piece::PercussionA => (-10.0, 0.7),
        Piece::PercussionB => (-10.0, -0.7),
    }
}

/// Ends a sound after so many seconds.
fn fade(sound: &mut Vec<f32>, seconds: f32) {
    let fade = frames(0.008);
    let end = frames(seconds.min(60.0));
    if sound.len() > end {
        sound.truncate(end + fade);
        for (n, x) in sound.iter_mut().skip(end).enumerate() {
            *x *= 1.0 - n as f32 / fade as f32;
        }
    }
}

/// Mono recordings stand at their place; stereo ones keep their width and lean towards it.
pub(super) fn add(track: &mut Track, start: f32, sound: &[Vec<f32>], level: f32, pan: f32) {
    match sound {
        [left, right] => {
            let gains = [level * (1.0 - pan.max(0.0)), level * (1.0 + pan.min(0.0))];
            for ((channel, sound), gain) in track.channels.iter_mut().zip([left, right]).zip(gains) {
                crate::synth::dsp::add(channel, frames(start), sound, gain);
            }
        }
        sounds => sounds.iter().for_each(|sound| track.add(frames(start), sound, level, pan)),
    }
}

/// The kit's bus, and its room.
fn bus(rng: &mut Rng, track: &mut Track) {
    Strip::draw(rng, 25.0, 2.0).run(track);
    track.reverb_send = if rng.chance(0.5) { rng.range(0.02, 0.25) } else { 0.0 };
}
