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
    /// A tensor's values, row by row, as the precision has them.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        match self.tensors.get(name) {
            Some(tensor) if tensor.dims() == shape => {
                let mut values = tensor.flatten_all()?.to_vec1::<f32>()?;
                if self.precision == Precision::F16 {
                    values.iter_mut().for_each(|value| *value = half::f16::from_f32(*value).to_f32());
                }
                Ok(values)
            }
            Some(tensor) => {
                let found = tensor.dims();
                Err(Error::Unsupported(format!("tensor {name} should have shape {shape:?}, not {found:?}")))
            }
            None => Err(Error::Unsupported(format!("tensor {name} of shape {shape:?} is missing"))),
        }
    }

    /// The layer whose tensors are `weight` and `bias`, as [`Self::pack_wide`] has it.
    pub fn pack(&self, weight: &str, bias: &str, inputs: usize, outputs: usize) -> Result<Packed> {
        Ok(self.pack_wide(&self.get(weight, &[outputs, inputs])?, &self.get(bias, &[outputs])?, inputs))
    }

    /// A layer of these values, weights `[outputs, inputs]`, widened once: for many rows at a time, where weights are
    /// read once and used often, and for values that are not a checkpoint's own and might not fit into half precision.
    pub fn pack_wide(&self, weight: &[f32], bias: &[f32], inputs: usize) -> Packed {
        Packed::new(self.isa, Precision::F32, weight, bias, inputs)
    }

    /// A layer of a checkpoint's own values for a single row, where each weight is used once.
    pub fn pack_for_one(&self, weight: &[f32], bias: &[f32], inputs: usize) -> Packed {
        Packed::new(self.isa, self.precision, weight, bias, inputs)
    }
}
