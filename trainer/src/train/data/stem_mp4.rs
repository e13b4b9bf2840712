//! MUSDB18's .stem.mp4 files: five AAC streams, the mixture, drums, bass, other and vocals.
//!
//! An AAC encoder puts silence before the sound; the file's edit list says how much. It is cut off here, because the
//! decoder leaves it in.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use engine::Stem;
use engine::audio::{AudioBuffer, read_track};

use super::cache::Cache;
use super::songs::Song;
use super::split::Listed;

const SUFFIX: &str = ".stem.mp4";

/// Streams of a file.
const STREAMS: usize = 5;

/// The table of contents of an hour of five streams has about 4 MiB.
const LARGEST_TABLE: u64 = 256 << 20;

/// Frames that an AAC packet holds at most: stems that differ by no more have only lost padding.
const PACKET: usize = 2_048;

/// The files of a folder, sorted by name.
///
/// # Errors
/// The folder cannot be read, or has no such files.
pub fn list(path: &Path) -> anyhow::Result<Vec<Listed>> {
    let cannot_list = || format!("cannot open the song folder {}", path.display());
    let mut songs = Vec::new();
    for entry in std::fs::read_dir(path).with_context(cannot_list)? {
        let file = entry.with_context(cannot_list)?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        // macOS leaves files whose names begin with a dot on disks that it has visited.
        if let Some(name) = name.strip_suffix(SUFFIX).filter(|name| !name.starts_with('.')) {
            songs.push((name.to_owned(), file.clone()));
        }
    }
    songs.sort();
    ensure!(!songs.is_empty(), "{} has no songs: no file in it ends in {SUFFIX}", path.display());
    Ok(songs)
}

/// Decodes a song into the cache, unless it is there, and opens it.
///
/// # Errors
/// Not a .stem.mp4, damaged or cut off; stems of unequal length; a full disk.
pub fn open(path: &Path, cache: &Cache) -> anyhow::Result<Song> {
    let edits = edits(path)?;
    ensure!(
        edits.len() == STREAMS,
        "{} has {} audio stream(s); a {SUFFIX} has {STREAMS}: mixture, drums, bass, other, vocals",
        path.display(),
        edits.len()
    );
    let stem = |stem: Stem| {
        let track = 1 + stem as usize;
        cache.wav(path, track, || {
            let file = read_track(path, track)?;
            Ok((edits[track].apply(&file.audio, file.sample_rate), file.sample_rate))
        })
    };
    let [drums, bass, other, vocals] = Stem::ALL.map(stem);
    let mut stems = [drums?, bass?, other?, vocals?];
    let frames = stems.each_ref().map(super::wav::Wav::frames);
    let shortest = frames.into_iter().min().unwrap_or(0);
    if frames.iter().all(|frames| frames - shortest <= PACKET) {
        stems.iter_mut().for_each(|stem| stem.shorten(shortest));
    }
    Song::new(stems.map(|stem| vec![stem]))
        .with_context(|| format!("the streams of {} do not belong together", path.display()))
}

/// Which part of a decoded stream is sound, in units of which `per_second` make a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Edit {
    start: u64,
    end: u64,
    per_second: u64,
}

impl Edit {
    fn apply(self, audio: &AudioBuffer, rate: u32) -> AudioBuffer {
        let frame = |time: u64| (u128::from(time) * u128::from(rate) / u128::from(self.per_second)) as usize;
        let end = frame(self.end).min(audio.frames());
        let start = frame(self.start).min(end);
        let channels = audio.iter().map(|channel| channel[start..end].to_vec()).collect();
        AudioBuffer::from_channels(channels).unwrap_or_default()
    }
}

