//! Voices from recordings: speech and songs that sing the melody, single vowels, choirs, and speech as it is.

use super::drums::add;
use super::sound::Sound;
use super::{Group, Pack, notes};
use crate::rng::Rng;
use crate::synth::dsp::{Biquad, frames, gain};
use crate::synth::mix::{Track, power};
use crate::synth::resing::{LEAD, Style, sing};
use crate::synth::score::{Note, VocalLine};

/// Kinds of recordings in which several people sing at once: these have no single pitch to be cut by.
const CHOIRS: [&str; 2] = ["choir", "ensemble"];
/// Single held notes.
const VOWELS: &str = "vowel";
const SPEECH: &str = "speech";

/// Who sings a line.
enum Singer<'a> {
    /// A voice whose syllables are put on the notes.
    Words(Lyrics<'a>, Style),
    /// One singer's vowels, each a group of notes.
    Vowels(Vec<&'a Group>, Style),
    /// Several people at once.
    Choir(&'a Group),
}

impl Pack {
    /// Sings and speaks all lines, the lead first; `None` if there is nobody who could.
    pub fn vocals(&self, rng: &mut Rng, lines: &[VocalLine], length: usize) -> Option<Vec<Track>> {
        let delay = if rng.chance(0.3) { rng.range(0.05, 0.3) } else { 0.0 };
        let reverb = rng.log_range(0.02, 0.35);
        let presence = Biquad::high_shelf(rng.log_range(2_500.0, 6_000.0), rng.range(0.0, 6.0));
        let mut lead: Option<Singer> = None;
        let mut tracks = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            if line.notes.is_empty() {
                continue;
            }
            let mut track = Track::silent(length);
            let mut singer = match lead.take() {
                // The second line is often the lead's double.
                Some(lead) if index == 1 => lead,
                _ if line.spoken => self.speaker(rng, &line.notes, true)?,
                _ => self.singer(rng, &line.notes, index > 0)?,
            };
            for phrase in phrases(&line.notes) {
                singer.perform(rng, phrase, line.spoken, &mut track);
            }
            if index == 0 {
                lead = Some(singer);
            }
            for channel in &mut track.channels {
                Biquad::high_pass(80.0).run(channel);
                presence.clone().run(channel);
            }
            let power = power(&track.channels);
            let db = if index == 0 { 0.0 } else { rng.range(-14.0, -5.0) };
            if power > 1e-12 {
                track.scale(gain(db) / power.sqrt());
            }
            (track.reverb_send, track.delay_send) = (reverb, delay);
            tracks.push(track);
        }
        Some(tracks)
    }

    /// Somebody who can sing these notes.
    fn singer(&self, rng: &mut Rng, line: &[Note], backing: bool) -> Option<Singer<'_>> {
        let choirs = self.vocals.iter().filter(|group| CHOIRS.contains(&group.kind.as_str()));
        let vowels = self.vocals.iter().filter(|group| group.kind == VOWELS);
        // Choirs accompany; they lead now and then.
        let dice = rng.weighted(if backing { &[3.0, 1.5, 4.0] } else { &[8.0, 1.2, 0.8] });
        match dice {
            2 => notes::choose(rng, choirs, line).map(Singer::Choir),
            1 => notes::choose(rng, vowels.clone(), line).map(|group| {
                Singer::Vowels(
                    vowels.filter(|v| v.instrument == group.instrument).collect(),
                    Style::draw(rng),
                )
            }),
            _ => None,
        }
        .or_else(|| self.speaker(rng, line, false))
        // A pack without speakers has vowels or choirs, perhaps.
        .or_else(|| notes::choose(rng, self.vocals.iter(), line).map(Singer::Choir))
    }

    /// A speaker whose voice is near the notes, or a little below: singing is higher than speech.
    fn speaker(&self, rng: &mut Rng, line: &[Note], spoken: bool) -> Option<Singer<'_>> {
        let middle = line.iter().map(|note| note.pitch).sum::<f32>() / line.len().max(1) as f32;
        let words = |group: &&Group| !CHOIRS.contains(&group.kind.as_str()) && group.kind != VOWELS;
        let groups: Vec<&Group> =
            self.vocals.iter().filter(words).filter(|group| !spoken || group.kind == SPEECH).collect();
        let weights: Vec<f32> = groups
            .iter()
            .map(|group| {
                let pitch = group.sounds.iter().find_map(|sound| sound.pitch).unwrap_or(50.0);
                let away = (middle - pitch - 5.0) / 8.0;
                (-away * away).exp() + 1e-3
            })
            .collect();
        let group = *groups.get(rng.weighted(&weights))?;
        let mut style = Style::draw(rng);
        if spoken {
            style.spoken = Some(1.5 * rng.normal());
        }
        let utterance = rng.below(group.sounds.len());
        Some(Singer::Words(Lyrics { sounds: &group.sounds, utterance, syllable: 0 }, style))
    }
}

