//! A checkpoint's tensors on their way into kernels.

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::kernels::{Isa, Packed, Precision};
use crate::{Error, Result};

/// Where weights come from, and what they become.
pub struct Weights<'a> {
    /// By name.
    pub tensors: &'a BTreeMap<String, Tensor>,
    /// The kernels' instructions.
    pub isa: Isa,
    /// How packed weights are stored.
    pub precision: Precision,
}

impl Weights<'_> {
    /// A tensor's values, row by row.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        match self.tensors.get(name) {
            Some(tensor) if tensor.dims() == shape => Ok(tensor.flatten_all()?.to_vec1::<f32>()?),
            Some(tensor) => {
                let found = tensor.dims();
                Err(Error::Unsupported(format!("tensor {name} should have shape {shape:?}, not {found:?}")))
            }
            None => Err(Error::Unsupported(format!("tensor {name} of shape {shape:?} is missing"))),
        }
    }

    /// The layer whose tensors are `weight` and `bias`.
    pub fn pack(&self, weight: &str, bias: &str, inputs: usize, outputs: usize) -> Result<Packed> {
        Ok(self.pack_values(&self.get(weight, &[outputs, inputs])?, &self.get(bias, &[outputs])?, inputs))
    }

    /// A layer of these values, weights `[outputs, inputs]`, for many rows at a time: its weights are read once and used
    /// often, so that they are widened once.
    pub fn pack_values(&self, weight: &[f32], bias: &[f32], inputs: usize) -> Packed {
        match self.precision {
            Precision::F32 => Packed::new(self.isa, Precision::F32, weight, bias, inputs),
            Precision::F16 => {
                let rounded: Vec<f32> = weight.iter().map(|&w| half::f16::from_f32(w).to_f32()).collect();
                Packed::new(self.isa, Precision::F32, &rounded, bias, inputs)
            }
        }
    }

    /// A layer of these values for a single row: each weight is used once.
    pub fn pack_for_one(&self, weight: &[f32], bias: &[f32], inputs: usize) -> Packed {
        Packed::new(self.isa, self.precision, weight, bias, inputs)
    }
}
