//! One training run: its folder, its loop, its checkpoints.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use candle_core::Device;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::data::{Excerpts, Loader};
use super::init;
use super::learner::{Learner, SAMPLE_RATE};
use super::preflight::Preflight;
use super::processes::Processes;
use super::recipe::{Monitor, Recipe};
use super::records::{Records, Speed, Validation};
use super::state::{self, Progress};
use super::validate::HeldOutSongs;
use crate::embedded;
use crate::exit::WrongUse;
use crate::metrics::plain_sdr::Report;

/// Where the first weights come from.
pub enum Start<'a> {
    /// From the recipe's seed.
    Fresh,
    /// From a checkpoint; `partial` takes what fits of one of another architecture.
    From { checkpoint: &'a str, partial: bool },
    /// From where the run was stopped.
    Resume,
}

/// A run whose recipe and data are known to be good; nothing has been written yet.
pub struct Prepared<'a> {
    recipe: Recipe,
    folder: PathBuf,
    learner: Learner,
    progress: Progress,
    excerpts: Excerpts,
    held_out: HeldOutSongs,
    processes: &'a Processes,
}

impl<'a> Prepared<'a> {
    /// Builds the network, and opens and checks the data.
    ///
    /// # Errors
    /// Whatever can be known to fail before the first step.
    pub fn new(
        recipe: Recipe,
        folder: PathBuf,
        start: &Start<'_>,
        processes: &'a Processes,
        device: Device,
    ) -> anyhow::Result<Self> {
        let state_file = folder.join(STATE);
        let resume = matches!(start, Start::Resume);
        ensure!(
            resume || !state_file.exists(),
            WrongUse(format!("{} already has a run; --resume goes on with it", folder.display()))
        );
        let items = processes.share(recipe.data.batch)?;
        ensure!(
            processes.count() == 1 || !recipe.architecture.mixes_items(),
            WrongUse(
                "this network sees the items of a batch together (batch normalisation, or a recurrence along the \
                 batch), so that processes cannot share one: train it in one process"
                    .into()
            )
        );
        if recipe.threads > 0 {
            // Fails only if something has used the pool already, and nothing has.
            rayon::ThreadPoolBuilder::new().num_threads(recipe.threads).build_global().ok();
        }
        let mut learner = Learner::new(&recipe, &device)?;
        let mut progress = Progress::new(&recipe)?;
        if let Start::From { checkpoint: name, partial } = *start {
            let checkpoint = embedded::checkpoint(name)?;
            let taken = init::load(&learner.parameters, &mut learner.optimizer, &checkpoint, name, partial)?;
            if processes.is_first() {
                println!("{name}: {taken}");
            }
            progress.initialised_from = Some(name.to_owned());
        }
        if resume && state_file.exists() {
            progress = state::read(&state_file, &learner.parameters, &mut learner.optimizer)?;
            if progress.follow(&recipe)? && processes.is_first() {
                eprintln!(
                    "note: the recipe has changed since this run was saved; the new one holds from here on"
                );
            }
        }
        ensure!(
            processes.agree(|| anyhow::Ok(progress.step))? && processes.agree(|| learner.checksum())?,
            "the processes do not start from the same weights: {} must be one folder that all of them see",
            folder.display()
        );
        // What is decoded is kept in files, which the others then find.
        let (excerpts, held_out) = processes.first_before_others(|| {
            let excerpts = Excerpts::open(&recipe, learner.window, items)?;
            anyhow::Ok((excerpts, HeldOutSongs::open(&recipe.validation.source, &recipe.data)?))
        })?;
        ensure!(
            processes.agree(|| anyhow::Ok(excerpts.fingerprint()))?,
            "the processes do not find the same songs: all of them must see the same data"
        );
        let preflight = Preflight::look(&recipe, &learner, &held_out, &folder, processes)?;
        if processes.is_first() {
            print!("{preflight}");
        }
        Ok(Self { recipe, folder, learner, progress, excerpts, held_out, processes })
    }

