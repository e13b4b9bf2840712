//! A whole song from a seed: compose, play, mix.

use engine::STEMS;
use engine::audio::AudioBuffer;

use super::dsp::RATE;
use super::mix::{Space, Track, master};
use super::{bass, compose, drums, other, voice};
use crate::rng::Rng;

/// Makes songs.
#[derive(Clone, Debug, Default)]
pub struct Generator {}

impl Generator {
    /// The four stems of a song of ours, `[2][frames]` each at 44.1 kHz, the same for the same seed and length.
    ///
    /// Their sum never exceeds full scale, and is exact in f32 in any order: see [`master`].
    pub fn song(&self, seed: u64, seconds: f32) -> [AudioBuffer; STEMS] {
        let length = (f64::from(seconds.max(0.0)) * f64::from(RATE)).round() as usize;
        let mut rng = Rng::new(seed, &[SONG]);
        // Each player has dice of its own, so that a change to one does not change all songs altogether.
        let score = compose::compose(&mut rng.fork(), seconds);
        let space = Space::draw(&mut rng.fork(), &score);
        let drums = drums::render(&mut rng.fork(), &score.drums, length);
        let bass = bass::render(&mut rng.fork(), &score.bass, length);
        let mut player = rng.fork();
        let other: Vec<Track> =
            score.other.iter().map(|part| other::render(&mut player, part, length)).collect();
        let voices = voice::render(&mut rng.fork(), &score.vocals, length);
        let mut stems = [drums, bass, other, voices].map(|tracks| space.stem(&tracks, length));
        master(&mut rng.fork(), &mut stems);
        stems.map(|channels| AudioBuffer::from_channels(channels.into()).unwrap_or_default())
    }
}

/// Keeps the seeds of songs apart from those of other purposes.
const SONG: u64 = 0x736f_6e67;
