//! Reading audio files: WAV, FLAC, MP3, OGG Vorbis, M4A/AAC, AIFF.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use symphonia::core::codecs::audio::well_known::{CODEC_ID_AAC, CODEC_ID_MP3};
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as Symphonia;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;

use super::{AudioBuffer, CHANNELS, RATES};
use crate::{Error, Result};

/// A decoded file.
#[derive(Debug, Clone, PartialEq)]
pub struct AudioFile {
    /// `[channels][frames]`
    pub audio: AudioBuffer,
    /// Hz.
    pub sample_rate: u32,
}

/// Decodes a whole file. Delay and padding of the encoder are removed where the file tells them
/// (MP3, OGG; M4A keeps the encoder's delay).
///
/// # Errors
/// Missing, not audio, damaged, cut off or empty.
pub fn read(path: &Path) -> Result<AudioFile> {
    read_all(Reader::open(path)?)
}

/// Decodes a whole audio track, counted from 0, of a file that may have several, such as a .stem.mp4.
///
/// # Errors
/// As [`read`]; there is no such track.
pub fn read_track(path: &Path, track: usize) -> Result<AudioFile> {
    read_all(Reader::open_track(path, Some(track))?)
}

fn read_all(mut reader: Reader) -> Result<AudioFile> {
    let mut channels = vec![Vec::new(); reader.channels];
    while let Some(block) = reader.next_block()? {
        for (channel, block) in channels.iter_mut().zip(block.iter()) {
            channel.extend_from_slice(block);
        }
    }
    let sample_rate = reader.sample_rate;
    let audio = AudioBuffer::from_channels(channels).unwrap_or_default();
    if audio.frames() == 0 {
        return Err(reader.error("holds no audio"));
    }
    Ok(AudioFile { audio, sample_rate })
}

/// Decodes a file block by block, in little memory.
pub struct Reader {
    path: PathBuf,
    format: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    track: u32,
    sample_rate: u32,
    channels: usize,
    /// What the header says; for MP3 an estimate.
    promised_frames: Option<u64>,
    /// The codec's header is exact to the frame.
    exact: bool,
    /// Damaged packets are played as silence, as every player does: these streams may begin in mid-song.
    forgiving: bool,
    found_frames: u64,
}

