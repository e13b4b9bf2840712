//! How fast batches can be made: the pace that training cannot exceed.

use std::time::Instant;

use super::{Excerpts, loader};

/// What making batches took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Throughput {
    /// Seconds of mixture made in a second.
    pub audio_seconds_per_second: f64,
    /// Seconds for one batch.
    pub seconds_per_batch: f64,
    /// Threads that made them.
    pub threads: usize,
}

impl std::fmt::Display for Throughput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:.0} s of audio each second on {} thread(s), {:.1} ms a batch",
            self.audio_seconds_per_second,
            self.threads,
            1e3 * self.seconds_per_batch
        )
    }
}

impl Excerpts {
    /// Makes the first batches as training would, on so many threads, and throws them away. To be asked before the
    /// first batch is trained on.
    ///
    /// # Errors
    /// As [`Excerpts::batch`].
    pub fn measure(&mut self, threads: usize, batches: u64) -> anyhow::Result<Throughput> {
        let threads = threads.max(1);
        let pool = loader::pool(threads)?;
        // The first batch is not counted: generated songs are made for it, and tables are filled.
        pool.install(|| self.batch(0))?;
        let begun = Instant::now();
        let mut audio = 0.0;
        for step in 1..=batches.max(1) {
            let batch = pool.install(|| self.batch(step))?;
            audio += (batch.mixtures.len() / 2) as f64 / f64::from(super::wav::RATE);
        }
        let seconds = begun.elapsed().as_secs_f64();
        Ok(Throughput {
            audio_seconds_per_second: audio / seconds,
            seconds_per_batch: seconds / batches.max(1) as f64,
            threads,
        })
    }
}

#[cfg(test)]
mod tests {
    use engine::model::Window;

    use super::*;
    use crate::train::recipe::Recipe;

    #[test]
    fn what_is_measured_is_what_training_waits_for() {
        let recipe: Recipe = toml::from_str(
            r#"
            name = "r"
            seed = 1
            steps = 1
            architecture = { name = "wave_unet", features = 8, growth = "add", levels = 2 }
            chunk = { hop = 2048, lookahead = 512, crossfade = 256, context = 2048 }
            data.batch = 2
            [[data.source]]
            kind = "generated"
            seconds = 1.0
            songs = 1
            fresh_per_step = 0
            seed = 1
            [validation]
            every = 1
            source = { kind = "generated", songs = 1, seconds = 1.0, seed = 2 }
            "#,
        )
        .unwrap();
        let window = Window { input: 22_050, output: 22_050, output_start: 0 };
        let found = Excerpts::open(&recipe, window, 0..recipe.data.batch).unwrap().measure(1, 3).unwrap();
        // Two excerpts of half a second.
        let audio = found.audio_seconds_per_second * found.seconds_per_batch;
        assert!((audio - 1.0).abs() < 1e-6 && found.threads == 1, "{found}");
    }
}