impl Singer<'_> {
    fn perform(&mut self, rng: &mut Rng, phrase: &[Note], spoken: bool, track: &mut Track) {
        match self {
            Self::Choir(group) => {
                let played = notes::play(rng, group, phrase, track.channels[0].len(), 0.0);
                for (channel, played) in track.channels.iter_mut().zip(&played.channels) {
                    crate::synth::dsp::add(channel, 0, played, 1.0);
                }
            }
            Self::Vowels(groups, style) => {
                let group = *rng.pick(groups);
                for note in phrase {
                    let sound = &group.sounds[group.layer(rng, Some(note.pitch), note.velocity, usize::MAX)];
                    let syllables = &sound.voice().syllables;
                    let sung = sing(rng, style, &sound.mono(), sound.voice(), syllables, &[&[*note]]);
                    put(track, note.start, &sung);
                }
            }
            // Half of the spoken phrases are speech as it was recorded, the others are rhythmical, as rap is.
            Self::Words(lyrics, _) if spoken && rng.chance(0.5) => lyrics.speak(phrase, track),
            Self::Words(lyrics, style) => lyrics.sing(rng, style, phrase, track),
        }
    }
}

/// A speaker's recordings, and how far the words have got.
struct Lyrics<'a> {
    sounds: &'a [Sound],
    utterance: usize,
    syllable: usize,
}

impl<'a> Lyrics<'a> {
    /// The recording that has the next syllable.
    fn turn(&mut self) -> &'a Sound {
        // A recording without a pitch cannot sing; if all are such, the last one tried must do.
        for _ in 0..self.sounds.len() {
            let voice = self.sounds[self.utterance].voice();
            if self.syllable < voice.syllables.len() && voice.voiced > 0.15 {
                break;
            }
            self.utterance = (self.utterance + 1) % self.sounds.len();
            self.syllable = 0;
        }
        &self.sounds[self.utterance]
    }

    /// Puts the next syllables on the notes of a phrase.
    fn sing(&mut self, rng: &mut Rng, style: &Style, phrase: &[Note], track: &mut Track) {
        // Some syllables are sung over several notes.
        let mut words: Vec<&[Note]> = Vec::new();
        let mut rest = phrase;
        while !rest.is_empty() {
            let count = if rng.chance(0.12) { 2 + rng.below(2) } else { 1 };
            let (word, after) = rest.split_at(count.min(rest.len()));
            words.push(word);
            rest = after;
        }
        let mut words = words.as_slice();
        while let Some(first) = words.first() {
            let sound = self.turn();
            let (voice, from) = (sound.voice(), self.syllable);
            let syllables = voice.syllables.get(from..).unwrap_or(&voice.syllables);
            let count = syllables.len().min(words.len()).max(1);
            let sung = sing(rng, style, &sound.mono(), voice, &syllables[..count], &words[..count]);
            put(track, first[0].start, &sung);
            self.syllable = from + count;
            words = &words[count..];
        }
    }

    /// Speaks for as long as a phrase lasts, at the speaker's own pace.
    fn speak(&mut self, phrase: &[Note], track: &mut Track) {
        let (Some(first), Some(last)) = (phrase.first(), phrase.last()) else { return };
        let (mut now, end) = (first.start, last.start + last.length);
        while now < end {
            let sound = self.turn();
            let syllables = &sound.voice().syllables;
            let Some(from) = syllables.get(self.syllable) else { return };
            let room = frames(end - now);
            let fits = syllables[self.syllable..].iter().take_while(|s| s.end - from.start <= room).count();
            let Some(to) = syllables.get(self.syllable + fits.max(1) - 1) else { return };
            let mut spoken = vec![sound.excerpt(from.start..to.end)];
            let length = spoken[0].len();
            let fade = frames(0.01).min(length / 2);
            for (n, x) in spoken[0].iter_mut().enumerate() {
                *x *= (n.min(length - n) as f32 / fade.max(1) as f32).min(1.0);
            }
            add(track, now, &spoken, 0.8 * first.velocity, 0.0);
            now += length as f32 / crate::synth::dsp::RATE + 0.02;
            self.syllable += fits.max(1);
            if fits == 0 {
                return;
            }
        }
    }
}

/// Adds a sung line whose first note starts at `start`.
fn put(track: &mut Track, start: f32, sung: &[f32]) {
    let begin = start - LEAD;
    let cut = frames(-begin).min(sung.len());
    track.add(frames(begin), &sung[cut..], 1.0, 0.0);
}

/// Notes that follow each other without a gap.
fn phrases(notes: &[Note]) -> impl Iterator<Item = &[Note]> {
    notes.chunk_by(|a, b| b.start <= a.start + a.length + 0.06)
}
