//! What the mixer promises.

use super::*;

const RATE: f32 = 48_000.0;
const FRAMES: usize = 1000;
const LAST: usize = FRAMES - 1;

/// What came out of a mixer.
struct Output {
    main: [Vec<f32>; 2],
    stems: [[Vec<f32>; 2]; STEMS],
    peaks: Peaks,
}

/// Deterministic noise in -1..1, a different one for each seed.
fn noise(seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    (0..FRAMES)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

fn run_with(mixer: &mut Mixer, dry: &[Vec<f32>; 2], stems: &[[Vec<f32>; 2]; STEMS]) -> Output {
    let mut output = Output {
        main: std::array::from_fn(|_| vec![f32::NAN; FRAMES]),
        stems: std::array::from_fn(|_| std::array::from_fn(|_| vec![f32::NAN; FRAMES])),
        peaks: Peaks::default(),
    };
    let block = StreamBlock {
        dry: std::array::from_fn(|c| dry[c].as_slice()),
        stems: std::array::from_fn(|s| std::array::from_fn(|c| stems[s][c].as_slice())),
    };
    let mut main: Vec<&mut [f32]> = output.main.iter_mut().map(Vec::as_mut_slice).collect();
    let mut buses: Vec<Vec<&mut [f32]>> =
        output.stems.iter_mut().map(|bus| bus.iter_mut().map(Vec::as_mut_slice).collect()).collect();
    let mut buses: Vec<&mut [&mut [f32]]> = buses.iter_mut().map(Vec::as_mut_slice).collect();
    let mut buses = std::array::from_fn(|_| buses.remove(0));
    output.peaks = mixer.process(&block, 0, &mut main, &mut buses);
    output
}

fn run(mixer: &mut Mixer) -> Output {
    run_with(mixer, &dry(), &stems())
}

fn dry() -> [Vec<f32>; 2] {
    [noise(1), noise(2)]
}

fn stems() -> [[Vec<f32>; 2]; STEMS] {
    std::array::from_fn(|s| [noise(10 + s as u32), noise(20 + s as u32)])
}

/// A mixer that has arrived at `settings`.
fn settled(settings: Settings) -> Mixer {
    let mut mixer = Mixer::new(RATE);
    mixer.set(settings);
    mixer.snap();
    mixer
}

#[test]
fn at_unity_the_main_bus_is_the_delayed_input_bit_for_bit() {
    let mut dry = dry();
    dry[0][0] = -0.0;
    dry[0][1] = f32::MIN_POSITIVE / 2.0;
    let output = run_with(&mut settled(Settings::default()), &dry, &stems());
    for (out, dry) in output.main.iter().zip(&dry) {
        assert!(out.iter().zip(dry).all(|(a, b)| a.to_bits() == b.to_bits()));
    }
    assert_eq!(output.stems, stems());
}

#[test]
fn unity_is_exact_again_after_a_fader_has_been_moved_and_put_back() {
    let mut mixer = settled(Settings::default());
    let mut moved = Settings::default();
    moved.gain[2] = 0.3;
    mixer.set(moved);
    run(&mut mixer);
    mixer.set(Settings::default());
    run(&mut mixer);
    assert_eq!(run(&mut mixer).main, dry());
}

#[test]
fn a_gain_changes_its_own_stem_only() {
    let mut settings = Settings::default();
    settings.gain[1] = 0.25;
    let output = run(&mut settled(settings));
    for c in 0..2 {
        for (frame, out) in output.main[c].iter().enumerate() {
            let expected = dry()[c][frame] - 0.75 * stems()[1][c][frame];
            assert!((out - expected).abs() < 1e-6);
        }
    }
}

#[test]
fn solo_leaves_only_the_soloed_stems_and_mute_wins_over_solo() {
    let mut settings = Settings {
        solo: [true, false, true, false],
        mute: [false, false, true, true],
        ..Settings::default()
    };
    assert_eq!([0, 1, 2, 3].map(|s| settings.mix_gain(s)), [1.0, 0.0, 0.0, 0.0]);
    settings.solo = [false; STEMS];
    assert_eq!([0, 1, 2, 3].map(|s| settings.mix_gain(s)), [1.0, 1.0, 0.0, 0.0]);
}

#[test]
fn stem_buses_ignore_the_faders_before_them_and_follow_them_after() {
    let mut settings =
        Settings { gain: [0.5, 1.0, 1.0, 1.0], mute: [false, true, false, false], ..Settings::default() };
    assert_eq!(run(&mut settled(settings)).stems, stems());

    settings.post_fader = true;
    let output = run(&mut settled(settings));
    assert_eq!(output.stems[0][0][LAST], 0.5 * stems()[0][0][LAST]);
    assert!(output.stems[1].iter().flatten().all(|&sample| sample == 0.0));
    assert_eq!(output.stems[2], stems()[2]);
}

#[test]
fn bypass_is_the_delayed_input_alone_whatever_the_faders_say() {
    let settings = Settings {
        gain: [0.0, 2.0, 0.5, 0.1],
        solo: [true, false, false, false],
        bypass: true,
        ..Settings::default()
    };
    let output = run(&mut settled(settings));
    assert_eq!(output.main, dry());
    assert!(output.stems.iter().flatten().flatten().all(|&sample| sample == 0.0));
}

/// The largest step from one frame to the next on any bus, over two blocks with a change between,
/// fed with constants: any step is the mixer's own doing.
fn largest_step(before: Settings, after: Settings) -> f32 {
    let dry = [vec![1.0; FRAMES], vec![1.0; FRAMES]];
    let stems: [[Vec<f32>; 2]; STEMS] = std::array::from_fn(|_| std::array::from_fn(|_| vec![0.25; FRAMES]));
    let mut mixer = settled(before);
    let first = run_with(&mut mixer, &dry, &stems);
    mixer.set(after);
    let second = run_with(&mut mixer, &dry, &stems);
    let buses = |output: Output| output.main.into_iter().chain(output.stems.into_iter().flatten());
    buses(first)
        .zip(buses(second))
        .flat_map(|(mut a, b)| {
            a.extend(b);
            a.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect::<Vec<_>>()
        })
        .fold(0.0, f32::max)
}

#[test]
fn no_change_of_settings_clicks() {
    let base = Settings::default();
    let changes = [
        Settings { gain: [4.0; STEMS], ..base },
        Settings { mute: [true; STEMS], ..base },
        Settings { solo: [true, false, false, false], ..base },
        Settings { bypass: true, ..base },
        Settings { post_fader: true, gain: [0.0; STEMS], ..base },
    ];
    // The largest change, from a sum of 1 to 4, spread over 480 frames.
    let limit = 1.01 * 3.0 / (RAMP_SECONDS * RATE);
    for change in changes {
        for (before, after) in [(base, change), (change, base)] {
            let step = largest_step(before, after);
            assert!(step <= limit, "{before:?} to {after:?}: {step}");
        }
    }
}

#[test]
fn a_change_is_complete_after_ten_milliseconds() {
    let mut mixer = settled(Settings::default());
    mixer.set(Settings { mute: [true, false, false, false], ..Settings::default() });
    let output = run(&mut mixer);
    let after = (RAMP_SECONDS * RATE) as usize;
    let exact = |frame: usize| output.main[0][frame] == dry()[0][frame] - stems()[0][0][frame];
    assert!((after..FRAMES).all(exact));
    assert!((1..after - 1).filter(|&frame| exact(frame)).count() < 10);
}

#[test]
fn mono_buses_get_the_mean_of_left_and_right() {
    let (dry, stems) = (dry(), stems());
    let block = StreamBlock {
        dry: [&dry[0], &dry[0]],
        stems: std::array::from_fn(|s| [stems[s][0].as_slice(), stems[s][1].as_slice()]),
    };
    let mut main = vec![f32::NAN; FRAMES];
    let mut drums = vec![f32::NAN; FRAMES];
    let mut drums_bus = [drums.as_mut_slice()];
    let mut buses: [&mut [&mut [f32]]; STEMS] = [&mut drums_bus, &mut [], &mut [], &mut []];
    settled(Settings::default()).process(&block, 0, &mut [&mut main], &mut buses);
    assert_eq!(main, dry[0]);
    assert!((0..FRAMES).all(|f| drums[f] == 0.5 * (stems[0][0][f] + stems[0][1][f])));
}

#[test]
fn meters_show_what_goes_into_the_mix() {
    let mut settings = Settings { mute: [true, false, false, false], ..Settings::default() };
    settings.gain[1] = 0.5;
    let output = run(&mut settled(settings));
    assert_eq!(output.peaks.stems[0], [0.0; 2]);
    assert_eq!(output.peaks.stems[1], [0, 1].map(|c| 0.5 * highest(&stems()[1][c])));
    assert_eq!(output.peaks.main, [0, 1].map(|c| highest(&output.main[c])));
}
