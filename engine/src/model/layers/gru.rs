//! Gated recurrent units, along the frames of many rows or across the bands of many frames.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::activation::{sigmoid, tanh};
use super::cpu::{
    Matrix, MatrixMut, add_rows, fill_rows, matmul, permuted, slice, vectorised, with_slice, with_slices,
};
use super::plain;
use super::sequences::{Axis, Group, Part, Rows, Sequences};
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

    fn way(&self) -> plain::Way<'_> {
        let Self { weight_ih, weight_hh, bias_ih, bias_hh } = self;
        plain::Way { weight_ih, weight_hh, bias_ih, bias_hh }
    }

    /// `[frames, rows, in]` -> `[frames, rows, hidden]`, each row on its own along the frames, from `before`
    /// `[rows, hidden]` (which gets no gradient) or zero. Errors: an input or `before` of another shape.
    pub fn along_frames(&self, x: &Tensor, before: Option<&Tensor>) -> Result<Tensor> {
        if let Some(before) = before
            && before.dims() != [x.dim(1)?, self.weight_hh.dim(1)?]
        {
            candle_core::bail!("a GRU over {:?} cannot start from states {:?}", x.dims(), before.dims());
        }
        run(x, &[self], Axis::Frames, before)
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

    /// `[frames, bands, in]` -> `[frames, bands, 2 * hidden]`, from the lowest band up first; each frame on its own,
    /// from zero. Errors: an input of another shape.
    pub fn across_bands(&self, x: &Tensor) -> Result<Tensor> {
        run(x, &[&self.forward, &self.reverse], Axis::Bands, None)
    }
}

fn run(x: &Tensor, ways: &[&Gru], axis: Axis, before: Option<&Tensor>) -> Result<Tensor> {
    let (_, _, input) = x.dims3()?;
    let expected = ways[0].weight_ih.dim(1)?;
    if input != expected {
        candle_core::bail!("a GRU over {expected} features got {:?}", x.dims());
    }
    if plain::is_for(x) {
        let ways: Vec<_> = ways.iter().map(|gru| gru.way()).collect();
        return match axis {
            Axis::Frames => plain::gru(x, &ways, before),
            Axis::Bands => {
                plain::gru(&x.transpose(0, 1)?.contiguous()?, &ways, before)?.transpose(0, 1)?.contiguous()
            }
        };
    }
    let before = before.map(|before| with_slice(before, <[f32]>::to_vec)).transpose()?;
    let together = |parts: fn(&Gru) -> [&Tensor; 2]| {
        let flat = ways.iter().flat_map(|gru| parts(gru)).map(Tensor::flatten_all);
        Tensor::cat(&flat.collect::<Result<Vec<_>>>()?, 0)
    };
    let weights = together(|gru| [&gru.weight_ih, &gru.weight_hh])?;
    let biases = together(|gru| [&gru.bias_ih, &gru.bias_hh])?;
    let op = Recurrence { axis, hidden: ways[0].weight_hh.dim(1)?, ways: ways.len(), before };
    x.contiguous()?.apply_op3(&weights, &biases, op)
}

/// `[frames, bands, in]`, then for each way `weight_ih` and `weight_hh`, then for each way `bias_ih` and `bias_hh` ->
/// states `[frames, bands, ways * hidden]`. The second way starts from the other end.
///
/// The input's share of the gates is made here, step by step, and never leaves the caches: it would be three times as
/// long as the input, and a product that waits for memory is no faster for being large.
struct Recurrence {
    axis: Axis,
    hidden: usize,
    ways: usize,
    /// States before the first step, `[bands, hidden]`, else zero.
    before: Option<Vec<f32>>,
}

/// At most so many sequences are worked on together: five tiles of the matrix product. It follows from the sizes alone,
/// so that sums do not depend on the number of threads.
const ROWS: usize = 30;

/// Steps whose share of the weights' gradient is summed at a time, so that it is touched less often.
const STEPS: usize = 4;

/// Sizes of one call.
#[derive(Clone, Copy)]
struct Sizes {
    sequences: Sequences,
    input: usize,
    hidden: usize,
}

/// One way's weights, in the orders in which products meet them. Four rows of gates: the input's share of the new
/// state, reset, update, the state's share of the new state. The input reaches the first three, the state the last.
struct Packed {
    /// `[in, 3 * hidden]`, and back `[3 * hidden, in]`.
    of_input: [Vec<f32>; 2],
    /// `[hidden, 3 * hidden]`, and back `[3 * hidden, hidden]`.
    of_state: [Vec<f32>; 2],
    /// `[4 * hidden]`.
    bias: Vec<f32>,
}

