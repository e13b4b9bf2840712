//! The form: what kind of song, its sections, and who plays in them.

use super::STEPS_PER_BEAT;
use crate::rng::Rng;

/// What kind of song.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Drums, bass, others and voices.
    Band,
    /// No voices.
    Instrumental,
    /// Nothing but voices.
    Voices,
    /// Odd: one of the stems is empty.
    Missing(usize),
    /// Odd: one instrument alone, named by its stem.
    Alone(usize),
    /// Odd: the other stem is noise.
    Noise,
}

impl Kind {
    /// Most songs are usual; 7.5 % are odd.
    pub fn draw(rng: &mut Rng) -> Self {
        match rng.weighted(&[80.0, 9.5, 3.0, 3.0, 2.0, 2.5]) {
            0 => Self::Band,
            1 => Self::Instrumental,
            2 => Self::Voices,
            3 => Self::Missing(rng.below(3)),
            4 => Self::Alone(rng.below(3)),
            _ => Self::Noise,
        }
    }

    /// Whether this is one of the odd cases.
    #[cfg(test)]
    pub fn is_odd(self) -> bool {
        !matches!(self, Self::Band | Self::Instrumental | Self::Voices)
    }

    /// Whether a stem (drums 0, bass 1, other 2, vocals 3) may sound.
    fn has(self, stem: usize) -> bool {
        match self {
            Self::Band | Self::Noise => true,
            Self::Instrumental => stem != 3,
            Self::Voices => stem == 3,
            Self::Missing(missing) => stem != missing,
            Self::Alone(alone) => stem == alone,
        }
    }

    /// How many parts the other stem has: 2 to 8, one where it is alone or noise, none where it is silent.
    pub fn parts(self, rng: &mut Rng) -> usize {
        match self {
            Self::Alone(_) | Self::Noise => 1,
            _ => 2 + rng.weighted(&[2.0, 3.0, 3.0, 2.0, 1.2, 0.6, 0.4]),
        }
    }
}

/// A stretch of bars in which the same instruments play.
pub struct Section {
    /// First bar and the bar after the last.
    pub bars: std::ops::Range<usize>,
    /// Verse, chorus, bridge: sections of the same letter share their material.
    pub letter: usize,
    /// From which that material follows.
    pub seed: u64,
    /// Are there drums, bass, voices.
    pub drums: bool,
    /// See `drums`.
    pub bass: bool,
    /// See `drums`.
    pub vocals: bool,
    /// Which parts of "other" play.
    pub other: Vec<bool>,
    /// 0 to 1: how densely and loudly everybody plays.
    pub energy: f32,
    /// The step of the last bar from which everybody rests.
    pub stop: Option<usize>,
}

impl Section {
    /// The dice for one purpose, the same for all sections of a letter.
    pub fn dice(&self, purpose: u64) -> Rng {
        Rng::new(self.seed, &[purpose])
    }
}

/// Cuts the song into sections, and lets instruments drop in and out.
pub fn arrange(rng: &mut Rng, kind: Kind, bar_steps: usize, bars: usize, parts: usize) -> Vec<Section> {
    // A verse is calmer than a chorus.
    let letters = [rng.range(0.2, 0.7), rng.range(0.5, 1.0), rng.range(0.1, 1.0)];
    let seeds: [u64; 3] = std::array::from_fn(|_| rng.bits());
    let alone = matches!(kind, Kind::Alone(_) | Kind::Noise);
    let mut sections: Vec<Section> = Vec::new();
    let mut first = 0;
    while first < bars {
        let length = (*rng.pick(&[1, 2, 2, 4, 4, 4, 8])).min(bars - first);
        let previous = sections.last().map(|s| s.letter);
        let letter = match previous {
            // Verse, chorus, sometimes a bridge.
            Some(0) => *rng.pick(&[0, 1, 1]),
            Some(1) => *rng.pick(&[0, 0, 1, 2]),
            _ => rng.weighted(&[2.0, 1.0, 0.5]),
        };
        // From a bare introduction to everybody at once.
        let fullness = if alone { 1.0 } else { *rng.pick(&[0.6, 0.8, 0.9, 0.97, 0.97]) };
        let mut section = Section {
            bars: first..first + length,
            letter,
            seed: seeds[letter],
            drums: kind.has(0) && rng.chance(fullness),
            bass: kind.has(1) && rng.chance(fullness),
            vocals: kind.has(3) && rng.chance(fullness * 0.9),
            other: (0..parts).map(|_| kind.has(2) && rng.chance(fullness * 0.8)).collect(),
            energy: (letters[letter] + 0.1 * rng.normal()).clamp(0.05, 1.0),
            // Mostly the last beat or two, at times the whole bar.
            stop: rng
                .chance(0.08)
                .then(|| bar_steps - (STEPS_PER_BEAT * *rng.pick(&[1, 1, 2, 2, 4])).min(bar_steps)),
        };
        // A stem's single part plays wherever the stem does.
        if kind.has(2) && !section.other.contains(&true) && (alone || rng.chance(0.85)) {
            section.other[rng.below(parts)] = true;
        }
        if kind == Kind::Voices {
            section.vocals = true;
        }
        sections.push(section);
        first += length;
    }
    // What a song has, it mostly uses somewhere, however short it is.
    let index = rng.below(sections.len());
    if let Some(section) = sections.get_mut(index) {
        let forced = [0, 1, 3].map(|stem| kind.has(stem) && rng.chance(0.8));
        section.drums |= forced[0];
        section.bass |= forced[1];
        section.vocals |= forced[2];
    }
    sections
}