impl Reader {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// Missing, empty, not audio, or with a header that cannot be true.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_track(path, None)
    }

    /// Opens one audio track, counted from 0, or the one that players would choose.
    fn open_track(path: &Path, chosen: Option<usize>) -> Result<Self> {
        let error = |reason: String| Error::Audio { path: path.to_owned(), reason };
        let file = File::open(path).map_err(Error::io("read", path))?;
        let metadata = file.metadata().map_err(Error::io("read", path))?;
        if metadata.is_dir() {
            return Err(error("expected an audio file, found a folder".into()));
        }
        if metadata.is_file() && metadata.len() == 0 {
            return Err(error("the file is empty".into()));
        }
        let mut hint = Hint::new();
        if let Some(extension) = path.extension().and_then(|e| e.to_str()) {
            hint.with_extension(extension);
        }
        let stream = MediaSourceStream::new(Box::new(file), Default::default());
        let format = symphonia::default::get_probe()
            .probe(&hint, stream, FormatOptions::default(), MetadataOptions::default())
            .map_err(|e| match e {
                Symphonia::IoError(e) if e.kind() != ErrorKind::UnexpectedEof => Error::io("read", path)(e),
                e => error(format!(
                    "not a file that can be read (WAV, FLAC, MP3, OGG Vorbis, M4A/AAC, AIFF), or its header is broken: {e}"
                )),
            })?;
        let mut tracks = format.tracks().iter().filter(|track| track.track_type() == Some(TrackType::Audio));
        let track = match chosen {
            None => format.default_track(TrackType::Audio),
            Some(index) => tracks.clone().nth(index),
        };
        let track = track.ok_or_else(|| match (chosen, tracks.by_ref().count()) {
            (Some(index), count @ 1..) => {
                error(format!("holds {count} audio track(s); number {} was asked for", index + 1))
            }
            _ => error("holds no audio track".into()),
        })?;
        let parameters = track
            .codec_params
            .as_ref()
            .and_then(|p| p.audio())
            .ok_or_else(|| error("its audio is in a coding that we do not know".into()))?;
        let sample_rate = parameters.sample_rate.unwrap_or(0);
        if !RATES.contains(&sample_rate) {
            return Err(error(format!("its header says {sample_rate} Hz; expected {RATES:?}")));
        }
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(parameters, &AudioDecoderOptions::default())
            .map_err(|e| error(format!("its audio cannot be decoded: {e}")))?;
        let channels = parameters.channels.as_ref().map_or(0, |c| c.count());
        if !CHANNELS.contains(&channels) {
            return Err(error(format!("its header says {channels} channels; expected {CHANNELS:?}")));
        }
        let codec = parameters.codec;
        Ok(Self {
            path: path.to_owned(),
            track: track.id,
            promised_frames: track.num_frames,
            format,
            decoder,
            sample_rate,
            channels,
            exact: codec != CODEC_ID_MP3 && codec != CODEC_ID_AAC,
            forgiving: codec == CODEC_ID_MP3,
            found_frames: 0,
        })
    }

    /// Hz.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// At least one.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Frames in the file, as its header says; an estimate for MP3, so good for progress only.
    pub fn frames(&self) -> Option<u64> {
        self.promised_frames
    }

    /// The next frames, `[channels][whatever the file's packets hold]`, or `None` at the end.
    ///
    /// # Errors
    /// Damaged, or shorter than its header says.
    pub fn next_block(&mut self) -> Result<Option<AudioBuffer>> {
        loop {
            let packet = match self.format.next_packet() {
                Ok(Some(packet)) if packet.track_id != self.track => continue,
                Ok(Some(packet)) if packet.data.is_empty() => return self.end(true),
                Ok(Some(packet)) => packet,
                Ok(None) => return self.end(false),
                Err(Symphonia::IoError(e)) if e.kind() == ErrorKind::UnexpectedEof => return self.end(true),
                Err(Symphonia::IoError(e)) => return Err(Error::io("read", &self.path)(e)),
                Err(Symphonia::ResetRequired) => {
                    return Err(self.error("holds several pieces in a row; only one is supported"));
                }
                Err(e) => return Err(self.damaged(&e)),
            };
            let mut channels = Vec::new();
            let decoded = self.decoder.decode(&packet).map(|decoded| {
                decoded.copy_to_vecs_planar::<f32>(&mut channels);
                (decoded.spec().rate(), decoded.spec().channels().count())
            });
            match decoded {
                Ok(found) if found == (self.sample_rate, self.channels) => {}
                Ok(_) => return Err(self.error("changes its sample rate or channels on the way")),
                Err(Symphonia::DecodeError(_)) if self.forgiving => {
                    channels = vec![vec![0.0; packet.dur.get().min(1 << 16) as usize]; self.channels];
                }
                Err(_) if self.ends_here() => return self.end(true),
                Err(e) => return Err(self.damaged(&e)),
            }
            match AudioBuffer::from_channels(channels) {
                Some(block) if block.frames() > 0 => {
                    self.found_frames += block.frames() as u64;
                    return Ok(Some(block));
                }
                _ => {}
            }
        }
    }

    /// Whether nothing follows: then a packet that cannot be decoded is the last of a file that was cut off.
    fn ends_here(&mut self) -> bool {
        match self.format.next_packet() {
            Ok(packet) => packet.is_none_or(|packet| packet.data.is_empty()),
            Err(e) => matches!(e, Symphonia::IoError(_)),
        }
    }

    /// `abruptly`: the file ended in the midst of something.
    fn end(&self, abruptly: bool) -> Result<Option<AudioBuffer>> {
        let Some(promised) = self.promised_frames else { return Ok(None) };
        let missing = promised.saturating_sub(self.found_frames);
        let cut = if self.exact { missing > 0 } else { abruptly && !self.forgiving };
        if cut {
            return Err(self.error(&format!(
                "is cut off: its header promises {promised} frames, {} are there ({:.2} s are missing)",
                self.found_frames,
                missing as f64 / f64::from(self.sample_rate)
            )));
        }
        Ok(None)
    }

    fn damaged(&self, cause: &Symphonia) -> Error {
        let seconds = self.found_frames as f64 / f64::from(self.sample_rate);
        self.error(&format!("is damaged after {seconds:.2} s: {cause}"))
    }

    fn error(&self, reason: &str) -> Error {
        Error::Audio { path: self.path.clone(), reason: reason.to_owned() }
    }
}
