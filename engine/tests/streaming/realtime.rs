//! The stream: alignment, dropouts, restarts, failures.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use engine::STEMS;
use engine::audio::INPUT_LIMIT;
use engine::realtime::{Stream, StreamConfig};

use crate::support::{Noise, SHARES, Splitter};

const RATE: u32 = 48_000;

/// What came out of a stream: `dry[2][frames]`, `stems[STEMS][2][frames]`.
#[derive(Default, PartialEq, Clone)]
struct Recording {
    dry: [Vec<f32>; 2],
    stems: [[Vec<f32>; 2]; STEMS],
}

impl Recording {
    /// Plays `input[from..to]` in blocks whose sizes `block` says, and records the output.
    fn play(
        &mut self,
        stream: &mut Stream,
        input: &[Vec<f32>; 2],
        range: std::ops::Range<usize>,
        mut block: impl FnMut() -> usize,
    ) {
        let mut at = range.start;
        while at < range.end {
            let n = block().min(range.end - at);
            let out = stream.process([&input[0][at..at + n], &input[1][at..at + n]]);
            assert_eq!(out.dry[0].len(), n);
            for c in 0..2 {
                self.dry[c].extend_from_slice(out.dry[c]);
                (0..STEMS).for_each(|s| self.stems[s][c].extend_from_slice(out.stems[s][c]));
            }
            at += n;
        }
    }

    fn len(&self) -> usize {
        self.dry[0].len()
    }

    /// The largest step between neighbouring samples of any stem from frame `from` on.
    fn largest_jump(&self, from: usize) -> f32 {
        let jumps = |c: &Vec<f32>| c[from..].windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
        self.stems.iter().flatten().map(jumps).fold(0.0, f32::max)
    }
}

fn start(hop: usize, latency: usize, max_block: usize, offline: bool) -> Stream {
    let (separator, _) = Splitter::boxed(RATE, hop, latency);
    Stream::start(separator, StreamConfig { sample_rate: RATE, max_block, offline }).expect("starts")
}

/// Plays at about the pace of a sound card, `speed` times faster.
fn play_paced(
    recording: &mut Recording,
    stream: &mut Stream,
    input: &[Vec<f32>; 2],
    range: std::ops::Range<usize>,
    block: usize,
    speed: f64,
) {
    let begun = Instant::now();
    let first = range.start;
    for at in range.clone().step_by(block) {
        let due = Duration::from_secs_f64((at - first) as f64 / f64::from(RATE) / speed);
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        recording.play(stream, input, at..(at + block).min(range.end), || block);
    }
}

/// The frame of the output must be the delayed input's, in every stem.
fn assert_aligned(out: &Recording, input: &[Vec<f32>; 2], delay: usize, range: std::ops::Range<usize>) {
    for n in range {
        for c in 0..2 {
            let expected = n.checked_sub(delay).map_or(0.0, |k| input[c][k]);
            assert_eq!(out.dry[c][n], expected, "dry, frame {n}");
            for (stem, share) in out.stems.iter().zip(SHARES) {
                assert_eq!(stem[c][n], share * expected, "frame {n}");
            }
        }
    }
}

/// Plays on, at half speed, until a stretch without dropouts, which must be aligned exactly.
/// A busy machine may stop this test for longer than the slack; hence more than one attempt.
fn assert_comes_back_aligned(mut out: Recording, stream: &mut Stream, input: &[Vec<f32>; 2], delay: usize) {
    const STRETCH: usize = 5_000;
    const FADES: usize = 500;
    let dropouts = |stream: &Stream| stream.monitor().dropouts.load(Ordering::Relaxed);
    let first = out.len();
    play_paced(&mut out, stream, input, first..first + STRETCH, 64, 0.5);
    while out.len() + STRETCH <= input[0].len() {
        let (from, before) = (out.len(), dropouts(stream));
        play_paced(&mut out, stream, input, from..from + STRETCH, 64, 0.5);
        let heard = out.stems[1][0][from + FADES..].iter().any(|&x| x != 0.0);
        if heard && dropouts(stream) == before {
            return assert_aligned(&out, input, delay, from + FADES..from + STRETCH);
        }
    }
    panic!("no stretch of {STRETCH} frames without a dropout");
}

