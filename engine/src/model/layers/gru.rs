//! Gated recurrent units, along the frames of many rows or across the bands of many frames.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::activation::{sigmoid, tanh};
use super::conv::convolve;
use super::cpu::{
    Matrix, MatrixMut, add_rows, fill_rows, forward_by_host, matmul, permuted, slice, vectorised, with_slice,
    with_slices,
};
use crate::model::params::{Init, Scope};

/// PyTorch's GRU (Cho et al. 2014, with the reset gate behind the product), gates in its order: reset, update, new.
#[derive(Debug)]
pub struct Gru {
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
}

impl Gru {
    /// Takes `weight_ih` `[3 * hidden, in]`, `weight_hh` `[3 * hidden, hidden]`, `bias_ih` and `bias_hh`.
    pub fn new(scope: &Scope<'_>, input: usize, hidden: usize) -> Result<Self> {
        let init = Init::Uniform(1.0 / (hidden as f32).sqrt());
        Ok(Self {
            weight_ih: scope.get("weight_ih", &[3 * hidden, input], init)?,
            weight_hh: scope.get("weight_hh", &[3 * hidden, hidden], init)?,
            bias_ih: scope.get("bias_ih", &[3 * hidden], init)?,
            bias_hh: scope.get("bias_hh", &[3 * hidden], init)?,
        })
    }

    /// `[frames, rows, in]` -> `[frames, rows, hidden]`, each row on its own along the frames, from `before`
    /// `[rows, hidden]` (which gets no gradient) or zero.
    pub fn along_frames(&self, x: &Tensor, before: Option<&Tensor>) -> Result<Tensor> {
        let before = before.map(|before| with_slice(before, <[f32]>::to_vec)).transpose()?;
        self.run(x, Axis::Frames, false, before)
    }

    /// `[frames, bands, in]` -> `[frames, bands, hidden]`, each frame on its own across the bands, from zero.
    fn across_bands(&self, x: &Tensor, reverse: bool) -> Result<Tensor> {
        self.run(x, Axis::Bands, reverse, None)
    }

    fn run(&self, x: &Tensor, axis: Axis, reverse: bool, before: Option<Vec<f32>>) -> Result<Tensor> {
        let gates = convolve(x, &self.weight_ih.unsqueeze(2)?, &self.bias_ih, 1)?;
        gates.apply_op3(&self.weight_hh, &self.bias_hh, Recurrence { axis, reverse, before })
    }
}

/// Two GRUs across the bands, one each way.
#[derive(Debug)]
pub struct BiGru {
    forward: Gru,
    reverse: Gru,
}

impl BiGru {
    /// Takes `gru.*` and `gru_reverse.*`; `hidden` per direction.
    pub fn new(scope: &Scope<'_>, input: usize, hidden: usize) -> Result<Self> {
        Ok(Self {
            forward: Gru::new(&scope.at("gru"), input, hidden)?,
            reverse: Gru::new(&scope.at("gru_reverse"), input, hidden)?,
        })
    }

    /// `[frames, bands, in]` -> `[frames, bands, 2 * hidden]`, from the lowest band up first.
    pub fn across_bands(&self, x: &Tensor) -> Result<Tensor> {
        Tensor::cat(&[self.forward.across_bands(x, false)?, self.reverse.across_bands(x, true)?], 2)
    }
}

/// What the recurrence runs along.
#[derive(Debug, Clone, Copy)]
enum Axis {
    Frames,
    Bands,
}

/// The input's share of the gates `[frames, bands, 3 * hidden]`, `weight_hh` and `bias_hh` -> states
/// `[frames, bands, hidden]`.
struct Recurrence {
    axis: Axis,
    reverse: bool,
    before: Option<Vec<f32>>,
}

/// Sequences that are worked on at a time: fixed, so that sums do not depend on the number of threads.
const ROWS: usize = 32;

