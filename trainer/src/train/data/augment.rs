//! Random changes to one stem.

use crate::rng::Rng;
use crate::train::recipe::Augment;

impl Augment {
    /// Gain, channel swap and sign flip, each drawn anew.
    pub fn apply(&self, rng: &mut Rng, stem: &mut [Vec<f32>; 2]) {
        // Always the same number of draws, so that one probability does not change the others' luck.
        let gain = rng.range(self.gain[0], self.gain[1]);
        let (swap, flip) = (rng.chance(self.swap_channels), rng.chance(self.flip_sign));
        let factor = if flip { -gain } else { gain };
        if swap {
            stem.swap(0, 1);
        }
        if factor != 1.0 {
            stem.iter_mut().flatten().for_each(|x| *x *= factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certain_changes_always_happen_and_impossible_ones_never() {
        let mut rng = Rng::new(1, &[]);
        let certain = Augment { remix: 0.0, gain: [0.5, 0.5], swap_channels: 1.0, flip_sign: 1.0 };
        let mut stem = [vec![1.0, 2.0], vec![3.0, 4.0]];
        certain.apply(&mut rng, &mut stem);
        assert_eq!(stem, [vec![-1.5, -2.0], vec![-0.5, -1.0]]);
        let before = stem.clone();
        Augment::default().apply(&mut rng, &mut stem);
        assert_eq!(stem, before);
    }
}
