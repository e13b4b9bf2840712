//! From tracks to stems. Tracks and what is asked of all of them live here; each device of the desk has a file.

mod amp;
mod dynamics;
mod master;
mod modulation;
mod reverb;
mod space;
mod strip;

pub use amp::Amp;
pub use dynamics::Compressor;
pub use master::master;
pub use modulation::Modulation;
pub use reverb::Reverb;
pub use space::Space;
pub use strip::Strip;

/// Left and right, of equal length.
pub type Stereo = [Vec<f32>; 2];

/// What an instrument gives to the mixer.
pub struct Track {
    /// Left and right, of the song's length.
    pub channels: Stereo,
    /// How much of it goes to the reverb.
    pub reverb_send: f32,
    /// How much of it goes to the echo.
    pub delay_send: f32,
    /// How far it gives way to the kick in songs that pump, 0 to 1.
    pub duck: f32,
}

impl Track {
    /// A silent track.
    pub fn silent(length: usize) -> Self {
        Self {
            channels: [vec![0.0; length], vec![0.0; length]],
            reverb_send: 0.0,
            delay_send: 0.0,
            duck: 0.0,
        }
    }

    /// Adds a mono sound at a place from -1 (left) to 1 (right), at constant power.
    pub fn add(&mut self, start: usize, sound: &[f32], level: f32, pan: f32) {
        let angle = (pan.clamp(-1.0, 1.0) + 1.0) * std::f32::consts::FRAC_PI_4;
        let gains =
            [level * angle.cos() * std::f32::consts::SQRT_2, level * angle.sin() * std::f32::consts::SQRT_2];
        for (channel, gain) in self.channels.iter_mut().zip(gains) {
            super::dsp::add(channel, start, sound, gain);
        }
    }

    /// Adds another track's sound; its sends are not looked at.
    pub fn absorb(&mut self, other: &Stereo, level: f32) {
        for (channel, source) in self.channels.iter_mut().zip(other) {
            super::dsp::add(channel, 0, source, level);
        }
    }

    /// Mean square over both channels.
    pub fn power(&self) -> f32 {
        power(&self.channels)
    }

    /// Scales everything.
    pub fn scale(&mut self, factor: f32) {
        self.channels.iter_mut().flatten().for_each(|x| *x *= factor);
    }

    /// Scales the parts that sound to a mean square of 1; silence stays.
    pub fn level(&mut self) {
        let power = loud_power(&self.channels);
        if power > 1e-12 {
            self.scale(power.sqrt().recip());
        }
    }
}

#[cfg(test)]
mod tests;

/// Mean square over both channels.
pub fn power(channels: &Stereo) -> f32 {
    let sum: f64 = channels.iter().flatten().map(|x| f64::from(x * x)).sum();
    (sum / (2 * channels[0].len()).max(1) as f64) as f32
}

/// Mean square of the parts where something sounds, so that pauses don't make an instrument louder.
pub fn loud_power(channels: &Stereo) -> f32 {
    let block = super::dsp::frames(0.4);
    let powers: Vec<f32> = channels[0]
        .chunks(block)
        .zip(channels[1].chunks(block))
        .map(|(l, r)| l.iter().chain(r).map(|x| x * x).sum::<f32>() / (2 * l.len()) as f32)
        .collect();
    let loudest = powers.iter().fold(0f32, |loudest, p| loudest.max(*p));
    let sounding: Vec<f32> = powers.into_iter().filter(|p| *p > 0.01 * loudest).collect();
    sounding.iter().sum::<f32>() / sounding.len().max(1) as f32
}
