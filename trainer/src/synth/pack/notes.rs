//! Pitched instruments from recordings: the nearest note, played faster or slower.

use super::drums::add;
use super::sound::Sound;
use super::{Group, Pack};
use crate::rng::Rng;
use crate::synth::dsp::hertz;
use crate::synth::mix::{Strip, Track};
use crate::synth::score::Note;

/// The kind of instrument whose recordings are rows of single-cycle waves.
pub const WAVETABLE: &str = "wavetable";

/// Semitones that a recording may be away from a note. Farther off it would sound like something else.
const NEAR: f32 = 5.0;
const FAR: f32 = 12.0;

impl Group {
    /// Index of a recording: among those of the nearest pitch one of the nearest loudness, but not `last` where
    /// there is a choice.
    pub(super) fn layer(&self, rng: &mut Rng, pitch: Option<f32>, velocity: f32, last: usize) -> usize {
        let distance = |sound: &Sound| match (pitch, sound.pitch) {
            (Some(wanted), Some(own)) => (wanted - own).abs(),
            _ => 0.0,
        };
        let nearest = self.sounds.iter().map(distance).fold(f32::INFINITY, f32::min);
        let loudness = |sound: &Sound| sound.velocity.map_or(0.0, |own| (own - velocity).abs());
        let near = |sound: &&(usize, &Sound)| distance(sound.1) <= nearest + 0.5;
        let all: Vec<(usize, &Sound)> = self.sounds.iter().enumerate().collect();
        let closest = all.iter().filter(near).map(|(_, sound)| loudness(sound)).fold(f32::INFINITY, f32::min);
        let mut choices: Vec<usize> = all
            .iter()
            .filter(near)
            .filter(|(_, sound)| loudness(sound) <= closest + 0.12)
            .map(|(index, _)| *index)
            .collect();
        if choices.len() > 1 {
            choices.retain(|index| *index != last);
        }
        *rng.pick(&choices)
    }

    /// How far its recordings are from the notes, in semitones, on average.
    pub(super) fn distance(&self, notes: &[Note]) -> f32 {
        let nearest = |note: &Note| {
            let distances = self.sounds.iter().filter_map(|s| s.pitch).map(|p| (p - note.pitch).abs());
            distances.fold(f32::INFINITY, f32::min)
        };
        // Some of the notes will do.
        let step = (notes.len() / 24).max(1);
        let some = notes.iter().step_by(step);
        let count = some.clone().count().max(1);
        some.map(nearest).sum::<f32>() / count as f32
    }
}

/// An instrument whose recordings lie near the notes, each kind of instrument with the same chance.
pub(super) fn choose<'a>(
    rng: &mut Rng,
    groups: impl Iterator<Item = &'a Group>,
    notes: &[Note],
) -> Option<&'a Group> {
    let fitting: Vec<(&Group, f32)> = groups
        .map(|group| {
            // Waves sound the same at any pitch.
            let distance = if group.kind == WAVETABLE { 0.0 } else { group.distance(notes) };
            (group, if distance <= NEAR { 1.0 } else { 0.25 * (1.0 - (distance - NEAR) / (FAR - NEAR)) })
        })
        .filter(|(_, fit)| *fit > 0.0)
        .collect();
    // Kinds come sorted.
    let mut kinds: Vec<(&str, f32)> = Vec::new();
    for (group, fit) in &fitting {
        match kinds.last_mut() {
            Some((kind, best)) if *kind == group.kind => *best = best.max(*fit),
            _ => kinds.push((&group.kind, *fit)),
        }
    }
    let weights: Vec<f32> = kinds.iter().map(|(_, fit)| *fit).collect();
    let kind = kinds.get(rng.weighted(&weights))?.0;
    let choices: Vec<&(&Group, f32)> = fitting.iter().filter(|(group, _)| group.kind == kind).collect();
    let weights: Vec<f32> = choices.iter().map(|(_, fit)| *fit).collect();
    Some(choices.get(rng.weighted(&weights))?.0)
}

impl Pack {
    /// Plays a bass line; `None` if no recording is near enough to it.
    pub fn bass(&self, rng: &mut Rng, notes: &[Note], length: usize) -> Option<Track> {
        let group = choose(rng, self.bass.iter(), notes)?;
        Some(play(rng, group, notes, length, 0.0))
    }

    /// Plays a part of the "other" stem; `None` if no recording is near enough to it. `held` asks for an instrument
    /// that goes on as long as its notes, if there is one.
    pub fn other(&self, rng: &mut Rng, notes: &[Note], held: bool, length: usize) -> Option<Track> {
        let sustaining = self.other.iter().filter(|group| group.sounds.iter().any(Sound::sustains));
        let held = if held { choose(rng, sustaining, notes) } else { None };
        let group = held.or_else(|| choose(rng, self.other.iter(), notes))?;
        let pan = rng.range(-0.7, 0.7);
        let mut track = play(rng, group, notes, length, pan);
        // Below the lowest note there is only what the microphone's stand passed on.
        let lowest = notes.iter().map(|note| note.pitch).fold(127.0, f32::min);
        Strip::draw(rng, (0.6 * hertz(lowest)).max(25.0), 2.5).run(&mut track);
        Some(track)
    }
}

/// All notes on one instrument, without effects.
pub(super) fn play(rng: &mut Rng, group: &Group, notes: &[Note], length: usize, pan: f32) -> Track {
    let wave = match group.kind.as_str() {
        WAVETABLE => group.sounds[0].cycle(rng.unit()),
        _ => None,
    };
    let release = if group.sounds.iter().any(Sound::sustains) {
        rng.log_range(0.05, 0.4)
    } else {
        rng.log_range(0.04, 0.25)
    };
    let mut track = Track::silent(length);
    let mut last = usize::MAX;
    for note in notes {
        let chosen = group.layer(rng, Some(note.pitch), note.velocity, last);
        last = chosen;
        let sound = wave.as_ref().unwrap_or(&group.sounds[chosen]);
        let Some(own) = sound.pitch else { continue };
        // Players are never exactly in tune.
        let semitones = note.pitch - own + 0.03 * rng.normal();
        let played = sound.play((semitones / 12.0).exp2(), note.length, release);
        // Recordings of soft layers are as loud as the others in memory.
        add(&mut track, note.start, &played, 0.3 * note.velocity, pan);
    }
    track
}
