//! What the ratios say of distortions that are known.

use super::*;
use crate::metrics::plain_sdr;
use crate::rng::Rng;

const FRAMES: usize = 6_000;
const OPTIONS: Options = Options { window: 2_000, hop: 2_000, taps: 16 };

fn noise(seed: u64, level: f32) -> AudioBuffer {
    let mut rng = Rng::new(seed, &[]);
    let mut channel = || (0..FRAMES).map(|_| rng.range(-level, level)).collect();
    AudioBuffer::from_channels(vec![channel(), channel()]).unwrap()
}

/// `a + gain * b`, with b `delay` frames late.
fn add(a: &AudioBuffer, b: &AudioBuffer, gain: f32, delay: usize) -> AudioBuffer {
    let mut sum = a.clone();
    for (sum, b) in sum.iter_mut().zip(b.iter()) {
        sum.iter_mut().skip(delay).zip(b).for_each(|(sum, b)| *sum += gain * b);
    }
    sum
}

fn zero_from_to(signal: &mut AudioBuffer, from: usize, to: usize) {
    signal.iter_mut().for_each(|channel| channel[from..to].fill(0.0));
}

#[track_caller]
fn assert_near(found: f64, wanted: f64) {
    assert!((found - wanted).abs() < 1.0, "{found} dB, expected about {wanted} dB");
}

#[test]
fn a_filter_is_spatial_distortion_and_neither_interference_nor_an_artifact() {
    let references = [noise(1, 0.5), noise(2, 0.5)];
    let estimates = [add(&references[0], &references[0], 0.5, 5), references[1].clone()];
    let scores = evaluate(&references, &estimates, OPTIONS).unwrap();
    // Half of the signal, late, is too much: 20 log10(2).
    assert_near(plain_sdr::sdr(&references[0], &estimates[0]).unwrap(), 6.0);
    for ratios in &scores[0] {
        assert_near(ratios.sdr, 6.0);
        assert_near(ratios.isr, 6.0);
        // A window's edges cut the echo: 5 of 2000 frames at both ends are artifacts.
        assert!(ratios.sir > 50.0 && ratios.sar > 25.0, "{ratios:?}");
    }
}

#[test]
fn another_stem_is_interference_and_noise_is_an_artifact() {
    let references = [noise(1, 0.5), noise(2, 0.5)];
    let estimates =
        [add(&references[0], &references[1], 0.1, 0), add(&references[1], &noise(3, 0.5), 0.1, 0)];
    let scores = evaluate(&references, &estimates, OPTIONS).unwrap();
    for ratios in &scores[0] {
        assert_near(ratios.sir, 20.0);
        assert!(ratios.sar > 60.0, "{ratios:?}");
    }
    for ratios in &scores[1] {
        assert_near(ratios.sar, 20.0);
        assert!(ratios.sir > 35.0, "{ratios:?}");
    }
}

#[test]
fn windows_are_whole_but_a_short_song_is_one() {
    let windows = |window, hop, frames| Framing::new(Options { window, hop, taps: 1 }, frames).windows();
    assert_eq!(windows(1_000, 1_000, 2_500), 2);
    assert_eq!(windows(1_000, 1_000, 3_000), 3);
    assert_eq!(windows(1_000, 500, 2_500), 4);
    assert_eq!(windows(1_000, 1_000, 1_000), 1);
    assert_eq!(windows(1_000, 1_000, 300), 1);
}

#[test]
fn a_window_in_which_any_stem_is_silent_has_no_numbers_for_any() {
    let mut references = [noise(1, 0.5), noise(2, 0.5)];
    zero_from_to(&mut references[1], 2_000, 4_000);
    let estimates =
        [add(&references[0], &noise(3, 0.5), 0.1, 0), add(&references[1], &noise(4, 0.5), 0.1, 0)];
    let scores = evaluate(&references, &estimates, OPTIONS).unwrap();
    for stem in &scores {
        let silent: Vec<bool> =
            stem.iter().map(|ratios| ratios.sdr.is_nan() && ratios.sar.is_nan()).collect();
        assert_eq!(silent, [false, true, false]);
    }
}

