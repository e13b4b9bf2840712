//! What can go wrong later, looked at before the first step: recipe, data, memory, disk.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use engine::STEMS;
use engine::device::card_memory;
use sysinfo::{Disks, System};

use super::learner::{Learner, SAMPLE_RATE};
use super::processes::Processes;
use super::recipe::{Recipe, Schedule, Source};
use super::validate::{HeldOutSong, HeldOutSongs};
use crate::memory;

/// Bytes of an f32.
const FLOAT: u64 = 4;

/// What is known before the first step, as a table.
pub struct Preflight {
    rows: Vec<(&'static str, String)>,
    warnings: Vec<String>,
}

impl Preflight {
    /// Looks at everything, and tries the network out on one excerpt. Nothing is written.
    ///
    /// # Errors
    /// The network cannot be trained; there is less memory or disk space than the run certainly needs.
    pub fn look(
        recipe: &Recipe,
        learner: &Learner,
        held_out: &HeldOutSongs,
        folder: &Path,
        processes: &Processes,
    ) -> anyhow::Result<Self> {
        let mut preflight = Self { rows: Vec::new(), warnings: Vec::new() };
        let share = recipe.data.batch / processes.count();
        if processes.count() > 1 {
            let shared = format!("{}, each with {share} excerpts of a batch", processes.count());
            preflight.rows.push(("processes", shared));
        }
        preflight.recipe(recipe, learner);
        preflight.data(recipe, held_out);
        preflight.memory(recipe, learner, held_out, processes)?;
        preflight.disk(recipe, learner, folder)?;
        Ok(preflight)
    }

    fn recipe(&mut self, recipe: &Recipe, learner: &Learner) {
        let optimizer = &recipe.optimizer;
        let (all, trained) = weights(learner);
        let frozen = if trained < all { format!(", {trained} of them trained") } else { String::new() };
        let window = learner.window;
        let network = format!(
            "{}, {all} weights{frozen}, window {} -> {} frames",
            recipe.architecture.name(),
            window.input,
            window.output
        );
        self.rows.push(("network", network));
        let seconds = window.input as f64 / f64::from(SAMPLE_RATE);
        let batches = match optimizer.accumulate {
            1 => String::new(),
            batches => format!("{batches} x "),
        };
        let epochs = match recipe.steps_per_epoch {
            0 => String::new(),
            steps => format!(" ({} epochs)", recipe.steps as f64 / steps as f64),
        };
        let steps =
            format!("{}{epochs} of {batches}{} excerpts of {seconds:.2} s", recipe.steps, recipe.data.batch);
        self.rows.push(("steps", steps));
        let rate = match optimizer.schedule {
            Schedule::Constant => format!("{:e}", optimizer.rate),
            Schedule::Cosine => format!("{:e} to {:e} along a cosine", optimizer.rate, optimizer.final_rate),
            Schedule::Cyclic => format!(
                "{:e} to {:e} along a cosine, {} times an epoch",
                optimizer.rate, optimizer.final_rate, optimizer.cycles_per_epoch
            ),
        };
        let terms: Vec<_> = recipe.loss.terms.iter().map(|term| term.kind.name()).collect();
        self.rows
            .push(("learning", format!("{} at {rate}, on {}", name(&optimizer.kind), terms.join(" + "))));
        if learner.window.output * 2 < learner.window.input {
            self.warnings.push(format!(
                "less than half of each excerpt is trained on ({} of {} frames): longer excerpts waste less",
                window.output, window.input
            ));
        }
    }

    fn data(&mut self, recipe: &Recipe, held_out: &HeldOutSongs) {
        let validation = &recipe.validation;
        let stop = match validation.patience {
            0 => String::new(),
            patience => format!(", stops after {patience} without a better {}", name(&validation.monitor)),
        };
        let every = recipe.validation_steps();
        self.rows.push(("validation", format!("every {every} steps on {}{stop}", held_out.name)));
        if every > recipe.steps && validation.patience > 0 {
            self.warnings.push("the run is over before its first validation but the last".into());
        }
        let frames: usize = held_out.songs.iter().map(HeldOutSong::frames).sum();
        let minutes = frames as f64 / f64::from(SAMPLE_RATE) / 60.0;
        self.rows.push(("held out", format!("{minutes:.1} min of music")));
        if frames == 0 {
            self.warnings
                .push("the held-out songs are empty: no validation will be better than another".into());
        }
    }

