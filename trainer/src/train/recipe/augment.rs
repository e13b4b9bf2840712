//! Random changes to training data.

use serde::{Deserialize, Serialize};

use super::ensure;

/// Random changes, in the order in which they are made. Each probability lies in 0..=1 and each pair is
/// [lowest, highest]. Whatever is changed, the mixture is the sum of the changed stems.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Probability that an excerpt takes each stem from another song and place.
    pub remix: f32,
    /// Several segments of one stem added.
    pub same_source: SameSource,
    /// Notes higher or lower. Stems of one song are changed alike.
    pub pitch: Pitch,
    /// Faster or slower. Stems of one song are changed alike.
    pub tempo: Tempo,
    /// A random equaliser on each stem.
    pub eq: Eq,
    /// A random room around each stem.
    pub reverb: Reverb,
    /// Probability that a stem's level is changed.
    pub gain_probability: f32,
    /// By which factor.
    pub gain: [f32; 2],
    /// Probability that a stem's channels are swapped.
    pub swap_channels: f32,
    /// Probability that a stem's sign is flipped.
    pub flip_sign: f32,
    /// Probability that a stem is silent.
    pub silence: f32,
    /// A limiter on the mixture, as in mastering.
    pub limiter: Limiter,
}

/// Segments of the same stem, from anywhere, added to a stem (as CatNet does: Song et al. 2021).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SameSource {
    /// For each stem.
    pub probability: f32,
    /// Segments in all; each is changed on its own.
    pub segments: usize,
}

/// Pitch shift.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pitch {
    /// For each song.
    pub probability: f32,
    /// By how much.
    pub semitones: [f32; 2],
}

/// Time stretch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tempo {
    /// For each song.
    pub probability: f32,
    /// Speed against the original's.
    pub factor: [f32; 2],
}

/// Equaliser of peaking filters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Eq {
    /// For each stem.
    pub probability: f32,
    /// Filters, between 40 Hz and 16 kHz.
    pub bands: usize,
    /// Gain of each filter, dB.
    pub decibels: [f32; 2],
}

/// Reverberation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reverb {
    /// For each stem.
    pub probability: f32,
    /// Time in which the tail decays by 60 dB.
    pub seconds: [f32; 2],
    /// Level of the tail against the stem, dB.
    pub decibels: [f32; 2],
}

/// Limiter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limiter {
    /// For each excerpt.
    pub probability: f32,
    /// By how much the mixture's peaks are lowered. The whole is then raised by as much, so that it gets denser
    /// rather than softer.
    pub decibels: [f32; 2],
}

impl Default for Augment {
    fn default() -> Self {
        Self {
            remix: 0.0,
            same_source: SameSource::default(),
            pitch: Pitch::default(),
            tempo: Tempo::default(),
            eq: Eq::default(),
            reverb: Reverb::default(),
            gain_probability: 1.0,
            gain: [1.0, 1.0],
            swap_channels: 0.0,
            flip_sign: 0.0,
            silence: 0.0,
            limiter: Limiter::default(),
        }
    }
}

impl Default for SameSource {
    fn default() -> Self {
        Self { probability: 0.0, segments: 2 }
    }
}

impl Default for Pitch {
    fn default() -> Self {
        Self { probability: 0.0, semitones: [-2.0, 2.0] }
    }
}

impl Default for Tempo {
    fn default() -> Self {
        Self { probability: 0.0, factor: [0.88, 1.12] }
    }
}

impl Default for Eq {
    fn default() -> Self {
        Self { probability: 0.0, bands: 3, decibels: [-6.0, 6.0] }
    }
}

impl Default for Reverb {
    fn default() -> Self {
        Self { probability: 0.0, seconds: [0.2, 1.0], decibels: [-24.0, -9.0] }
    }
}

impl Default for Limiter {
    fn default() -> Self {
        Self { probability: 0.0, decibels: [0.0, 6.0] }
    }
}

impl Augment {
    /// What is wrong with the values, in the user's words.
    pub fn check(&self) -> Result<(), String> {
        let probabilities = [
            ("remix", self.remix),
            ("same_source.probability", self.same_source.probability),
            ("pitch.probability", self.pitch.probability),
            ("tempo.probability", self.tempo.probability),
            ("eq.probability", self.eq.probability),
            ("reverb.probability", self.reverb.probability),
            ("gain_probability", self.gain_probability),
            ("swap_channels", self.swap_channels),
            ("flip_sign", self.flip_sign),
            ("silence", self.silence),
            ("limiter.probability", self.limiter.probability),
        ];
        for (name, probability) in probabilities {
            ensure(
                (0.0..=1.0).contains(&probability),
                &format!("`augment.{name}` is a probability: it must lie in 0..=1"),
            )?;
        }
        let pairs = [
            ("pitch.semitones", self.pitch.semitones, -12.0..=12.0),
            ("tempo.factor", self.tempo.factor, 0.5..=2.0),
            ("eq.decibels", self.eq.decibels, -24.0..=24.0),
            ("reverb.seconds", self.reverb.seconds, 0.01..=5.0),
            ("reverb.decibels", self.reverb.decibels, -60.0..=6.0),
            ("gain", self.gain, 0.0..=100.0),
            ("limiter.decibels", self.limiter.decibels, 0.0..=24.0),
        ];
        for (name, [low, high], bounds) in pairs {
            ensure(
                low <= high && bounds.contains(&low) && bounds.contains(&high),
                &format!("`augment.{name}` must be [low, high] within {bounds:?}"),
            )?;
        }
        ensure(
            (1..=8).contains(&self.same_source.segments),
            "`augment.same_source.segments` must lie in 1..=8",
        )?;
        ensure(self.eq.bands <= 16, "`augment.eq.bands` must be at most 16")
    }
}