#[test]
fn every_stem_frame_comes_exactly_the_reported_latency_after_its_input_whatever_the_block_sizes() {
    for (hop, latency) in [(64, 0), (256, 100), (500, 1_777), (1_024, 1_024)] {
        for block in [1, 7, 32, 64, 512, 2_048] {
            let mut stream = start(hop, latency, block, true);
            let budget = stream.latency();
            assert_eq!((budget.hop as usize, budget.separator as usize), (hop, latency));
            assert_eq!(budget.slack as usize, hop.max(block));
            assert_eq!(stream.monitor().latency_frames.load(Ordering::Relaxed), budget.total());
            let total = budget.total() as usize;
            let input = Noise::new(block as u64).stereo(total + 3 * hop + 2 * block + 11);
            let mut out = Recording::default();
            out.play(&mut stream, &input, 0..input[0].len(), || block);
            assert_aligned(&out, &input, total, 0..out.len());
            assert_eq!(stream.monitor().dropouts.load(Ordering::Relaxed), 0);
        }
    }
}

#[test]
fn block_sizes_may_change_with_every_block_and_be_zero() {
    let mut stream = start(300, 123, 700, true);
    let input = Noise::new(5).stereo(20_000);
    let (mut out, mut sizes) = (Recording::default(), Noise::new(6));
    out.play(&mut stream, &input, 0..20_000, || sizes.size(700));
    assert_aligned(&out, &input, stream.latency().total() as usize, 0..20_000);
}

#[test]
fn a_worker_in_time_gives_a_complete_real_time_stream() {
    let mut stream = start(256, 300, 512, false);
    let input = Noise::new(7).stereo(2 * RATE as usize);
    let total = stream.latency().total() as usize;
    assert_comes_back_aligned(Recording::default(), &mut stream, &input, total);
    let load = stream.monitor().load.load(Ordering::Relaxed);
    assert!(load > 0.0 && load < 1.0, "load {load}");
}

#[test]
fn offline_mode_gives_the_same_bits_twice_also_after_a_reset_and_however_slow_the_worker_is() {
    let input = Noise::new(8).stereo(15_000);
    let run = |hop_micros: u64| {
        let (separator, knobs) = Splitter::boxed(RATE, 512, 77);
        knobs.hop_micros.store(hop_micros, Ordering::SeqCst);
        let config = StreamConfig { sample_rate: RATE, max_block: 333, offline: true };
        let mut stream = Stream::start(separator, config).expect("starts");
        let mut out = Recording::default();
        out.play(&mut stream, &input, 0..5_000, || 333);
        stream.reset();
        out.play(&mut stream, &input, 5_000..15_000, || 200);
        assert_eq!(stream.monitor().dropouts.load(Ordering::Relaxed), 0);
        out
    };
    let (fast, slow) = (run(0), run(20_000));
    assert!(fast == slow);
    // After the reset it is a new stream: nothing of the time before is left.
    let total = 512 + 512 + 77;
    let shifted = Recording {
        dry: fast.dry.map(|c| c[5_000..].to_vec()),
        stems: fast.stems.map(|stem| stem.map(|c| c[5_000..].to_vec())),
    };
    assert_aligned(&shifted, &input.map(|c| c[5_000..].to_vec()), total, 0..10_000);
}

