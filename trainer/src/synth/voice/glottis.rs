//! The source of the voice: pulses of air through the vocal folds, after Liljencrants and Fant ("A four-parameter
//! model of glottal flow", 1985), steered by one number as in Fant ("The LF-model revisited", 1995).

use std::f64::consts::PI;
use std::sync::OnceLock;

use super::super::dsp::{Noise, RATE};

/// Samples of one period.
const SIZE: usize = 512;
/// Shapes from pressed to breathy, evenly spaced in Rd.
const SHAPES: usize = 10;
/// Rd of the first and the last shape: the range for which Fant gives the regression.
const RD: (f64, f64) = (0.3, 2.7);

/// One period for each shape, of equal energy, the first sample repeated at the end.
fn shapes() -> &'static [[f32; SIZE + 1]; SHAPES] {
    static TABLE: OnceLock<Box<[[f32; SIZE + 1]; SHAPES]>> = OnceLock::new();
    TABLE.get_or_init(|| {
        Box::new(std::array::from_fn(|i| period(RD.0 + (RD.1 - RD.0) * i as f64 / (SHAPES - 1) as f64)))
    })
}

/// One period of the flow's derivative at a shape parameter Rd.
fn period(rd: f64) -> [f32; SIZE + 1] {
    // Fant 1995: all times as parts of the period.
    let (ra, rk) = ((-1.0 + 4.8 * rd) / 100.0, (22.4 + 11.8 * rd) / 100.0);
    let rg = rk / (4.0 * (0.11 * rd / (0.5 + 1.2 * rk) - ra));
    let (peak, ta) = (1.0 / (2.0 * rg), ra.max(1e-3));
    let closing = (peak * (1.0 + rk)).min(0.98);
    let rest = 1.0 - closing;
    let w = PI / peak;
    // The return phase's constant: e = (1 - exp(-e rest)) / ta, by iteration.
    let mut e = 1.0 / ta;
    for _ in 0..50 {
        e = (1.0 - (-e * rest).exp()) / ta;
    }
    let end = (-e * rest).exp();
    let returned = -((1.0 - end) / e - rest * end) / (e * ta);
    // The growth of the open phase, such that no air is left over: the area falls as it grows.
    let area = |a: f64| {
        let scale = -1.0 / ((a * closing).exp() * (w * closing).sin());
        let (sin, cos) = (w * closing).sin_cos();
        scale * ((a * closing).exp() * (a * sin - w * cos) + w) / (a * a + w * w) + returned
    };
    let (mut low, mut high) = (-60.0, 200.0);
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if area(middle) > 0.0 { low = middle } else { high = middle }
    }
    let a = 0.5 * (low + high);
    let mut samples: [f32; SIZE + 1] = std::array::from_fn(|i| {
        let t = (i % SIZE) as f64 / SIZE as f64;
        let x = if t < closing {
            -((a * (t - closing)).exp()) * (w * t).sin() / (w * closing).sin()
        } else {
            -((-e * (t - closing)).exp() - end) / (e * ta)
        };
        x as f32
    });
    let power = samples[..SIZE].iter().map(|x| x * x).sum::<f32>() / SIZE as f32;
    samples.iter_mut().for_each(|x| *x *= 0.3 / power.sqrt());
    samples
}

/// The vocal folds.
pub struct Glottis {
    phase: f32,
    /// Deviation of this period's length and level.
    wobble: f32,
    shimmer: f32,
    jitter: f32,
    growl: f32,
    strong: bool,
    rough: f32,
}

impl Glottis {
    /// Folds with this irregularity, and this much of a growl (every second pulse weaker, and rough).
    pub fn new(jitter: f32, growl: f32) -> Self {
        Self { phase: 0.0, wobble: 0.0, shimmer: 1.0, jitter, growl, strong: true, rough: 0.0 }
    }

    /// The next sample at a pitch; `tension` is 0 for breathy, 1 for pressed; `breath` is the level of the noise.
    pub fn next(&mut self, hz: f32, tension: f32, breath: f32, noise: &mut Noise) -> f32 {
        self.phase += hz * (1.0 + self.wobble) / RATE;
        if self.phase >= 1.0 {
            self.phase -= self.phase.floor();
            self.wobble = self.jitter * noise.next();
            self.shimmer = 1.0 + 4.0 * self.jitter * noise.next();
            self.strong = !self.strong;
            self.rough = 0.7 * self.rough + 0.6 * noise.next();
        }
        let shapes = shapes();
        let place = (1.0 - tension.clamp(0.0, 1.0)) * (SHAPES - 1) as f32;
        let row = (place as usize).min(SHAPES - 2);
        let (between, at) = (place - row as f32, self.phase * SIZE as f32);
        let column = (at as usize).min(SIZE - 1);
        let part = at - column as f32;
        let read = |row: &[f32; SIZE + 1]| row[column] + part * (row[column + 1] - row[column]);
        let flow = read(&shapes[row]) * (1.0 - between) + read(&shapes[row + 1]) * between;
        let strength = if self.growl > 0.0 {
            let weak = if self.strong { 1.0 } else { 1.0 - self.growl };
            weak * (1.0 + self.growl * self.rough)
        } else {
            1.0
        };
        // Breath flows most while the folds are open.
        let open = if self.phase < 0.6 { 1.0 } else { 0.35 };
        flow * strength * self.shimmer + breath * open * noise.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_air_is_left_over_and_pressed_voices_are_brighter() {
        // Level of the 20th harmonic against the first.
        let brightness = |shape: &[f32; SIZE + 1]| {
            let level = |k: f32| {
                let turn = |i: usize| std::f32::consts::TAU * k * i as f32 / SIZE as f32;
                let sum = |f: fn(f32) -> f32| (0..SIZE).map(|i| shape[i] * f(turn(i))).sum::<f32>();
                (sum(f32::sin).powi(2) + sum(f32::cos).powi(2)).sqrt()
            };
            level(20.0) / level(1.0)
        };
        let mut last = f32::INFINITY;
        for shape in shapes() {
            let mean = shape[..SIZE].iter().sum::<f32>() / SIZE as f32;
            assert!(mean.abs() < 0.01, "{mean}");
            let bright = brightness(shape);
            assert!(bright < last, "{bright} after {last}");
            last = bright;
        }
    }
}
