//! Batches: excerpts drawn from the sources, changed, and mixed anew.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use anyhow::{Context, ensure};
use engine::model::Window;
use engine::{STEMS, Stem};
use rayon::prelude::*;

use super::augment::{Rooms, Speed, Stereo};
use super::cache::Cache;
use super::songs::{Layout, Opening, Songs};
use super::split::Side;
use super::{Batch, Generated, Source};
use crate::rng::Rng;
use crate::synth::Generator;
use crate::train::recipe::{self, Augment, OnBadFile, Recipe};

/// Keeps the draws of training data apart from all others.
const DATA: u64 = 0x6461_7461;

/// Draws and mixes excerpts.
pub struct Excerpts {
    sources: Vec<Box<dyn Source + Sync>>,
    weights: Vec<f32>,
    on_bad_file: OnBadFile,
    augment: Augment,
    rooms: Rooms,
    seed: u64,
    items: Range<usize>,
    window: Window,
}

/// Where a stem is taken from.
#[derive(Clone, Copy)]
struct Place {
    source: usize,
    song: usize,
    /// In 0..1.
    at: f32,
    speed: Speed,
}

/// A song that could not be read.
struct Unreadable {
    source: usize,
    song: usize,
    error: anyhow::Error,
}

impl Excerpts {
    /// Opens and checks all sources, for these items of each batch.
    ///
    /// # Errors
    /// As the sources have them.
    pub fn open(recipe: &Recipe, window: Window, items: Range<usize>) -> anyhow::Result<Self> {
        let data = &recipe.data;
        let cache = Cache::new(&data.cache);
        let opening = Opening { cache: &cache, on_bad_file: data.on_bad_file };
        let open = |source: &recipe::Source| -> anyhow::Result<Box<dyn Source + Sync>> {
            Ok(match source {
                recipe::Source::Folder { .. } | recipe::Source::StemMp4 { .. } => {
                    let (path, layout, hold_out) = Layout::of(source).context("these songs lie nowhere")?;
                    Box::new(Songs::open(path, layout, (hold_out, Side::Training), opening)?)
                }
                recipe::Source::Generated { seconds, songs, fresh_per_step, seed, .. } => {
                    let recordings = source.recordings().context("these songs are not generated")?;
                    let generator = Generator::open(&recordings)?;
                    Box::new(Generated::new(generator, *seconds, *songs, *fresh_per_step, *seed))
                }
            })
        };
        Ok(Self {
            sources: data.source.iter().map(open).collect::<anyhow::Result<_>>()?,
            weights: data.source.iter().map(recipe::Source::weight).collect(),
            on_bad_file: data.on_bad_file,
            augment: recipe.augment.clone(),
            rooms: Rooms::default(),
            seed: recipe.seed,
            items,
            window,
        })
    }

