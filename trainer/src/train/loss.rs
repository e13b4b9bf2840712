//! The training loss.

use candle_core::{Result, Tensor};

use super::data::Batch;
use super::recipe::{Distance, Loss};

impl Loss {
    /// Distance between estimates and targets, both `[batch, stems, channels, frames]`, as one number.
    pub fn of(&self, estimate: &Tensor, target: &Tensor, weights: &Tensor) -> Result<Tensor> {
        let difference = (estimate - target)?;
        let distance = match self.distance {
            Distance::L1 => difference.abs()?,
            Distance::Mse => difference.sqr()?,
        };
        // [batch, stems]
        (distance.flatten_from(2)?.mean(2)? * weights)?.mean_all()
    }

    /// The weight of each stem of each excerpt, `[batch * stems]`, in the batch's order.
    pub fn weights(&self, batch: &Batch) -> Vec<f32> {
        let stems = engine::STEMS;
        let level = |samples: &[f32]| {
            let sum: f64 = samples
                .iter()
                .map(|x| match self.distance {
                    Distance::L1 => f64::from(x.abs()),
                    Distance::Mse => f64::from(x * x),
                })
                .sum();
            (sum / samples.len().max(1) as f64) as f32
        };
        let per_stem = batch.targets.len() / (batch.items * stems).max(1);
        let per_mixture = batch.mixtures.len() / batch.items.max(1);
        let mut weights = Vec::with_capacity(batch.items * stems);
        let excerpts =
            batch.targets.chunks_exact(stems * per_stem).zip(batch.mixtures.chunks_exact(per_mixture));
        for (targets, mixture) in excerpts {
            let mixture = level(mixture).max(1e-7);
            let overall = if self.relative { 1.0 / mixture } else { 1.0 };
            for target in targets.chunks_exact(per_stem) {
                // A silent stem must not get an infinite weight.
                let share = (level(target) / mixture).max(0.1);
                weights.push(overall * share.powf(-self.balance));
            }
        }
        weights
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn batch(level: f32) -> Batch {
        let mut targets = vec![0.0; 2 * 4 * 2 * 4];
        targets[..32].fill(level);
        Batch { step: 0, items: 2, mixtures: vec![level; 2 * 2 * 6], targets, left_out: vec![] }
    }

    #[test]
    fn l1_and_mse_are_means_over_everything() {
        let zeros = Tensor::zeros((2, 4, 2, 4), candle_core::DType::F32, &Device::Cpu).unwrap();
        let halves = (&zeros + 0.5).unwrap();
        let weights = Tensor::ones((2, 4), candle_core::DType::F32, &Device::Cpu).unwrap();
        let value = |distance| {
            let loss = Loss { distance, ..Loss::default() };
            loss.of(&zeros, &halves, &weights).unwrap().to_scalar::<f32>().unwrap()
        };
        assert!((value(Distance::L1) - 0.5).abs() < 1e-6);
        assert!((value(Distance::Mse) - 0.25).abs() < 1e-6);
    }

    #[test]
    fn a_relative_loss_does_not_depend_on_loudness_and_silence_weighs_finitely() {
        let loss = Loss { relative: true, balance: 1.0, ..Loss::default() };
        let (loud, soft) = (loss.weights(&batch(0.5)), loss.weights(&batch(0.05)));
        for (l, s) in loud.iter().zip(&soft) {
            assert!((l * 0.5 - s * 0.05).abs() < 1e-4 && s.is_finite());
        }
        assert!(loud[7] > loud[0]);
    }
}
