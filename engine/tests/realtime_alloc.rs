//! The audio thread's calls under an allocator that aborts the process when it is called.

#[path = "streaming/support.rs"]
mod support;

use assert_no_alloc::{AllocDisabler, assert_no_alloc};
use candle_core::Device;
use engine::audio::AudioBuffer;
use engine::model::{BandDpt, BandDptConfig, Params};
use engine::realtime::{Stream, StreamConfig};
use engine::separator::{Precision, ResampledSeparator, StreamingSeparator};
use engine::{STEMS, Separator};
use std::sync::atomic::Ordering;
use support::{Noise, Splitter};

#[global_allocator]
static ALLOCATOR: AllocDisabler = AllocDisabler;

#[test]
fn neither_process_nor_reset_touches_the_allocator_in_any_state_of_the_stream() {
    let (separator, knobs) = Splitter::boxed(48_000, 256, 300);
    let config = StreamConfig { sample_rate: 48_000, max_block: 512, offline: false };
    let mut stream = Stream::start(separator, config).expect("starts");
    let monitor = stream.monitor();
    let mut noise = Noise::new(1);
    let input = noise.stereo(512);
    let mut play = |blocks: usize, max_frames: usize| {
        for n in 0..blocks {
            let frames = noise.size(max_frames);
            assert_no_alloc(|| {
                stream.process([&input[0][..frames], &input[1][..frames]]);
                if n % 100 == 99 {
                    stream.reset();
                }
            });
            std::thread::sleep(std::time::Duration::from_micros(100));
        }
    };
    play(200, 64);
    assert!(knobs.hops.load(Ordering::SeqCst) > 0, "it ran");
    // Late, then stalled until the input ring overflows, then back.
    knobs.hop_micros.store(200_000, Ordering::SeqCst);
    play(98, 512);
    assert!(monitor.dropouts.load(Ordering::SeqCst) > 0, "it was late");
    (0..8).for_each(|_| play(98, 512));
    knobs.hop_micros.store(0, Ordering::SeqCst);
    std::thread::sleep(std::time::Duration::from_millis(300));
    play(300, 0);
    play(300, 100);
    knobs.panic.store(true, Ordering::SeqCst);
    while !monitor.failed.load(Ordering::SeqCst) {
        play(10, 512);
    }
    play(200, 512);
}

#[test]
fn a_resampled_separator_does_not_allocate_either() {
    let (inner, _) = Splitter::boxed(44_100, 1_000, 300);
    let mut separator = ResampledSeparator::new(inner, 48_000).expect("a common rate");
    let hop = separator.spec().hop;
    let mixture = AudioBuffer::from_channels(Noise::new(2).stereo(hop).to_vec()).expect("equal lengths");
    let mut stems: [AudioBuffer; STEMS] = std::array::from_fn(|_| AudioBuffer::new(2, hop));
    assert_no_alloc(|| {
        for _ in 0..100 {
            separator.process(&mixture, &mut stems).expect("separates");
        }
        separator.reset();
    });
}

#[test]
fn the_live_network_neither_allocates_nor_faults_pages_once_it_is_warm() {
    let config = BandDptConfig { blocks: 2, ..BandDptConfig::default() };
    let params = Params::fresh(1, &Device::Cpu);
    BandDpt::new(&params, &config).expect("a network");
    let variables = params.into_variables().into_iter();
    let tensors = variables.map(|(name, parameter)| (name, parameter.var.as_tensor().clone())).collect();
    for precision in [Precision::F32, Precision::F16] {
        let mut separator =
            StreamingSeparator::new(&config, &tensors, 44_100, precision).expect("the weights fit");
        let hop = separator.spec().hop;
        let mut noise = Noise::new(3);
        let hops: Vec<AudioBuffer> = (0..50)
            .map(|_| AudioBuffer::from_channels(noise.stereo(hop).to_vec()).expect("equal lengths"))
            .collect();
        let mut stems: [AudioBuffer; STEMS] = std::array::from_fn(|_| AudioBuffer::new(2, hop));
        let mut play = |separator: &mut StreamingSeparator| {
            for mixture in &hops {
                separator.process(mixture, &mut stems).expect("separates");
            }
            separator.reset();
        };
        play(&mut separator);
        let before = page_faults();
        assert_no_alloc(|| (0..4).for_each(|_| play(&mut separator)));
        assert_eq!(page_faults(), before, "{precision:?}");
    }
}

/// Page faults of this thread so far, or 0 where the system does not count them by thread.
fn page_faults() -> i64 {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: plain numbers, for which zeros are valid.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: fills the structure that it is given.
        unsafe { libc::getrusage(libc::RUSAGE_THREAD, &mut usage) };
        usage.ru_minflt + usage.ru_majflt
    }
    #[cfg(not(target_os = "linux"))]
    {
        0
    }
}