    /// What a process will need, with its share of each batch, is estimated from what it has already taken, the number
    /// of weights, the memory that one excerpt takes in a trial, and the songs that will be kept.
    fn memory(
        &mut self,
        recipe: &Recipe,
        learner: &Learner,
        held_out: &HeldOutSongs,
        processes: &Processes,
    ) -> anyhow::Result<()> {
        let (all, trained) = weights(learner);
        // Weights, their average and, in validation, a copy; gradients and two moments.
        let network = FLOAT * (3 * all + 3 * trained);
        let taken = memory::resident(&mut System::new()).unwrap_or(0);
        let batch = (recipe.data.batch / processes.count()) as u64;
        let one = self.try_out(learner, batch)?;
        let window = learner.window;
        let excerpt = FLOAT * 2 * (window.input + STEMS * window.output) as u64;
        let activations = one.max(excerpt) * batch;
        let waiting = excerpt * batch * (recipe.data.prefetch as u64 + 1);
        // In validation each thread has a song, what comes out of it, and what that is compared with.
        let longest = held_out.songs.iter().map(HeldOutSong::frames).max().unwrap_or(0);
        let validated = 3 * song_bytes(longest as u64) * rayon::current_num_threads() as u64;
        let songs = validated + waiting + recipe.data.source.iter().map(kept).sum::<u64>();
        let needed = taken + network + activations + songs;

        let (total, free) = machine_memory();
        let here = processes.count_here() as u64;
        let each = if here > 1 { format!(" for each of {here} processes") } else { String::new() };
        self.rows.push((
            "memory",
            format!(
                "about {}{each} ({} taken so far, {} network and optimiser, {} batch, {} songs); {} of {} free",
                size(needed),
                size(taken),
                size(network),
                size(activations),
                size(songs),
                size(free),
                size(total)
            ),
        ));
        ensure!(
            total == 0 || here * needed <= total,
            "training needs about {}{each} of memory and this machine has {}: lower `data.batch` (and raise \
             `optimizer.accumulate`), the excerpts' length or the network",
            size(needed),
            size(total)
        );
        if here * needed.saturating_sub(taken) > free && free > 0 {
            self.warnings.push("less memory is free than will be needed".into());
        }
        Ok(())
    }

    /// Tries the network out on one excerpt; returns the bytes of memory that this took on the host. What a card will
    /// need for a batch is told here.
    fn try_out(&mut self, learner: &Learner, batch: u64) -> anyhow::Result<u64> {
        let on_card = || card_memory(&learner.device);
        let before = on_card();
        let one = growth(|| learner.try_out()).context("the network cannot be trained")?;
        if let (Some((before, total)), Some((after, _))) = (before, on_card()) {
            let needed = before + after.saturating_sub(before) * batch;
            self.rows.push(("card", format!("about {} for a batch; it has {}", size(needed), size(total))));
            if needed > total {
                self.warnings.push("the card may have too little memory: lower `data.batch`".into());
            }
        }
        Ok(one)
    }

    fn disk(&mut self, recipe: &Recipe, learner: &Learner, folder: &Path) -> anyhow::Result<()> {
        let (all, trained) = weights(learner);
        let state = FLOAT * 2 * (all + trained);
        let checkpoint = all * recipe.checkpoint.precision.bytes();
        // A new file stands beside the old one before it takes its place.
        let checkpoints = 2 * state + 3 * checkpoint;
        let validations = recipe.steps / recipe.validation_steps() + 1;
        let config = &recipe.tensorboard;
        let shown = validations.checked_div(config.media_every).map_or(0, |times| times + 1);
        // 16-bit stereo for each stem; pictures are small against that.
        let sounds = shown * STEMS as u64 * (config.media_seconds * SAMPLE_RATE as f32) as u64 * 4;
        // A line in the log and its curves in the event file.
        let log = recipe.steps * 600;
        let needed = checkpoints + sounds + log;
        let free = free_space(folder);
        self.rows.push((
            "disk",
            format!(
                "about {} ({} checkpoints, {} TensorBoard and log); {} free at {}",
                size(needed),
                size(checkpoints),
                size(sounds + log),
                free.map_or("unknown".into(), size),
                folder.display()
            ),
        ));
        if let Some(free) = free {
            ensure!(
                checkpoints <= free,
                "checkpoints need about {} and {} has {} free: make room, or choose another disk with --runs",
                size(checkpoints),
                folder.display(),
                size(free)
            );
            if needed > free {
                self.warnings.push(
                    "the disk may be full before the run ends: `tensorboard.media_every` saves room".into(),
                );
            }
        }
        Ok(())
    }
}

impl std::fmt::Display for Preflight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, text) in &self.rows {
            writeln!(f, "{name:<12}{text}")?;
        }
        self.warnings.iter().try_for_each(|warning| writeln!(f, "note: {warning}"))
    }
}

