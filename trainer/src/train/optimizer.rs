//! Adam and AdamW over a network's parameters, with a state that can be saved; candle's own cannot.

use std::collections::BTreeMap;
use std::sync::Mutex;

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, Device, InplaceOp2, Layout, Result, Tensor};
use engine::model::Parameter;
use rayon::prelude::*;

use super::processes::Processes;
use super::recipe::{Kind, Optimizer};

/// Named vectors: weights, averages or moments.
pub type Named = BTreeMap<String, Vec<f32>>;

/// Work is divided into parts of so many weights, on any number of threads.
const PART: usize = 1 << 16;

/// The gradients of one step by parameter, added up over its batches, on the host.
#[derive(Default)]
pub struct Gradients(BTreeMap<String, Tensor>);

impl Gradients {
    /// Adds one batch's gradients.
    pub fn add(&mut self, parameters: &BTreeMap<String, Parameter>, mut batch: GradStore) -> Result<()> {
        for (name, parameter) in parameters.iter().filter(|(_, p)| p.trained) {
            let Some(gradient) = batch.remove(parameter.var.as_tensor()) else { continue };
            let gradient = gradient.to_device(&Device::Cpu)?.contiguous()?;
            let sum = match self.0.remove(name) {
                Some(before) => (before + gradient)?,
                None => gradient,
            };
            self.0.insert(name.clone(), sum);
        }
        Ok(())
    }

    /// Adds those of all processes, and the numbers in `more`, in one buffer.
    pub fn sum_over(
        &mut self,
        processes: &Processes,
        parameters: &BTreeMap<String, Parameter>,
        more: &mut [f32],
    ) -> Result<()> {
        if processes.count() == 1 {
            return Ok(());
        }
        let trained = || parameters.iter().filter(|(_, p)| p.trained);
        let mut flat = Vec::new();
        for (name, parameter) in trained() {
            match self.0.get(name) {
                Some(gradient) => flat.extend(gradient.flatten_all()?.to_vec1::<f32>()?),
                // All must put the same things into their buffers.
                None => flat.resize(flat.len() + parameter.var.elem_count(), 0.0),
            }
        }
        flat.extend(&*more);
        processes.sum(&mut flat);
        let mut rest = &flat[..];
        for (name, Parameter { var, .. }) in trained() {
            let (own, others) = rest.split_at(var.elem_count());
            self.0.insert(name.clone(), Tensor::from_slice(own, var.shape(), &Device::Cpu)?);
            rest = others;
        }
        more.copy_from_slice(rest);
        Ok(())
    }

    /// Length of the whole gradient.
    fn norm(&self) -> Result<f64> {
        let mut squares = 0.0;
        for gradient in self.0.values() {
            let (storage, layout) = gradient.storage_and_layout();
            let candle_core::Storage::Cpu(storage) = &*storage else {
                candle_core::bail!("the optimiser works on the CPU");
            };
            // Sums of parts in their order, whichever thread has made them.
            let parts: Vec<f64> = values(storage, layout)?
                .par_chunks(PART)
                .map(|part| part.iter().map(|g| f64::from(*g) * f64::from(*g)).sum())
                .collect();
            squares += parts.iter().sum::<f64>();
        }
        Ok(squares.sqrt())
    }
}

/// The optimiser and the moving average of the weights.
pub struct Adam {
    config: Optimizer,
    /// Running mean of the gradients.
    pub mean: Named,
    /// Running mean of their squares.
    pub square: Named,
    /// Moving average of the weights.
    pub average: Named,
}

impl Adam {
    /// Starts with empty moments, and the average at the weights.
    pub fn new(config: Optimizer, parameters: &BTreeMap<String, Parameter>) -> Result<Self> {
        let average = weights(parameters)?;
        let zeros = || -> Named {
            let trained = parameters.iter().filter(|(_, p)| p.trained);
            trained.map(|(name, p)| (name.clone(), vec![0.0; p.var.elem_count()])).collect()
        };
        Ok(Self { config, mean: zeros(), square: zeros(), average })
    }