    /// One step that leaves no trace on the disk.
    ///
    /// # Errors
    /// The step fails.
    pub fn dry_run(mut self) -> anyhow::Result<()> {
        let (step, batches) = (self.progress.step, self.recipe.optimizer.accumulate);
        let mut ready = Vec::new();
        for batch in step * batches..(step + 1) * batches {
            ready.push(self.excerpts.batch(batch)?);
        }
        let mut ready = ready.into_iter();
        let begun = Instant::now();
        let learnt = self.learner.step(step, self.processes, || ready.next().context("there is no batch"))?;
        let learning = begun.elapsed().as_secs_f64();
        let audio = audio_seconds(&self.recipe, &self.learner);
        let data = self.excerpts.measure(self.recipe.data.threads, MEASURED_BATCHES)?;
        if !self.processes.is_first() {
            return Ok(());
        }
        println!(
            "step {}: loss {:.5}, gradient {:.3}\n\
             data{}: {data}\n\
             training: {:.2} s of audio each second, {learning:.2} s a step, {} for the whole run without validation\n\
             nothing was written; without --dry-run this trains",
            step + 1,
            learnt.loss,
            learnt.gradient_norm,
            if self.processes.count() > 1 { " for each process" } else { "" },
            audio / learning,
            duration(learning * (self.recipe.steps - step) as f64)
        );
        Ok(())
    }

    /// Opens the run's records, and starts the loader.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn open(self) -> anyhow::Result<Run<'a>> {
        let Self { recipe, folder, learner, progress, excerpts, held_out, processes } = self;
        let first = processes.is_first();
        let records = first.then(|| Records::open(&folder, &recipe, progress.step)).transpose()?;
        let accumulate = recipe.optimizer.accumulate;
        let batches = progress.step * accumulate..recipe.steps * accumulate;
        let loader = Loader::start(excerpts, batches, recipe.data.prefetch, recipe.data.threads)?;
        let bars = MultiProgress::new();
        if !first {
            bars.set_draw_target(ProgressDrawTarget::hidden());
        }
        Ok(Run { recipe, folder, learner, progress, loader, held_out, records, bars, processes })
    }
}

/// A run, ready to go on.
pub struct Run<'a> {
    recipe: Recipe,
    folder: PathBuf,
    learner: Learner,
    progress: Progress,
    loader: Loader,
    held_out: HeldOutSongs,
    /// Only the first process keeps them.
    records: Option<Records>,
    bars: MultiProgress,
    processes: &'a Processes,
}

