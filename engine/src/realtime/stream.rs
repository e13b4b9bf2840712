//! The audio thread's end: bounded work, no allocation, no lock, no system call.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rtrb::{Consumer, Producer, RingBuffer};

use super::control::{Control, Mark};
use super::declick::Declick;
use super::delay::DelayLine;
use super::worker::Worker;
use super::{Frame, LatencyBudget, Monitor, StemFrame};
use crate::audio::sanitise;
use crate::separator::at_rate;
use crate::{Error, Result, STEMS, Separator};

/// How much the input ring can hold for a worker that stands still, seconds.
const STALL_SECONDS: usize = 2;

/// How often the offline audio thread looks for the worker's frames.
const OFFLINE_POLL: Duration = Duration::from_micros(100);

/// How a stream is to run. Constant between two activations.
#[derive(Debug, Clone, Copy)]
pub struct StreamConfig {
    /// The host's rate, Hz.
    pub sample_rate: u32,
    /// The largest block that `process` will see, frames.
    pub max_block: usize,
    /// The audio thread waits for the worker (bouncing) instead of dropping out.
    pub offline: bool,
}

/// One block's worth of output, aligned to each other: all are `latency().total()` frames behind the input.
pub struct StreamBlock<'a> {
    /// The delayed input, bit for bit, after [`sanitise`].
    /// `[2][frames]`
    pub dry: [&'a [f32]; 2],
    /// The stems. `[STEMS][2][frames]`. They add up to `dry`, or are fading to silence in a dropout.
    pub stems: [[&'a [f32]; 2]; STEMS],
}

/// The audio thread's end of a running separator. Dropping it stops and joins the worker.
pub struct Stream {
    max_block: usize,
    offline: bool,
    latency: LatencyBudget,
    /// Frame k of the worker's output is due at k + lead.
    lead: u64,
    monitor: Arc<Monitor>,
    control: Arc<Control>,
    /// Taken only by `drop`.
    worker: Option<JoinHandle<()>>,
    input: Producer<Frame>,
    output: Consumer<StemFrame>,
    clock: Clock,
    delay: DelayLine,
    declick: Declick,
    /// The worker was late and has not been in time since.
    late: bool,
    /// `[max_block]`, the input after sanitising.
    block: Vec<Frame>,
    /// `[2][max_block]`
    dry: [Vec<f32>; 2],
    /// `[STEMS][2][max_block]`
    stems: [[Vec<f32>; 2]; STEMS],
}

/// Where the stream is, in frames.
#[derive(Default)]
struct Clock {
    /// Through either ring since the start.
    pushed: u64,
    popped: u64,
    /// Of input since the generation's start.
    elapsed: u64,
    generation: u16,
    /// In the output ring's count, the generation's first frame; unknown until the worker acknowledges.
    origin: Option<u64>,
    /// The input ring has overflowed: nothing is pushed until the worker acknowledges the new generation.
    stalled: bool,
    /// The generation follows an overflow, so the silence before its first frame is a dropout.
    after_overflow: bool,
}

impl Stream {
    /// Starts the worker and allocates everything. Not for the audio thread.
    ///
    /// # Errors
    /// The rate cannot be resampled to the model's, or no thread can be started.
    pub fn start(separator: Box<dyn Separator>, config: StreamConfig) -> Result<Self> {
        let host = at_rate(separator, config.sample_rate)?;
        let spec = host.separator.spec();
        let too_large = || Error::Unsupported(format!("a latency that no host can handle: {spec:?}"));
        if spec.hop == 0 || spec.sample_rate == 0 {
            return Err(Error::Unsupported(format!("a separator without hop or sample rate: {spec:?}")));
        }
        let max_block = config.max_block.max(1);
        let latency = LatencyBudget::new(&host, max_block).ok_or_else(too_large)?;
        let (separator, slack) = (host.separator, latency.slack as usize);

        let flight = spec.hop + slack + max_block;
        let (input, worker_input) = ring(STALL_SECONDS * spec.sample_rate as usize + 4 * flight);
        let (worker_output, output) = ring(spec.sample_rate as usize / 4 + 4 * flight);
        let monitor = Arc::new(Monitor::default());
        monitor.latency_frames.store(latency.total(), Ordering::Relaxed);
        monitor.on_card.store(separator.is_on_card(), Ordering::Relaxed);
        let control = Arc::new(Control::default());
        let worker = Worker::new(
            separator,
            slack,
            !config.offline,
            worker_input,
            worker_output,
            control.clone(),
            monitor.clone(),
        );
        let worker = thread::Builder::new()
            .name("tributary-worker".into())
            .spawn(move || worker.run())
            .map_err(|e| Error::Unsupported(format!("cannot start the separation thread: {e}")))?;

        Ok(Self {
            max_block,
            offline: config.offline,
            lead: (spec.hop + slack) as u64,
            latency,
            monitor,
            control,
            worker: Some(worker),
            input,
            output,
            clock: Clock { origin: Some(0), ..Clock::default() },
            delay: DelayLine::new(latency.total() as usize),
            declick: Declick::new(config.sample_rate),
            late: false,
            block: vec![[0.0; 2]; max_block],
            dry: std::array::from_fn(|_| vec![0.0; max_block]),
            stems: std::array::from_fn(|_| std::array::from_fn(|_| vec![0.0; max_block])),
        })
    }

    /// The latency, part by part.
    pub fn latency(&self) -> LatencyBudget {
        self.latency
    }

    /// Shared with the editor.
    pub fn monitor(&self) -> Arc<Monitor> {
        self.monitor.clone()
    }

    /// One block of at most `max_block` frames; of a longer one, or of channels of different lengths, only what
    /// fits is processed. No allocation, lock, system call or panic, except that it waits for the worker
    /// when offline.
    pub fn process(&mut self, input: [&[f32]; 2]) -> StreamBlock<'_> {
        let frames = input[0].len().min(input[1].len()).min(self.max_block);
        debug_assert!(input[0].len() == frames && input[1].len() == frames, "the host broke its promise");
        for (i, (&left, &right)) in input[0].iter().zip(input[1]).take(frames).enumerate() {
            self.block[i] = [sanitise(left), sanitise(right)];
            let delayed = self.delay.push(self.block[i]);
            self.dry.iter_mut().zip(delayed).for_each(|(channel, sample)| channel[i] = sample);
        }
        let alive = !self.monitor.failed.load(Ordering::Acquire);
        if alive && self.send(frames) {
            self.receive(frames);
            self.clock.elapsed += frames as u64;
        } else {
            self.play_missing(0..frames);
        }
        StreamBlock {
            dry: self.dry.each_ref().map(|c| &c[..frames]),
            stems: self.stems.each_ref().map(|stem| stem.each_ref().map(|c| &c[..frames])),
        }
    }

    /// Forgets all audio, for a transport jump. Callable on the audio thread.
    pub fn reset(&mut self) {
        self.delay.clear();
        self.declick.reset();
        self.late = false;
        self.begin_generation();
        self.clock.stalled = false;
        self.clock.after_overflow = false;
        if self.offline {
            self.wait(Self::acknowledged);
        }
    }

    /// Pushes the block to the worker. False: the worker is stalled, and this block is lost to it.
    fn send(&mut self, frames: usize) -> bool {
        if self.clock.stalled {
            if !self.acknowledged() {
                return false;
            }
            self.clock.stalled = false;
        }
        if self.offline {
            self.wait(|stream| stream.input.slots() >= frames);
        }
        if self.input.push_entire_slice(&self.block[..frames]).is_ok() {
            self.clock.pushed += frames as u64;
            return true;
        }
        self.begin_generation();
        self.clock.stalled = true;
        self.clock.after_overflow = true;
        false
    }

    fn begin_generation(&mut self) {
        let generation = self.clock.generation.wrapping_add(1);
        self.clock.generation = generation;
        self.clock.origin = None;
        self.clock.elapsed = 0;
        self.control.request(Mark { generation, frames: self.clock.pushed });
    }

    /// Whether the worker has begun the current generation.
    fn acknowledged(&mut self) -> bool {
        if self.clock.origin.is_none() {
            let mark = self.control.acknowledged();
            self.clock.origin = (mark.generation == self.clock.generation).then_some(mark.frames);
        }
        self.clock.origin.is_some()
    }

    /// Plays the stem frames that are due in this block, and throws away those that were due before.
    fn receive(&mut self, frames: usize) {
        let before_first = u64::from(self.latency.total()).saturating_sub(self.clock.elapsed);
        let silent = frames.min(before_first as usize);
        if self.clock.after_overflow {
            self.play_missing(0..silent);
        } else {
            self.stems.iter_mut().flatten().for_each(|c| c[..silent].fill(0.0));
        }

        let first = (self.clock.elapsed + silent as u64).saturating_sub(self.lead);
        let wanted = frames - silent;
        if self.offline {
            self.wait(|stream| {
                stream.acknowledged() && stream.discard_until(first) && stream.output.slots() >= wanted
            });
        }
        let mut played = 0;
        if self.acknowledged() && self.discard_until(first) {
            played = wanted.min(self.output.slots());
            self.play(silent, played);
        }
        self.play_missing(silent + played..frames);
    }

    /// Throws away this generation's frames before `first`. False while some of them are still to come.
    fn discard_until(&mut self, first: u64) -> bool {
        let Some(origin) = self.clock.origin else { return false };
        let owed = (origin + first).saturating_sub(self.clock.popped);
        let there = owed.min(self.output.slots() as u64);
        if let Ok(chunk) = self.output.read_chunk(there as usize) {
            chunk.commit_all();
            self.clock.popped += there;
        }
        there == owed
    }

    /// Plays `count` frames of the output ring, all of which are there, from frame `at` of the block.
    fn play(&mut self, at: usize, count: usize) {
        if count == 0 {
            return;
        }
        self.late = false;
        let Ok(chunk) = self.output.read_chunk(count) else { return };
        let (first, second) = chunk.as_slices();
        for (i, &frame) in first.iter().chain(second).enumerate() {
            let frame = self.declick.present(frame);
            write(&mut self.stems, at + i, &frame);
        }
        chunk.commit_all();
        self.clock.popped += count as u64;
    }

    /// Fades to silence over this part of the block, and counts it.
    fn play_missing(&mut self, part: std::ops::Range<usize>) {
        if part.is_empty() {
            return;
        }
        self.monitor.missing_frames.fetch_add(part.len() as u64, Ordering::Relaxed);
        if !self.late {
            self.late = true;
            self.monitor.dropouts.fetch_add(1, Ordering::Relaxed);
        }
        for i in part {
            let frame = self.declick.missing();
            write(&mut self.stems, i, &frame);
        }
    }

    /// Offline only: waits until `ready`, or until the worker is dead.
    #[expect(clippy::disallowed_methods, reason = "only offline, where waiting is what is asked for")]
    fn wait(&mut self, mut ready: impl FnMut(&mut Self) -> bool) {
        while !ready(self) {
            let Some(worker) = self.worker.as_ref().filter(|worker| !worker.is_finished()) else { return };
            worker.thread().unpark();
            thread::sleep(OFFLINE_POLL);
        }
    }
}

impl Drop for Stream {
    #[expect(clippy::disallowed_methods, reason = "streams end on the host's main thread")]
    fn drop(&mut self) {
        self.control.stop();
        if let Some(worker) = self.worker.take() {
            worker.thread().unpark();
            // It catches its own panics.
            let _ = worker.join();
        }
    }
}

fn write(stems: &mut [[Vec<f32>; 2]; STEMS], at: usize, frame: &StemFrame) {
    for (stem, samples) in stems.iter_mut().zip(frame) {
        for (channel, &sample) in stem.iter_mut().zip(samples) {
            channel[at] = sample;
        }
    }
}

/// A ring whose memory has been touched, so that the audio thread meets no page fault in it.
fn ring<T: Copy + Default>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let (mut producer, mut consumer) = RingBuffer::new(capacity);
    if let Ok(chunk) = producer.write_chunk(capacity) {
        chunk.commit_all();
    }
    if let Ok(chunk) = consumer.read_chunk(capacity) {
        chunk.commit_all();
    }
    (producer, consumer)
}