    /// Moves the parameters by step number `step`, counted from 0, at a learning rate. `batches` is how many batches
    /// the gradients are the sum of, over all processes. Returns the length of their mean before clipping.
    ///
    /// # Errors
    /// A gradient that is not finite: the parameters are then unchanged.
    pub fn step(
        &mut self,
        step: u64,
        rate: f64,
        parameters: &BTreeMap<String, Parameter>,
        gradients: &Gradients,
        batches: u64,
    ) -> Result<f64> {
        let norm = gradients.norm()? / batches as f64;
        if !norm.is_finite() {
            candle_core::bail!("the gradient is not finite at step {step}: lower the learning rate or clip");
        }
        let c = &self.config;
        let clip = if c.clip > 0.0 && norm > c.clip { c.clip / norm } else { 1.0 };
        let count = (step + 1).min(i32::MAX as u64) as i32;
        let (penalty, shrink) = match c.kind {
            Kind::Adam => (c.weight_decay, 1.0),
            Kind::Adamw => (0.0, 1.0 - rate * c.weight_decay),
        };
        let factors = Factors {
            scale: (clip / batches as f64) as f32,
            penalty: penalty as f32,
            shrink: shrink as f32,
            beta1: c.beta1 as f32,
            beta2: c.beta2 as f32,
            step_size: (rate / (1.0 - c.beta1.powi(count))) as f32,
            correction: (1.0 / (1.0 - c.beta2.powi(count))) as f32,
            epsilon: c.epsilon as f32,
            follow: (1.0 - c.ema.min((1 + step) as f64 / (10 + step) as f64)) as f32,
        };
        for (name, parameter) in parameters {
            let Some(average) = self.average.get_mut(name) else {
                candle_core::bail!("parameter {name} is not known to the optimiser");
            };
            // What is not trained, such as running statistics, is not averaged either.
            let (Some(gradient), true) = (gradients.0.get(name), parameter.trained) else {
                copy(parameter, average)?;
                continue;
            };
            let (Some(mean), Some(square)) = (self.mean.get_mut(name), self.square.get_mut(name)) else {
                candle_core::bail!("parameter {name} is not known to the optimiser");
            };
            let update = Update { factors, vectors: Mutex::new([mean, square, average]) };
            if parameter.var.device().is_cpu() {
                parameter.var.inplace_op2(gradient, &update)?;
            } else {
                let weights = parameter.var.to_device(&Device::Cpu)?;
                weights.inplace_op2(gradient, &update)?;
                parameter.var.set(&weights.to_device(parameter.var.device())?)?;
            }
        }
        Ok(norm)
    }
}

/// The numbers of one step.
#[derive(Clone, Copy)]
struct Factors {
    /// Of the gradient: for clipping and for the mean of several batches.
    scale: f32,
    /// Of the weight in the gradient.
    penalty: f32,
    /// Of the weight beside the gradient.
    shrink: f32,
    beta1: f32,
    beta2: f32,
    /// The rate, corrected for a mean that began at 0.
    step_size: f32,
    /// The same for the mean square.
    correction: f32,
    epsilon: f32,
    /// How far the average goes towards the weight.
    follow: f32,
}

/// One parameter's step, in place and in one pass: memory is what limits it.
struct Update<'a> {
    factors: Factors,
    /// Mean, square and average.
    vectors: Mutex<[&'a mut Vec<f32>; 3]>,
}

