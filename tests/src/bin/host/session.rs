//! A song on an audio thread of its own, or on several at once, while the main thread shows how far it is.

use std::cell::UnsafeCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow};
use engine::audio::AudioBuffer;
use indicatif::{ProgressBar, ProgressStyle};
use tests::play::{Take, has_stems, padded};
use tests::plugin::{Plugin, Setup};

use crate::time::{Whose, become_audio_thread, machine_seconds, processor_seconds};

/// How time passes for the plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As fast as it goes.
    Offline,
    /// A block is due when a sound card would have recorded it, and late when the next one is.
    SoundCard {
        /// The audio thread makes no system call, and the plugin on it must not either.
        guarded: bool,
    },
}

/// How the song went.
pub struct Played {
    /// Everything, from the first frame on.
    pub take: Take,
    /// As reported by the plugin, frames.
    pub latency: usize,
    /// How long each `process` call took.
    pub calls: Vec<Duration>,
    /// Calls that ended after the next block was due. None offline.
    pub late_calls: usize,
    /// From the first block to the last, seconds.
    pub wall_seconds: f64,
    /// Processor time of the audio thread; `None` where the system does not say.
    thread_seconds: Option<f64>,
    /// The plugin's name.
    pub plugin: String,
}

/// A plugin that is ready, with the memory for its whole song.
pub struct Session {
    plugin: Box<dyn Plugin>,
    setup: Setup,
    /// The song and silence for the tail.
    input: AudioBuffer,
    played: Played,
    failure: Option<Error>,
}

impl Session {
    /// Activates the plugin.
    ///
    /// # Errors
    /// It refuses.
    pub fn new(mut plugin: Box<dyn Plugin>, setup: Setup, song: &AudioBuffer) -> Result<Self> {
        plugin.activate(setup)?;
        let latency = plugin.latency()?;
        let input = padded(song, latency);
        let outputs = plugin.outputs()?;
        let main = outputs.first().context("the plugin has no output")?;
        let stems = has_stems(&*plugin, setup.wiring.connected(outputs.len()))?;
        let played = Played {
            take: Take::new(main.channels, stems, input.frames()),
            latency,
            calls: Vec::with_capacity(input.frames().div_ceil(setup.largest_block)),
            late_calls: 0,
            wall_seconds: 0.0,
            thread_seconds: None,
            plugin: plugin.name().to_owned(),
        };
        Ok(Self { plugin, setup, input, played, failure: None })
    }

    fn take_result(&mut self) -> Result<Played> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let shape = Take { main: AudioBuffer::default(), stems: None };
        Ok(Played {
            take: std::mem::replace(&mut self.played.take, shape),
            calls: std::mem::take(&mut self.played.calls),
            plugin: std::mem::take(&mut self.played.plugin),
            ..self.played
        })
    }

    /// On the audio thread. In a guarded session nothing here allocates or calls the system, but for errors.
    fn run(&mut self, pace: Pace, start: Instant, done: &AtomicUsize) -> Result<()> {
        match pace {
            Pace::Offline => {}
            Pace::SoundCard { guarded: true } => forbid_system_calls()?,
            Pace::SoundCard { guarded: false } => become_audio_thread(),
        }
        let frames = self.input.frames();
        let thread_before = processor_seconds(Whose::Thread);
        let begun = Instant::now();
        let mut position = 0;
        let mut block: [&[f32]; 2] = [&[]; 2];
        while position < frames {
            let end = frames.min(position + self.setup.largest_block);
            for (slice, channel) in block.iter_mut().zip(self.input.iter()) {
                *slice = &channel[position..end];
            }
            let due = start + duration(end, self.setup.sample_rate);
            if let Pace::SoundCard { guarded } = pace {
                wait_until(due, guarded);
            }
            let before = Instant::now();
            self.plugin.process(&block[..self.input.channels()])?;
            let after = Instant::now();
            self.played.take.record(&*self.plugin, position);
            self.played.calls.push(after - before);
            let next_due = due + duration(end - position, self.setup.sample_rate);
            self.played.late_calls += usize::from(pace != Pace::Offline && after > next_due);
            position = end;
            done.store(position, Ordering::Relaxed);
        }
        self.played.wall_seconds = begun.elapsed().as_secs_f64();
        self.played.thread_seconds = elapsed(Whose::Thread, thread_before);
        Ok(())
    }
}

/// Processor time since `before`, seconds.
fn elapsed(whose: Whose, before: Option<f64>) -> Option<f64> {
    Some(processor_seconds(whose)? - before?)
}

/// How it went for all.
pub struct Concert {
    /// In the order of the sessions.
    pub played: Vec<Played>,
    /// Processor time of the plugins' threads and of their `process` calls; `None` where the system does not say.
    pub plugin_seconds: Option<f64>,
    /// How many cores were not ours, because other programs or other machines used them; `None` where the system
    /// does not say.
    pub others_cores: Option<f64>,
}