/// Rows `[3, ..]` in PyTorch's order to new, reset, update.
fn new_first(rows: &[f32]) -> Vec<f32> {
    let (others, new) = rows.split_at(rows.len() / 3 * 2);
    [new, others].concat()
}

/// Back again.
fn new_last(rows: &[f32]) -> Vec<f32> {
    let (new, others) = rows.split_at(rows.len() / 3);
    [others, new].concat()
}

/// `[rows, columns]` -> `[columns, rows]`: a product with a stored transpose is several times faster.
fn transposed(x: &[f32], columns: usize) -> Vec<f32> {
    permuted(x, [1, columns, x.len() / columns], 0, [0, 1, columns as isize])
}

impl Packed {
    fn new(weights: &[f32], biases: &[f32], input: usize, hidden: usize) -> Self {
        let (of_input, of_state) = weights.split_at(3 * hidden * input);
        let (bias_input, bias_state) = biases.split_at(3 * hidden);
        let of_input = new_first(of_input);
        let mut bias = [&new_first(bias_input), &bias_state[2 * hidden..]].concat();
        bias[hidden..3 * hidden].iter_mut().zip(bias_state).for_each(|(sum, bias)| *sum += bias);
        Self {
            of_input: [transposed(&of_input, input), of_input],
            of_state: [transposed(of_state, hidden), of_state.to_vec()],
            bias,
        }
    }

    /// All ways'.
    fn all(weights: &[f32], biases: &[f32], input: usize, hidden: usize) -> Vec<Self> {
        let weights = weights.chunks_exact(3 * hidden * (input + hidden));
        weights.zip(biases.chunks_exact(6 * hidden)).map(|(w, b)| Self::new(w, b, input, hidden)).collect()
    }

    /// Gates before activation, `[rows, 4 * hidden]`, from the step's input and the states before it.
    fn gates(&self, x: Rows<'_>, states: &[f32], sizes: &Sizes, gates: &mut [f32]) {
        let Sizes { input, hidden, .. } = *sizes;
        let (rows, width) = (states.len() / hidden, 4 * hidden);
        fill_rows(gates, &self.bias);
        let weight = Matrix { data: &self.of_input[0], row_stride: 3 * hidden, column_stride: 1 };
        let out = MatrixMut { data: gates, row_stride: width, column_stride: 1 };
        matmul([rows, input, 3 * hidden], x.matrix(), weight, out, true);
        let states = Matrix { data: states, row_stride: hidden, column_stride: 1 };
        let weight = Matrix { data: &self.of_state[0], row_stride: 3 * hidden, column_stride: 1 };
        let out = MatrixMut { data: &mut gates[hidden..], row_stride: width, column_stride: 1 };
        matmul([rows, hidden, 3 * hidden], states, weight, out, true);
    }
}

vectorised! {
    /// One step of all rows: gates `[rows, 4 * hidden]` move the states.
    fn advance(gates: &[f32], states: &mut [f32], hidden: usize) {
        for (gates, state) in gates.chunks_exact(4 * hidden).zip(states.chunks_exact_mut(hidden)) {
            let [input, reset, update, new] = [0, 1, 2, 3].map(|gate| &gates[gate * hidden..][..hidden]);
            for j in 0..hidden {
                let n = tanh(input[j] + sigmoid(reset[j]) * new[j]);
                state[j] = n + sigmoid(update[j]) * (state[j] - n);
            }
        }
    }
}

vectorised! {
    /// One step of all rows backwards: gates become their own gradients. `carried` is the gradient of the state after
    /// the step, then that which reaches the state before it past the gates.
    fn retreat(gates: &mut [f32], previous: &[f32], carried: &mut [f32], hidden: usize) {
        let rows = gates.chunks_exact_mut(4 * hidden).zip(previous.chunks_exact(hidden));
        for ((gates, previous), carried) in rows.zip(carried.chunks_exact_mut(hidden)) {
            let (input, rest) = gates.split_at_mut(hidden);
            let (reset, rest) = rest.split_at_mut(hidden);
            let (update, new) = rest.split_at_mut(hidden);
            let new = &mut new[..hidden];
            for j in 0..hidden {
                let (r, z) = (sigmoid(reset[j]), sigmoid(update[j]));
                let n = tanh(input[j] + r * new[j]);
                let dh = carried[j];
                let dn = dh * (1.0 - z) * (1.0 - n * n);
                reset[j] = dn * new[j] * r * (1.0 - r);
                update[j] = dh * (previous[j] - n) * z * (1.0 - z);
                input[j] = dn;
                new[j] = dn * r;
                carried[j] = dh * z;
            }
        }
    }
}

