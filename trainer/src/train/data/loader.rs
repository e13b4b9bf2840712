//! Batches made in the background, in order, the same on any number of threads.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::{Context, anyhow};
use engine::model::Window;
use engine::{STEMS, Stem};
use rayon::prelude::*;

use super::{Batch, Folder, Generated, Source};
use crate::rng::Rng;
use crate::synth::Generator;
use crate::train::recipe::{self, Augment, Recipe};

/// Keeps the draws of training data apart from all others.
const DATA: u64 = 0x6461_7461;

/// Draws and mixes excerpts.
pub struct Excerpts {
    sources: Vec<Box<dyn Source + Sync>>,
    weights: Vec<f32>,
    augment: Augment,
    seed: u64,
    items: usize,
    window: Window,
}

impl Excerpts {
    /// Opens and checks all sources.
    pub fn open(recipe: &Recipe, window: Window) -> anyhow::Result<Self> {
        let open = |source: &recipe::Source| -> anyhow::Result<Box<dyn Source + Sync>> {
            Ok(match source {
                recipe::Source::Folder { path, missing_is_silence, .. } => {
                    Box::new(Folder::open(path, *missing_is_silence)?)
                }
                recipe::Source::Generated {
                    seconds,
                    songs,
                    fresh_per_step,
                    seed,
                    pack,
                    pack_share,
                    soundfont,
                    ..
                } => {
                    let generator = Generator::open(pack.as_deref(), soundfont.as_deref(), *pack_share)?;
                    Box::new(Generated::new(generator, *seconds, *songs, *fresh_per_step, *seed))
                }
            })
        };
        Ok(Self {
            sources: recipe.data.source.iter().map(open).collect::<anyhow::Result<_>>()?,
            weights: recipe.data.source.iter().map(recipe::Source::weight).collect(),
            augment: recipe.augment.clone(),
            seed: recipe.seed,
            items: recipe.data.batch,
            window,
        })
    }

    /// The batch of one step, counted from 0.
    pub fn batch(&mut self, step: u64) -> anyhow::Result<Batch> {
        self.sources.iter_mut().try_for_each(|source| source.prepare(step))?;
        let Window { input, output, .. } = self.window;
        let mut mixtures = vec![0.0; self.items * 2 * input];
        let mut targets = vec![0.0; self.items * STEMS * 2 * output];
        mixtures
            .par_chunks_mut(2 * input)
            .zip(targets.par_chunks_mut(STEMS * 2 * output))
            .enumerate()
            .try_for_each(|(item, (mixture, targets))| {
                self.item(&mut Rng::new(self.seed, &[DATA, step, item as u64]), mixture, targets)
            })?;
        Ok(Batch { step, items: self.items, mixtures, targets })
    }

    /// One excerpt: `[2, input]` and `[STEMS, 2, output]`.
    fn item(&self, rng: &mut Rng, mixture: &mut [f32], targets: &mut [f32]) -> anyhow::Result<()> {
        let Window { input, output, output_start } = self.window;
        let remix = rng.chance(self.augment.remix);
        let mut song = self.draw(rng);
        for (stem, target) in Stem::ALL.into_iter().zip(targets.chunks_exact_mut(2 * output)) {
            let other_song = self.draw(rng);
            if remix {
                song = other_song;
            }
            let (source, index, place) = song;
            let mut audio = self.sources[source].excerpt(index, stem, place, input)?;
            self.augment.apply(rng, &mut audio);
            for side in 0..2 {
                let sum = &mut mixture[side * input..(side + 1) * input];
                sum.iter_mut().zip(&audio[side]).for_each(|(sum, x)| *sum += x);
                target[side * output..(side + 1) * output]
                    .copy_from_slice(&audio[side][output_start..output_start + output]);
            }
        }
        // Real mixtures never exceed full scale; stems of several songs together might.
        let peak = mixture.iter().fold(0f32, |peak, x| peak.max(x.abs()));
        if peak > 1.0 {
            mixture.iter_mut().chain(targets).for_each(|x| *x /= peak);
        }
        Ok(())
    }

    /// Source, song and place.
    fn draw(&self, rng: &mut Rng) -> (usize, usize, f32) {
        let source = rng.weighted(&self.weights);
        (source, rng.below(self.sources[source].songs()), rng.unit())
    }
}

/// A thread that makes the batches of the coming steps. It ends when the loader is dropped.
pub struct Loader {
    batches: Receiver<anyhow::Result<Batch>>,
}

impl Loader {
    /// Makes the batches of `steps`, keeping up to `prefetch` ready, on `threads` threads.
    pub fn start(
        mut excerpts: Excerpts,
        steps: std::ops::Range<u64>,
        prefetch: usize,
        threads: usize,
    ) -> anyhow::Result<Self> {
        let (sender, batches) = sync_channel(prefetch.max(1));
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.max(1))
            .thread_name(|i| format!("loader-{i}"))
            .build()
            .context("cannot start the loader's threads")?;
        std::thread::Builder::new()
            .name("loader".into())
            .spawn(move || make(&mut excerpts, steps, &pool, &sender))
            .context("cannot start the loader")?;
        Ok(Self { batches })
    }

    /// The next step's batch; waits for it.
    pub fn next(&self) -> anyhow::Result<Batch> {
        self.batches.recv().unwrap_or_else(|_| Err(anyhow!("the loader has died; see the message above")))
    }
}

fn make(
    excerpts: &mut Excerpts,
    steps: std::ops::Range<u64>,
    pool: &rayon::ThreadPool,
    sender: &SyncSender<anyhow::Result<Batch>>,
) {
    for step in steps {
        let batch = pool.install(|| excerpts.batch(step));
        let failed = batch.is_err();
        // An error to send means that nobody listens any more.
        if sender.send(batch).is_err() || failed {
            return;
        }
    }
}