impl Run<'_> {
    /// Trains to the end, until it gets no better, or for so many minutes.
    ///
    /// # Errors
    /// A step fails, or a checkpoint cannot be written; the last good state stays.
    pub fn go(mut self, minutes: Option<f64>) -> anyhow::Result<()> {
        let deadline = minutes.map(|m| Instant::now() + Duration::from_secs_f64(m.max(0.0) * 60.0));
        let steps = self.recipe.steps;
        self.say(&format!("{}: {} of {steps} steps done", self.folder.display(), self.progress.step));
        let bar = bar(steps, "{bar:30} {pos}/{len} steps, {eta} left, {msg}");
        let bar = self.bars.add(bar.with_position(self.progress.step));
        bar.reset_eta();
        while self.progress.step < steps && !self.is_enough() {
            let loss = self.step()?;
            let done = self.progress.step;
            bar.set_message(format!("loss {loss:.4}"));
            bar.set_position(done);
            let last = done == steps;
            // All have a deadline or none has.
            let late = deadline.is_some_and(|d| self.processes.any(Instant::now() >= d));
            if last || done.is_multiple_of(self.recipe.validation_steps()) {
                let text = self.validate()?;
                self.say(format!("after {done} steps\n{text}").trim_end());
            } else if late || done.is_multiple_of(self.recipe.checkpoint.every) {
                self.save()?;
            }
            if late && !last {
                self.say(&format!("stopped after {done} steps; --resume goes on"));
                break;
            }
        }
        bar.finish_and_clear();
        if self.is_enough() {
            self.say(&format!(
                "stopped after {} steps: no better validation in the last {}",
                self.progress.step, self.progress.since_best
            ));
        }
        self.say(&self.folder.join(BEST).display().to_string());
        Ok(())
    }

    /// Prints a line, once for all processes.
    fn say(&self, text: &str) {
        if self.processes.is_first() {
            self.bars.suspend(|| println!("{text}"));
        }
    }

    /// Whether the last validations have brought nothing better.
    fn is_enough(&self) -> bool {
        let patience = self.recipe.validation.patience;
        patience > 0 && self.progress.since_best >= patience
    }

    /// One optimiser step; returns its loss.
    fn step(&mut self) -> anyhow::Result<f32> {
        let step = self.progress.step;
        let begun = Instant::now();
        let (loader, mut waited, mut left_out) = (&self.loader, 0.0, Vec::new());
        let next = || {
            let asked = Instant::now();
            let mut batch = loader.next()?;
            waited += asked.elapsed().as_secs_f64();
            left_out.append(&mut batch.left_out);
            Ok(batch)
        };
        let learnt = self.learner.step(step, self.processes, next);
        let learnt = learnt.with_context(|| format!("step {step} failed"))?;
        for song in left_out {
            self.bars.suspend(|| eprintln!("left out from now on: {song}"));
            if let Some(records) = &mut self.records {
                records.left_out(step + 1, &song)?;
            }
        }
        self.progress.step = step + 1;
        let seconds = begun.elapsed().as_secs_f64();
        let audio = audio_seconds(&self.recipe, &self.learner) / seconds;
        if let Some(records) = &mut self.records {
            records.step(self.progress.step, &learnt, &Speed { seconds, waited, audio })?;
        }
        Ok(learnt.loss)
    }

    /// Scores the averaged weights on the held-out songs, and saves. Returns the results as text.
    fn validate(&mut self) -> anyhow::Result<String> {
        let begun = Instant::now();
        let (config, processes) = (&self.recipe.validation, self.processes);
        // Each song is gone through twice: for the loss, and by the separator.
        let length = 2 * self.held_out.songs.len().div_ceil(processes.count()) as u64;
        let bar = self.bars.add(bar(length, "{bar:30} {percent} % of the validation, {eta} left"));
        let checkpoint = self.checkpoint(Vec::new())?;
        let excerpts = (config.excerpts_per_song, self.recipe.data.batch / processes.count());
        let (learner, held_out) = (&self.learner, &self.held_out);
        let (device, network) = (&learner.device, checkpoint.network_on(&learner.device)?);
        let loss = held_out.loss(network.as_ref(), learner, excerpts, processes, &bar)?;
        let (report, heard) = held_out.measure(&checkpoint, device, processes, &bar)?;
        bar.finish_and_clear();
        let value = match config.monitor {
            Monitor::Sdr => report.separated.mean(),
            Monitor::Loss => loss.unwrap_or(f64::NAN),
        };
        let best = self.progress.judge(config.monitor, value);
        if let Some(records) = &mut self.records {
            let (heard, seconds) = (heard.as_ref(), begun.elapsed().as_secs_f64());
            let validation = Validation { report: &report, loss, heard, best, seconds };
            records.validation(&self.progress, &validation)?;
        }
        if best && processes.is_first() {
            self.write_best(&report)?;
        }
        self.save()?;
        let loss = loss.map_or(String::new(), |loss| format!("loss on held-out excerpts: {loss:.5}\n"));
        Ok(format!("{report}{loss}"))
    }

    fn write_best(&self, report: &Report) -> anyhow::Result<()> {
        let best = self.checkpoint(report.metrics(&self.held_out.name))?;
        Ok(best.write(&self.folder.join(BEST), self.recipe.checkpoint.precision.into())?)
    }

    /// Saves the state, and the averaged weights as a checkpoint.
    ///
    /// # Errors
    /// They cannot be written, or the processes' weights have drifted apart.
    fn save(&self) -> anyhow::Result<()> {
        ensure!(
            self.processes.agree(|| self.learner.checksum())?,
            "the processes' weights differ after {} steps; go on from the last state saved, which is good, with --resume",
            self.progress.step
        );
        if !self.processes.is_first() {
            return Ok(());
        }
        // The checkpoint first: after a failure the state still is the one to go on from.
        let last = self.folder.join(LAST);
        self.checkpoint(Vec::new())?.write(&last, self.recipe.checkpoint.precision.into())?;
        let Learner { parameters, optimizer, .. } = &self.learner;
        state::write(&self.folder.join(STATE), &self.progress, parameters, optimizer)
    }

    fn checkpoint(
        &self,
        metrics: Vec<engine::checkpoint::Metric>,
    ) -> anyhow::Result<engine::checkpoint::Checkpoint> {
        self.learner.checkpoint(self.progress.step, self.progress.initialised_from.as_deref(), metrics)
    }
}

/// Batches from which a dry run tells how fast data comes.
const MEASURED_BATCHES: u64 = 8;

const STATE: &str = "state.safetensors";
const BEST: &str = "best.safetensors";
const LAST: &str = "last.safetensors";

fn bar(length: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or(ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style)
}

/// Seconds of mixture in one step.
fn audio_seconds(recipe: &Recipe, learner: &Learner) -> f64 {
    let excerpts = recipe.data.batch as u64 * recipe.optimizer.accumulate;
    (excerpts * learner.window.input as u64) as f64 / f64::from(SAMPLE_RATE)
}

/// A time in words.
fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3_600.0),
    }
}
