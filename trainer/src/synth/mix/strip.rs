//! A channel strip: equaliser, compressor and saturation, which every part of a mix goes through.

use super::super::dsp::{Biquad, gain, saturate};
use super::{Compressor, Stereo, Track, loud_power};
use crate::rng::Rng;

/// What one strip is set to.
pub struct Strip {
    equaliser: Vec<Biquad>,
    compressor: Option<Compressor>,
    /// Saturation: how far the mean level lies above where it begins, dB.
    drive_db: Option<f32>,
}

impl Strip {
    /// Random settings: bells over the whole range, their gain of `spread_db` deviation.
    pub fn draw(rng: &mut Rng, low_cut_hz: f32, spread_db: f32) -> Self {
        let equaliser = vec![
            Biquad::high_pass(low_cut_hz),
            Biquad::peak(rng.log_range(80.0, 300.0), 0.8, spread_db * rng.normal()),
            Biquad::peak(rng.log_range(300.0, 1_200.0), rng.range(0.6, 1.5), spread_db * rng.normal()),
            Biquad::peak(rng.log_range(1_200.0, 5_000.0), rng.range(0.6, 1.5), spread_db * rng.normal()),
            Biquad::high_shelf(rng.log_range(4_000.0, 9_000.0), spread_db * rng.normal()),
        ];
        Self {
            equaliser,
            compressor: rng.chance(0.5).then(|| Compressor::draw(rng)),
            drive_db: rng.chance(0.2).then(|| rng.range(-12.0, 4.0)),
        }
    }

    /// The same with a fixed tone control after the random ones: what a kind of part needs to sit in a mix.
    pub fn with(mut self, sections: impl IntoIterator<Item = Biquad>) -> Self {
        self.equaliser.extend(sections);
        self
    }

    /// The same with compression in any case.
    pub fn compressed(mut self, rng: &mut Rng) -> Self {
        self.compressor = Some(Compressor::draw(rng));
        self
    }

    /// Runs a track through the strip.
    pub fn run(&self, track: &mut Track) {
        Biquad::cascade(&self.equaliser, &mut track.channels);
        if let Some(compressor) = &self.compressor {
            compressor.run(&mut track.channels);
        }
        if let Some(drive_db) = self.drive_db {
            drive(&mut track.channels, drive_db);
        }
    }
}

/// Saturates; `drive_db` says how far the mean level lies above where that begins.
pub fn drive(channels: &mut Stereo, drive_db: f32) {
    let power = loud_power(channels);
    if power > 1e-12 {
        let factor = gain(drive_db) / power.sqrt();
        channels.iter_mut().flatten().for_each(|x| *x = saturate(*x * factor) / factor);
    }
}
