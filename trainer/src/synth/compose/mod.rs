//! The composer: what kind of song, its clock and form, and what each instrument plays. No sound is made here.

mod arrange;
mod bassline;
mod beats;
mod harmony;
mod parts;
mod voices;

use super::score::{Note, Part, Role, Score};
use crate::rng::Rng;
use arrange::{Kind, Section, arrange};
use harmony::Harmony;

/// Steps of a quarter note: everything lies on this grid before it is swung and humanised.
const STEPS_PER_BEAT: usize = 4;

/// A song's clock.
struct Time {
    /// Beats per minute.
    bpm: f32,
    /// Beats of a bar: 3 or 4.
    beats: usize,
    /// How late every second step is, as a part of a step: 0 straight, 0.33 triplets.
    swing: f32,
    /// Deviation of human timing, seconds.
    looseness: f32,
}

impl Time {
    /// From 60 to 180 beats a minute, in four or in three.
    fn draw(rng: &mut Rng) -> Self {
        Self {
            bpm: rng.log_range(60.0, 180.0),
            beats: if rng.chance(0.92) { 4 } else { 3 },
            swing: if rng.chance(0.3) { rng.range(0.05, 0.33) } else { 0.0 },
            looseness: if rng.chance(0.3) { 0.0 } else { rng.range(0.001, 0.009) },
        }
    }

    /// Seconds of one step.
    fn step(&self) -> f32 {
        60.0 / self.bpm / STEPS_PER_BEAT as f32
    }

    /// Steps of one bar.
    fn bar_steps(&self) -> usize {
        self.beats * STEPS_PER_BEAT
    }

    /// When a step of the song sounds, played by a human.
    fn at(&self, step: usize, rng: &mut Rng) -> f32 {
        let late = if step % 2 == 1 { self.swing } else { 0.0 };
        ((step as f32 + late) * self.step() + self.looseness * rng.normal()).max(0.0)
    }
}

/// What all parts of a song go by.
struct Song {
    time: Time,
    sections: Vec<Section>,
    harmony: Harmony,
}

/// Writes a song that lasts at least `seconds`.
pub fn compose(rng: &mut Rng, seconds: f32) -> Score {
    let kind = Kind::draw(rng);
    let time = Time::draw(rng);
    let bars = (seconds / (time.step() * time.bar_steps() as f32)).ceil() as usize;
    let count = kind.parts(rng);
    let sections = arrange(rng, kind, time.bar_steps(), bars, count);
    let harmony = Harmony::draw(rng, bars, time.bar_steps());
    let song = Song { time, sections, harmony };

    let drums = beats::drums(&mut rng.fork(), &song);
    let bass = bassline::bass_line(&mut rng.fork(), &song);
    let roles = parts::roles(rng, kind, count);
    let mut dice = rng.fork();
    let other = roles
        .into_iter()
        .enumerate()
        .map(|(index, role)| Part { role, notes: parts::play(&mut dice, &song, role, index) })
        .collect();
    let vocals = voices::voices(&mut rng.fork(), &song, kind);
    let mut score = Score { bpm: song.time.bpm, drums, bass, other, vocals };
    stop(&mut score, &song, rng);
    if rng.chance(0.06) {
        // Everybody goes up before the end.
        modulate(&mut score, rng.range(0.5, 0.8) * seconds, *rng.pick(&[1.0, 2.0, 2.0, 3.0]));
    }
    score
}

/// Silences everybody where the arrangement stops; the voice may go on alone.
fn stop(score: &mut Score, song: &Song, rng: &mut Rng) {
    let voices_too = rng.chance(0.5);
    for section in &song.sections {
        let Some(from) = section.stop else { continue };
        let bar = (section.bars.end - 1) * song.time.bar_steps();
        // A little early, so that nobody's human timing slips into the silence.
        let start = (bar + from) as f32 * song.time.step() - 0.02;
        let end = (section.bars.end * song.time.bar_steps()) as f32 * song.time.step() - 0.02;
        let rest = |notes: &mut Vec<Note>| {
            notes.retain(|note| !(start..end).contains(&note.start));
            for note in notes.iter_mut().filter(|note| note.start < start) {
                note.length = note.length.min(start - note.start);
            }
        };
        score.drums.retain(|hit| !(start..end).contains(&hit.start));
        rest(&mut score.bass);
        score
            .other
            .iter_mut()
            .filter(|part| part.role != Role::Effect)
            .for_each(|part| rest(&mut part.notes));
        if voices_too {
            for line in &mut score.vocals {
                let keep: Vec<bool> = line.notes.iter().map(|n| !(start..end).contains(&n.start)).collect();
                let mut kept = keep.iter();
                line.syllables.retain(|_| kept.next().copied().unwrap_or(false));
                rest(&mut line.notes);
            }
        }
    }
}

/// Moves everything pitched up from a time on.
fn modulate(score: &mut Score, from: f32, semitones: f32) {
    let parts = score.other.iter_mut().map(|part| &mut part.notes);
    let voices = score.vocals.iter_mut().map(|line| &mut line.notes);
    for note in parts.chain(voices).chain([&mut score.bass]).flatten().filter(|note| note.start >= from) {
        note.pitch += semitones;
    }
}

#[cfg(test)]
mod tests;