/// What one group adds to the gradients of one way's parameters.
struct Share {
    /// `[3 * hidden, in]`, new first.
    of_input: Vec<f32>,
    /// `[3 * hidden, hidden]`.
    of_state: Vec<f32>,
    /// `[4 * hidden]`.
    bias: Vec<f32>,
}

impl Share {
    fn zero(input: usize, hidden: usize) -> Self {
        let zeros = |width| vec![0.0; hidden * width];
        Self { of_input: zeros(3 * input), of_state: zeros(3 * hidden), bias: zeros(4) }
    }

    /// Adds gates' gradients `[rows, 4 * hidden]` times what the gates were made of.
    fn add(&mut self, gates: &[f32], x: &[f32], previous: &[f32], input: usize, hidden: usize) {
        let (width, rows) = (4 * hidden, gates.len() / (4 * hidden));
        add_rows(gates, &mut self.bias);
        for (gates, x, columns, sum) in [
            (gates, x, input, &mut self.of_input),
            (&gates[hidden.min(gates.len())..], previous, hidden, &mut self.of_state),
        ] {
            matmul(
                [3 * hidden, rows, columns],
                Matrix { data: gates, row_stride: 1, column_stride: width },
                Matrix { data: x, row_stride: columns, column_stride: 1 },
                MatrixMut { data: sum, row_stride: columns, column_stride: 1 },
                true,
            );
        }
    }

    fn merge(&mut self, other: &Self) {
        let Self { of_input, of_state, bias } = self;
        for (sum, part) in [(of_input, &other.of_input), (of_state, &other.of_state), (bias, &other.bias)] {
            sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
    }
}

impl Recurrence {
    fn sizes(&self, (frames, bands, input): (usize, usize, usize)) -> Sizes {
        let sequences = Sequences { axis: self.axis, frames, bands };
        Sizes { sequences, input, hidden: self.hidden }
    }

    /// The states of a group's rows before the first step.
    fn start(&self, group: Group) -> Vec<f32> {
        match &self.before {
            Some(before) => before[group.first * self.hidden..][..group.rows * self.hidden].to_vec(),
            None => vec![0.0; group.rows * self.hidden],
        }
    }

    /// A way's steps in its own order.
    fn order(way: usize, steps: usize) -> impl DoubleEndedIterator<Item = usize> + ExactSizeIterator {
        (0..steps).map(move |step| if way == 0 { step } else { steps - 1 - step })
    }

    /// All states of a group.
    fn states(&self, sizes: &Sizes, group: Group, x: &[f32], packed: &[Packed], out: &mut Part<'_>) {
        let hidden = self.hidden;
        let mut gates = vec![0.0; group.rows * 4 * hidden];
        for (way, packed) in packed.iter().enumerate() {
            let mut states = self.start(group);
            for step in Self::order(way, sizes.sequences.steps()) {
                packed.gates(sizes.sequences.step(x, sizes.input, group, step), &states, sizes, &mut gates);
                advance(&gates, &mut states, hidden);
                let (out, stride) = out.step(step);
                for (out, state) in out.chunks_mut(stride).zip(states.chunks_exact(hidden)) {
                    out[way * hidden..][..hidden].copy_from_slice(state);
                }
            }
        }
    }

