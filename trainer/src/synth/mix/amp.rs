//! A guitar amplifier: overdrive and a loudspeaker.

use super::super::dsp::{Biquad, gain, saturate};
use super::Track;
use crate::rng::Rng;

/// What an amplifier is set to.
pub struct Amp {
    drive_db: f32,
    bias: f32,
    low_cut_hz: f32,
    speaker: Vec<Biquad>,
}

impl Amp {
    /// For guitars, from crunch to high gain.
    pub fn guitar(rng: &mut Rng) -> Self {
        Self {
            drive_db: rng.range(0.0, 32.0),
            bias: rng.range(0.0, 0.25),
            low_cut_hz: rng.range(70.0, 160.0),
            speaker: vec![
                Biquad::high_pass(80.0),
                Biquad::peak(rng.range(100.0, 180.0), 1.0, rng.range(0.0, 5.0)),
                Biquad::peak(rng.range(2_000.0, 3_500.0), 0.9, rng.range(0.0, 5.0)),
                Biquad::low_pass(rng.range(3_500.0, 6_000.0)),
                Biquad::low_pass(rng.range(5_000.0, 9_000.0)),
            ],
        }
    }

    /// For basses: the speaker lets the lows through.
    pub fn bass(rng: &mut Rng) -> Self {
        Self {
            drive_db: rng.range(-8.0, 14.0),
            bias: rng.range(0.0, 0.2),
            low_cut_hz: 30.0,
            speaker: vec![
                Biquad::peak(rng.range(70.0, 140.0), 0.8, rng.range(0.0, 4.0)),
                Biquad::low_pass(rng.log_range(2_500.0, 7_000.0)),
            ],
        }
    }

    /// Plays a track through it. The track must have been levelled.
    pub fn run(&self, track: &mut Track) {
        let drive = gain(self.drive_db);
        for channel in &mut track.channels {
            Biquad::high_pass(self.low_cut_hz).run(channel);
            channel.iter_mut().for_each(|x| *x = saturate(*x * drive + self.bias) - saturate(self.bias));
        }
        Biquad::cascade(&self.speaker, &mut track.channels);
    }
}