#[test]
fn a_late_worker_fades_the_stems_leaves_the_dry_signal_alone_and_comes_back_aligned() {
    let (separator, knobs) = Splitter::boxed(RATE, 256, 64);
    let config = StreamConfig { sample_rate: RATE, max_block: 256, offline: false };
    let mut stream = Stream::start(separator, config).expect("starts");
    let monitor = stream.monitor();
    let total = stream.latency().total() as usize;
    // Slow waves, so that any jump is a click of ours.
    let wave = |n: usize, phase: f32| 0.8 * (n as f32 * 0.01 + phase).sin();
    let input = [0.0, 1.0].map(|phase| (0..2 * RATE as usize).map(|n| wave(n, phase)).collect::<Vec<_>>());

    let mut out = Recording::default();
    play_paced(&mut out, &mut stream, &input, 0..8_000, 64, 0.5);
    knobs.hop_micros.store(100_000, Ordering::SeqCst);
    play_paced(&mut out, &mut stream, &input, 8_000..20_000, 64, 0.5);
    let (dropouts, missing) =
        (monitor.dropouts.load(Ordering::Relaxed), monitor.missing_frames.load(Ordering::Relaxed));
    assert!(dropouts >= 1 && missing > 1_000, "{dropouts} dropouts, {missing} frames");
    let silent = (0..STEMS).all(|s| out.stems[s][0][12_000..14_000].contains(&0.0));
    assert!(silent, "the stems of a late worker are silent");
    knobs.hop_micros.store(0, Ordering::SeqCst);
    play_paced(&mut out, &mut stream, &input, 20_000..40_000, 64, 0.5);

    for (dry, input) in out.dry.iter().zip(&input) {
        let delayed = (0..out.len()).map(|n| n.checked_sub(total).map_or(0.0, |k| input[k]));
        assert!(dry.iter().copied().eq(delayed), "the dry signal knows no dropout");
    }
    // The held value's fade, the fade-in and the wave itself; 5 ms are 240 frames.
    let bound = 0.8 * 0.5 * (0.01 + 2.0 / 240.0) * 1.1;
    let jump = out.largest_jump(total + 1);
    assert!(jump <= bound, "a jump of {jump}, more than {bound}");
    assert_comes_back_aligned(out, &mut stream, &input, total);
}

#[test]
fn a_worker_that_stands_still_for_longer_than_the_ring_restarts_the_stream_aligned() {
    let (separator, knobs) = Splitter::boxed(RATE, 512, 100);
    knobs.hop_micros.store(400_000, Ordering::SeqCst);
    let config = StreamConfig { sample_rate: RATE, max_block: 512, offline: false };
    let mut stream = Stream::start(separator, config).expect("starts");
    let total = stream.latency().total() as usize;
    let input = Noise::new(9).stereo(9 * RATE as usize);
    let mut out = Recording::default();
    // Six seconds at once, three times what the ring holds.
    out.play(&mut stream, &input, 0..6 * RATE as usize, || 512);
    assert!(stream.monitor().missing_frames.load(Ordering::Relaxed) > 4 * u64::from(RATE));
    knobs.hop_micros.store(0, Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(600));
    assert_comes_back_aligned(out, &mut stream, &input, total);
}

#[test]
fn a_reset_in_real_time_forgets_the_audio_before_it() {
    let mut stream = start(256, 200, 256, false);
    let total = stream.latency().total() as usize;
    let input = Noise::new(10).stereo(100_000);
    let mut out = Recording::default();
    play_paced(&mut out, &mut stream, &input, 0..5_000, 256, 0.5);
    stream.reset();
    stream.reset();
    let mut out = Recording::default();
    let input = input.map(|c| c[5_000..].to_vec());
    play_paced(&mut out, &mut stream, &input, 0..total, 256, 0.5);
    for channel in out.dry.iter().chain(out.stems.iter().flatten()) {
        assert!(channel[..total].iter().all(|&x| x == 0.0), "silence for the whole latency after a reset");
    }
    assert_comes_back_aligned(out, &mut stream, &input, total);
}

