//! The four stems and their order.

use serde::{Deserialize, Serialize};

/// How many stems there are.
pub const STEMS: usize = 4;

/// One of the four stems, in MUSDB18's order. Arrays "by stem" are `[T; STEMS]` indexed by `stem as usize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stem {
    /// Drums and percussion.
    Drums,
    /// Bass instruments.
    Bass,
    /// Everything that is none of the others.
    Other,
    /// Voices.
    Vocals,
}

impl Stem {
    /// All stems in their one order: drums, bass, other, vocals.
    pub const ALL: [Stem; STEMS] = [Stem::Drums, Stem::Bass, Stem::Other, Stem::Vocals];

    /// The lower-case name, as in file names and checkpoints.
    pub fn name(self) -> &'static str {
        match self {
            Stem::Drums => "drums",
            Stem::Bass => "bass",
            Stem::Other => "other",
            Stem::Vocals => "vocals",
        }
    }
}

impl std::str::FromStr for Stem {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|stem| stem.name() == name);
        found.ok_or_else(|| format!("{name} is not a stem; they are drums, bass, other, vocals"))
    }
}

impl std::fmt::Display for Stem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
