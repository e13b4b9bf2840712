//! Fades the stems out and in around a dropout, so that it does not click.

use super::StemFrame;
use crate::STEMS;

/// Long enough to be free of clicks, short enough to lose little.
const FADE_SECONDS: f32 = 0.005;

/// While frames come on time it changes no bit of them. At the first missing frame the last value is held and
/// faded to silence; when frames return they are faded in (over the rest of the held value, if need be).
pub(super) struct Declick {
    /// Of a fade, per frame.
    step: f32,
    /// Of the incoming frames.
    gain: f32,
    /// What was played last before the gap, and its remaining gain.
    held: StemFrame,
    held_gain: f32,
    last: StemFrame,
    in_gap: bool,
}

impl Declick {
    /// `sample_rate` in Hz.
    pub fn new(sample_rate: u32) -> Self {
        Self {
            step: 1.0 / (sample_rate as f32 * FADE_SECONDS).max(1.0),
            gain: 1.0,
            held: [[0.0; 2]; STEMS],
            held_gain: 0.0,
            last: [[0.0; 2]; STEMS],
            in_gap: false,
        }
    }

    /// As if new: the next frame comes through unchanged.
    pub fn reset(&mut self) {
        self.gain = 1.0;
        self.held_gain = 0.0;
        self.last = [[0.0; 2]; STEMS];
        self.in_gap = false;
    }

    /// A frame that came in time.
    pub fn present(&mut self, frame: StemFrame) -> StemFrame {
        self.in_gap = false;
        self.last = frame;
        if self.gain < 1.0 || self.held_gain > 0.0 {
            self.gain = (self.gain + self.step).min(1.0);
            self.last = self.mix(&frame);
        }
        self.last
    }

    /// A frame that is missing.
    pub fn missing(&mut self) -> StemFrame {
        if !self.in_gap {
            self.in_gap = true;
            self.held = self.last;
            self.held_gain = 1.0;
            self.gain = 0.0;
        }
        self.last = self.mix(&[[0.0; 2]; STEMS]);
        self.last
    }

    fn mix(&mut self, frame: &StemFrame) -> StemFrame {
        self.held_gain = (self.held_gain - self.step).max(0.0);
        std::array::from_fn(|stem| {
            std::array::from_fn(|c| frame[stem][c] * self.gain + self.held[stem][c] * self.held_gain)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_of_any_length_makes_no_jump_larger_than_the_fade_s_step() {
        let mut declick = Declick::new(48_000);
        let mut previous = 0.8;
        for n in 0..4_000 {
            // Gaps of 1, 100 and 500 frames.
            let gap = n == 500 || (1_000..1_100).contains(&n) || (2_000..2_500).contains(&n);
            let out = if gap { declick.missing() } else { declick.present([[0.8; 2]; STEMS]) };
            assert!((out[0][0] - previous).abs() <= 0.8 * 2.0 / 240.0 + 1e-6, "frame {n}");
            previous = out[0][0];
        }
        assert_eq!(previous, 0.8, "the stems must be back, unchanged");
    }
}
