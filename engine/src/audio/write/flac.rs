//! FLAC through flacenc, frame by frame, so that memory does not grow with the file.

use std::fmt::Display;
use std::io::{Error, Result, Seek, SeekFrom, Write};

use flacenc::bitsink::ByteSink;
use flacenc::component::{BitRepr, Stream, StreamInfo};
use flacenc::config::Encoder;
use flacenc::encode_fixed_size_frame;
use flacenc::error::{Verified, Verify};
use flacenc::source::{Context, Fill, FrameBuf};

use super::to_integer;

/// Frames in a FLAC frame; the reference encoder's choice.
const BLOCK: usize = 4_096;

/// A FLAC file that is being written.
pub struct Flac<W: Write + Seek> {
    out: W,
    bits: u16,
    encoder: Verified<Encoder>,
    info: StreamInfo,
    /// Counts frames and computes the checksum of the whole.
    context: Context,
    block: FrameBuf,
    /// Interleaved samples that do not fill a block yet.
    waiting: Vec<i32>,
    /// Smallest and largest FLAC frame so far, in bytes.
    sizes: Option<(usize, usize)>,
}

impl<W: Write + Seek> Flac<W> {
    /// Writes a header that is completed by [`Self::finish`].
    pub fn start(out: W, channels: usize, sample_rate: u32, bits: u16) -> Result<Self> {
        let encoder = Encoder::default().into_verified().map_err(|(_, e)| refused(e))?;
        let mut info = StreamInfo::new(sample_rate as usize, channels, usize::from(bits)).map_err(refused)?;
        info.set_block_sizes(BLOCK, BLOCK).map_err(refused)?;
        let mut flac = Self {
            out,
            bits,
            encoder,
            info,
            context: Context::new(usize::from(bits), channels),
            block: FrameBuf::with_size(channels, BLOCK).map_err(refused)?,
            waiting: Vec::new(),
            sizes: None,
        };
        flac.write_header()?;
        Ok(flac)
    }

    /// Appends `[channels][frames]`.
    pub fn push(&mut self, channels: &[&[f32]]) -> Result<()> {
        let frames = channels.first().map_or(0, |channel| channel.len());
        for frame in 0..frames {
            self.waiting.extend(channels.iter().map(|channel| to_integer(channel[frame], self.bits)));
        }
        let whole = BLOCK * channels.len();
        let mut waiting = std::mem::take(&mut self.waiting);
        let encoded = waiting.chunks_exact(whole).try_for_each(|block| self.encode(block));
        waiting.drain(..waiting.len() / whole * whole);
        self.waiting = waiting;
        encoded
    }

    /// Encodes what is left, completes the header and flushes.
    pub fn finish(mut self) -> Result<()> {
        let rest = std::mem::take(&mut self.waiting);
        if !rest.is_empty() {
            self.encode(&rest)?;
        }
        self.info.set_total_samples(self.context.total_samples());
        self.info.set_md5_digest(&self.context.md5_digest());
        if let Some((smallest, largest)) = self.sizes {
            self.info.set_frame_sizes(smallest, largest).map_err(refused)?;
        }
        self.out.seek(SeekFrom::Start(0))?;
        self.write_header()?;
        self.out.flush()
    }

    fn write_header(&mut self) -> Result<()> {
        let mut sink = ByteSink::new();
        Stream::with_stream_info(self.info.clone()).write(&mut sink).map_err(refused)?;
        self.out.write_all(sink.as_slice())
    }

    fn encode(&mut self, interleaved: &[i32]) -> Result<()> {
        self.block.fill_interleaved(interleaved).map_err(refused)?;
        self.context.fill_interleaved(interleaved).map_err(refused)?;
        let number = self.context.current_frame_number().unwrap_or_default();
        let frame =
            encode_fixed_size_frame(&self.encoder, &self.block, number, &self.info).map_err(refused)?;
        let mut sink = ByteSink::new();
        frame.write(&mut sink).map_err(refused)?;
        let size = sink.as_slice().len();
        let (smallest, largest) = self.sizes.unwrap_or((size, size));
        self.sizes = Some((smallest.min(size), largest.max(size)));
        self.out.write_all(sink.as_slice())
    }
}

fn refused(error: impl Display) -> Error {
    Error::other(format!("FLAC: {error}"))
}
