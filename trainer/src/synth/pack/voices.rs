//! Voices from recordings: speech and songs that sing the melody, single vowels, choirs, and speech as it is.

use std::collections::BTreeMap;

use super::drums::add;
use super::sound::Sound;
use super::{Group, Pack, notes};
use crate::rng::Rng;
use crate::synth::dsp::{Biquad, frames, gain};
use crate::synth::mix::{Strip, Track};
use crate::synth::resing::{LEAD, Style, sing};
use crate::synth::score::{Note, VocalLine, Voice};

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
        for line in lines.iter().filter(|line| !line.notes.is_empty()) {
            let mut track = Track::silent(length);
            let again = match line.voice {
                Voice::Lead | Voice::Choir => false,
                Voice::Double => true,
                // Often the same singer has sung everything.
                Voice::Harmony => rng.chance(0.6),
            };
            let mut singer = match lead.take() {
                Some(lead) if again => lead,
                before => {
                    lead = before;
                    match line.spoken {
                        true => self.speaker(rng, &line.notes, true)?,
                        false => self.singer(rng, &line.notes, line.voice)?,
                    }
                }
            };
            let mut first = 0;
            for phrase in phrases(&line.notes) {
                let syllables = line.syllables.get(first..first + phrase.len()).unwrap_or(&[]);
                singer.perform(rng, phrase, syllables, line.spoken, &mut track);
                first += phrase.len();
            }
            if line.voice == Voice::Lead || again {
                lead = Some(singer);
            }
            Strip::draw(rng, 80.0, 2.0).with([presence.clone()]).compressed(rng).run(&mut track);
            track.level();
            track.scale(gain(match line.voice {
                Voice::Lead => 0.0,
                Voice::Double => rng.range(-12.0, -3.0),
                Voice::Harmony => rng.range(-10.0, -3.0),
                Voice::Choir => rng.range(-12.0, -6.0),
            }));
            track.reverb_send = reverb * if line.voice == Voice::Choir { 2.0 } else { 1.0 };
            track.delay_send = if line.voice == Voice::Lead { delay } else { 0.0 };
            tracks.push(track);
        }
        Some(tracks)
    }

    /// Somebody who can sing these notes.
    fn singer(&self, rng: &mut Rng, line: &[Note], voice: Voice) -> Option<Singer<'_>> {
        let choirs = self.vocals.iter().filter(|group| CHOIRS.contains(&group.kind.as_str()));
        let vowels = self.vocals.iter().filter(|group| group.kind == VOWELS);
        // Choirs accompany; they lead now and then.
        let dice = rng.weighted(match voice {
            Voice::Lead | Voice::Double => &[8.0, 1.2, 0.8],
            Voice::Harmony => &[5.0, 1.5, 2.0],
            Voice::Choir => &[1.0, 1.0, 6.0],
        });
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
        let lyrics = Lyrics { sounds: &group.sounds, utterance, syllable: 0, sung: BTreeMap::new() };
        Some(Singer::Words(lyrics, style))
    }
}

impl Singer<'_> {
    /// Sings or speaks a phrase; `syllables` are as in [`VocalLine::syllables`].
    fn perform(
        &mut self,
        rng: &mut Rng,
        phrase: &[Note],
        syllables: &[u64],
        spoken: bool,
        track: &mut Track,
    ) {
        match self {
            Self::Choir(group) => {
                let played = notes::play(rng, group, phrase, track.channels[0].len(), 0.0);
                track.absorb(&played.channels, 1.0);
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
            Self::Words(lyrics, style) => lyrics.sing(rng, style, phrase, syllables, track),
        }
    }
}

/// A speaker's recordings, and how far the words have got.
struct Lyrics<'a> {
    sounds: &'a [Sound],
    utterance: usize,
    syllable: usize,
    /// Where phrases began, by the number of their first syllable: a chorus has the same words every time.
    sung: BTreeMap<u64, (usize, usize)>,
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

    /// Puts the next syllables on the notes of a phrase, or the same as last time.
    fn sing(&mut self, rng: &mut Rng, style: &Style, phrase: &[Note], syllables: &[u64], track: &mut Track) {
        if let Some(first) = syllables.first() {
            let place = *self.sung.entry(*first).or_insert((self.utterance, self.syllable));
            (self.utterance, self.syllable) = place;
        }
        // Some syllables are sung over several notes.
        let mut words: Vec<&[Note]> = Vec::new();
        let mut from = 0;
        for to in 1..=phrase.len() {
            if syllables.get(to) != Some(&VocalLine::HOLD) {
                words.push(&phrase[from..to]);
                from = to;
            }
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
