//! A SoundFont (`.sf2`) plays drums, bass and other, each part by a synthesiser of its own (crate rustysynth).

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail, ensure};
use rustysynth::{Synthesizer, SynthesizerSettings};

use super::dsp::{RATE, frames};
use super::mix::Track;
use super::pack::even_out;
use super::score::{Hit, Note, Piece, Role};
use crate::rng::Rng;

/// The bank of drum kits, and the channel that always plays from it.
const DRUM_BANK: i32 = 128;
const DRUM_CHANNEL: i32 = Synthesizer::PERCUSSION_CHANNEL as i32;

/// Bytes of a file's header: `RIFF`, the length of the rest, `sfbk`.
const HEADER: usize = 12;

/// A SoundFont in memory.
pub struct SoundFont {
    font: Arc<rustysynth::SoundFont>,
    /// Numbers of the instruments in bank 0.
    programs: Vec<i32>,
    /// Numbers of the drum kits.
    kits: Vec<i32>,
}

/// Something that a synthesiser does at a frame.
struct Event {
    frame: usize,
    key: i32,
    /// 1 to 127; 0 ends the note.
    velocity: i32,
}

impl SoundFont {
    /// Reads a file.
    ///
    /// # Errors
    /// It is missing, cut off, or not a SoundFont 2 that can be played.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let font = parse(path).with_context(|| {
            format!("{}: not a SoundFont that can be played (expected an .sf2 file)", path.display())
        })?;
        let presets = font.get_presets().iter().map(|p| (p.get_bank_number(), p.get_patch_number()));
        let presets: BTreeSet<(i32, i32)> = presets.collect();
        let bank = |wanted: i32| -> Vec<i32> {
            presets.iter().filter(|(bank, _)| *bank == wanted).map(|(_, patch)| *patch).collect()
        };
        let (programs, kits) = (bank(0), bank(DRUM_BANK));
        ensure!(
            !programs.is_empty() || !kits.is_empty(),
            "{}: has neither instruments (bank 0) nor drum kits (bank {DRUM_BANK})",
            path.display()
        );
        Ok(Self { font: Arc::new(font), programs, kits })
    }

    /// Whether it has a drum kit.
    pub fn has_drums(&self) -> bool {
        !self.kits.is_empty()
    }

    /// Plays the hits on one of its kits.
    pub fn drums(&self, rng: &mut Rng, hits: &[Hit], length: usize) -> Track {
        let kit = *rng.pick(&self.kits);
        let percussion = [*rng.pick(&[54, 70, 69, 56, 62]), *rng.pick(&[63, 64, 75, 76, 60, 82])];
        let snare = *rng.pick(&[38, 38, 40]);
        let key = |piece: Piece| match piece {
            Piece::Kick => 36,
            Piece::Snare => snare,
            Piece::Hat => 42,
            Piece::OpenHat => 46,
            Piece::Ride => 51,
            Piece::Crash => 49,
            Piece::TomHigh => 48,
            Piece::TomLow => 43,
            Piece::Clap => 39,
            Piece::PercussionA => percussion[0],
            Piece::PercussionB => percussion[1],
        };
        let events = hits.iter().flat_map(|hit| strike(hit.start, 0.25, key(hit.piece), hit.velocity)).collect();
        let mut track = self.render(DRUM_CHANNEL, kit, events, length);
        // Our own kits peak at about full scale.
        let peak = track.channels.iter().flatten().fold(0f32, |peak, x| peak.max(x.abs()));
        if peak > 1e-6 {
            track.scale(1.0 / peak);
        }
        track.reverb_send = if rng.chance(0.5) { rng.range(0.02, 0.25) } else { 0.0 };
        track
    }

    /// Plays a bass line; `None` if there is no bass among its instruments.
    pub fn bass(&self, rng: &mut Rng, notes: &[Note], length: usize) -> Option<Track> {
        let mut track = self.part(rng, &[32..=39], notes, length)?;
        let [left, right] = &mut track.channels;
        left.iter_mut().zip(right.iter()).for_each(|(l, r)| *l = 0.5 * (*l + r));
        right.copy_from_slice(left);
        even_out(rng, &mut track);
        Some(track)
    }

    /// Plays a part of "other" on an instrument for its role; `None` if there is none.
    pub fn other(&self, rng: &mut Rng, role: Role, notes: &[Note], length: usize) -> Option<Track> {
        // Numbers of General MIDI, counted from 0: keys, mallets, organs, guitars, strings, brass, reeds, synths...
        let programs: &[std::ops::RangeInclusive<i32>] = match role {
            Role::Pad => &[16..=23, 44..=44, 48..=52, 88..=95],
            Role::Comp => &[0..=7, 16..=18, 24..=28, 61..=63],
            Role::Arpeggio => &[0..=15, 24..=26, 45..=46, 104..=108],
            Role::Lead => &[22..=22, 26..=30, 40..=42, 56..=87],
            Role::Power => &[29..=30],
            #[expect(unreachable_patterns, reason = "roles may be added")]
            _ => &[0..=31, 40..=111],
        };
        let mut track = self.part(rng, programs, notes, length)?;
        even_out(rng, &mut track);
        track.reverb_send = if rng.chance(0.6) { rng.log_range(0.02, 0.4) } else { 0.0 };
        track.delay_send = if rng.chance(0.2) { rng.range(0.05, 0.35) } else { 0.0 };
        Some(track)
    }

    fn part(
        &self,
        rng: &mut Rng,
        programs: &[std::ops::RangeInclusive<i32>],
        notes: &[Note],
        length: usize,
    ) -> Option<Track> {
        let fitting = |program: &&i32| programs.iter().any(|range| range.contains(program));
        let choices: Vec<i32> = self.programs.iter().filter(fitting).copied().collect();
        if choices.is_empty() {
            return None;
        }
        let program = *rng.pick(&choices);
        let key = |note: &Note| (note.pitch.round() as i32).clamp(0, 127);
        let events = notes.iter().flat_map(|n| strike(n.start, n.length, key(n), n.velocity)).collect();
        Some(self.render(0, program, events, length))
    }

    /// Plays events on one channel, without the synthesiser's own reverb and chorus: songs have theirs.
    fn render(&self, channel: i32, program: i32, mut events: Vec<Event>, length: usize) -> Track {
        // Ends before beginnings, so that repeated notes are not cut.
        events.sort_by_key(|event| (event.frame, event.velocity > 0));
        let mut track = Track::silent(length);
        let mut settings = SynthesizerSettings::new(RATE as i32);
        settings.enable_reverb_and_chorus = false;
        // These settings are always accepted.
        let Ok(mut synthesizer) = Synthesizer::new(&self.font, &settings) else { return track };
        synthesizer.process_midi_message(channel, 0xC0, program, 0);
        let [left, right] = &mut track.channels;
        let mut now = 0;
        for event in events {
            let until = event.frame.min(length);
            synthesizer.render(&mut left[now..until], &mut right[now..until]);
            now = until;
            match event.velocity {
                0 => synthesizer.note_off(channel, event.key),
                velocity => synthesizer.note_on(channel, event.key, velocity),
            }
        }
        synthesizer.render(&mut left[now..], &mut right[now..]);
        track
    }
}

