//! Dropout with a reproducible mask.

use candle_core::{Result, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::model::Mode;

/// Zeroes each element with the given probability in training and scales the rest up to keep the mean.
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    probability: f32,
    /// Tells the dropouts of one network apart.
    id: u64,
}

impl Dropout {
    /// `id` must differ between the dropouts of one network.
    pub fn new(probability: f32, id: u64) -> Self {
        Self { probability, id }
    }

    /// `[batch, ..]` -> the same. An item's mask follows from the mode's seed and the item's number in its batch.
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let Mode::Train { seed, first_item } = mode else { return Ok(x.clone()) };
        if self.probability <= 0.0 {
            return Ok(x.clone());
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ self.id.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // Each number takes one word of the generator's.
        let per_item = x.elem_count() / x.dim(0)?.max(1);
        rng.set_word_pos((first_item * per_item) as u128);
        let kept = 1.0 / (1.0 - self.probability);
        let mask: Vec<f32> = (0..x.elem_count())
            .map(|_| if rng.random::<f32>() < self.probability { 0.0 } else { kept })
            .collect();
        x * Tensor::from_vec(mask, x.shape(), x.device())?
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    #[test]
    fn a_share_of_a_batch_gets_the_share_of_its_mask() {
        let dropout = Dropout::new(0.4, 3);
        let mask = |items: usize, first_item: usize| {
            let ones = Tensor::ones((items, 5, 7), DType::F32, &Device::Cpu).unwrap();
            let mask = dropout.forward(&ones, Mode::Train { seed: 9, first_item }).unwrap();
            mask.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let whole = mask(4, 0);
        assert_eq!(whole, [mask(1, 0), mask(3, 1)].concat());
        let dropped = whole.iter().filter(|x| **x == 0.0).count();
        assert!((35..80).contains(&dropped), "{dropped} of 140");
        assert!(whole.iter().all(|x| *x == 0.0 || (*x - 1.0 / 0.6).abs() < 1e-6));
    }
}
