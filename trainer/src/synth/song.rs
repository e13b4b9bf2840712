//! A whole song from a seed: compose, play, mix.

use engine::STEMS;
use engine::audio::AudioBuffer;

use super::dsp::RATE;
use super::material::{Material, Recordings};
use super::mix::{Space, Track, master};
use super::{bass, compose, drums, other, voice};
use crate::rng::Rng;

/// Makes songs. Cloning is cheap.
#[derive(Clone, Default)]
pub struct Generator {
    /// Recordings that may play parts; nothing by default.
    material: Material,
}

impl Generator {
    /// A generator whose parts may be played by recordings: see [`Material::open`].
    ///
    /// # Errors
    /// The pack or the SoundFont cannot be read.
    pub fn open(recordings: &Recordings) -> anyhow::Result<Self> {
        Ok(Self { material: Material::open(recordings)? })
    }

    /// What it was given to play with.
    pub fn material(&self) -> &Material {
        &self.material
    }

    /// The four stems of a song of ours, `[2][frames]` each at 44.1 kHz, the same for the same seed, length and
    /// recordings.
    ///
    /// Their sum never exceeds full scale, and is exact in f32 in any order: see [`master`].
    pub fn song(&self, seed: u64, seconds: f32) -> [AudioBuffer; STEMS] {
        let length = (f64::from(seconds.max(0.0)) * f64::from(RATE)).round() as usize;
        let mut rng = Rng::new(seed, &[SONG]);
        // Each player has dice of its own, so that a change to one does not change all songs altogether.
        let score = compose::compose(&mut rng.fork(), seconds);
        let space = Space::draw(&mut rng.fork(), &score);
        // Recordings have theirs too: without any, songs are what they would be anyway.
        let mut recorded = Rng::new(seed, &[RECORDED]);
        let mut drummer = rng.fork();
        let (mut drums, hits) = self.material.drums(&mut recorded.fork(), &score.drums, score.bpm, length);
        if drums.is_empty() || !hits.is_empty() {
            drums.extend(drums::render(&mut drummer, &hits, length));
        }
        let mut bassist = rng.fork();
        let bass = self
            .material
            .bass(&mut recorded.fork(), &score.bass, length)
            .unwrap_or_else(|| bass::render(&mut bassist, &score.bass, length));
        let mut player = rng.fork();
        let other: Vec<Track> = score
            .other
            .iter()
            .map(|part| {
                self.material
                    .other(&mut recorded.fork(), part, length)
                    .unwrap_or_else(|| other::render(&mut player, part, length))
            })
            .collect();
        let mut singer = rng.fork();
        let voices = self
            .material
            .vocals(&mut recorded.fork(), &score.vocals, length)
            .unwrap_or_else(|| voice::render(&mut singer, &score.vocals, length));
        let mut stems = [drums, bass, other, voices].map(|tracks| space.stem(&tracks, length));
        master(&mut rng.fork(), &mut stems);
        stems.map(|channels| AudioBuffer::from_channels(channels.into()).unwrap_or_default())
    }
}

/// Keep the dice of songs apart from those of other purposes.
const SONG: u64 = 0x736f_6e67;
const RECORDED: u64 = 0x7265_636f;