#[test]
fn a_separator_that_panics_leaves_the_dry_signal_and_ends_an_offline_wait() {
    for offline in [false, true] {
        let (separator, knobs) = Splitter::boxed(RATE, 128, 0);
        let config = StreamConfig { sample_rate: RATE, max_block: 128, offline };
        let mut stream = Stream::start(separator, config).expect("starts");
        let total = stream.latency().total() as usize;
        let input = Noise::new(11).stereo(20_000);
        let mut out = Recording::default();
        out.play(&mut stream, &input, 0..2_000, || 128);
        knobs.panic.store(true, Ordering::SeqCst);
        play_paced(&mut out, &mut stream, &input, 2_000..20_000, 100, 2.0);
        stream.reset();
        // The panic's backtrace can take the worker a while.
        let patience = Instant::now();
        while !stream.monitor().failed.load(Ordering::Relaxed) {
            assert!(patience.elapsed() < Duration::from_secs(30), "the panic is never noticed");
            std::thread::sleep(Duration::from_millis(5));
        }
        for (dry, input) in out.dry.iter().zip(&input) {
            assert_eq!(dry[total..], input[..20_000 - total]);
        }
        assert!(out.stems.iter().flatten().all(|c| c[10_000..].iter().all(|&x| x == 0.0)));
    }
}

#[test]
fn one_error_costs_a_hop_and_three_in_a_row_end_the_worker() {
    let (separator, knobs) = Splitter::boxed(RATE, 128, 0);
    let config = StreamConfig { sample_rate: RATE, max_block: 128, offline: true };
    let mut stream = Stream::start(separator, config).expect("starts");
    let total = stream.latency().total() as usize;
    let input = Noise::new(12).stereo(20_000);
    let mut out = Recording::default();
    out.play(&mut stream, &input, 0..1_280, || 128);
    knobs.errors.store(1, Ordering::SeqCst);
    out.play(&mut stream, &input, 1_280..2_560, || 128);
    knobs.nans.store(1, Ordering::SeqCst);
    out.play(&mut stream, &input, 2_560..5_120, || 128);
    assert!(!stream.monitor().failed.load(Ordering::Relaxed));
    assert!(out.stems.iter().flatten().flatten().all(|x| x.is_finite()));
    let silent = |hop: usize| out.stems[0][0][hop * 128..(hop + 1) * 128].iter().all(|&x| x == 0.0);
    let silent_hops = (3..40).filter(|&hop| silent(hop)).count();
    assert_eq!(silent_hops, 2, "each bad hop is one hop of silence");
    assert_aligned(&out, &input, total, 4_000..5_120);

    knobs.errors.store(3, Ordering::SeqCst);
    out.play(&mut stream, &input, 5_120..10_240, || 128);
    assert!(stream.monitor().failed.load(Ordering::Relaxed));
}

#[test]
fn non_finite_input_is_silence_and_a_huge_one_is_limited() {
    let mut stream = start(64, 10, 64, true);
    let total = stream.latency().total() as usize;
    let bad = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30, 0.5];
    let good = [0.0, 0.0, 0.0, INPUT_LIMIT, -INPUT_LIMIT, 0.5];
    let repeat = |values: [f32; 6]| [0, 1].map(|_| values.repeat(200));
    let mut out = Recording::default();
    out.play(&mut stream, &repeat(bad), 0..1_200, || 64);
    assert_aligned(&out, &repeat(good), total, 0..1_200);
}

#[test]
fn dropping_a_stream_takes_no_longer_than_one_hop() {
    let (separator, knobs) = Splitter::boxed(RATE, 128, 0);
    knobs.hop_micros.store(300_000, Ordering::SeqCst);
    let config = StreamConfig { sample_rate: RATE, max_block: 1_024, offline: false };
    let mut stream = Stream::start(separator, config).expect("starts");
    let silence = [0.0; 1_024];
    stream.process([&silence, &silence]);
    while knobs.hops.load(Ordering::SeqCst) == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let dropped = Instant::now();
    drop(stream);
    assert!(dropped.elapsed() < Duration::from_millis(1_200), "{:?}", dropped.elapsed());
    assert!(knobs.hops.load(Ordering::SeqCst) <= 2);
}

#[test]
fn a_separator_without_a_hop_is_refused() {
    let (separator, _) = Splitter::boxed(RATE, 0, 0);
    let config = StreamConfig { sample_rate: RATE, max_block: 64, offline: false };
    assert!(Stream::start(separator, config).is_err());
}