    /// Backpropagation through time for one way of a group. The states are known; the gates are made again.
    fn gradients(
        &self,
        sizes: &Sizes,
        group: Group,
        (way, packed): (usize, &Packed),
        [x, states, grad]: [&[f32]; 3],
        grad_x: &mut Part<'_>,
    ) -> Share {
        let Sizes { input, hidden, .. } = *sizes;
        let (rows, width) = (group.rows, 4 * hidden);
        let mut share = Share::zero(input, hidden);
        let mut carried = vec![0.0; rows * hidden];
        // Of a few steps, for the sums over them.
        let mut all_gates = vec![0.0; STEPS * rows * width];
        let mut all_x = vec![0.0; STEPS * rows * input];
        let mut all_previous = vec![0.0; STEPS * rows * hidden];
        let mut order = Self::order(way, sizes.sequences.steps()).rev().peekable();
        let mut kept = 0;
        while let Some(step) = order.next() {
            let own = |x, step| {
                let rows = sizes.sequences.step(x, self.ways * hidden, group, step);
                Rows { data: &rows.data[way * hidden..], ..rows }
            };
            let gates = &mut all_gates[kept * rows * width..][..rows * width];
            let previous = &mut all_previous[kept * rows * hidden..][..rows * hidden];
            match order.peek() {
                Some(&before) => {
                    let rows = previous.chunks_exact_mut(hidden).zip(own(states, before).iter(hidden));
                    rows.for_each(|(previous, state)| previous.copy_from_slice(state));
                }
                None => previous.copy_from_slice(&self.start(group)),
            }
            let seen = sizes.sequences.step(x, input, group, step);
            let copies = all_x[kept * rows * input..].chunks_exact_mut(input).zip(seen.iter(input));
            copies.take(rows).for_each(|(copy, x)| copy.copy_from_slice(x));

            packed.gates(seen, previous, sizes, gates);
            let arriving = carried.chunks_exact_mut(hidden).zip(own(grad, step).iter(hidden));
            arriving.for_each(|(carried, grad)| carried.iter_mut().zip(grad).for_each(|(c, g)| *c += g));
            retreat(gates, previous, &mut carried, hidden);
            let (out, stride) = grad_x.step(step);
            // The first way sets the input's gradient, the second adds to it.
            for (gates, weight, columns, out, row_stride, add) in [
                (&gates[..], &packed.of_input[1], input, out, stride, way > 0),
                (&gates[hidden..], &packed.of_state[1], hidden, &mut carried[..], hidden, true),
            ] {
                matmul(
                    [rows, 3 * hidden, columns],
                    Matrix { data: gates, row_stride: width, column_stride: 1 },
                    Matrix { data: weight, row_stride: columns, column_stride: 1 },
                    MatrixMut { data: out, row_stride, column_stride: 1 },
                    add,
                );
            }
            kept += 1;
            if kept == STEPS || order.peek().is_none() {
                let count = kept * rows;
                let (gates, x) = (&all_gates[..count * width], &all_x[..count * input]);
                share.add(gates, x, &all_previous[..count * hidden], input, hidden);
                kept = 0;
            }
        }
        share
    }
}

impl CustomOp3 for Recurrence {
    fn name(&self) -> &'static str {
        "gru"
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
        let (x, weights, biases) = (slice(s1, l1)?, slice(s2, l2)?, slice(s3, l3)?);
        let sizes = self.sizes(l1.shape().dims3()?);
        let packed = Packed::all(weights, biases, sizes.input, self.hidden);
        let (groups, width) = (sizes.sequences.groups(ROWS), self.ways * self.hidden);
        let Sequences { frames, bands, .. } = sizes.sequences;
        let mut out = vec![0.0; frames * bands * width];
        let parts = sizes.sequences.share(&mut out, width, &groups);
        let work = groups.into_par_iter().zip(parts);
        work.for_each(|(group, mut out)| self.states(&sizes, group, x, &packed, &mut out));
        Ok((CpuStorage::F32(out), (frames, bands, width).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weights: &Tensor,
        biases: &Tensor,
        res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let sizes = self.sizes(x.dims3()?);
        let Sizes { input, hidden, .. } = sizes;
        let packed = with_slices([weights, biases], |[w, b]| Packed::all(w, b, input, hidden))?;
        let groups = sizes.sequences.groups(ROWS);
        let mut grad_x = vec![0.0; x.elem_count()];
        let parts = sizes.sequences.share(&mut grad_x, input, &groups);
        let shares: Vec<Vec<Share>> = with_slices([x, res, grad], |all| {
            let shares = |(group, mut grad_x): (Group, Part<'_>)| {
                let share = |way| self.gradients(&sizes, group, way, all, &mut grad_x);
                packed.iter().enumerate().map(share).collect()
            };
            groups.into_par_iter().zip(parts).map(shares).collect()
        })?;
        let mut sums: Vec<Share> = packed.iter().map(|_| Share::zero(input, hidden)).collect();
        shares.iter().for_each(|ways| sums.iter_mut().zip(ways).for_each(|(sum, part)| sum.merge(part)));
        let (mut of_weights, mut of_biases) = (Vec::new(), Vec::new());
        for Share { of_input, of_state, bias } in &sums {
            of_weights.extend(new_last(of_input));
            of_weights.extend(of_state);
            of_biases.extend(new_last(&bias[..3 * hidden]));
            of_biases.extend(&bias[hidden..]);
        }
        let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device()).map(Some);
        Ok((tensor(grad_x, x)?, tensor(of_weights, weights)?, tensor(of_biases, biases)?))
    }
}
