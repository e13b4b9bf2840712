//! Random changes to stems before they are mixed, one file for each that takes more than a line.
//!
//! Each change has a generator of its own, so that one probability does not change the others' luck.

mod eq;
mod limiter;
mod reverb;
mod stretch;

use engine::STEMS;

use crate::rng::Rng;
use crate::train::recipe::Augment;
pub use reverb::Rooms;
pub use stretch::Speed;

/// Stereo samples, `[2][frames]`.
pub type Stereo = [Vec<f32>; 2];

impl Augment {
    /// Pitch and tempo of a song.
    pub fn speed(&self, rng: &mut Rng) -> Speed {
        let (mut pitch, mut tempo) = (rng.fork(), rng.fork());
        let mut speed = Speed::default();
        if pitch.chance(self.pitch.probability) {
            let [low, high] = self.pitch.semitones;
            speed.pitch = (pitch.range(low, high) / 12.0).exp2();
        }
        if tempo.chance(self.tempo.probability) {
            let [low, high] = self.tempo.factor;
            speed.tempo = tempo.range(low, high);
        }
        speed
    }

    /// How many segments a stem is the sum of.
    pub fn segments(&self, rng: &mut Rng) -> usize {
        if rng.chance(self.same_source.probability) { self.same_source.segments } else { 1 }
    }

    /// Equaliser, room, gain, channel swap and sign flip on one segment of a stem.
    pub fn change(&self, rng: &mut Rng, rooms: &Rooms, stem: &mut Stereo) {
        let [mut eq, mut reverb, mut gain, mut swap, mut flip] = [(); 5].map(|()| rng.fork());
        if eq.chance(self.eq.probability) {
            self.eq.apply(&mut eq, stem);
        }
        if reverb.chance(self.reverb.probability) {
            rooms.apply(&self.reverb, &mut reverb, stem);
        }
        let mut factor = 1.0;
        if gain.chance(self.gain_probability) {
            factor = gain.range(self.gain[0], self.gain[1]);
        }
        if swap.chance(self.swap_channels) {
            stem.swap(0, 1);
        }
        if flip.chance(self.flip_sign) {
            factor = -factor;
        }
        if factor != 1.0 {
            stem.iter_mut().flatten().for_each(|x| *x *= factor);
        }
    }

    /// Changes all stems alike, as mastering changes their sum.
    pub fn master(&self, rng: &mut Rng, stems: &mut [Stereo; STEMS]) {
        if rng.chance(self.limiter.probability) {
            let [low, high] = self.limiter.decibels;
            limiter::apply(rng.range(low, high), stems);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certain_changes_always_happen_and_impossible_ones_never() {
        let mut rng = Rng::new(1, &[]);
        let certain = Augment { gain: [0.5, 0.5], swap_channels: 1.0, flip_sign: 1.0, ..Augment::default() };
        let mut stem = [vec![1.0, 2.0], vec![3.0, 4.0]];
        let rooms = Rooms::default();
        certain.change(&mut rng, &rooms, &mut stem);
        assert_eq!(stem, [vec![-1.5, -2.0], vec![-0.5, -1.0]]);
        let before = stem.clone();
        Augment::default().change(&mut rng, &rooms, &mut stem);
        let never = Augment { gain: [0.1, 0.2], gain_probability: 0.0, ..Augment::default() };
        never.change(&mut rng, &rooms, &mut stem);
        assert_eq!(stem, before);
        assert_eq!(never.speed(&mut rng), Speed::default());
        assert_eq!(never.segments(&mut rng), 1);
    }

    #[test]
    fn one_probability_does_not_change_the_luck_of_the_others() {
        let gains = |flip_sign| {
            let augment = Augment { gain: [0.5, 1.5], flip_sign, ..Augment::default() };
            let mut rng = Rng::new(3, &[]);
            let gain = |rng: &mut Rng| {
                let mut stem = [vec![1.0], vec![1.0]];
                augment.change(rng, &Rooms::default(), &mut stem);
                stem[0][0].abs()
            };
            [(); 20].map(|()| gain(&mut rng))
        };
        assert_eq!(gains(0.0), gains(1.0));
        assert!(gains(0.0).iter().all(|gain| (0.5..1.5).contains(gain)));
    }
}