/// Plays each session's song and tail on an audio thread of its own, all at once. Their blocks are due at the
/// same moments, as in a workstation with one sound card.
///
/// # Errors
/// A plugin reports one, or breaks a rule.
pub fn play(sessions: Vec<Session>, pace: Pace) -> Result<Concert> {
    let first = sessions.first().context("nothing to play")?;
    let (frames, sample_rate) = (first.input.frames(), first.setup.sample_rate as usize);
    let program_before = processor_seconds(Whose::Program);
    let (machine_before, before) = (machine_seconds(), Instant::now());
    // Time for all threads to begin.
    let start = Instant::now() + Duration::from_millis(5);
    let mut stages = Vec::new();
    let mut threads = Vec::new();
    for session in sessions {
        let stage = Arc::new(Stage {
            session: UnsafeCell::new(session),
            frames: AtomicUsize::new(0),
            finished: AtomicBool::new(false),
        });
        stages.push(Arc::clone(&stage));
        let thread = thread::Builder::new().name("audio".to_owned()).spawn(move || stage.play(pace, start));
        threads.push(thread.context("cannot start an audio thread")?);
    }
    let bar = progress_bar(frames / sample_rate);
    let plays = |(stage, thread): (&Arc<Stage>, &thread::JoinHandle<()>)| {
        !stage.finished.load(Ordering::Acquire) && !thread.is_finished()
    };
    while stages.iter().zip(&threads).any(plays) {
        let done = stages.iter().map(|stage| stage.frames.load(Ordering::Relaxed)).min().unwrap_or(0);
        bar.set_position((done / sample_rate) as u64);
        thread::sleep(Duration::from_millis(30));
    }
    bar.finish_and_clear();
    if pace != (Pace::SoundCard { guarded: true }) {
        for thread in threads {
            thread.join().map_err(|_| anyhow!("an audio thread panicked"))?;
        }
    }
    let program = elapsed(Whose::Program, program_before);
    let seconds = before.elapsed().as_secs_f64();
    let machine = machine_seconds().zip(machine_before).map(|(now, before)| now - before);
    let others_cores = machine.zip(program).map(|(all, ours)| ((all - ours) / seconds).max(0.0));
    let played: Result<Vec<Played>> = stages
        .iter()
        .map(|stage| {
            anyhow::ensure!(stage.finished.load(Ordering::Acquire), "an audio thread ended early");
            // SAFETY: the audio thread has ended, or, if guarded, does not touch the session after `finished`.
            unsafe { &mut *stage.session.get() }.take_result()
        })
        .collect();
    let played = played?;
    // The audio threads' own time is mostly waiting for the next block: only their calls count.
    let waiting = |played: &Played| {
        let calls: f64 = played.calls.iter().map(Duration::as_secs_f64).sum();
        Some((played.thread_seconds? - calls).max(0.0))
    };
    let waiting: Option<f64> = played.iter().map(waiting).sum();
    let plugin_seconds = program.zip(waiting).map(|(all, waiting)| all - waiting);
    Ok(Concert { played, plugin_seconds, others_cores })
}

/// What both threads see.
struct Stage {
    /// The audio thread's until `finished` is set, the main thread's after that.
    session: UnsafeCell<Session>,
    /// How much has been played.
    frames: AtomicUsize,
    finished: AtomicBool,
}

// SAFETY: `session` is used by one thread at a time, see there. A plugin may be processed on any one thread.
unsafe impl Send for Stage {}
// SAFETY: as above.
unsafe impl Sync for Stage {}

impl Stage {
    fn play(&self, pace: Pace, start: Instant) {
        // SAFETY: the main thread waits for `finished`.
        let session = unsafe { &mut *self.session.get() };
        session.failure = session.run(pace, start, &self.frames).err();
        self.finished.store(true, Ordering::Release);
        if pace == (Pace::SoundCard { guarded: true }) {
            // Ending a thread takes system calls; the program's end will end this one.
            loop {
                std::hint::spin_loop();
            }
        }
    }
}

/// How long so many frames last.
fn duration(frames: usize, sample_rate: u32) -> Duration {
    Duration::from_secs_f64(frames as f64 / f64::from(sample_rate))
}

/// Sleeping is inexact and a system call, spinning takes a core; so both, or spinning alone. Little of it, because
/// there may be several audio threads, and the plugins need the cores.
fn wait_until(due: Instant, guarded: bool) {
    const SPIN: Duration = Duration::from_micros(50);
    if !guarded && let Some(left) = due.checked_duration_since(Instant::now() + SPIN) {
        thread::sleep(left);
    }
    while Instant::now() < due {
        std::hint::spin_loop();
    }
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
fn forbid_system_calls() -> Result<()> {
    tests::syscalls::forbid_on_this_thread()
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
fn forbid_system_calls() -> Result<()> {
    anyhow::bail!("system calls can only be forbidden on Linux, x86-64 and ARM64")
}

fn progress_bar(seconds: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} s, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(seconds as u64).with_style(style)
}
