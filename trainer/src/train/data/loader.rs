//! Batches made in the background, in order, the same on any number of threads.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::{Context, anyhow};

use super::{Batch, Excerpts};

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
        let pool = pool(threads)?;
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

/// The loader's own threads.
///
/// # Errors
/// The system gives no more threads.
pub fn pool(threads: usize) -> anyhow::Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads.max(1))
        .thread_name(|i| format!("loader-{i}"))
        .build()
        .context("cannot start the loader's threads")
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