/// Some of the sequences.
#[derive(Clone, Copy)]
struct Group {
    first: usize,
    rows: usize,
    steps: usize,
    hidden: usize,
}

/// What one group adds to the gradients.
struct Share {
    /// `[steps, rows, 3 * hidden]`.
    input: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Recurrence {
    fn groups(&self, [frames, bands, hidden]: [usize; 3]) -> Vec<Group> {
        let (steps, rows) = match self.axis {
            Axis::Frames => (frames, bands),
            Axis::Bands => (bands, frames),
        };
        let group = |first| Group { first, rows: ROWS.min(rows - first), steps, hidden };
        (0..rows).step_by(ROWS).map(group).collect()
    }

    /// Where in `[frames, bands]` a step of a sequence lies.
    fn at(&self, [_, bands, _]: [usize; 3], step: usize, row: usize) -> usize {
        match self.axis {
            Axis::Frames => step * bands + row,
            Axis::Bands => row * bands + step,
        }
    }

    /// A group's part of `[frames, bands, width]`, as `[steps, rows, width]` in the order of the recurrence.
    fn gather(&self, dims: [usize; 3], group: Group, x: &[f32], width: usize) -> Vec<f32> {
        let mut out = vec![0.0; group.steps * group.rows * width];
        for (index, out) in out.chunks_exact_mut(width).enumerate() {
            let (step, row) = self.place(group, index);
            out.copy_from_slice(&x[self.at(dims, step, row) * width..][..width]);
        }
        out
    }

    /// Back again.
    fn scatter(&self, dims: [usize; 3], group: Group, part: &[f32], width: usize, out: &mut [f32]) {
        for (index, part) in part.chunks_exact(width).enumerate() {
            let (step, row) = self.place(group, index);
            out[self.at(dims, step, row) * width..][..width].copy_from_slice(part);
        }
    }

    /// Step and row of the entry `index` of `[steps, rows]`.
    fn place(&self, group: Group, index: usize) -> (usize, usize) {
        let (step, row) = (index / group.rows, index % group.rows);
        (if self.reverse { group.steps - 1 - step } else { step }, group.first + row)
    }

    /// The state of a group's rows before the first step.
    fn start(&self, group: Group) -> Vec<f32> {
        match &self.before {
            Some(before) => before[group.first * group.hidden..][..group.rows * group.hidden].to_vec(),
            None => vec![0.0; group.rows * group.hidden],
        }
    }

    /// `[steps, rows, 3 * hidden]` -> `[steps, rows, hidden]`. `transposed`: weight `[hidden, 3 * hidden]`.
    fn states(&self, group: Group, input: &[f32], transposed: &[f32], bias: &[f32]) -> Vec<f32> {
        let Group { rows, hidden, .. } = group;
        let mut state = self.start(group);
        let mut gates = vec![0.0; rows * 3 * hidden];
        let mut out = vec![0.0; group.steps * rows * hidden];
        let steps = out.chunks_exact_mut(rows * hidden).zip(input.chunks_exact(rows * 3 * hidden));
        for (out, input) in steps {
            fill_rows(&mut gates, bias);
            add_product(&state, transposed, rows, hidden, &mut gates);
            advance(input, &mut gates, &mut state, hidden);
            out.copy_from_slice(&state);
        }
        out
    }

    /// Backpropagation through time. The states are known, so all gates come from one product.
    fn gradients(
        &self,
        group: Group,
        input: &[f32],
        [weight, transposed, bias]: [&[f32]; 3],
        states: &[f32],
        grad: &[f32],
    ) -> Share {
        let Group { rows, steps, hidden, .. } = group;
        let (width, count) = (3 * hidden, rows * steps);
        let mut previous = self.start(group);
        previous.extend_from_slice(&states[..(steps - 1) * rows * hidden]);
        let mut gates = vec![0.0; count * width];
        fill_rows(&mut gates, bias);
        add_product(&previous, transposed, count, hidden, &mut gates);
        // Gradients of the gates before activation: of the input's share, and of the state's.
        let (mut of_input, mut of_state) = (vec![0.0; count * width], vec![0.0; count * width]);
        let mut carried = vec![0.0; rows * hidden];
        for step in (0..steps).rev() {
            let (narrow, wide) = (step * rows * hidden.., step * rows * width..);
            carried.iter_mut().zip(&grad[narrow.clone()]).for_each(|(carried, grad)| *carried += grad);
            let of_state = &mut of_state[wide.clone()][..rows * width];
            retreat(
                &input[wide.clone()][..rows * width],
                &gates[wide.clone()][..rows * width],
                &previous[narrow][..rows * hidden],
                &mut carried,
                &mut of_input[wide][..rows * width],
                of_state,
                hidden,
            );
            matmul(
                [rows, width, hidden],
                Matrix { data: of_state, row_stride: width, column_stride: 1 },
                Matrix { data: weight, row_stride: hidden, column_stride: 1 },
                MatrixMut { data: &mut carried, row_stride: hidden, column_stride: 1 },
                true,
            );
        }
        let mut share = Share { input: of_input, weight: vec![0.0; width * hidden], bias: vec![0.0; width] };
        add_rows(&of_state, &mut share.bias);
        matmul(
            [width, count, hidden],
            Matrix { data: &of_state, row_stride: 1, column_stride: width },
            Matrix { data: &previous, row_stride: hidden, column_stride: 1 },
            MatrixMut { data: &mut share.weight, row_stride: hidden, column_stride: 1 },
            false,
        );
        share
    }
}

/// Adds states `[rows, hidden]` times the transposed weight to the gates, `[rows, 3 * hidden]`.
fn add_product(states: &[f32], transposed: &[f32], rows: usize, hidden: usize, gates: &mut [f32]) {
    matmul(
        [rows, hidden, 3 * hidden],
        Matrix { data: states, row_stride: hidden, column_stride: 1 },
        Matrix { data: transposed, row_stride: 3 * hidden, column_stride: 1 },
        MatrixMut { data: gates, row_stride: 3 * hidden, column_stride: 1 },
        true,
    );
}

vectorised! {
    /// One step of all rows: the input's and the state's share of the gates, `[rows, 3 * hidden]`, move the state.
    fn advance(input: &[f32], gates: &mut [f32], state: &mut [f32], hidden: usize) {
        let rows = input.chunks_exact(3 * hidden).zip(gates.chunks_exact_mut(3 * hidden));
        for ((input, gates), state) in rows.zip(state.chunks_exact_mut(hidden)) {
            let (reset, rest) = gates.split_at_mut(hidden);
            let (update, new) = rest.split_at_mut(hidden);
            let [x_reset, x_update, x_new] = [0, 1, 2].map(|gate| &input[gate * hidden..][..hidden]);
            for j in 0..hidden {
                let r = sigmoid(reset[j] + x_reset[j]);
                let z = sigmoid(update[j] + x_update[j]);
                let n = tanh(x_new[j] + r * new[j]);
                state[j] = n + z * (state[j] - n);
            }
        }
    }
}

vectorised! {
    /// One step of all rows backwards: `carried` is the gradient of the state after it, then that which reaches the
    /// state before it past the gates.
    fn retreat(
        input: &[f32],
        gates: &[f32],
        previous: &[f32],
        carried: &mut [f32],
        of_input: &mut [f32],
        of_state: &mut [f32],
        hidden: usize,
    ) {
        let width = 3 * hidden;
        let rows = input.chunks_exact(width).zip(gates.chunks_exact(width));
        let rows = rows.zip(previous.chunks_exact(hidden)).zip(carried.chunks_exact_mut(hidden));
        let out = of_input.chunks_exact_mut(width).zip(of_state.chunks_exact_mut(width));
        for ((((input, gates), previous), carried), (of_input, of_state)) in rows.zip(out) {
            let [x_reset, x_update, x_new] = [0, 1, 2].map(|gate| &input[gate * hidden..][..hidden]);
            let [h_reset, h_update, h_new] = [0, 1, 2].map(|gate| &gates[gate * hidden..][..hidden]);
            let (in_reset, rest) = of_input.split_at_mut(hidden);
            let (in_update, in_new) = rest.split_at_mut(hidden);
            let (st_reset, rest) = of_state.split_at_mut(hidden);
            let (st_update, st_new) = rest.split_at_mut(hidden);
            for j in 0..hidden {
                let r = sigmoid(h_reset[j] + x_reset[j]);
                let z = sigmoid(h_update[j] + x_update[j]);
                let n = tanh(x_new[j] + r * h_new[j]);
                let dh = carried[j];
                let dn = dh * (1.0 - z) * (1.0 - n * n);
                let dz = dh * (previous[j] - n) * z * (1.0 - z);
                let dr = dn * h_new[j] * r * (1.0 - r);
                in_reset[j] = dr;
                in_update[j] = dz;
                in_new[j] = dn;
                st_reset[j] = dr;
                st_update[j] = dz;
                st_new[j] = dn * r;
                carried[j] = dh * z;
            }
        }
    }
}

/// `[3 * hidden, hidden]` -> `[hidden, 3 * hidden]`: a product with a stored transpose is several times faster.
fn transposed(weight: &[f32], hidden: usize) -> Vec<f32> {
    permuted(weight, [1, hidden, 3 * hidden], 0, [0, 1, hidden as isize])
}

impl CustomOp3 for Recurrence {
    fn name(&self) -> &'static str {
        "gru"
    }