/// The audio streams of an MP4 file, in order (ISO/IEC 14496-12: moov, trak, mdhd, hdlr, elst).
fn edits(path: &Path) -> anyhow::Result<Vec<Edit>> {
    let cannot_read = || format!("cannot read {}", path.display());
    let mut file = File::open(path).with_context(cannot_read)?;
    let length = file.metadata().with_context(cannot_read)?.len();
    let mut at = 0;
    while at < length {
        file.seek(SeekFrom::Start(at)).with_context(cannot_read)?;
        let mut head = Vec::new();
        (&mut file).take(16).read_to_end(&mut head).with_context(cannot_read)?;
        let Some((kind, header, size)) = box_header(&head, length - at) else { break };
        if kind == *b"moov" && at + size <= length && size <= LARGEST_TABLE {
            let mut table = vec![0; (size - header) as usize];
            file.seek(SeekFrom::Start(at + header))
                .and_then(|_| file.read_exact(&mut table))
                .with_context(cannot_read)?;
            let tracks = boxes(&table).filter(|(kind, _)| kind == b"trak");
            return Ok(tracks.filter_map(|(_, track)| edit(track)).collect());
        }
        at += size;
    }
    bail!("{} is cut off or no MP4 file: it has no table of contents", path.display())
}

/// `None` for a track that is not audio, or broken.
fn edit(track: &[u8]) -> Option<Edit> {
    let media = find(track, b"mdia")?;
    if find(media, b"hdlr")?.get(8..12)? != b"soun" {
        return None;
    }
    let header = find(media, b"mdhd")?;
    let (per_second, end) = match header.first()? {
        0 => (u64::from(number32(header, 12)?), u64::from(number32(header, 16)?)),
        _ => (u64::from(number32(header, 20)?), number64(header, 24)?),
    };
    let start = find(track, b"edts").and_then(|edits| first_edit(find(edits, b"elst")?)).unwrap_or(0);
    (per_second > 0).then_some(Edit { start, end, per_second })
}

/// Where the first edit that is not empty begins in the stream.
fn first_edit(list: &[u8]) -> Option<u64> {
    let wide = *list.first()? > 0;
    let size = if wide { 20 } else { 12 };
    list.get(8..)?.chunks_exact(size).find_map(|entry| match wide {
        // An empty edit has a time of -1.
        true => i64::try_from(number64(entry, 8)?).ok().map(|time| time as u64),
        false => i32::try_from(number32(entry, 4)?).ok().map(|time| time as u64),
    })
}

fn find<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    boxes(bytes).find(|(found, _)| found == kind).map(|(_, body)| body)
}

/// The boxes in a row of boxes: kind and content.
fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (kind, header, size) = box_header(bytes, bytes.len() as u64)?;
        let (this, rest) = bytes.split_at_checked(size as usize)?;
        bytes = rest;
        Some((kind, &this[header as usize..]))
    })
}

/// Kind, size of the header and whole size of the box that begins here; the last may run on to the end, `room` bytes
/// away.
fn box_header(bytes: &[u8], room: u64) -> Option<([u8; 4], u64, u64)> {
    let kind = bytes.get(4..8)?.try_into().ok()?;
    let (header, size) = match number32(bytes, 0)? {
        0 => (8, room),
        1 => (16, number64(bytes, 8)?),
        size => (8, u64::from(size)),
    };
    (size >= header).then_some((kind, header, size))
}

