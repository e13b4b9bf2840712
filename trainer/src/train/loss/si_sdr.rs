//! Scale-invariant SDR (Le Roux et al., "SDR: half-baked or well done?", 2019), negated so that less is better.
//!
//! -10 log10(|a t|^2 / |e - a t|^2) with a = <e, t> / |t|^2, both channels together.

use super::distance::Stereo;

/// Added to every mean square: -80 dB of full scale. A silent target then asks for a silent estimate.
pub const FLOOR: f64 = 1e-8;

/// Mean products of estimate and target.
struct Products {
    count: f64,
    /// Of the target with itself.
    target: f64,
    /// The target's share in the estimate.
    factor: f64,
    /// Mean squares, with the floor, of that share and of the rest.
    signal: f64,
    rest: f64,
    /// Of the rest with the target: not quite 0, because of the floor.
    rest_target: f64,
}

impl Products {
    fn of(estimate: Stereo<'_>, target: Stereo<'_>) -> Self {
        let count = (2 * estimate[0].len()) as f64;
        let mean = |a: Stereo<'_>, b: Stereo<'_>| {
            let sum = |side: usize| {
                a[side].iter().zip(b[side]).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>()
            };
            (sum(0) + sum(1)) / count
        };
        let (both, own, estimated) = (mean(estimate, target), mean(target, target), mean(estimate, estimate));
        let factor = both / (own + FLOOR);
        Self {
            count,
            target: own,
            factor,
            signal: factor * factor * own + FLOOR,
            rest: (estimated - 2.0 * factor * both + factor * factor * own).max(0.0) + FLOOR,
            rest_target: both - factor * own,
        }
    }
}

/// The distance in dB.
pub fn value(estimate: Stereo<'_>, target: Stereo<'_>) -> f64 {
    let p = Products::of(estimate, target);
    10.0 * (p.rest / p.signal).log10()
}

/// `scale` times its gradient with respect to the estimate.
pub fn gradient(estimate: Stereo<'_>, target: Stereo<'_>, scale: f32, gradient: [&mut [f32]; 2]) {
    let p = Products::of(estimate, target);
    let decibels = f64::from(scale) * 10.0 / std::f64::consts::LN_10;
    // d factor = target / (count (own + floor)).
    let by_factor = 1.0 / (p.count * (p.target + FLOOR));
    let of_rest = 2.0 * decibels / (p.count * p.rest);
    let of_target =
        decibels * by_factor * (-2.0 * p.rest_target / p.rest - 2.0 * p.factor * p.target / p.signal);
    for (side, gradient) in gradient.into_iter().enumerate() {
        for ((g, e), t) in gradient.iter_mut().zip(estimate[side]).zip(target[side]) {
            let (e, t) = (f64::from(*e), f64::from(*t));
            *g = (of_rest * (e - p.factor * t) + of_target * t) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_noise_is_minus_20_db_at_any_scale() {
        let target: Vec<f32> = (0..1_000).map(|n| (n as f32 * 0.1).sin()).collect();
        // Orthogonal to the target, with a hundredth of its power.
        let other: Vec<f32> = (0..1_000).map(|n| 0.1 * (n as f32 * 0.1).cos()).collect();
        for scale in [0.1, 1.0, 3.0] {
            let estimate: Vec<f32> = target.iter().zip(&other).map(|(t, o)| scale * (t + o)).collect();
            let value = value([&estimate, &estimate], [&target, &target]);
            assert!((value + 20.0).abs() < 0.1, "{value} at scale {scale}");
        }
    }
}