    /// A number that differs, as good as always, when other songs can be read.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for source in &self.sources {
            let readable: Vec<bool> = (0..source.songs()).map(|song| source.readable(song)).collect();
            readable.hash(&mut hasher);
        }
        hasher.finish()
    }

    /// The batch of one step, counted from 0.
    ///
    /// # Errors
    /// A song cannot be read, and the recipe says to stop or no other is left.
    pub fn batch(&mut self, step: u64) -> anyhow::Result<Batch> {
        self.sources.iter_mut().try_for_each(|source| source.prepare(step))?;
        let mut left_out = Vec::new();
        loop {
            let (mut batch, unreadable) = self.mix(step);
            if unreadable.is_empty() {
                batch.left_out = left_out;
                return Ok(batch);
            }
            // The batch is made again without these songs, so that it is the one that comes of knowing before.
            for ((source, song), error) in unreadable {
                if self.on_bad_file == OnBadFile::Stop {
                    return Err(
                        error.context("cannot read a song (`data.on_bad_file = \"skip\"` goes on without)")
                    );
                }
                left_out.push(format!("{error:#}"));
                self.sources[source].leave_out(song);
                ensure!(
                    (0..self.sources[source].songs()).any(|song| self.sources[source].readable(song)),
                    "no song of source {} can be read any more; the last: {}",
                    source + 1,
                    left_out.join("; ")
                );
            }
        }
    }

    /// One step's batch, and the songs that could not be read for it.
    fn mix(&self, step: u64) -> (Batch, BTreeMap<(usize, usize), anyhow::Error>) {
        let Window { input, output, .. } = self.window;
        let mut mixtures = vec![0.0; self.items.len() * 2 * input];
        let mut targets = vec![0.0; self.items.len() * STEMS * 2 * output];
        let unreadable: Vec<Unreadable> = mixtures
            .par_chunks_mut(2 * input)
            .zip(targets.par_chunks_mut(STEMS * 2 * output))
            .zip(self.items.clone())
            .filter_map(|((mixture, targets), item)| {
                self.item(&mut Rng::new(self.seed, &[DATA, step, item as u64]), mixture, targets).err()
            })
            .collect();
        let unreadable = unreadable.into_iter().rev().map(|it| ((it.source, it.song), it.error)).collect();
        let (items, first_item) = (self.items.len(), self.items.start);
        (Batch { step, items, first_item, mixtures, targets, left_out: Vec::new() }, unreadable)
    }

    /// One excerpt: `[2, input]` and `[STEMS, 2, output]`.
    fn item(&self, rng: &mut Rng, mixture: &mut [f32], targets: &mut [f32]) -> Result<(), Unreadable> {
        let Window { input, output, output_start } = self.window;
        let mut stems = self.stems(rng, input)?;
        self.augment.master(&mut rng.fork(), &mut stems);
        let level = |n: usize, side: usize| stems.iter().map(|stem| stem[side][n]).sum::<f32>();
        let peak = (0..2 * input).fold(0f32, |peak, n| peak.max(level(n / 2, n % 2).abs()));
        // Real mixtures never exceed full scale; stems of several songs together might.
        if peak > 1.0 {
            stems.iter_mut().flatten().flatten().for_each(|x| *x /= peak);
        }
        for (stem, target) in stems.iter().zip(targets.chunks_exact_mut(2 * output)) {
            for side in 0..2 {
                let sum = &mut mixture[side * input..(side + 1) * input];
                sum.iter_mut().zip(&stem[side]).for_each(|(sum, x)| *sum += x);
                target[side * output..(side + 1) * output]
                    .copy_from_slice(&stem[side][output_start..output_start + output]);
            }
        }
        Ok(())
    }

    /// The stems of one excerpt, drawn and changed.
    fn stems(&self, rng: &mut Rng, frames: usize) -> Result<[Stereo; STEMS], Unreadable> {
        let remix = rng.chance(self.augment.remix);
        let shared = self.draw(rng);
        let mut stem = |stem: Stem| {
            let mut rng = rng.fork();
            let own = self.draw(&mut rng);
            let mut sum = self.segment(&mut rng, if remix { own } else { shared }, stem, frames)?;
            for _ in 1..self.augment.segments(&mut rng) {
                let place = self.draw(&mut rng);
                let more = self.segment(&mut rng, place, stem, frames)?;
                let samples = sum.iter_mut().flatten().zip(more.iter().flatten());
                samples.for_each(|(sum, x)| *sum += x);
            }
            // The last of the stem's dice, so that the others fall as they would anyway.
            if rng.chance(self.augment.silence) {
                sum.iter_mut().for_each(|channel| channel.fill(0.0));
            }
            Ok(sum)
        };
        let [drums, bass, other, vocals] = Stem::ALL;
        Ok([stem(drums)?, stem(bass)?, stem(other)?, stem(vocals)?])
    }

    /// One segment of a stem, changed.
    fn segment(&self, rng: &mut Rng, place: Place, stem: Stem, frames: usize) -> Result<Stereo, Unreadable> {
        let Place { source, song, at, speed } = place;
        let unreadable = |error| Unreadable { source, song, error };
        let mut segment = self.sources[source]
            .excerpt(song, stem, at, speed.source_frames(frames))
            .and_then(|original| speed.apply(original, frames).context("cannot change pitch or tempo"))
            .map_err(unreadable)?;
        self.augment.change(&mut rng.fork(), &self.rooms, &mut segment);
        Ok(segment)
    }

    /// A random place in a song that can be read.
    fn draw(&self, rng: &mut Rng) -> Place {
        // However many draws it takes, they do not change those that follow.
        let mut choice = rng.fork();
        let speed = self.augment.speed(&mut rng.fork());
        loop {
            let source = choice.weighted(&self.weights);
            let song = choice.below(self.sources[source].songs());
            let at = choice.unit();
            if self.sources[source].readable(song) {
                return Place { source, song, at, speed };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    const WINDOW: Window = Window { input: 6_000, output: 4_000, output_start: 900 };

    /// Songs of constants that say which song and stem they are; some cannot be read.
    struct Constants {
        readable: Vec<bool>,
        broken: Vec<usize>,
    }

    impl Source for Constants {
        fn prepare(&mut self, _: u64) -> anyhow::Result<()> {
            Ok(())
        }

        fn songs(&self) -> usize {
            self.readable.len()
        }

        fn readable(&self, song: usize) -> bool {
            self.readable[song]
        }

        fn leave_out(&mut self, song: usize) {
            self.readable[song] = false;
        }

        fn excerpt(&self, song: usize, stem: Stem, _: f32, frames: usize) -> anyhow::Result<Stereo> {
            if self.broken.contains(&song) {
                bail!("song-{song}.wav is damaged");
            }
            let level = (1 + song) as f32 * 1e-3 + stem as usize as f32 * 0.1;
            Ok([vec![level; frames], vec![-level; frames]])
        }
    }

    fn excerpts(augment: &str, known: &[usize], broken: &[usize]) -> Excerpts {
        let readable = (0..10).map(|song| !known.contains(&song)).collect();
        Excerpts {
            sources: vec![Box::new(Constants { readable, broken: broken.to_vec() })],
            weights: vec![1.0],
            on_bad_file: OnBadFile::Skip,
            augment: toml::from_str(augment).unwrap(),
            rooms: Rooms::default(),
            seed: 3,
            items: 0..4,
            window: WINDOW,
        }
    }

    const ALL: &str = "remix = 0.5\ngain = [0.5, 1.5]\nswap_channels = 0.5\nflip_sign = 0.5
        same_source = { probability = 0.5, segments = 3 }
        pitch = { probability = 0.5 }\ntempo = { probability = 0.5 }
        eq = { probability = 0.5 }\nreverb = { probability = 0.5, seconds = [0.05, 0.1] }
        limiter = { probability = 0.5 }";

    #[test]
    fn the_mixture_is_the_sum_of_the_stems_bit_for_bit_whatever_was_done_to_them() {
        let Window { input, output, output_start } = WINDOW;
        for step in 0..6 {
            let batch = excerpts(ALL, &[], &[]).batch(step).unwrap();
            for item in 0..4 {
                for n in 0..2 * output {
                    let (side, frame) = (n / output, n % output);
                    let target =
                        |stem: usize| batch.targets[((item * STEMS + stem) * 2 + side) * output + frame];
                    let mixture = batch.mixtures[(item * 2 + side) * input + output_start + frame];
                    assert_eq!((0..STEMS).map(target).sum::<f32>(), mixture);
                }
            }
        }
    }

    #[test]
    fn batches_follow_from_the_step_alone_on_any_number_of_threads() {
        let make = |threads: usize, steps: &[u64]| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut excerpts = excerpts(ALL, &[], &[]);
            pool.install(|| steps.iter().map(|step| excerpts.batch(*step).unwrap()).next_back().unwrap())
        };
        let (whole, resumed) = (make(1, &[0, 1, 2]), make(3, &[2]));
        assert_eq!((&whole.mixtures, &whole.targets), (&resumed.mixtures, &resumed.targets));
        assert_ne!(whole.mixtures, make(1, &[3]).mixtures);
    }

    #[test]
    fn shares_of_a_batch_are_the_batch_divided() {
        let whole = excerpts(ALL, &[], &[]).batch(5).unwrap();
        let share = |items| Excerpts { items, ..excerpts(ALL, &[], &[]) }.batch(5).unwrap();
        let (first, second) = (share(0..1), share(1..4));
        assert_eq!([whole.first_item, first.first_item, second.first_item], [0, 0, 1]);
        assert_eq!(whole.mixtures, [first.mixtures, second.mixtures].concat());
        assert_eq!(whole.targets, [first.targets, second.targets].concat());
        let fingerprint = |known: &[usize]| excerpts(ALL, known, &[]).fingerprint();
        assert_eq!(fingerprint(&[]), fingerprint(&[]));
        assert_ne!(fingerprint(&[]), fingerprint(&[2]));
    }

    #[test]
    fn songs_that_fail_are_named_once_and_the_rest_is_as_if_they_had_been_left_out_before() {
        let (mut found, mut known) = (excerpts(ALL, &[], &[2, 7]), excerpts(ALL, &[2, 7], &[]));
        let mut named = Vec::new();
        for step in 0..12 {
            let (found, known) = (found.batch(step).unwrap(), known.batch(step).unwrap());
            assert_eq!(found.mixtures, known.mixtures, "step {step}");
            named.extend(found.left_out);
        }
        named.sort();
        assert_eq!(named, ["song-2.wav is damaged", "song-7.wav is damaged"]);
    }

    #[test]
    fn a_song_that_fails_stops_training_when_the_recipe_says_so_or_none_is_left() {
        let mut stopping = excerpts("", &[], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let error = format!("{:#}", stopping.batch(0).err().unwrap());
        assert!(error.contains("no song of source 1 can be read any more"), "{error}");
        let mut stopping = excerpts("", &[], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        stopping.on_bad_file = OnBadFile::Stop;
        let error = format!("{:#}", stopping.batch(0).err().unwrap());
        assert!(error.contains(".wav is damaged") && error.contains("on_bad_file"), "{error}");
    }

    #[test]
    fn the_published_gains_are_drawn_for_each_stem_of_one_song() {
        let batch = excerpts("gain = [0.7, 1.0]", &[], &[]).batch(0).unwrap();
        let mut gains = Vec::new();
        for item in 0..4 {
            let level = |stem: usize| batch.targets[(item * STEMS + stem) * 2 * WINDOW.output];
            let gain =
                |song: usize, stem: usize| level(stem) / ((1 + song) as f32 * 1e-3 + stem as f32 * 0.1);
            let fits = |song: &usize| (0..STEMS).all(|stem| (0.7..1.0).contains(&gain(*song, stem)));
            let song = (0..10).find(fits).expect("all stems come from one song");
            gains.extend((0..STEMS).map(|stem| gain(song, stem)));
        }
        gains.dedup();
        assert_eq!(gains.len(), 16, "each stem has a gain of its own");
    }

    #[test]
    fn silence_takes_some_stems_and_leaves_the_others_as_they_are() {
        let stems = |augment: &str| -> Vec<Vec<f32>> {
            let augment = format!("gain = [0.1, 0.2]\n{augment}");
            let batches = (0..50).map(|step| excerpts(&augment, &[], &[]).batch(step).unwrap());
            batches
                .flat_map(|b| b.targets.chunks(2 * WINDOW.output).map(<[f32]>::to_vec).collect::<Vec<_>>())
                .collect()
        };
        let (all, some) = (stems(""), stems("silence = 0.2"));
        let is_silent = |stem: &Vec<f32>| stem.iter().all(|x| *x == 0.0);
        let silent = some.iter().filter(|stem| is_silent(stem)).count();
        assert!((100..220).contains(&silent), "{silent} of 800");
        assert!(all.iter().zip(&some).all(|(before, after)| is_silent(after) || before == after));
        assert!(stems("silence = 1.0").iter().all(is_silent));
    }

    #[test]
    fn same_source_mixing_adds_segments_of_one_stem() {
        let augment = "same_source = { probability = 1.0, segments = 2 }";
        let batch = excerpts(augment, &[], &[]).batch(0).unwrap();
        // Two songs' bass is about twice 0.1, relative to the vocals' twice 0.3, whatever the peak was divided by.
        let level = |stem: usize| batch.targets[stem * 2 * WINDOW.output];
        let peak: f32 = (0..STEMS).map(level).sum();
        assert!((peak - 1.0).abs() < 1e-5, "4 stems of two songs each exceed full scale: {peak}");
        assert!((level(1) / level(3) - 1.0 / 3.0).abs() < 0.05);
    }
}
