//! The training loss: the recipe's distances, weighted and added.

mod distance;
mod plain;
mod si_sdr;
mod stft;

use candle_core::{D, Result, Tensor};

use super::recipe::{self, Distance, Term};
use distance::{DistanceOp, Measure};
use engine::model::layers::is_unfused;
use std::sync::Arc;

/// Hz; that of all training data.
const SAMPLE_RATE: f64 = 44_100.0;

/// The recipe's loss, ready to be computed.
pub struct Loss {
    config: recipe::Loss,
    measures: Vec<Arc<Measure>>,
}

impl Loss {
    /// Makes what the distances need, such as transforms.
    pub fn new(config: recipe::Loss) -> Self {
        let measures = config.terms.iter().map(|term| Arc::new(Measure::new(term))).collect();
        Self { config, measures }
    }

    /// The loss of `estimate` against `target`, both `[batch, stems, 2, frames]`, in excerpts of `mixture`,
    /// `[batch, 2, more frames]`, as one number; and each term's share of it, as a number of its own.
    ///
    /// # Errors
    /// Shapes that do not match, or excerpts that are over before the loss begins.
    pub fn of(&self, estimate: &Tensor, target: &Tensor, mixture: &Tensor) -> Result<(Tensor, Vec<f32>)> {
        let skip = (self.config.skip_seconds * SAMPLE_RATE) as usize;
        let (_, stems, _, frames) = target.dims4()?;
        if skip >= frames {
            candle_core::bail!("`loss.skip_seconds` leaves nothing of excerpts of {frames} frames");
        }
        let counted = target.narrow(D::Minus1, skip, frames - skip)?;
        let (estimate, target) = (estimate.contiguous()?, target.contiguous()?);
        let mut sum: Option<Tensor> = None;
        let mut shares = Vec::new();
        for (term, measure) in self.config.terms.iter().zip(&self.measures) {
            // [batch, stems]
            let distance = match is_unfused(&estimate) {
                true => plain::distance(measure, &estimate.narrow(3, skip, frames - skip)?, &counted)?,
                false => {
                    let op = DistanceOp { measure: measure.clone(), target: target.clone(), skip };
                    estimate.apply_op1(op)?
                }
            };
            let distance = (distance * self.weights(term, &counted, mixture)?)?;
            let factor = if self.config.sum_stems { term.weight * stems as f64 } else { term.weight };
            let share = (distance.mean_all()? * factor)?;
            shares.push(share.to_scalar::<f32>()?);
            sum = Some(match sum {
                Some(sum) => (sum + share)?,
                None => share,
            });
        }
        let Some(sum) = sum else { candle_core::bail!("the loss has no terms") };
        Ok((sum, shares))
    }

