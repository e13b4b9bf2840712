use super::family::{Family, Make, stroke};
use super::*;
use crate::synth::dsp::{RATE, Svf};

/// A drum in the middle of everything.
const PLAIN: Make =
    Make { pitch: 1.0, length: 1.0, colour: 0.0, noise: 1.0, sweep: 1.0, place: 0.3, seed: 12_345 };

/// Shares of nine octave bands in a sound's energy, dB, and how long the sound lasts, in octaves.
fn portrait(sound: &[f32]) -> Vec<f32> {
    let bands: Vec<f32> = (0..9)
        .map(|octave| {
            let mut filter = Svf::new(62.5 * 2f32.powi(octave), 1.414);
            sound.iter().map(|x| filter.next(*x).band.powi(2)).sum()
        })
        .collect();
    let total: f32 = bands.iter().sum();
    let energy: f32 = sound.iter().map(|x| x * x).sum();
    let middle: f32 = sound.iter().enumerate().map(|(i, x)| i as f32 * x * x).sum::<f32>() / energy / RATE;
    bands.iter().map(|b| 10.0 * (b / total).max(1e-4).log10()).chain([6.0 * middle.log2()]).collect()
}

/// Kick, snare and hi-hats of a family, averaged over strokes.
fn likeness(family: Family) -> Vec<f32> {
    [Piece::Kick, Piece::Snare, Piece::Hat]
        .into_iter()
        .flat_map(|piece| {
            let strokes: Vec<Vec<f32>> = (0..4)
                .map(|n| portrait(&stroke(&mut Rng::new(n, &[]), family, piece, &PLAIN, 0.8)))
                .collect();
            (0..10).map(move |i| strokes.iter().map(|s| s[i]).sum::<f32>() / 4.0)
        })
        .collect()
}

#[test]
fn every_family_has_a_spectrum_of_its_own() {
    let portraits: Vec<Vec<f32>> = Family::ALL.iter().map(|family| likeness(*family)).collect();
    assert!(portraits.len() >= 8);
    for a in 0..portraits.len() {
        for b in 0..a {
            let pairs = portraits[a].iter().zip(&portraits[b]);
            let distance = (pairs.map(|(x, y)| (x - y).powi(2)).sum::<f32>() / 30.0).sqrt();
            assert!(distance > 1.5, "{:?} and {:?}: {distance} dB", Family::ALL[a], Family::ALL[b]);
        }
    }
}

#[test]
fn no_two_strokes_are_alike_and_soft_ones_are_darker() {
    for family in Family::ALL {
        for piece in Piece::ALL {
            let mut rng = Rng::new(7, &[piece as u64]);
            let strokes: Vec<Vec<f32>> =
                (0..3).map(|_| stroke(&mut rng, family, piece, &PLAIN, 0.8)).collect();
            for pair in strokes.windows(2) {
                let energy: f32 = pair[0].iter().map(|x| x * x).sum();
                let difference: f32 = pair[0].iter().zip(&pair[1]).map(|(a, b)| (a - b) * (a - b)).sum();
                assert!(energy > 1e-3, "{family:?} {piece:?} is silent");
                assert!(difference > 1e-5 * energy, "{family:?} {piece:?} repeats itself");
                assert!(pair[0].iter().all(|x| x.is_finite()));
            }
        }
    }
    let brightness = |velocity: f32| {
        (0..20)
            .map(|n| {
                let sound = stroke(&mut Rng::new(n, &[]), Family::Acoustic, Piece::Snare, &PLAIN, velocity);
                portrait(&sound)[6]
            })
            .sum::<f32>()
            / 20.0
    };
    let (soft, hard) = (brightness(0.3), brightness(1.0));
    assert!(hard > soft + 1.0, "{soft} {hard}");
}

#[test]
fn a_makes_pieces_differ_from_another_makes() {
    let mut rng = Rng::new(3, &[]);
    let (a, b) = (Make::draw(&mut rng), Make::draw(&mut rng));
    let play = |make: &Make| portrait(&stroke(&mut Rng::new(1, &[]), Family::Rock, Piece::Snare, make, 0.8));
    let far = play(&a).iter().zip(play(&b)).any(|(x, y)| (x - y).abs() > 2.0);
    assert!(far);
}

#[test]
fn rooms_ring_after_the_last_hit_and_everything_is_finite() {
    let hits: Vec<Hit> =
        (0..8).map(|i| Hit { start: 0.1 * i as f32, piece: Piece::Snare, velocity: 0.9 }).collect();
    let (mut ringing, length) = (0, frames(2.0));
    for seed in 0..12 {
        let tracks = render(&mut Rng::new(seed, &[]), &hits, length);
        let [left, right] = &tracks[0].channels;
        assert!(left.iter().chain(right).all(|x| x.is_finite()));
        let power = |range: std::ops::Range<usize>| left[range].iter().map(|x| x * x).sum::<f32>();
        let whole = power(0..length);
        assert!(whole > 0.0);
        // By then every stroke is through, and without a room nothing is left.
        ringing += usize::from(power(frames(1.5)..length) > 1e-14 * whole);
    }
    assert!(ringing >= 5, "{ringing} of 12");
}
