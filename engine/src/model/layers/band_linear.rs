//! A linear layer of its own for each band.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::cpu::{Matrix, MatrixMut, fill_rows, matmul, permuted, slice, with_slices};
use super::plain;
use crate::model::params::{Init, Scope};

/// `[rows, sum of inputs]` -> `[rows, sum of outputs]`, where each band sees its own numbers only.
#[derive(Debug)]
pub struct BandLinear {
    weights: Vec<Tensor>,
    biases: Vec<Tensor>,
    sizes: Vec<[usize; 2]>,
}

/// Rows that are worked on at a time: a few hundred kilobytes.
const ROWS: usize = 64;

impl BandLinear {
    /// `sizes`: each band's inputs and outputs. Takes `<band>.<name>weight` `[out, in]` and `<band>.<name>bias`;
    /// `init` is for a band's weights, biases start at 0.
    pub fn new(
        scope: &Scope<'_>,
        name: &str,
        sizes: Vec<[usize; 2]>,
        init: impl Fn(usize) -> Init,
    ) -> Result<Self> {
        let mut layer = Self { weights: Vec::new(), biases: Vec::new(), sizes };
        for (band, &[input, output]) in layer.sizes.iter().enumerate() {
            let (scope, init) = (scope.at(band), init(band));
            layer.weights.push(scope.get(&format!("{name}weight"), &[output, input], init)?);
            layer.biases.push(scope.get(&format!("{name}bias"), &[output], Init::Constant(0.0))?);
        }
        Ok(layer)
    }

    /// Any shape whose last axis holds all bands' inputs -> the same with all bands' outputs.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if plain::is_for(x) {
            return plain::per_band(x, &self.weights, &self.biases);
        }
        let weights = self.weights.iter().map(Tensor::flatten_all).collect::<Result<Vec<_>>>()?;
        let op = PerBand { sizes: self.sizes.clone() };
        x.contiguous()?.apply_op3(&Tensor::cat(&weights, 0)?, &Tensor::cat(&self.biases, 0)?, op)
    }
}

struct PerBand {
    sizes: Vec<[usize; 2]>,
}

/// Where a band's numbers lie.
#[derive(Clone, Copy)]
struct Place {
    input: usize,
    output: usize,
    weight: usize,
    size: [usize; 2],
}

impl PerBand {
    fn places(&self) -> Vec<Place> {
        let mut next = Place { input: 0, output: 0, weight: 0, size: [0, 0] };
        let place = |&size: &[usize; 2]| {
            let place = Place { size, ..next };
            next.input += size[0];
            next.output += size[1];
            next.weight += size[0] * size[1];
            place
        };
        self.sizes.iter().map(place).collect()
    }

    /// Inputs and outputs of all bands.
    fn widths(&self) -> [usize; 2] {
        [0, 1].map(|side| self.sizes.iter().map(|size| size[side]).sum())
    }
}

impl Place {
    /// Gradient of the band's weight, `[out, in]`.
    fn weight_gradient(&self, [inputs, outputs]: [usize; 2], x: &[f32], grad: &[f32]) -> Vec<f32> {
        let [input, output] = self.size;
        let rows = x.len() / inputs;
        let mut sum = vec![0.0f32; input * output];
        // Copied together: rows of all bands lie so far apart that they push each other out of the cache.
        let mut together = vec![0.0f32; ROWS * output];
        for first in (0..rows).step_by(ROWS) {
            let count = ROWS.min(rows - first);
            let from = grad[first * outputs..].chunks_exact(outputs).take(count);
            for (to, from) in together.chunks_exact_mut(output).zip(from) {
                to.copy_from_slice(&from[self.output..][..output]);
            }
            matmul(
                [output, count, input],
                Matrix { data: &together, row_stride: 1, column_stride: output },
                rows_of(x, first * inputs + self.input, inputs),
                MatrixMut { data: &mut sum, row_stride: input, column_stride: 1 },
                true,
            );
        }
        sum
    }
}

/// Gradient of all bands' inputs, `[rows, inputs]`.
fn input_gradient(places: &[Place], [inputs, outputs]: [usize; 2], weight: &[f32], grad: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0f32; grad.len() / outputs * inputs];
    let chunks = out.par_chunks_mut(ROWS * inputs).zip(grad.par_chunks(ROWS * outputs));
    chunks.for_each(|(out, grad)| {
        for place in places {
            let [input, output] = place.size;
            matmul(
                [grad.len() / outputs, output, input],
                rows_of(grad, place.output, outputs),
                rows_of(weight, place.weight, input),
                MatrixMut { data: &mut out[place.input..], row_stride: inputs, column_stride: 1 },
                false,
            );
        }
    });
    out
}

/// Gradient of all bands' biases, `[outputs]`.
fn bias_gradient(outputs: usize, grad: &[f32]) -> Vec<f32> {
    const COLUMNS: usize = 256;
    let mut sums = vec![0.0f32; outputs];
    sums.par_chunks_mut(COLUMNS).enumerate().for_each(|(chunk, sums)| {
        for row in grad.chunks_exact(outputs) {
            sums.iter_mut().zip(&row[chunk * COLUMNS..]).for_each(|(sum, g)| *sum += g);
        }
    });
    sums
}

fn rows_of(data: &[f32], first: usize, row_stride: usize) -> Matrix<'_> {
    Matrix { data: &data[first..], row_stride, column_stride: 1 }
}

impl CustomOp3 for PerBand {
    fn name(&self) -> &'static str {
        "band-linear"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight, bias) = (slice(s1, l1)?, slice(s2, l2)?, slice(s3, l3)?);
        let [inputs, outputs] = self.widths();
        let mut dims = l1.dims().to_vec();
        match dims.last_mut() {
            Some(last) if *last == inputs => *last = outputs,
            _ => candle_core::bail!("{inputs} inputs of bands expected, not {:?}", l1.dims()),
        }
        let places = self.places();
        // A product with a stored transpose is several times faster.
        let transposed = |place: &Place| {
            let [input, output] = place.size;
            permuted(&weight[place.weight..], [1, input, output], 0, [0, 1, input as isize])
        };
        let transposed: Vec<_> = places.iter().map(transposed).collect();
        let mut out = vec![0.0f32; x.len() / inputs * outputs];
        let chunks = out.par_chunks_mut(ROWS * outputs).zip(x.par_chunks(ROWS * inputs));
        chunks.for_each(|(out, x)| {
            fill_rows(out, bias);
            for (place, weight) in places.iter().zip(&transposed) {
                let [input, output] = place.size;
                matmul(
                    [x.len() / inputs, input, output],
                    rows_of(x, place.input, inputs),
                    rows_of(weight, 0, output),
                    MatrixMut { data: &mut out[place.output..], row_stride: outputs, column_stride: 1 },
                    true,
                );
            }
        });
        Ok((CpuStorage::F32(out), dims.into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [inputs, outputs] = self.widths();
        let places = self.places();
        let (grad_x, grad_weight, grad_bias) = with_slices([x, weight, grad], |[x, weight, grad]| {
            let of_weight = |place: &Place| place.weight_gradient([inputs, outputs], x, grad);
            let grad_weight: Vec<Vec<f32>> = places.par_iter().map(of_weight).collect();
            let grad_x = input_gradient(&places, [inputs, outputs], weight, grad);
            (grad_x, grad_weight.concat(), bias_gradient(outputs, grad))
        })?;
        let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device()).map(Some);
        Ok((tensor(grad_x, x)?, tensor(grad_weight, weight)?, tensor(grad_bias, bias)?))
    }
}
