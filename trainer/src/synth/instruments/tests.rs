use super::super::dsp::{Adsr, RATE, frames, hertz};
use super::*;

/// How strongly a frequency sounds in a signal.
fn level(signal: &[f32], hz: f32) -> f32 {
    let (mut re, mut im) = (0.0f64, 0.0f64);
    for (n, x) in signal.iter().enumerate() {
        let turn = std::f64::consts::TAU * f64::from(hz) * n as f64 / f64::from(RATE);
        re += f64::from(*x) * turn.cos();
        im += f64::from(*x) * turn.sin();
    }
    (re.hypot(im) / signal.len() as f64) as f32
}

fn patch() -> Adsr {
    Adsr { attack: 0.01, decay: 1.0, sustain: 0.8, release: 0.1 }
}

/// One make of every pitched instrument.
fn all(rng: &mut Rng) -> Vec<(&'static str, Box<dyn Instrument>)> {
    let pluck = Pluck {
        pluck_hz: 3_000.0,
        position: 0.2,
        t60: 4.0,
        damping: 0.3,
        release: 0.1,
        click: 0.1,
        buzz: 0.0,
        body_hz: 0.0,
    };
    let fm = Fm {
        carrier: 1.0,
        modulators: [(1.0, 1.0, 0.5), (14.0, 0.3, 0.1)],
        feedback: 0.0,
        amplitude: patch(),
    };
    vec![
        ("pluck", Box::new(pluck)),
        (
            "subtractive",
            Box::new(Subtractive { copies: 2, detune: 0.001, sweep: 1.0, tracking: 1.0, ..saw() }),
        ),
        ("pulse", Box::new(Subtractive { saw: 0.5, width: 0.3, ..saw() })),
        ("fm", Box::new(fm)),
        ("sub", Box::new(Sub { drive: 2.0, glide: 0.0, drop: 4.0, decay: 1.0 })),
        (
            "piano",
            Box::new(Piano { brightness: 0.6, stretch: 0.0002, t60: 5.0, hammer: 0.2, beating: 0.0005 }),
        ),
        ("additive", Box::new(Additive::draw(rng, patch()))),
        ("organ", Box::new(Organ::draw(rng))),
        ("strings", Box::new(Strings::draw(rng))),
        ("brass", Box::new(Brass::draw(rng))),
        ("wind", Box::new(Wind::draw(rng))),
    ]
}

fn saw() -> Subtractive {
    Subtractive {
        saw: 1.0,
        width: 0.5,
        sub: 0.0,
        copies: 1,
        detune: 0.0,
        noise: 0.0,
        cutoff: 2_000.0,
        tracking: 0.0,
        sweep: 0.0,
        q: 0.7,
        amplitude: patch(),
        filter: patch(),
        vibrato: 0.0,
        glide: 0.0,
        wobble: (0.0, 0.0),
        drive: 0.0,
    }
}

#[test]
fn every_instrument_is_in_tune_and_ends() {
    for seed in 0..2 {
        let mut rng = Rng::new(seed, &[]);
        for (name, instrument) in all(&mut rng) {
            for pitch in [40.0, 57.0, 69.0] {
                let note = Note { start: 0.0, length: 1.0, pitch, velocity: 0.8 };
                let sound = instrument.play(&mut rng, &note, None);
                assert!(sound.iter().all(|x| x.is_finite()), "{name} {pitch}");
                let peak = sound.iter().fold(0f32, |peak, x| peak.max(x.abs()));
                assert!((0.02..4.0).contains(&peak), "{name} {pitch} peaks at {peak}");
                assert!(sound.len() < frames(4.0), "{name} {pitch} does not end");
                // The note's harmonics are stronger than what lies a quarter tone or more beside them.
                let held = &sound[frames(0.2)..sound.len().min(frames(0.6))];
                let at = |cents: f32| {
                    let hz = hertz(pitch + cents / 100.0);
                    (1..5).map(|n| level(held, hz * n as f32).powi(2)).sum::<f32>()
                };
                let inside = [-20.0, -10.0, 0.0, 10.0, 20.0].map(at).into_iter().fold(0.0, f32::max);
                let outside = [-90.0, -60.0, 60.0, 90.0].map(at).into_iter().fold(0.0, f32::max);
                assert!(inside > 2.0 * outside, "{name} {pitch}: {inside} against {outside}");
            }
        }
    }
}

#[test]
fn textures_and_mallets_sound_and_are_finite() {
    let mut rng = Rng::new(5, &[]);
    for _ in 0..10 {
        let makes: [Box<dyn Instrument>; 2] =
            [Box::new(Texture::draw(&mut rng)), Box::new(Mallet::draw(&mut rng))];
        for instrument in makes {
            let note = Note { start: 0.0, length: 1.0, pitch: 60.0, velocity: 0.8 };
            let sound = instrument.play(&mut rng, &note, None);
            assert!(sound.iter().all(|x| x.is_finite()) && sound.iter().any(|x| x.abs() > 0.01));
        }
    }
}