    forward_by_host!(3);

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (input, weight, bias) = (slice(s1, l1)?, slice(s2, l2)?, slice(s3, l3)?);
        let (frames, bands, width) = l1.shape().dims3()?;
        let dims = [frames, bands, width / 3];
        let transposed = transposed(weight, dims[2]);
        let groups = self.groups(dims);
        let states = |&group: &Group| {
            let input = self.gather(dims, group, input, width);
            self.states(group, &input, &transposed, bias)
        };
        let parts: Vec<Vec<f32>> = groups.par_iter().map(states).collect();
        let mut out = vec![0.0; frames * bands * dims[2]];
        for (group, part) in groups.into_iter().zip(&parts) {
            self.scatter(dims, group, part, dims[2], &mut out);
        }
        Ok((CpuStorage::F32(out), (frames, bands, dims[2]).into()))
    }

    fn bwd(
        &self,
        input: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (frames, bands, width) = input.dims3()?;
        let dims = [frames, bands, width / 3];
        let hidden = dims[2];
        let groups = self.groups(dims);
        let all = [input, weight, bias, res, grad];
        let shares: Vec<Share> = with_slices(all, |[input, weight, bias, states, grad]| {
            let transposed = transposed(weight, hidden);
            let share = |&group: &Group| {
                let part = |x: &[f32], width| self.gather(dims, group, x, width);
                let (input, states, grad) = (part(input, width), part(states, hidden), part(grad, hidden));
                self.gradients(group, &input, [weight, &transposed, bias], &states, &grad)
            };
            groups.par_iter().map(share).collect()
        })?;
        let mut grad_input = vec![0.0; frames * bands * width];
        let (mut grad_weight, mut grad_bias) =
            (vec![0.0f32; weight.elem_count()], vec![0.0f32; bias.elem_count()]);
        for (group, share) in groups.into_iter().zip(shares) {
            self.scatter(dims, group, &share.input, width, &mut grad_input);
            grad_weight.iter_mut().zip(&share.weight).for_each(|(sum, part)| *sum += part);
            grad_bias.iter_mut().zip(&share.bias).for_each(|(sum, part)| *sum += part);
        }
        let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device()).map(Some);
        Ok((tensor(grad_input, input)?, tensor(grad_weight, weight)?, tensor(grad_bias, bias)?))
    }
}
