//! Plain SDR, named as such, with the baselines that any separator must beat.

use std::collections::BTreeMap;

use engine::audio::AudioBuffer;
use engine::checkpoint::Metric;
use engine::{STEMS, Stem};

/// How a figure comes about, for tables.
pub const FORMULA: &str = "plain SDR as in the MDX challenge: 10 log10((sum of s^2 + 1e-7) / (sum of (s - e)^2 + 1e-7)) \
                           over the whole song and all channels";

/// What the figures are, for logs and checkpoints.
pub const DEFINITION: &str = "plain SDR as in the MDX challenge: 10 log10((|s|^2 + 1e-7) / (|s - e|^2 + 1e-7)) over a \
                              whole song and both channels, mean over songs; songs in which the stem is silent \
                              (below -60 dBFS RMS) are left out";

/// Of the MDX challenge's definition (Mitsufuji et al., "Music demixing challenge 2021", 2022).
const EPSILON: f64 = 1e-7;

/// Plain SDR in dB; `None` when the reference is silent.
pub fn sdr(reference: &AudioBuffer, estimate: &AudioBuffer) -> Option<f64> {
    let square = |x: f64| x * x;
    let (mut signal, mut error) = (0.0, 0.0);
    for (s, e) in reference.iter().zip(estimate.iter()) {
        signal += s.iter().map(|s| square(f64::from(*s))).sum::<f64>();
        error += s.iter().zip(e).map(|(s, e)| square(f64::from(*s) - f64::from(*e))).sum::<f64>();
    }
    let count = (reference.channels() * reference.frames()).max(1) as f64;
    let audible = signal / count > 1e-6;
    audible.then(|| 10.0 * ((signal + EPSILON) / (error + EPSILON)).log10())
}

/// Plain SDR of a song's stems; NaN where the reference is silent.
pub fn by_stem(references: &[AudioBuffer; STEMS], estimates: &[AudioBuffer; STEMS]) -> [f64; STEMS] {
    std::array::from_fn(|stem| sdr(&references[stem], &estimates[stem]).unwrap_or(f64::NAN))
}

/// Scores by stem, of several songs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scores([Vec<f64>; STEMS]);

impl FromIterator<[f64; STEMS]> for Scores {
    /// From [`by_stem`] of each song.
    fn from_iter<I: IntoIterator<Item = [f64; STEMS]>>(songs: I) -> Self {
        let mut scores = Self::default();
        for song in songs {
            let known = scores.0.iter_mut().zip(song).filter(|(_, score)| !score.is_nan());
            known.for_each(|(scores, score)| scores.push(score));
        }
        scores
    }
}

impl Scores {
    /// Mean over songs, by stem; NaN where no song has the stem.
    pub fn by_stem(&self) -> [f64; STEMS] {
        std::array::from_fn(|s| self.0[s].iter().sum::<f64>() / self.0[s].len() as f64)
    }

    /// Mean over the stems.
    pub fn mean(&self) -> f64 {
        let known: Vec<f64> = self.by_stem().into_iter().filter(|x| x.is_finite()).collect();
        known.iter().sum::<f64>() / known.len() as f64
    }

    /// As JSON and checkpoints have it.
    pub fn named(&self) -> BTreeMap<String, f64> {
        let by_stem = self.by_stem();
        let finite = Stem::ALL.iter().filter(|s| by_stem[**s as usize].is_finite());
        finite.map(|s| (s.name().to_owned(), (by_stem[*s as usize] * 1e3).round() / 1e3)).collect()
    }
}

/// A separator's scores beside those of doing nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Number of songs.
    pub songs: usize,
    /// The separator's.
    pub separated: Scores,
    /// Of giving out the mixture for every stem.
    pub mixture: Scores,
    /// Of giving out a quarter of the mixture for every stem.
    pub quarter: Scores,
}

impl Report {
    /// For the checkpoint's header.
    pub fn metrics(&self, dataset: &str) -> Vec<Metric> {
        let rows = [
            ("SDR", &self.separated, "the separator as the plugin runs it"),
            ("SDR of the mixture", &self.mixture, "the mixture taken for each stem"),
            ("SDR of a quarter", &self.quarter, "a quarter of the mixture taken for each stem"),
        ];
        rows.map(|(name, scores, what)| Metric {
            name: name.into(),
            definition: format!("{what}; {DEFINITION}"),
            dataset: dataset.into(),
            values: scores.named(),
        })
        .into()
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let songs = self.songs;
        write!(f, "{:<28}", format!("plain SDR, dB, {songs} songs"))?;
        Stem::ALL.iter().try_for_each(|stem| write!(f, "{:>9}", stem.name()))?;
        writeln!(f, "{:>9}", "mean")?;
        let rows = [
            ("separated", &self.separated),
            ("mixture", &self.mixture),
            ("a quarter of the mixture", &self.quarter),
        ];
        for (name, scores) in rows {
            write!(f, "{name:<28}")?;
            scores.by_stem().iter().try_for_each(|x| write!(f, "{x:9.2}"))?;
            writeln!(f, "{:9.2}", scores.mean())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constant(level: f32) -> AudioBuffer {
        AudioBuffer::from_channels(vec![vec![level; 100]; 2]).unwrap()
    }

    #[test]
    fn an_error_of_a_tenth_is_20_db() {
        let score = sdr(&constant(0.5), &constant(0.45)).unwrap();
        assert!((score - 20.0).abs() < 1e-4, "{score}");
    }

    #[test]
    fn silent_references_have_no_score() {
        assert_eq!(sdr(&constant(0.0), &constant(0.5)), None);
        let song = by_stem(&[1.0, 0.0, 1.0, 1.0].map(constant), &[0.9, 0.9, 0.9, 0.9].map(constant));
        let scores: Scores = [song, song].into_iter().collect();
        assert!(scores.by_stem()[1].is_nan() && (scores.mean() - 20.0).abs() < 1e-3);
        assert!(!scores.named().contains_key("bass"));
    }
}
