//! A network's parameters: made, loaded, named.

use std::collections::BTreeMap;
use std::sync::Mutex;

use candle_core::{Device, Result, Tensor, Var};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How a parameter starts when it is not loaded.
#[derive(Debug, Clone, Copy)]
pub enum Init {
    /// All the same value.
    Constant(f32),
    /// Uniform in -bound..bound.
    Uniform(f32),
    /// The same, but zero for the first inputs of a weight `[out, in]`.
    UniformBehind {
        /// Inputs that count for nothing at first.
        zeros: usize,
        /// Of the others' weights.
        bound: f32,
    },
}

/// One parameter of a network in training.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its value; setting it changes the network.
    pub var: Var,
    /// Whether the optimiser may change it. Running statistics and fixed filters are not trained.
    pub trained: bool,
}

/// Where a network under construction takes its parameters from.
pub struct Params {
    device: Device,
    source: Source,
}

enum Source {
    /// Fresh variables, in the order of construction; recorded.
    Fresh(Box<Mutex<Fresh>>),
    /// Constants, each to be used exactly once.
    Loaded(Mutex<BTreeMap<String, Tensor>>),
}

struct Fresh {
    rng: ChaCha8Rng,
    made: BTreeMap<String, Parameter>,
}

impl Params {
    /// Parameters to be trained, initialised from `seed` alone.
    pub fn fresh(seed: u64, device: &Device) -> Self {
        let fresh = Fresh { rng: ChaCha8Rng::seed_from_u64(seed), made: BTreeMap::new() };
        Self { device: device.clone(), source: Source::Fresh(Box::new(Mutex::new(fresh))) }
    }

    /// Constant f32 tensors for inference: nothing is recorded for a backward pass.
    pub fn loaded(tensors: BTreeMap<String, Tensor>, device: &Device) -> Self {
        Self { device: device.clone(), source: Source::Loaded(Mutex::new(tensors)) }
    }

    /// The outermost scope.
    pub fn root(&self) -> Scope<'_> {
        Scope { params: self, prefix: String::new() }
    }

    /// After construction: the variables by name. Empty for loaded parameters.
    pub fn into_variables(self) -> BTreeMap<String, Parameter> {
        match self.source {
            Source::Fresh(fresh) => fresh.into_inner().map(|f| f.made).unwrap_or_default(),
            Source::Loaded(_) => BTreeMap::new(),
        }
    }

    /// After construction: a loaded tensor that no layer asked for.
    pub fn unused(&self) -> Option<String> {
        match &self.source {
            Source::Fresh(_) => None,
            Source::Loaded(tensors) => lock(tensors).keys().next().cloned(),
        }
    }
}

/// A poisoned lock only means that another construction failed; the map itself is whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A place in the tree of names, such as `unets.joint.encoder.0`.
#[derive(Clone)]
pub struct Scope<'a> {
    params: &'a Params,
    prefix: String,
}

impl Scope<'_> {
    /// The place one level down.
    pub fn at(&self, name: impl std::fmt::Display) -> Self {
        Self { params: self.params, prefix: format!("{}{name}.", self.prefix) }
    }

    /// A trained parameter. Errors: it is missing or has another shape.
    pub fn get(&self, name: &str, shape: &[usize], init: Init) -> Result<Tensor> {
        Ok(self.take(name, shape, || Values::Init(init), true)?.0)
    }

    /// A parameter that is kept in the checkpoint but not trained, with its variable while training.
    pub fn get_fixed(
        &self,
        name: &str,
        shape: &[usize],
        values: impl FnOnce() -> Vec<f32>,
    ) -> Result<(Tensor, Option<Var>)> {
        self.take(name, shape, || Values::Given(values()), false)
    }

    /// A trained parameter that starts from given values.
    pub fn get_from(&self, name: &str, shape: &[usize], values: impl FnOnce() -> Vec<f32>) -> Result<Tensor> {
        Ok(self.take(name, shape, || Values::Given(values()), true)?.0)
    }

    fn take(
        &self,
        name: &str,
        shape: &[usize],
        values: impl FnOnce() -> Values,
        trained: bool,
    ) -> Result<(Tensor, Option<Var>)> {
        let name = format!("{}{name}", self.prefix);
        match &self.params.source {
            Source::Fresh(fresh) => {
                let mut fresh = lock(fresh);
                let count = shape.iter().product();
                let values = match values() {
                    Values::Given(values) => values,
                    Values::Init(Init::Constant(value)) => vec![value; count],
                    Values::Init(Init::Uniform(bound)) => {
                        (0..count).map(|_| fresh.rng.random_range(-bound..=bound)).collect()
                    }
                    Values::Init(Init::UniformBehind { zeros, bound }) => {
                        let inputs = shape.last().copied().unwrap_or(1);
                        let mut draw = |index| match index % inputs < zeros {
                            true => 0.0,
                            false => fresh.rng.random_range(-bound..=bound),
                        };
                        (0..count).map(&mut draw).collect()
                    }
                };
                let var = Var::from_tensor(&Tensor::from_vec(values, shape, &self.params.device)?)?;
                let tensor = var.as_tensor().clone();
                fresh.made.insert(name, Parameter { var: var.clone(), trained });
                Ok((tensor, Some(var)))
            }
            Source::Loaded(tensors) => {
                let Some(tensor) = lock(tensors).remove(&name) else {
                    candle_core::bail!("tensor {name} of shape {shape:?} is missing");
                };
                if tensor.dims() != shape {
                    candle_core::bail!("tensor {name} should have shape {shape:?}, not {:?}", tensor.dims());
                }
                Ok((tensor.to_device(&self.params.device)?, None))
            }
        }
    }
}

enum Values {
    Init(Init),
    Given(Vec<f32>),
}
