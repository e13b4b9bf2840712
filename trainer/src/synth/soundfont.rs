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
        let events =
            hits.iter().flat_map(|hit| strike(hit.start, 0.25, key(hit.piece), hit.velocity)).collect();
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
        self.part(rng, &[32..=39], notes, length)
    }

    /// Plays a part of "other" on an instrument for its role; `None` if there is none.
    pub fn other(&self, rng: &mut Rng, role: Role, notes: &[Note], length: usize) -> Option<Track> {
        // Numbers of General MIDI, counted from 0: keys, mallets, organs, guitars, strings, brass, reeds, synths...
        let programs: &[std::ops::RangeInclusive<i32>] = match role {
            Role::Pad => &[16..=23, 44..=44, 48..=52, 88..=95],
            Role::Arpeggio => &[0..=15, 24..=26, 45..=46, 104..=108],
            Role::Lead => &[22..=22, 26..=30, 40..=42, 56..=87],
            Role::Power => &[29..=30],
            Role::Comp => &[0..=7, 16..=18, 24..=28, 61..=63],
            Role::Riff => &[0..=7, 24..=30, 32..=39, 56..=71, 80..=87],
            Role::Low => &[0..=5, 42..=43, 57..=58, 67..=68, 70..=70],
            Role::Effect => return None,
        };
        self.part(rng, programs, notes, length)
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
    let parsed =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| rustysynth::SoundFont::new(&mut reader)));
    parsed.map_err(|_| anyhow!("its tables contradict each other"))?.map_err(|e| anyhow!("{e}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synth::Generator;

    fn chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let mut bytes = name.to_vec();
        bytes.extend((content.len() as u32).to_le_bytes());
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        bytes
    }

    fn list(kind: &[u8; 4], chunks: &[Vec<u8>]) -> Vec<u8> {
        chunk(b"LIST", &[kind.to_vec(), chunks.concat()].concat())
    }

    fn name(text: &str) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(20, 0);
        bytes
    }

    fn words(values: &[u16]) -> Vec<u8> {
        values.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    /// A SoundFont of one looped sine of 441 Hz, mapped to the note of 440 Hz, behind a bass, a string section and
    /// a drum kit.
    fn font() -> Vec<u8> {
        let samples: Vec<u16> = (0..1_046)
            .map(|n| {
                if n < 1_000 {
                    (20_000.0 * (n as f32 * 0.01 * std::f32::consts::TAU).sin()) as i16
                } else {
                    0
                }
            })
            .map(|x| x as u16)
            .collect();
        let presets = [("bass", 33, 0), ("strings", 48, 0), ("kit", 0, 128)];
        let mut headers: Vec<u8> = Vec::new();
        for (index, (title, patch, bank)) in presets.into_iter().enumerate() {
            headers.extend([name(title), words(&[patch, bank, index as u16]), vec![0; 12]].concat());
        }
        headers.extend([name("EOP"), words(&[0, 0, 3]), vec![0; 12]].concat());
        let sample = [
            name("sine"),
            [0u32, 1_000, 100, 900, 44_100].iter().flat_map(|x| x.to_le_bytes()).collect(),
            vec![69, 0],
            words(&[0, 1]),
        ]
        .concat();
        let tables = [
            chunk(b"phdr", &headers),
            // Each preset plays instrument 0 (generator 41).
            chunk(b"pbag", &words(&[0, 0, 1, 0, 2, 0, 3, 0])),
            chunk(b"pmod", &[0; 10]),
            chunk(b"pgen", &words(&[41, 0, 41, 0, 41, 0, 0, 0])),
            chunk(b"inst", &[name("sine"), words(&[0]), name("EOI"), words(&[1])].concat()),
            chunk(b"ibag", &words(&[0, 0, 2, 0])),
            chunk(b"imod", &[0; 10]),
            // Looped (54), of sample 0 (53).
            chunk(b"igen", &words(&[54, 1, 53, 0, 0, 0])),
            chunk(b"shdr", &[sample, name("EOS"), vec![0; 26]].concat()),
        ];
        let info =
            [chunk(b"ifil", &words(&[2, 1])), chunk(b"isng", b"EMU8000\0"), chunk(b"INAM", b"test\0\0")];
        let content = [
            b"sfbk".to_vec(),
            list(b"INFO", &info),
            list(b"sdta", &[chunk(b"smpl", &words(&samples))]),
            list(b"pdta", &tables),
        ];
        chunk(b"RIFF", &content.concat())
    }

    fn open(bytes: &[u8]) -> anyhow::Result<SoundFont> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("small.sf2");
        std::fs::write(&path, bytes).unwrap();
        SoundFont::open(&path)
    }

    fn note(start: f32, pitch: f32) -> Note {
        Note { start, length: 0.4, pitch, velocity: 0.9 }
    }

    #[test]
    fn notes_sound_at_their_time_and_pitch_and_hits_on_the_kit() {
        let font = open(&font()).unwrap();
        let mut rng = Rng::new(1, &[]);
        let track = font.bass(&mut rng, &[note(0.5, 45.0)], frames(1.5)).expect("it has a bass");
        let part = |from: f32, to: f32| &track.channels[0][frames(from)..frames(to)];
        assert!(part(0.0, 0.49).iter().all(|x| *x == 0.0));
        let crossings = part(0.55, 0.85).windows(2).filter(|w| w[0] < 0.0 && w[1] >= 0.0).count();
        assert_eq!(crossings, 33, "110 Hz for 0.3 s");
        let peak = |part: &[f32]| part.iter().fold(0f32, |peak, x| peak.max(x.abs()));
        assert!(peak(part(1.3, 1.5)) < 1e-3 * peak(part(0.6, 0.8)), "the note ends");

        let hit = |start: f32, piece: Piece| Hit { start, piece, velocity: 0.8 };
        let drums = font.drums(&mut rng, &[hit(0.2, Piece::Kick), hit(0.7, Piece::Snare)], frames(1.0));
        assert!(peak(&drums.channels[0][..frames(0.19)]) == 0.0 && peak(&drums.channels[0]) > 0.9);
        assert!(font.other(&mut rng, Role::Pad, &[note(0.0, 60.0)], 1_000).is_some());
        assert!(font.other(&mut rng, Role::Power, &[note(0.0, 60.0)], 1_000).is_none(), "no guitar in it");
    }

    #[test]
    fn songs_are_played_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("small.sf2");
        std::fs::write(&path, font()).unwrap();
        let recordings = |pack_share: f32| crate::synth::Recordings {
            pack: None,
            pack_only: vec![],
            pack_without: vec![],
            pack_share,
            soundfont: Some(path.clone()),
        };
        let with = |share: f32| Generator::open(&recordings(share)).unwrap().song(8, 3.0);
        let ours = Generator::default().song(8, 3.0);
        assert!(with(0.0) == ours && with(1.0) != ours);
        assert!(with(1.0) == with(1.0));
    }

    #[test]
    fn broken_files_are_errors_that_name_them() {
        let whole = font();
        for (bytes, word) in [
            (&whole[..whole.len() - 10], "cut off"),
            (&whole[..6], "shorter"),
            (b"RIFF\x04\0\0\0WAVE".as_slice(), "begin"),
            // The header is right, and nothing follows.
            (b"RIFF\x04\0\0\0sfbk".as_slice(), ".sf2"),
        ] {
            let error = format!("{:#}", open(bytes).err().expect("broken"));
            assert!(error.contains("small.sf2") && error.contains(word), "{error}");
        }
        // Wherever a byte is wrong, nothing panics through.
        for place in (12..whole.len()).step_by(97).filter(|place| !(250..2_300).contains(place)) {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x55;
            if let Ok(font) = open(&bytes) {
                font.bass(&mut Rng::new(1, &[]), &[note(0.0, 40.0)], 2_000);
            }
        }
    }
}