#[test]
fn stems_that_are_silent_throughout_do_not_take_the_others_numbers_away() {
    let references = [noise(1, 0.5), AudioBuffer::new(2, FRAMES), noise(2, 0.5)];
    let estimates: Vec<_> = references.iter().map(|r| add(r, &noise(3, 0.5), 0.1, 0)).collect();
    let scores = evaluate(&references, &estimates, OPTIONS).unwrap();
    let without = [0, 2].map(|s| references[s].clone());
    let alone = evaluate(&without, &[0, 2].map(|s| estimates[s].clone()), OPTIONS).unwrap();
    assert_eq!([&scores[0], &scores[2]], [&alone[0], &alone[1]]);
    assert!(scores[1].iter().all(|ratios| ratios.sdr.is_nan()));

    let silent_estimate = [estimates[0].clone(), AudioBuffer::new(2, FRAMES)];
    let scores = evaluate(&without, &silent_estimate, OPTIONS).unwrap();
    assert_eq!(scores[0], alone[0]);
    assert!(scores[1].iter().all(|ratios| ratios.sdr.is_nan()));
    let nothing = [AudioBuffer::new(2, FRAMES)];
    assert!(evaluate(&nothing, &nothing, OPTIONS).unwrap()[0][0].sdr.is_nan());
}

#[test]
fn a_mono_stem_stored_as_stereo_has_the_ratios_of_the_mono_one() {
    let mono = |signal: &AudioBuffer| AudioBuffer::from_channels(vec![signal.channel(0).to_vec()]).unwrap();
    let stereo = |signal: &AudioBuffer| {
        AudioBuffer::from_channels(vec![signal.channel(0).to_vec(), signal.channel(0).to_vec()]).unwrap()
    };
    let references = [noise(1, 0.5), noise(2, 0.5)];
    let estimates = references.each_ref().map(|r| add(r, &noise(3, 0.5), 0.2, 1));
    let one = evaluate(&references.each_ref().map(mono), &estimates.each_ref().map(mono), OPTIONS).unwrap();
    let two =
        evaluate(&references.each_ref().map(stereo), &estimates.each_ref().map(stereo), OPTIONS).unwrap();
    for (one, two) in one.iter().flatten().zip(two.iter().flatten()) {
        for (one, two) in [(one.sdr, two.sdr), (one.isr, two.isr), (one.sir, two.sir), (one.sar, two.sar)] {
            assert!((one - two).abs() < 1e-3, "{one} and {two}");
        }
    }
}

#[test]
fn a_stem_on_one_side_only_is_scored_like_any_other() {
    let mut references = [noise(1, 0.5), noise(2, 0.5)];
    references[0].channel_mut(1).fill(0.0);
    let estimates = references.each_ref().map(|r| add(r, &noise(3, 0.5), 0.1, 0));
    for ratios in evaluate(&references, &estimates, OPTIONS).unwrap().iter().flatten() {
        assert!((15.0..22.0).contains(&ratios.sar) && ratios.sir > 30.0, "{ratios:?}");
    }
}

#[test]
fn the_same_references_score_any_number_of_estimates_alike() {
    let references = [noise(1, 0.5), noise(2, 0.5)];
    let bss_eval = BssEval::new(&references, OPTIONS).unwrap();
    for gain in [0.1, 0.3] {
        let estimates = references.each_ref().map(|r| add(r, &noise(3, 0.5), gain, 0));
        assert_eq!(bss_eval.score(&estimates).unwrap(), evaluate(&references, &estimates, OPTIONS).unwrap());
    }
    assert!(bss_eval.score(&references[..1]).is_err());
    assert!(BssEval::new(&[noise(1, 0.5), AudioBuffer::new(2, 5)], OPTIONS).is_err());
    assert!(BssEval::new(&[], OPTIONS).is_err());
}
