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

    /// Any shape in, the same shape out. The mask follows from the mode's seed alone.
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let Mode::Train { seed } = mode else { return Ok(x.clone()) };
        if self.probability <= 0.0 {
            return Ok(x.clone());
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ self.id.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let kept = 1.0 / (1.0 - self.probability);
        let mask: Vec<f32> = (0..x.elem_count())
            .map(|_| if rng.random::<f32>() < self.probability { 0.0 } else { kept })
            .collect();
        x * Tensor::from_vec(mask, x.shape(), x.device())?
    }
}