    /// The weight of each stem of each excerpt, `[batch, stems]`.
    fn weights(&self, term: &Term, target: &Tensor, mixture: &Tensor) -> Result<Tensor> {
        let level = |audio: &Tensor| match term.kind {
            Distance::Mse => audio.sqr(),
            _ => audio.abs(),
        };
        let (batch, stems, ..) = target.dims4()?;
        let free_of_level = matches!(term.kind, Distance::SiSdr | Distance::StftMagnitude);
        if free_of_level || (!self.config.relative && self.config.balance == 0.0) {
            return Tensor::ones((batch, stems), target.dtype(), target.device());
        }
        // [batch, 1]
        let mixture = level(mixture)?.flatten_from(1)?.mean_keepdim(1)?.maximum(1e-7)?;
        // A silent stem must not get an infinite weight.
        let share = level(target)?.flatten_from(2)?.mean(2)?.broadcast_div(&mixture)?.maximum(0.1)?;
        let weights = share.powf(-f64::from(self.config.balance))?;
        if self.config.relative { weights.broadcast_div(&mixture) } else { Ok(weights) }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    fn term(kind: Distance, weight: f64) -> Term {
        Term { kind, weight, windows: Vec::new() }
    }

    fn constant(level: f32, shape: &[usize]) -> Tensor {
        (Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap() + f64::from(level)).unwrap()
    }

    /// The loss of silence where every stem has a constant level.
    fn of_silence(config: recipe::Loss, levels: [f32; 4], mixture: f32) -> f32 {
        let stems: Vec<Tensor> = levels.iter().map(|l| constant(*l, &[2, 1, 2, 8])).collect();
        let target = Tensor::cat(&stems, 1).unwrap();
        let silence = target.zeros_like().unwrap();
        let (loss, shares) =
            Loss::new(config).of(&silence, &target, &constant(mixture, &[2, 2, 12])).unwrap();
        let loss = loss.to_scalar::<f32>().unwrap();
        assert!((shares.iter().sum::<f32>() - loss).abs() < 1e-5 * loss.abs());
        loss
    }

    #[test]
    fn terms_are_means_over_everything_weighted_and_added_or_summed_over_the_stems() {
        let loss = |terms, sum_stems| {
            of_silence(recipe::Loss { terms, sum_stems, ..recipe::Loss::default() }, [0.5; 4], 1.0)
        };
        assert!((loss(vec![term(Distance::L1, 1.0)], false) - 0.5).abs() < 1e-6);
        assert!((loss(vec![term(Distance::Mse, 1.0)], true) - 4.0 * 0.25).abs() < 1e-6);
        let both = vec![term(Distance::L1, 2.0), term(Distance::Mse, 3.0)];
        assert!((loss(both, false) - 2.0 * 0.5 - 3.0 * 0.25).abs() < 1e-6);
    }

    #[test]
    fn cards_get_the_same_loss_and_the_same_gradient() {
        let mut rng = crate::rng::Rng::new(3, &[]);
        let mut noise = |level: f32| -> Tensor {
            let values = (0..2 * 4 * 2 * 700).map(|_| level * rng.range(-1.0, 1.0)).collect();
            Tensor::from_vec(values, (2, 4, 2, 700), &Device::Cpu).unwrap()
        };
        let (target, error) = (noise(0.5), noise(0.2));
        let estimate = candle_core::Var::from_tensor(&((&target * 0.7).unwrap() + error).unwrap()).unwrap();
        let mixture = target.sum(1).unwrap();
        for kind in [Distance::L1, Distance::Mse, Distance::SiSdr, Distance::Stft, Distance::StftMagnitude] {
            let windows = if kind == Distance::L1 { Vec::new() } else { vec![128, 64] };
            let config = recipe::Loss {
                terms: vec![Term { kind, weight: 1.0, windows }],
                skip_seconds: 100.5 / SAMPLE_RATE,
                relative: true,
                ..recipe::Loss::default()
            };
            let run = || {
                let (loss, _) = Loss::new(config.clone()).of(&estimate, &target, &mixture).unwrap();
                let gradients = loss.backward().unwrap();
                (loss.to_scalar::<f32>().unwrap(), gradients.get(&estimate).unwrap().clone())
            };
            let ((fused, gradient), (plain, other)) = (run(), engine::model::layers::unfused(run));
            assert!((fused - plain).abs() < 2e-5 * fused.abs(), "{kind:?}: {fused} and {plain}");
            let length = |x: &Tensor| x.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
            let difference = length(&(&gradient - other).unwrap());
            assert!(difference < 1e-3 * length(&gradient), "{kind:?}: {difference} of {}", length(&gradient));

            let same = estimate.as_detached_tensor();
            let none = || {
                let (loss, _) = Loss::new(config.clone()).of(&estimate, &same, &mixture).unwrap();
                length(loss.backward().unwrap().get(&estimate).unwrap())
            };
            if kind != Distance::SiSdr {
                assert_eq!([none(), engine::model::layers::unfused(none)], [0.0; 2], "{kind:?}");
            }
        }
    }

    #[test]
    fn a_relative_loss_does_not_depend_on_loudness_and_silence_weighs_finitely() {
        for kind in [Distance::L1, Distance::Mse] {
            let config =
                recipe::Loss { terms: vec![term(kind, 1.0)], relative: true, ..recipe::Loss::default() };
            let balanced = recipe::Loss { balance: 1.0, ..config.clone() };
            for config in [config, balanced] {
                let loud = of_silence(config.clone(), [0.4, 0.1, 0.1, 0.0], 0.6);
                let soft = of_silence(config, [0.04, 0.01, 0.01, 0.0], 0.06);
                assert!((loud - soft).abs() < 1e-4 * loud && loud.is_finite(), "{loud} against {soft}");
            }
        }
    }

    #[test]
    fn a_balanced_loss_counts_soft_stems_as_much_as_loud_ones() {
        let config = recipe::Loss { balance: 1.0, ..recipe::Loss::default() };
        let only = |levels| of_silence(config.clone(), levels, 1.0);
        let (loud, soft) = (only([0.8, 0.0, 0.0, 0.0]), only([0.0, 0.2, 0.0, 0.0]));
        assert!((loud - soft).abs() < 1e-5, "{loud} against {soft}");
    }

    #[test]
    fn the_skipped_part_of_an_excerpt_has_no_part_in_the_loss_nor_in_its_gradient() {
        let config = recipe::Loss { skip_seconds: 100.5 / SAMPLE_RATE, ..recipe::Loss::default() };
        let target = constant(0.0, &[2, 4, 2, 300]);
        let wrong = constant(1.0, &[2, 4, 2, 100]);
        let right = constant(0.0, &[2, 4, 2, 200]);
        let estimate = candle_core::Var::from_tensor(&Tensor::cat(&[&wrong, &right], 3).unwrap()).unwrap();
        let (loss, _) =
            Loss::new(config.clone()).of(&estimate, &target, &constant(1.0, &[2, 2, 300])).unwrap();
        assert_eq!(loss.to_scalar::<f32>().unwrap(), 0.0);
        let gradients = loss.backward().unwrap();
        let gradient = gradients.get(&estimate).unwrap().abs().unwrap().sum_all().unwrap();
        assert_eq!(gradient.to_scalar::<f32>().unwrap(), 0.0);
        let short = constant(0.0, &[2, 4, 2, 100]);
        let error = Loss::new(config).of(&short, &short, &constant(1.0, &[2, 2, 100])).unwrap_err();
        assert!(error.to_string().contains("skip_seconds"));
    }
}
