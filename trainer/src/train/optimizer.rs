//! AdamW over a network's parameters, with a state that can be saved; candle's own cannot.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor};
use engine::model::Parameter;

use super::recipe::Optimizer;

/// Named vectors: weights, averages or moments.
pub type Named = BTreeMap<String, Vec<f32>>;

/// The optimiser and the moving average of the weights.
pub struct AdamW {
    config: Optimizer,
    total_steps: u64,
    /// Running mean of the gradients.
    pub mean: Named,
    /// Running mean of their squares.
    pub square: Named,
    /// Moving average of the weights.
    pub average: Named,
}

/// What a step was like.
pub struct StepReport {
    /// Learning rate.
    pub rate: f64,
    /// Length of the whole gradient before clipping.
    pub gradient_norm: f64,
}

impl AdamW {
    /// Starts with empty moments, and the average at the weights.
    pub fn new(
        config: Optimizer,
        total_steps: u64,
        parameters: &BTreeMap<String, Parameter>,
    ) -> Result<Self> {
        let average = weights(parameters)?;
        let zeros = || -> Named {
            let trained = parameters.iter().filter(|(_, p)| p.trained);
            trained.map(|(name, p)| (name.clone(), vec![0.0; p.var.elem_count()])).collect()
        };
        Ok(Self { config, total_steps, mean: zeros(), square: zeros(), average })
    }

    /// The learning rate of a step, counted from 0.
    pub fn rate(&self, step: u64) -> f64 {
        let c = &self.config;
        if step < c.warm_up {
            return c.rate * (step + 1) as f64 / c.warm_up as f64;
        }
        let length = self.total_steps.saturating_sub(c.warm_up + 1).max(1);
        let progress = ((step - c.warm_up) as f64 / length as f64).min(1.0);
        c.final_rate + (c.rate - c.final_rate) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
    }

    /// Moves the parameters by one step, counted from 0.
    ///
    /// # Errors
    /// A gradient that is not finite: the parameters are then unchanged.
    pub fn step(
        &mut self,
        step: u64,
        parameters: &BTreeMap<String, Parameter>,
        gradients: &GradStore,
    ) -> Result<StepReport> {
        let mut flat = Named::new();
        let mut squares = 0.0f64;
        for (name, parameter) in parameters.iter().filter(|(_, p)| p.trained) {
            if let Some(gradient) = gradients.get(parameter.var.as_tensor()) {
                let gradient = gradient.flatten_all()?.to_vec1::<f32>()?;
                squares += gradient.iter().map(|g| f64::from(*g) * f64::from(*g)).sum::<f64>();
                flat.insert(name.clone(), gradient);
            }
        }
        let gradient_norm = squares.sqrt();
        if !gradient_norm.is_finite() {
            candle_core::bail!("the gradient is not finite at step {step}: lower the learning rate or clip");
        }
        let c = &self.config;
        let rate = self.rate(step);
        let scale = if c.clip > 0.0 && gradient_norm > c.clip { c.clip / gradient_norm } else { 1.0 } as f32;
        let (beta1, beta2) = (c.beta1 as f32, c.beta2 as f32);
        let count = (step + 1).min(i32::MAX as u64) as i32;
        let step_size = (rate / (1.0 - c.beta1.powi(count))) as f32;
        let correction = (1.0 / (1.0 - c.beta2.powi(count))) as f32;
        let shrink = (1.0 - rate * c.weight_decay) as f32;
        for (name, gradient) in &flat {
            let (Some(mean), Some(square), Some(parameter)) =
                (self.mean.get_mut(name), self.square.get_mut(name), parameters.get(name))
            else {
                candle_core::bail!("parameter {name} is not known to the optimiser");
            };
            let mut values = parameter.var.flatten_all()?.to_vec1::<f32>()?;
            for (((w, g), m), v) in values.iter_mut().zip(gradient).zip(mean).zip(square) {
                let g = g * scale;
                *m = beta1 * *m + (1.0 - beta1) * g;
                *v = beta2 * *v + (1.0 - beta2) * g * g;
                *w = *w * shrink - step_size * *m / ((*v * correction).sqrt() + 1e-8);
            }
            parameter.var.set(&Tensor::from_vec(values, parameter.var.shape(), parameter.var.device())?)?;
        }
        self.follow(step, parameters)?;
        Ok(StepReport { rate, gradient_norm })
    }