impl InplaceOp2 for Update<'_> {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn cpu_fwd(
        &self,
        weights: &mut CpuStorage,
        weights_layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<()> {
        let gradient = values(gradient, gradient_layout)?;
        let (CpuStorage::F32(weights), Some((from, to))) = (weights, weights_layout.contiguous_offsets())
        else {
            candle_core::bail!("weights must be f32 and contiguous");
        };
        let weights = &mut weights[from..to];
        let mut vectors = self.vectors.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let [mean, square, average] = &mut *vectors;
        let f = self.factors;
        weights
            .par_chunks_mut(PART)
            .zip(gradient.par_chunks(PART))
            .zip(mean.par_chunks_mut(PART).zip(square.par_chunks_mut(PART)))
            .zip(average.par_chunks_mut(PART))
            .for_each(|(((weights, gradient), (mean, square)), average)| {
                let moments = mean.iter_mut().zip(square);
                for (((w, g), (m, v)), a) in weights.iter_mut().zip(gradient).zip(moments).zip(average) {
                    let g = g * f.scale + f.penalty * *w;
                    *m = f.beta1 * *m + (1.0 - f.beta1) * g;
                    *v = f.beta2 * *v + (1.0 - f.beta2) * g * g;
                    *w = *w * f.shrink - f.step_size * *m / ((*v * f.correction).sqrt() + f.epsilon);
                    *a += f.follow * (*w - *a);
                }
            });
        Ok(())
    }
}

/// The values of a contiguous f32 tensor.
fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&storage.as_slice::<f32>()?[from..to]),
        None => candle_core::bail!("gradients must be contiguous"),
    }
}

fn copy(parameter: &Parameter, to: &mut Vec<f32>) -> Result<()> {
    *to = parameter.var.flatten_all()?.to_vec1::<f32>()?;
    Ok(())
}

