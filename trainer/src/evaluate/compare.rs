//! Whether one method beats another, or was lucky with the songs.

use engine::Stem;
use serde::Serialize;

use super::results::MethodResults;
use crate::metrics::aggregate::{Aggregator, Measure};
use crate::rng::Rng;

/// How a comparison comes about, for tables.
pub const DEFINITION: &str = "difference song by song, its median or mean over songs, and the middle 95% of that when \
                              the songs are drawn anew with replacement, 10000 times";

/// What is compared, and how the differences of many songs become one.
const COMPARED: [(Measure, Aggregator); 3] = [
    (Measure::Sdr, Aggregator::Median),
    (Measure::PlainSdr, Aggregator::Mean),
    (Measure::PlainSdr, Aggregator::Median),
];

/// How often the songs are drawn.
const DRAWS: usize = 10_000;

/// The purpose of the random numbers.
const BOOTSTRAP: u64 = 0xB007;

/// One method against the first one, by one measure, on one stem.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The method.
    pub checkpoint: String,
    /// The one that it is compared with.
    pub against: String,
    /// Such as `SDR`.
    pub measure: &'static str,
    /// A stem's name, or `mean`.
    pub stem: &'static str,
    /// How the songs' differences become one: `median` or `mean`.
    pub over_songs: &'static str,
    /// How many songs have a figure of both.
    pub songs: usize,
    /// dB, positive where the method is better.
    pub difference: f64,
    /// The 95% confidence interval's lower end, dB; no number with fewer than two songs.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// Each further method against the first, with the same drawn songs for all.
pub fn compare(methods: &[MethodResults], seed: u64) -> Vec<Comparison> {
    let Some((first, others)) = methods.split_first() else { return Vec::new() };
    let mut comparisons = Vec::new();
    for other in others {
        for (measure, aggregator) in COMPARED {
            // Windows are always joined by their median.
            let windows = Aggregator::Median;
            let stems = Stem::ALL.map(|stem| {
                let figures = |method: &MethodResults| method.figures(measure, stem, windows);
                (stem.name(), figures(first), figures(other))
            });
            let figures = |method: &MethodResults| method.mean_figures(measure, windows);
            let mean = ("mean", figures(first), figures(other));
            for (stem, before, after) in stems.into_iter().chain([mean]) {
                let differences: Vec<f64> =
                    after.iter().zip(&before).map(|(a, b)| a - b).filter(|d| d.is_finite()).collect();
                let [low, high] = interval(&differences, aggregator, seed);
                comparisons.push(Comparison {
                    checkpoint: other.name.clone(),
                    against: first.name.clone(),
                    measure: measure.key(),
                    stem,
                    over_songs: aggregator.name(),
                    songs: differences.len(),
                    difference: aggregator.of(differences),
                    low,
                    high,
                });
            }
        }
    }
    comparisons
}

/// The percentile bootstrap (Efron and Tibshirani, "An introduction to the bootstrap", 1993).
fn interval(differences: &[f64], aggregator: Aggregator, seed: u64) -> [f64; 2] {
    if differences.len() < 2 {
        return [f64::NAN; 2];
    }
    let mut rng = Rng::new(seed, &[BOOTSTRAP]);
    let mut draw =
        || aggregator.of((0..differences.len()).map(|_| differences[rng.below(differences.len())]));
    let mut draws: Vec<f64> = (0..DRAWS).map(|_| draw()).collect();
    draws.sort_by(f64::total_cmp);
    [draws[DRAWS / 40], draws[DRAWS - 1 - DRAWS / 40]]
}

/// The comparisons as a table.
pub fn table(comparisons: &[Comparison]) -> String {
    let mut text = format!("{DEFINITION}\n");
    let mut block = None;
    for c in comparisons {
        let this = (&c.checkpoint, c.measure, c.over_songs);
        if block != Some(this) {
            text += &format!(
                "\n{} - {}, {}, {} over songs, dB\n",
                c.checkpoint, c.against, c.measure, c.over_songs
            );
        }
        block = Some(this);
        let interval = format!("{:+.2} to {:+.2}", c.low, c.high);
        let verdict = if c.songs < 2 {
            "too few for an interval"
        } else if c.low > 0.0 {
            "better"
        } else if c.high < 0.0 {
            "worse"
        } else {
            "no difference shown"
        };
        text += &format!(
            "{:<8}{:>+8.2}   [{interval:>16}]   {} songs, {verdict}\n",
            c.stem, c.difference, c.songs
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_mean_is_that_of_the_normal_distribution() {
        let mut rng = Rng::new(4, &[]);
        let differences: Vec<f64> = (0..400).map(|_| 1.0 + f64::from(rng.normal())).collect();
        let mean = Aggregator::Mean.of(differences.iter().copied());
        let variance = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / 400.0;
        let [low, high] = interval(&differences, Aggregator::Mean, 1);
        let wanted = 1.96 * (variance / 400.0).sqrt();
        assert!((mean - low - wanted).abs() < 0.1 * wanted, "{low}, not {}", mean - wanted);
        assert!((high - mean - wanted).abs() < 0.1 * wanted, "{high}, not {}", mean + wanted);
        assert_eq!([low, high], interval(&differences, Aggregator::Mean, 1));
        assert_ne!([low, high], interval(&differences, Aggregator::Mean, 2));
    }

    #[test]
    fn a_constant_difference_has_no_width_and_one_song_no_interval() {
        assert_eq!(interval(&[2.0; 5], Aggregator::Median, 0), [2.0, 2.0]);
        assert!(interval(&[2.0], Aggregator::Median, 0)[0].is_nan());
    }
}