fn number32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn number64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use engine::STEMS;

    use super::*;
    use crate::train::data::songs::{Layout, Opening, Songs};
    use crate::train::data::split::Side;
    use crate::train::recipe::{HoldOut, OnBadFile};

    const FRAMES: usize = 33_075;

    fn tones() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tones.stem.mp4")
    }

    /// A folder with one song, `bytes`.
    fn song(bytes: &[u8]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("Tones.stem.mp4"), bytes).unwrap();
        folder
    }

    fn open_folder(path: &Path) -> anyhow::Result<Songs> {
        let cache = Cache::new(&path.join("cache"));
        let opening = Opening { cache: &cache, on_bad_file: OnBadFile::Stop };
        Songs::open(path, Layout::StemMp4, (&HoldOut::default(), Side::Training), opening)
    }

    #[test]
    fn streams_become_the_stems_that_were_encoded_at_their_own_times() {
        let folder = song(&std::fs::read(tones()).unwrap());
        let stems = open_folder(folder.path()).unwrap().whole(0, usize::MAX).unwrap();
        let mixture = read_track(&tones(), 0).unwrap().audio;
        let mixture = edits(&tones()).unwrap()[0].apply(&mixture, 44_100);
        // Distance in dB from what was encoded (the file's README has it), if the streams were late by `lag` frames.
        let distance = |lag: i32| {
            let (mut difference, mut power) = (0.0, 0.0);
            for (i, stem) in stems.iter().enumerate() {
                assert_eq!((stem.channels(), stem.frames()), (2, FRAMES));
                for n in (0..FRAMES).step_by(7) {
                    let since = (n as i32 - lag - 4_410 * (i as i32 + 1)) as f32 / 44_100.0;
                    let turn = std::f32::consts::TAU * 110.0 * (i + 2) as f32 * since;
                    let tone = if since < 0.0 { 0.0 } else { 0.2 * turn.sin() };
                    difference +=
                        (stem.channel(0)[n] - tone).powi(2) + (stem.channel(1)[n] + 0.5 * tone).powi(2);
                    power += 1.25 * tone * tone;
                }
            }
            10.0 * f32::log10(difference / power)
        };
        let found = [-4, -1, 0, 1, 4].map(distance);
        assert!(found[2] < -18.0 && found.iter().all(|other| *other >= found[2]), "{found:?}");
        assert!(found[0] > found[2] + 3.0 && found[4] > found[2] + 3.0, "{found:?}");
        let left = |n: usize| stems.iter().map(|stem| stem.channel(0)[n]).sum::<f32>();
        let difference: f32 = (0..FRAMES).map(|n| (left(n) - mixture.channel(0)[n]).powi(2)).sum();
        let power: f32 = mixture.channel(0).iter().map(|x| x * x).sum();
        assert!(difference < 0.05 * power, "the stems do not lie under the mixture: {difference} of {power}");
    }

    #[test]
    fn files_with_other_streams_or_cut_off_are_errors_by_name() {
        let bytes = std::fs::read(tones()).unwrap();
        let error = |bytes: &[u8]| {
            let folder = song(bytes);
            let error = format!("{:#}", open_folder(folder.path()).err().unwrap());
            assert!(error.contains("Tones.stem.mp4"), "{error}");
            error
        };
        assert!(error(&bytes[..bytes.len() / 2]).contains("cut off"));
        assert!(error(b"RIFF").contains("no MP4 file"));
        // The first stream's handler becomes that of a picture.
        let at = bytes.windows(4).position(|name| name == b"soun").unwrap();
        let four = [&bytes[..at], b"vide", &bytes[at + 4..]].concat();
        assert!(error(&four).contains("4 audio stream(s); a .stem.mp4 has 5"));
        let empty = tempfile::tempdir().unwrap();
        let error = open_folder(empty.path()).err().unwrap().to_string();
        assert!(error.contains("no file in it ends in .stem.mp4"), "{error}");
        assert_eq!(STEMS + 1, STREAMS);
    }

    #[test]
    fn broken_boxes_are_no_boxes() {
        for bytes in
            [&b""[..], b"\0\0\0\x08", b"\0\0\0\x04moov", b"\0\0\0\x09moov", b"\0\0\0\x01moov\xff\xff\xff\xff"]
        {
            assert_eq!(boxes(bytes).count(), 0, "{bytes:?}");
        }
        let two = b"\0\0\0\x09freeX\0\0\0\0lastYZ";
        let found: Vec<_> = boxes(two).collect();
        assert_eq!(found, [(*b"free", &b"X"[..]), (*b"last", b"YZ")]);
    }

    #[test]
    fn the_first_edit_that_is_not_empty_counts() {
        let entry = |time: i32| [&[0, 0, 0, 9][..], &time.to_be_bytes(), &[0, 1, 0, 0]].concat();
        let list = [vec![0, 0, 0, 0, 0, 0, 0, 2], entry(-1), entry(1_024)].concat();
        assert_eq!(first_edit(&list), Some(1_024));
        assert_eq!(first_edit(&list[..20]), None);
    }
}