/// A note's beginning and end.
fn strike(start: f32, seconds: f32, key: i32, velocity: f32) -> [Event; 2] {
    let velocity = ((velocity * 127.0).round() as i32).clamp(1, 127);
    let end = frames(start + seconds).max(frames(start) + 1);
    [Event { frame: frames(start), key, velocity }, Event { frame: end, key, velocity: 0 }]
}

/// Reads a file with nothing but its own length believed.
fn parse(path: &Path) -> anyhow::Result<rustysynth::SoundFont> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut header = [0; HEADER];
    file.read_exact(&mut header).context("it is shorter than a header")?;
    if &header[..4] != b"RIFF" || &header[8..] != b"sfbk" {
        bail!("it does not begin with `RIFF....sfbk`");
    }
    let promised = u64::from(u32::from_le_bytes([header[4], header[5], header[6], header[7]])) + 8;
    ensure!(promised <= length, "it is cut off: its header promises {promised} bytes, {length} are there");
    let mut reader = BufReader::new(header.chain(file));
    // The library checks most of what a file can say, and panics at some of the rest.
    let parsed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        rustysynth::SoundFont::new(&mut reader)
    }));
    parsed.map_err(|_| anyhow!("its tables contradict each other"))?.map_err(|e| anyhow!("{e}"))
}
