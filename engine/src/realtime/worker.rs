//! The worker thread: takes hops from the input ring, separates them, puts the stems into the output ring.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use rtrb::{Consumer, Producer};

use super::control::{Control, Mark};
use super::{FlushDenormals, Frame, Monitor, StemFrame, priority};
use crate::audio::AudioBuffer;
use crate::{STEMS, Separator};

/// A separator that fails this often in a row has failed for good.
const MAX_ERRORS_IN_A_ROW: u32 = 3;

/// The monitor's load follows the measured one with this time constant, seconds.
const LOAD_SMOOTHING: f32 = 1.0;

/// Without input for this long, the worker looks for it less often.
const IDLE_AFTER: Duration = Duration::from_millis(200);

/// Everything the worker thread owns.
pub(super) struct Worker {
    separator: Box<dyn Separator>,
    input: Consumer<Frame>,
    output: Producer<StemFrame>,
    control: Arc<Control>,
    monitor: Arc<Monitor>,
    mixture: AudioBuffer,
    stems: [AudioBuffer; STEMS],
    /// One hop in the output ring's layout.
    frames: Vec<StemFrame>,
    hop: usize,
    hop_seconds: f32,
    /// Pauses between two looks into the ring. The audio thread never wakes us: that would be a system call.
    poll: Duration,
    idle_poll: Duration,
    /// Enough to run everything that a separator may do only every few hops.
    warm_up_hops: usize,
    generation: u16,
    /// Frames through either ring since the start.
    consumed: u64,
    produced: u64,
    errors_in_a_row: u32,
}

impl Worker {
    /// `slack` (frames) bounds how long the worker may sleep through fresh input.
    /// With `warm_up` the separator is run and reset once before the first input.
    pub fn new(
        separator: Box<dyn Separator>,
        slack: usize,
        warm_up: bool,
        input: Consumer<Frame>,
        output: Producer<StemFrame>,
        control: Arc<Control>,
        monitor: Arc<Monitor>,
    ) -> Self {
        let spec = separator.spec();
        let seconds = |frames: usize| frames as f32 / spec.sample_rate as f32;
        // A small part of the time that the worker has; looking more often would only warm the machine.
        let poll = (seconds(slack) / 16.0).clamp(0.25e-3, 2e-3);
        Self {
            separator,
            input,
            output,
            control,
            monitor,
            mixture: AudioBuffer::new(2, spec.hop),
            stems: std::array::from_fn(|_| AudioBuffer::new(2, spec.hop)),
            frames: vec![[[0.0; 2]; STEMS]; spec.hop],
            hop: spec.hop,
            hop_seconds: seconds(spec.hop),
            poll: Duration::from_secs_f32(poll),
            idle_poll: Duration::from_secs_f32((seconds(slack) / 4.0).min(10e-3).max(poll)),
            warm_up_hops: if warm_up { slack.div_ceil(spec.hop) + 1 } else { 0 },
            generation: 0,
            consumed: 0,
            produced: 0,
            errors_in_a_row: 0,
        }
    }

    /// The thread's body. Returns when stopped or when the separator has failed for good.
    pub fn run(mut self) {
        let _flush = FlushDenormals::new();
        priority::raise();
        // Whatever is broken after a panic is never touched again: the thread ends.
        let survived = catch_unwind(AssertUnwindSafe(|| self.work()));
        if survived.is_err() {
            self.monitor.failed.store(true, Ordering::Release);
        }
        // A separator that has panicked may do so again when it is dropped.
        let _ = catch_unwind(AssertUnwindSafe(move || drop(self)));
    }

    fn work(&mut self) {
        self.warm_up();
        let mut last_hop = Instant::now();
        while !self.control.stopped() {
            // Before the request is read: a hop that is whole now was pushed before any request we do not see.
            let hop_is_there = self.input.slots() >= self.hop;
            let request = self.control.requested();
            if request.generation != self.generation {
                self.restart(request);
            } else if hop_is_there && self.output.slots() >= self.hop {
                self.step();
                if self.errors_in_a_row >= MAX_ERRORS_IN_A_ROW {
                    self.monitor.failed.store(true, Ordering::Release);
                    return;
                }
                last_hop = Instant::now();
            } else {
                let idle = last_hop.elapsed() > IDLE_AFTER;
                pause(if idle { self.idle_poll } else { self.poll });
            }
        }
    }

    /// The first run is slower than others (page faults, caches, threads): it should not be a listener's.
    fn warm_up(&mut self) {
        for channel in self.mixture.iter_mut() {
            channel.iter_mut().step_by(7).for_each(|sample| *sample = 1e-3);
        }
        for _ in 0..self.warm_up_hops {
            if self.control.stopped() {
                return;
            }
            // An error that matters will come again.
            let _ = self.separator.process(&self.mixture, &mut self.stems);
        }
        self.separator.reset();
    }

    fn restart(&mut self, request: Mark) {
        let stale = request.frames.saturating_sub(self.consumed) as usize;
        // All of it is there: it was pushed before the request was made.
        if let Ok(chunk) = self.input.read_chunk(stale) {
            chunk.commit_all();
        }
        self.consumed += stale as u64;
        self.separator.reset();
        self.errors_in_a_row = 0;
        self.generation = request.generation;
        self.control.acknowledge(Mark { generation: self.generation, frames: self.produced });
    }

    fn step(&mut self) {
        let started = Instant::now();
        let Ok(chunk) = self.input.read_chunk(self.hop) else { return };
        let (first, second) = chunk.as_slices();
        for c in 0..2 {
            let frames = first.iter().chain(second);
            self.mixture.channel_mut(c).iter_mut().zip(frames).for_each(|(sample, frame)| *sample = frame[c]);
        }
        chunk.commit_all();
        self.consumed += self.hop as u64;

        let done = self.separator.process(&self.mixture, &mut self.stems);
        self.monitor.on_card.store(self.separator.is_on_card(), Ordering::Relaxed);
        if done.is_ok() && self.stems.iter().flat_map(AudioBuffer::iter).flatten().all(|x| x.is_finite()) {
            self.errors_in_a_row = 0;
        } else {
            self.errors_in_a_row += 1;
            self.stems.iter_mut().for_each(AudioBuffer::clear);
            self.separator.reset();
        }

        for (stem, audio) in self.stems.iter().enumerate() {
            for (c, samples) in audio.iter().enumerate() {
                self.frames.iter_mut().zip(samples).for_each(|(frame, &sample)| frame[stem][c] = sample);
            }
        }
        if self.output.push_entire_slice(&self.frames).is_ok() {
            self.produced += self.hop as u64;
        }
        self.measure(started.elapsed().as_secs_f32() / self.hop_seconds);
    }

    fn measure(&self, load: f32) {
        let weight = (self.hop_seconds / LOAD_SMOOTHING).min(1.0);
        let before = self.monitor.load.load(Ordering::Relaxed);
        let smoothed = if before == 0.0 { load } else { before + weight * (load - before) };
        self.monitor.load.store(smoothed, Ordering::Relaxed);
    }
}

/// Until woken, or for a time. Windows wakes parked threads on clock ticks only, up to 15.6 ms apart, which is more
/// than a hop; sleeping ones on time. There, the worker ends and renders a pause later.
#[expect(clippy::disallowed_methods, reason = "the worker's own thread")]
fn pause(time: Duration) {
    if cfg!(windows) {
        thread::sleep(time);
    } else {
        thread::park_timeout(time);
    }
}
