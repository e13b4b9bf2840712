//! Songs of our own generator, renewed while training goes on.

use std::collections::BTreeMap;

use engine::audio::AudioBuffer;
use engine::{STEMS, Stem};
use rayon::prelude::*;

use super::Source;
use crate::synth::Generator;

/// A sliding window over the endless list of generated songs.
pub struct Generated {
    generator: Generator,
    seconds: f32,
    alive: u64,
    fresh_per_step: f64,
    seed: u64,
    /// By number; those that are alive at the prepared step.
    songs: BTreeMap<u64, [AudioBuffer; STEMS]>,
}

impl Generated {
    /// See the recipe's keys; `generator` has the recordings that it names.
    pub fn new(generator: Generator, seconds: f32, alive: u64, fresh_per_step: f64, seed: u64) -> Self {
        Self { generator, seconds, alive, fresh_per_step, seed, songs: BTreeMap::new() }
    }

    /// Numbers of the songs that a step may use.
    fn window(&self, step: u64) -> std::ops::Range<u64> {
        let first = (step as f64 * self.fresh_per_step) as u64;
        first..first + self.alive
    }
}

impl Source for Generated {
    fn prepare(&mut self, step: u64) -> anyhow::Result<()> {
        let window = self.window(step);
        self.songs.retain(|number, _| window.contains(number));
        let missing: Vec<u64> = window.filter(|number| !self.songs.contains_key(number)).collect();
        let (generator, seed, seconds) = (&self.generator, self.seed, self.seconds);
        let made: Vec<_> = missing
            .into_par_iter()
            .map(|number| (number, generator.song(seed.wrapping_add(number), seconds)))
            .collect();
        self.songs.extend(made);
        Ok(())
    }

    fn songs(&self) -> usize {
        self.songs.len()
    }

    fn excerpt(&self, song: usize, stem: Stem, place: f32, frames: usize) -> anyhow::Result<[Vec<f32>; 2]> {
        let Some(stems) = self.songs.values().nth(song) else {
            anyhow::bail!("there is no generated song {song} at this step");
        };
        let audio = &stems[stem as usize];
        let from = super::start(place, audio.frames(), frames);
        let to = (from + frames).min(audio.frames());
        Ok([0, 1].map(|side| {
            let mut samples = audio.channel(side)[from..to].to_vec();
            samples.resize(frames, 0.0);
            samples
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::recipe;

    #[test]
    fn a_step_has_the_same_songs_whether_reached_or_resumed_at() {
        let make = || Generated::new(Generator::default(), 1.0, 3, 0.5, 9);
        let (mut reached, mut resumed) = (make(), make());
        (0..=4).for_each(|step| reached.prepare(step).unwrap());
        resumed.prepare(4).unwrap();
        assert_eq!(reached.songs(), 3);
        for index in 0..3 {
            let excerpt = |source: &Generated| source.excerpt(index, Stem::Other, 0.3, 1_000).unwrap();
            assert_eq!(excerpt(&reached), excerpt(&resumed));
        }
    }

    #[test]
    fn a_recipe_names_recordings_and_a_pack_that_is_not_there_is_an_error() {
        let source: recipe::Source = toml::from_str(
            "kind = 'generated'\nseconds = 4.0\nsongs = 2\nfresh_per_step = 0.1\nseed = 1\npack = 'nowhere'",
        )
        .unwrap();
        let recordings = source.recordings().expect("generated");
        assert_eq!((recordings.pack_share, &recordings.soundfont), (crate::synth::SHARE, &None));
        let error = Generator::open(&recordings).err().expect("there is no such pack");
        assert!(format!("{error:#}").contains("nowhere/manifest.csv"), "{error:#}");
    }
}
