use super::*;
use crate::rng::Rng;
use crate::synth::dsp::{RATE, frames, gain};
use crate::synth::score::{Hit, Piece, Score};

/// A second of a sine on both channels.
fn sine(hz: f32, level: f32) -> Stereo {
    let one: Vec<f32> =
        (0..frames(1.0)).map(|n| level * (std::f32::consts::TAU * hz * n as f32 / RATE).sin()).collect();
    [one.clone(), one]
}

fn kicks(bpm: f32) -> Score {
    let drums = (0..8).map(|i| Hit { start: 0.5 * i as f32, piece: Piece::Kick, velocity: 1.0 }).collect();
    Score { bpm, drums, bass: Vec::new(), other: Vec::new(), vocals: Vec::new() }
}

#[test]
fn compressors_bring_loud_and_soft_closer_and_keep_silence() {
    let compressor = Compressor { threshold_db: -6.0, ratio: 4.0, attack: 0.005, release: 0.05 };
    let mut channels = sine(200.0, 1.0);
    let half = channels[0].len() / 2;
    channels.iter_mut().for_each(|c| c[half..].iter_mut().for_each(|x| *x *= gain(-12.0)));
    compressor.run(&mut channels);
    let level = |range: std::ops::Range<usize>| channels[0][range].iter().fold(0f32, |p, x| p.max(x.abs()));
    let difference = 20.0 * (level(half / 2..half) / level(half + half / 2..2 * half)).log10();
    assert!((2.0..9.0).contains(&difference), "{difference} dB of 12");
    let mut silence = [vec![0.0; 1_000], vec![0.0; 1_000]];
    compressor.run(&mut silence);
    assert!(silence.iter().flatten().all(|x| *x == 0.0));
}

#[test]
fn ducked_tracks_give_way_to_the_kick_in_songs_that_pump() {
    let length = frames(1.0);
    let mut pumping = 0;
    for seed in 0..40 {
        let space = Space::draw(&mut Rng::new(seed, &[]), &kicks(120.0));
        let mut track = Track { duck: 1.0, ..Track::silent(length) };
        track.channels = [vec![1.0; length], vec![1.0; length]];
        let free = space.stem(&[Track { duck: 0.0, channels: track.channels.clone(), ..track }], length);
        assert!(free[0].iter().all(|x| *x == 1.0));
        track.duck = 1.0;
        let ducked = space.stem(&[track], length);
        let (low, late) = (ducked[0][frames(0.03)], ducked[0][frames(0.49)]);
        if low < 0.9 {
            assert!(late > low, "{low} {late}");
            pumping += 1;
        }
    }
    assert!((3..20).contains(&pumping), "{pumping} of 40");
}

#[test]
fn reverberation_dies_away_at_its_own_pace() {
    let reverb = Reverb { size: 1.0, t60: 0.5, damping_hz: 20_000.0, low_cut_hz: 20.0, early: 0.0 };
    let mut channels = [vec![0.0; frames(1.0)], vec![0.0; frames(1.0)]];
    channels.iter_mut().for_each(|c| c[0] = 1.0);
    reverb.run(&mut channels);
    let power = |from: f32| {
        let range = frames(from)..frames(from + 0.1);
        channels.iter().flat_map(|c| &c[range.clone()]).map(|x| x * x).sum::<f32>()
    };
    // 60 dB in half a second are 24 dB in 0.2 s.
    let fall = 10.0 * (power(0.2) / power(0.4)).log10();
    assert!((20.0..30.0).contains(&fall), "{fall}");
}

#[test]
fn moving_effects_neither_explode_nor_silence() {
    for seed in 0..40 {
        let mut rng = Rng::new(seed, &[]);
        let mut track = Track::silent(frames(1.0));
        track.channels = sine(330.0, 0.5);
        let before = track.power();
        Modulation::draw(&mut rng).run(&mut track);
        let change = 10.0 * (track.power() / before).log10();
        assert!((-20.0..12.0).contains(&change), "{seed}: {change} dB");
    }
}

#[test]
fn input_sdrs_lie_between_minus_12_and_2_db() {
    for seed in 0..30 {
        let mut stems = [100.0, 150.0, 220.0, 330.0].map(|hz| sine(hz, 0.1));
        master(&mut Rng::new(seed, &[]), &mut stems);
        let powers = stems.each_ref().map(power);
        for (s, own) in powers.iter().enumerate() {
            let rest: f32 = powers.iter().sum::<f32>() - own;
            let sdr = 10.0 * (own / rest).log10();
            assert!((-12.5..2.5).contains(&sdr), "stem {s}: {sdr}");
        }
    }
}
