//! What is minimised.

use serde::{Deserialize, Serialize};

use super::ensure;

/// The loss: a weighted sum of distances, each averaged over frames, channels, stems and excerpts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Loss {
    /// The distances that are added.
    pub terms: Vec<Term>,
    /// Divides each excerpt's distance by that of its mixture from silence, so that soft excerpts count as much as
    /// loud ones. `si_sdr` and `stft_magnitude` do not depend on loudness, and stay as they are.
    pub relative: bool,
    /// From 0 (all stems of an excerpt count by their level) to 1 (all alike, however soft).
    pub balance: f32,
    /// Adds the stems' distances up instead of averaging them.
    pub sum_stems: bool,
    /// Leaves the first part of each excerpt out of the loss: a network with memory has to settle first.
    pub skip_seconds: f64,
}

/// One distance in the sum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Term {
    /// Which distance.
    pub kind: Distance,
    /// Its factor in the sum.
    #[serde(default = "one")]
    pub weight: f64,
    /// Window lengths in frames of the two spectral distances; none stands for 2048, 1024 and 512.
    #[serde(default)]
    pub windows: Vec<usize>,
}

fn one() -> f64 {
    1.0
}

/// The distance between a stem and its estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distance {
    /// Mean absolute difference.
    L1,
    /// Mean squared difference.
    Mse,
    /// Negative scale-invariant SDR in dB (Le Roux et al. 2019).
    SiSdr,
    /// Mean absolute difference of the real and imaginary parts of several spectrograms (Lu et al. 2024).
    Stft,
    /// Spectral convergence and log magnitude of several spectrograms (Yamamoto et al. 2020).
    StftMagnitude,
}

impl Distance {
    /// Its name in recipes and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::L1 => "l1",
            Self::Mse => "mse",
            Self::SiSdr => "si_sdr",
            Self::Stft => "stft",
            Self::StftMagnitude => "stft_magnitude",
        }
    }
}

impl Default for Loss {
    fn default() -> Self {
        let terms = vec![Term { kind: Distance::L1, weight: 1.0, windows: Vec::new() }];
        Self { terms, relative: false, balance: 0.0, sum_stems: false, skip_seconds: 0.0 }
    }
}

impl Loss {
    /// What is wrong with the values, in the user's words.
    pub fn check(&self) -> Result<(), String> {
        ensure((0.0..=1.0).contains(&self.balance), "`loss.balance` must lie in 0..=1")?;
        ensure((0.0..=60.0).contains(&self.skip_seconds), "`loss.skip_seconds` must lie in 0..=60")?;
        ensure(!self.terms.is_empty(), "`loss.terms` must list at least one distance")?;
        self.terms.iter().try_for_each(Term::check)
    }
}

impl Term {
    fn check(&self) -> Result<(), String> {
        ensure(self.weight > 0.0 && self.weight.is_finite(), "weights in `loss.terms` must be above 0")?;
        let spectral = matches!(self.kind, Distance::Stft | Distance::StftMagnitude);
        ensure(
            spectral || self.windows.is_empty(),
            "only the spectral distances in `loss.terms` have `windows`",
        )?;
        ensure(
            self.windows.iter().all(|w| (16..=65_536).contains(w) && w.is_multiple_of(4)),
            "`windows` in `loss.terms` must be multiples of 4 in 16..=65536",
        )
    }
}