/// The parameters' current values.
pub fn weights(parameters: &BTreeMap<String, Parameter>) -> Result<Named> {
    parameters.iter().map(|(name, p)| Ok((name.clone(), p.var.flatten_all()?.to_vec1::<f32>()?))).collect()
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;

    type Parameters = BTreeMap<String, Parameter>;

    fn many(values: &[f32]) -> Parameters {
        let var = Var::from_tensor(&Tensor::new(values, &Device::Cpu).unwrap()).unwrap();
        BTreeMap::from([("w".to_owned(), Parameter { var, trained: true })])
    }

    fn value(parameters: &Parameters) -> f32 {
        parameters["w"].var.to_vec1::<f32>().unwrap()[0]
    }

    /// The gradients of the sum of a function of the weights.
    fn gradients(parameters: &Parameters, of: impl Fn(&Tensor) -> Result<Tensor>) -> Gradients {
        let loss = of(parameters["w"].var.as_tensor()).unwrap().sum_all().unwrap();
        let mut gradients = Gradients::default();
        gradients.add(parameters, loss.backward().unwrap()).unwrap();
        gradients
    }

    #[test]
    fn adam_and_adamw_agree_with_the_published_algorithms() {
        for kind in [Kind::Adam, Kind::Adamw] {
            let config = Optimizer { kind, weight_decay: 0.3, ema: 0.0, ..Optimizer::default() };
            let parameters = many(&[1.0]);
            let mut optimizer = Adam::new(config, &parameters).unwrap();
            // The same in plain numbers: minimise w^2.
            let (mut w, mut m, mut v) = (1.0f64, 0.0f64, 0.0f64);
            for step in 0..5u64 {
                let found = gradients(&parameters, Tensor::sqr);
                optimizer.step(step, 0.1, &parameters, &found, 1).unwrap();
                let g = 2.0 * w + if kind == Kind::Adam { 0.3 * w } else { 0.0 };
                m = 0.9 * m + 0.1 * g;
                v = 0.999 * v + 0.001 * g * g;
                let t = step as i32 + 1;
                let (mean, square) = (m / (1.0 - 0.9f64.powi(t)), v / (1.0 - 0.999f64.powi(t)));
                let decay = if kind == Kind::Adamw { 0.1 * 0.3 } else { 0.0 };
                w = w * (1.0 - decay) - 0.1 * mean / (square.sqrt() + 1e-8);
            }
            let ours = value(&parameters);
            assert!((f64::from(ours) - w).abs() < 1e-5, "{kind:?}: {ours} against {w}");
            assert_eq!(optimizer.average["w"], [ours], "without an average it is the weight itself");
        }
    }

    #[test]
    fn two_batches_are_one_step_along_their_mean() {
        let step = |batches: &[f64]| {
            let parameters = many(&[1.0]);
            let mut optimizer = Adam::new(Optimizer::default(), &parameters).unwrap();
            let mut sum = Gradients::default();
            for factor in batches {
                let loss = (parameters["w"].var.sqr().unwrap() * *factor).unwrap().sum_all().unwrap();
                sum.add(&parameters, loss.backward().unwrap()).unwrap();
            }
            let norm = optimizer.step(0, 0.1, &parameters, &sum, batches.len() as u64).unwrap();
            (norm, optimizer.mean["w"][0], value(&parameters))
        };
        let (norm, mean, weight) = step(&[1.0, 3.0]);
        assert!((norm - 4.0).abs() < 1e-6 && (mean - 0.4).abs() < 1e-6);
        assert_eq!((norm, mean, weight), step(&[2.0]));
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let start: Vec<f32> = (0..3 * PART + 17).map(|i| (i as f32 * 0.37).sin()).collect();
                let parameters = many(&start);
                let config = Optimizer { clip: 0.1, ..Optimizer::default() };
                let mut optimizer = Adam::new(config, &parameters).unwrap();
                let norms: Vec<f64> = (0..3)
                    .map(|step| {
                        let found = gradients(&parameters, |w| w.sqr()?.sqr());
                        optimizer.step(step, 0.01, &parameters, &found, 1).unwrap()
                    })
                    .collect();
                (norms, parameters["w"].var.to_vec1::<f32>().unwrap(), optimizer.average)
            })
        };
        assert!(run(1) == run(3));
    }

    #[test]
    fn clipping_shortens_the_gradient_only_beyond_its_limit() {
        let config = Optimizer { clip: 0.5, ..Optimizer::default() };
        let parameters = many(&[2.0]);
        let mut optimizer = Adam::new(config, &parameters).unwrap();
        let norm = optimizer.step(0, 0.1, &parameters, &gradients(&parameters, Tensor::sqr), 1).unwrap();
        assert!((norm - 4.0).abs() < 1e-6);
        assert!((optimizer.mean["w"][0] - 0.1 * 0.5).abs() < 1e-6);
    }

    #[test]
    fn the_average_follows_the_weights_and_frozen_parameters_stay() {
        let mut parameters = many(&[1.0]);
        let config = Optimizer { ema: 0.5, ..Optimizer::default() };
        let mut optimizer = Adam::new(config.clone(), &parameters).unwrap();
        for step in 0..20 {
            optimizer.step(step, 0.01, &parameters, &gradients(&parameters, Tensor::sqr), 1).unwrap();
        }
        // Each step takes 0.01 away, and the average is one step late at a decay of a half.
        let (weight, average) = (value(&parameters), optimizer.average["w"][0]);
        assert!((average - weight - 0.01).abs() < 2e-3, "{average} follows {weight}");

        parameters.get_mut("w").unwrap().trained = false;
        let mut optimizer = Adam::new(config, &parameters).unwrap();
        optimizer.step(0, 0.1, &parameters, &gradients(&parameters, Tensor::sqr), 1).unwrap();
        assert_eq!(value(&parameters), weight);
        assert!(optimizer.mean.is_empty());
    }

    #[test]
    fn a_gradient_that_is_not_finite_stops_the_run_and_keeps_the_weights() {
        let parameters = many(&[0.0]);
        let mut optimizer = Adam::new(Optimizer::default(), &parameters).unwrap();
        let found = gradients(&parameters, Tensor::log);
        assert!(optimizer.step(0, 0.1, &parameters, &found, 1).is_err());
        assert_eq!(value(&parameters), 0.0);
    }
}
