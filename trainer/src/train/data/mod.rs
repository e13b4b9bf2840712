//! Training data: excerpts from songs of several sources, mixed anew, batch by batch.
//!
//! What a step trains on follows from the seed and the step's number alone.

mod augment;
mod cache;
mod excerpts;
mod folder;
mod generated;
mod loader;
mod songs;
mod split;
mod stem_mp4;
mod throughput;
mod wav;

pub use cache::Cache;
pub use excerpts::Excerpts;
pub use generated::Generated;
pub use loader::Loader;
pub use songs::{Layout, Opening, Songs};
pub use split::Side;
pub use wav::RATE;

use engine::Stem;

/// One step's data.
pub struct Batch {
    /// The step, counted from 0.
    pub step: u64,
    /// Number of excerpts.
    pub items: usize,
    /// The first one's number in the whole batch, of which this may be one process's share.
    pub first_item: usize,
    /// `[items, 2, frames]`
    pub mixtures: Vec<f32>,
    /// `[items, STEMS, 2, output frames]`: the part of the stems that the network's output covers.
    pub targets: Vec<f32>,
    /// Songs that could not be read for this batch and are left out from now on: each with its reason.
    pub left_out: Vec<String>,
}

/// Songs to cut excerpts from. Which songs there are may change from step to step, but only by its number.
pub trait Source: Send {
    /// Gets ready for a step: whatever is slow, in parallel where possible. Steps come in rising order.
    ///
    /// # Errors
    /// Songs cannot be made or read.
    fn prepare(&mut self, step: u64) -> anyhow::Result<()>;

    /// Number of songs to choose from at the prepared step, readable or not.
    fn songs(&self) -> usize;

    /// Whether a song can be read, as far as is known.
    fn readable(&self, _song: usize) -> bool {
        true
    }

    /// A song has turned out not to be readable.
    fn leave_out(&mut self, _song: usize) {}

    /// An excerpt `[2][frames]` of one stem of one song. `place` in 0..1 says where in the song it begins;
    /// the same place in two stems of a song is the same time. Short songs are padded with silence.
    ///
    /// # Errors
    /// The file cannot be read, or is not what it was when it was checked.
    fn excerpt(&self, song: usize, stem: Stem, place: f32, frames: usize) -> anyhow::Result<[Vec<f32>; 2]>;
}

/// Where an excerpt begins in a song.
fn start(place: f32, song_frames: usize, frames: usize) -> usize {
    (f64::from(place) * (song_frames.saturating_sub(frames) + 1) as f64) as usize
}