/// Weights in all, and those that are trained.
fn weights(learner: &Learner) -> (u64, u64) {
    let count = |trained: bool| {
        let counted = learner.parameters.values().filter(|p| p.trained || !trained);
        counted.map(|p| p.var.elem_count() as u64).sum()
    };
    (count(false), count(true))
}

/// Bytes of songs that a source keeps in memory.
fn kept(source: &Source) -> u64 {
    match source {
        Source::Generated { seconds, songs, .. } => songs * song_bytes((seconds * SAMPLE_RATE as f32) as u64),
        Source::Folder { .. } | Source::StemMp4 { .. } => 0,
    }
}

/// Bytes of a song's stems.
fn song_bytes(frames: u64) -> u64 {
    frames * STEMS as u64 * 2 * FLOAT
}

/// The word that stands for a value in recipes.
fn name(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes.div_ceil(1_000)),
        1_000_000..1_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// Bytes of memory that the machine, or what confines us on it, has in all and free; 0 where it does not tell.
fn machine_memory() -> (u64, u64) {
    let Ok(mut system) = System::new() else { return (0, 0) };
    system.refresh_memory();
    let limit = system.cgroup_limits().map_or(u64::MAX, |limits| limits.total_memory);
    let total = system.total_memory().min(limit);
    (total, system.available_memory().min(total))
}

/// By how many bytes the process was larger during some work than before it; 0 where the machine does not tell.
fn growth(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<u64> {
    let mut system = System::new();
    rise(move || memory::resident(&mut system).unwrap_or(0), work)
}

/// How far a level rose above where it was, while some work was done.
fn rise(
    mut level: impl FnMut() -> u64 + Send,
    work: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let before = level();
    let (peak, done) = (AtomicU64::new(before), AtomicBool::new(false));
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                peak.fetch_max(level(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        result
    });
    result.map(|()| peak.load(Ordering::Relaxed).saturating_sub(before))
}

/// Free bytes where a folder is, or will be.
fn free_space(folder: &Path) -> Option<u64> {
    let absolute = std::path::absolute(folder).ok()?;
    let there: PathBuf = absolute.ancestors().find_map(|path| path.canonicalize().ok())?;
    let disks = Disks::new_with_refreshed_list().ok()?;
    let holding = disks.iter().filter(|disk| there.starts_with(disk.mount_point()));
    holding.max_by_key(|disk| disk.mount_point().as_os_str().len()).map(sysinfo::Disk::available_space)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_high_for_a_while_is_seen_and_then_kept() {
        // Not the process's own memory: what other tests give back meanwhile would be taken from it.
        let (level, looks) = (AtomicU64::new(7), AtomicU64::new(0));
        let look = || {
            looks.fetch_add(1, Ordering::SeqCst);
            level.load(Ordering::SeqCst)
        };
        let stay = |height| {
            level.store(height, Ordering::SeqCst);
            let now = looks.load(Ordering::SeqCst);
            // When the second look from now begins, the first, which began after the store, is done.
            while looks.load(Ordering::SeqCst) < now + 2 {
                std::thread::yield_now();
            }
        };
        let risen = rise(look, || {
            [40, 107, 3].into_iter().for_each(stay);
            Ok(())
        });
        assert_eq!(risen.unwrap(), 100);
    }

    #[test]
    fn the_memory_of_the_process_is_known() {
        let mut system = System::new();
        assert!(memory::resident(&mut system).unwrap() > 1_000_000);
    }

    #[test]
    fn free_space_is_found_for_folders_that_are_still_to_be_made() {
        let folder = tempfile::tempdir().unwrap();
        let free = free_space(&folder.path().join("not/yet"));
        // Some containers list no disks at all.
        assert!(free.is_none_or(|free| free > 0));
    }
}