    /// Moves the average towards the weights. What is not trained (running statistics) is copied.
    fn follow(&mut self, step: u64, parameters: &BTreeMap<String, Parameter>) -> Result<()> {
        let decay = self.config.ema.min((1 + step) as f64 / (10 + step) as f64) as f32;
        for (name, parameter) in parameters {
            let values = parameter.var.flatten_all()?.to_vec1::<f32>()?;
            match self.average.get_mut(name) {
                Some(average) if parameter.trained && self.config.ema > 0.0 => {
                    average.iter_mut().zip(values).for_each(|(a, w)| *a += (1.0 - decay) * (w - *a));
                }
                _ => {
                    self.average.insert(name.clone(), values);
                }
            }
        }
        Ok(())
    }
}

/// The parameters' current values.
pub fn weights(parameters: &BTreeMap<String, Parameter>) -> Result<Named> {
    parameters.iter().map(|(name, p)| Ok((name.clone(), p.var.flatten_all()?.to_vec1::<f32>()?))).collect()
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    fn one(value: f32) -> BTreeMap<String, Parameter> {
        let var = Var::from_tensor(&Tensor::new(&[value], &Device::Cpu).unwrap()).unwrap();
        BTreeMap::from([("w".to_owned(), Parameter { var, trained: true })])
    }

    #[test]
    fn adam_agrees_with_the_published_algorithm() {
        let config =
            Optimizer { rate: 0.1, final_rate: 0.1, weight_decay: 0.01, ema: 0.0, ..Optimizer::default() };
        let parameters = one(1.0);
        let mut optimizer = AdamW::new(config, 3, &parameters).unwrap();
        // The same in plain numbers: minimise w^2.
        let (mut w, mut m, mut v) = (1.0f64, 0.0f64, 0.0f64);
        for step in 0..3u64 {
            let loss = parameters["w"].var.sqr().unwrap().sum_all().unwrap();
            optimizer.step(step, &parameters, &loss.backward().unwrap()).unwrap();
            let g = 2.0 * w;
            m = 0.9 * m + 0.1 * g;
            v = 0.999 * v + 0.001 * g * g;
            let t = step as i32 + 1;
            let (mean, square) = (m / (1.0 - 0.9f64.powi(t)), v / (1.0 - 0.999f64.powi(t)));
            w = w * (1.0 - 0.1 * 0.01) - 0.1 * mean / (square.sqrt() + 1e-8);
        }
        let ours = parameters["w"].var.to_vec1::<f32>().unwrap()[0];
        assert!((f64::from(ours) - w).abs() < 1e-5, "{ours} against {w}");
    }

    #[test]
    fn the_rate_warms_up_and_ends_at_its_final_value() {
        let config = Optimizer { rate: 1.0, final_rate: 0.1, warm_up: 10, ..Optimizer::default() };
        let optimizer = AdamW::new(config, 100, &one(0.0)).unwrap();
        assert!((optimizer.rate(0) - 0.1).abs() < 1e-9);
        assert!((optimizer.rate(9) - 1.0).abs() < 1e-9 && (optimizer.rate(10) - 1.0).abs() < 1e-9);
        assert!((optimizer.rate(99) - 0.1).abs() < 1e-9);
        assert!((10..99).all(|s| optimizer.rate(s + 1) <= optimizer.rate(s)));
    }

    #[test]
    fn clipping_shortens_the_gradient_only_beyond_its_limit() {
        let config = Optimizer { clip: 0.5, ema: 0.0, ..Optimizer::default() };
        let parameters = one(2.0);
        let mut optimizer = AdamW::new(config, 10, &parameters).unwrap();
        let loss = parameters["w"].var.sqr().unwrap().sum_all().unwrap();
        let report = optimizer.step(0, &parameters, &loss.backward().unwrap()).unwrap();
        assert!((report.gradient_norm - 4.0).abs() < 1e-6);
        assert!((optimizer.mean["w"][0] - 0.1 * 0.5).abs() < 1e-6);
    }

    #[test]
    fn a_gradient_that_is_not_finite_stops_the_run_and_keeps_the_weights() {
        let parameters = one(0.0);
        let mut optimizer = AdamW::new(Optimizer::default(), 10, &parameters).unwrap();
        let loss = parameters["w"].var.log().unwrap().sum_all().unwrap();
        assert!(optimizer.step(0, &parameters, &loss.backward().unwrap()).is_err());
        assert_eq!(parameters["w"].var.to_vec1::<f32>().unwrap(), [0.0]);
    }
}
