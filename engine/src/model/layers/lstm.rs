//! Bidirectional LSTM along the frames.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::activation::{sigmoid, tanh};
use super::conv::convolve;
use super::cpu::{Matrix, MatrixMut, matmul, permuted, slice, vectorised, with_slice};
use super::plain;
use crate::model::params::{Init, Scope};

/// Stacked bidirectional LSTM, PyTorch's parameters and gate order (input, forget, cell, output):
/// `[batch, frames, in]` -> `[batch, frames, 2 * hidden]`, forward direction first.
#[derive(Debug)]
pub struct BiLstm {
    layers: Vec<[Direction; 2]>,
}

#[derive(Debug)]
struct Direction {
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
}

impl Direction {
    fn way(&self) -> plain::Way<'_> {
        let Self { weight_ih, weight_hh, bias_ih, bias_hh } = self;
        plain::Way { weight_ih, weight_hh, bias_ih, bias_hh }
    }
}

impl BiLstm {
    /// Takes `weight_ih_l<n>`, `weight_hh_l<n>`, `bias_ih_l<n>`, `bias_hh_l<n>`, and the same with `_reverse`.
    pub fn new(scope: &Scope<'_>, input: usize, hidden: usize, layers: usize) -> Result<Self> {
        let init = Init::Uniform(1.0 / (hidden as f32).sqrt());
        let direction = |layer: usize, reverse: bool| {
            let name = |kind| format!("{kind}_l{layer}{}", if reverse { "_reverse" } else { "" });
            let input = if layer == 0 { input } else { 2 * hidden };
            Ok::<_, candle_core::Error>(Direction {
                weight_ih: scope.get(&name("weight_ih"), &[4 * hidden, input], init)?,
                weight_hh: scope.get(&name("weight_hh"), &[4 * hidden, hidden], init)?,
                bias_ih: scope.get(&name("bias_ih"), &[4 * hidden], init)?,
                bias_hh: scope.get(&name("bias_hh"), &[4 * hidden], init)?,
            })
        };
        let layers = (0..layers).map(|layer| Ok([direction(layer, false)?, direction(layer, true)?]));
        Ok(Self { layers: layers.collect::<Result<_>>()? })
    }

    /// `[batch, frames, in]` -> `[batch, frames, 2 * hidden]`, both directions starting from zero.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if plain::is_for(x) {
            let mut x = x.transpose(0, 1)?.contiguous()?;
            for layer in &self.layers {
                x = plain::lstm(&x, &layer.each_ref().map(Direction::way))?;
            }
            return x.transpose(0, 1)?.contiguous();
        }
        let mut x = x.clone();
        for [forward, backward] in &self.layers {
            let both = |part: fn(&Direction) -> &Tensor| Tensor::cat(&[part(forward), part(backward)], 0);
            let bias = (both(|d| &d.bias_ih)? + both(|d| &d.bias_hh)?)?;
            let gates = convolve(&x, &both(|d| &d.weight_ih)?.unsqueeze(2)?, &bias, 1)?;
            x = gates.apply_op2(&both(|d| &d.weight_hh)?, BothWays)?;
        }
        Ok(x)
    }
}

/// The recurrences of both directions, side by side: the input's share of the gates `[batch, frames, 2, 4 * hidden]`
/// and `weight_hh` `[2, 4 * hidden, hidden]` -> hidden states `[batch, frames, 2, hidden]`.
struct BothWays;

/// `[.., 2, width]` -> two of `[.., width]`.
fn split(x: &[f32], width: usize) -> [Vec<f32>; 2] {
    [0, 1].map(|side| x.chunks_exact(width).skip(side).step_by(2).flatten().copied().collect())
}

/// Back again.
fn interleave(sides: [&[f32]; 2], width: usize) -> Vec<f32> {
    let rows = sides[0].chunks_exact(width).zip(sides[1].chunks_exact(width));
    rows.flat_map(|(a, b)| a.iter().chain(b)).copied().collect()
}

impl CustomOp2 for BothWays {
    fn name(&self) -> &'static str {
        "lstm"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (input, weight) = (slice(s1, l1)?, slice(s2, l2)?);
        let (batch, frames, width) = l1.shape().dims3()?;
        let (_, hidden) = l2.shape().dims2()?;
        let dims = [batch, frames, hidden];
        let [ahead, back] = split(input, width / 2);
        let (weight_ahead, weight_back) = weight.split_at(weight.len() / 2);
        let (ahead, back) = rayon::join(
            || Recur { reverse: false }.states(dims, &ahead, weight_ahead),
            || Recur { reverse: true }.states(dims, &back, weight_back),
        );
        Ok((CpuStorage::F32(interleave([&ahead, &back], hidden)), (batch, frames, 2 * hidden).into()))
    }

    fn bwd(
        &self,
        input: &Tensor,
        weight: &Tensor,
        res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (batch, frames, width) = input.dims3()?;
        let hidden = weight.dim(1)?;
        let dims = [batch, frames, hidden];
        let [gates_ahead, gates_back] = with_slice(input, |x| split(x, width / 2))?;
        let [ahead, back] = with_slice(res, |x| split(x, hidden))?;
        let [grad_ahead, grad_back] = with_slice(grad, |x| split(x, hidden))?;
        let ((input_ahead, mut grad_weight), (input_back, grad_weight_back)) =
            with_slice(weight, |weight| {
                let (weight_ahead, weight_back) = weight.split_at(weight.len() / 2);
                rayon::join(
                    || {
                        Recur { reverse: false }.gradients(
                            dims,
                            gates_ahead,
                            weight_ahead,
                            &ahead,
                            &grad_ahead,
                        )
                    },
                    || Recur { reverse: true }.gradients(dims, gates_back, weight_back, &back, &grad_back),
                )
            })?;
        let grad_input = interleave([&input_ahead, &input_back], width / 2);
        grad_weight.extend(grad_weight_back);
        Ok((
            Some(Tensor::from_vec(grad_input, input.shape(), input.device())?),
            Some(Tensor::from_vec(grad_weight, weight.shape(), input.device())?),
        ))
    }
}

/// One direction's recurrence.
struct Recur {
    reverse: bool,
}

vectorised! {
    /// Activates the gates of one frame of one item, `[4 * hidden]` in place.
    fn activate(gates: &mut [f32], hidden: usize) {
        for (index, gates) in gates.chunks_exact_mut(hidden).enumerate() {
            match index {
                2 => gates.iter_mut().for_each(|gate| *gate = tanh(*gate)),
                _ => gates.iter_mut().for_each(|gate| *gate = sigmoid(*gate)),
            }
        }
    }
}

vectorised! {
    /// One frame of one item: activated gates `[4 * hidden]` move the cell and the state, `[hidden]`.
    fn advance(gates: &[f32], cell: &mut [f32], state: &mut [f32]) {
        let hidden = cell.len();
        let [i, f, g, o] = [0, 1, 2, 3].map(|gate| &gates[gate * hidden..][..hidden]);
        for j in 0..hidden {
            cell[j] = f[j] * cell[j] + i[j] * g[j];
            state[j] = o[j] * tanh(cell[j]);
        }
    }
}

vectorised! {
    /// One frame of one item backwards: from the state's gradient, complete, and the cell's, carried from the frame
    /// after, to the gates' before activation, `[4 * hidden]`, and the cell's of the frame before.
    fn retreat(gates: &[f32], cell: &[f32], cell_before: &[f32], dh: &[f32], dc: &mut [f32], step: &mut [f32]) {
        let hidden = cell.len();
        let [i, f, g, o] = [0, 1, 2, 3].map(|gate| &gates[gate * hidden..][..hidden]);
        let (di, step) = step.split_at_mut(hidden);
        let (df, step) = step.split_at_mut(hidden);
        let (dg, r#do) = step.split_at_mut(hidden);
        let (cell_before, dh, dc) = (&cell_before[..hidden], &dh[..hidden], &mut dc[..hidden]);
        for j in 0..hidden {
            let squashed = tanh(cell[j]);
            let carried = dh[j] * o[j] * (1.0 - squashed * squashed) + dc[j];
            di[j] = carried * g[j] * i[j] * (1.0 - i[j]);
            df[j] = carried * cell_before[j] * f[j] * (1.0 - f[j]);
            dg[j] = carried * i[j] * (1.0 - g[j] * g[j]);
            r#do[j] = dh[j] * squashed * o[j] * (1.0 - o[j]);
            dc[j] = carried * f[j];
        }
    }
}

impl Recur {
    /// Frames in the order of the recurrence.
    fn order(&self, frames: usize) -> impl DoubleEndedIterator<Item = usize> + use<> {
        let reverse = self.reverse;
        (0..frames).map(move |step| if reverse { frames - 1 - step } else { step })
    }

    /// The frame before `frame` in the order of the recurrence.
    fn previous(&self, frame: usize, frames: usize) -> Option<usize> {
        if self.reverse { (frame + 1 < frames).then_some(frame + 1) } else { frame.checked_sub(1) }
    }

    /// The input's share of the gates `[batch, frames, 4 * hidden]` -> states `[batch, frames, hidden]`.
    fn states(&self, [batch, frames, hidden]: [usize; 3], input: &[f32], weight: &[f32]) -> Vec<f32> {
        let width = 4 * hidden;
        let weight = transposed(weight, hidden);
        let mut out = vec![0.0f32; batch * frames * hidden];
        let mut state = vec![0.0f32; batch * hidden];
        let mut cell = vec![0.0f32; batch * hidden];
        let mut gates = vec![0.0f32; batch * width];
        for t in self.order(frames) {
            for (b, gates) in gates.chunks_exact_mut(width).enumerate() {
                gates.copy_from_slice(&input[(b * frames + t) * width..][..width]);
            }
            add_recurrent(&state, &weight, hidden, &mut gates);
            let items = cell.chunks_exact_mut(hidden).zip(state.chunks_exact_mut(hidden));
            for (b, ((cell, state), gates)) in items.zip(gates.chunks_exact_mut(width)).enumerate() {
                activate(gates, hidden);
                advance(gates, cell, state);
                out[(b * frames + t) * hidden..][..hidden].copy_from_slice(state);
            }
        }
        out
    }

    /// Backpropagation through time: the gradients of `input` and `weight`. The states are the stored result, so all
    /// gates come from one product.
    fn gradients(
        &self,
        [batch, frames, hidden]: [usize; 3],
        input: Vec<f32>,
        weight: &[f32],
        states: &[f32],
        grad: &[f32],
    ) -> (Vec<f32>, Vec<f32>) {
        let width = 4 * hidden;
        let at = |b: usize, t: usize| b * frames + t;
        let mut previous = vec![0.0f32; states.len()];
        for b in 0..batch {
            for t in 0..frames {
                if let Some(p) = self.previous(t, frames) {
                    previous[at(b, t) * hidden..][..hidden]
                        .copy_from_slice(&states[at(b, p) * hidden..][..hidden]);
                }
            }
        }
        let mut gates = input;
        add_recurrent(&previous, &transposed(weight, hidden), hidden, &mut gates);
        gates.chunks_exact_mut(width).for_each(|gates| activate(gates, hidden));
        // After each frame, and of nothing before the first.
        let mut cells = vec![0.0f32; states.len()];
        let nothing = vec![0.0f32; hidden];
        let mut state = nothing.clone();
        for b in 0..batch {
            let mut cell = nothing.clone();
            for t in self.order(frames) {
                advance(&gates[at(b, t) * width..][..width], &mut cell, &mut state);
                cells[at(b, t) * hidden..][..hidden].copy_from_slice(&cell);
            }
        }

        let mut grad_gates = vec![0.0f32; gates.len()];
        let mut grad_state = vec![0.0f32; batch * hidden];
        let mut grad_cell = vec![0.0f32; batch * hidden];
        let mut step = vec![0.0f32; batch * width];
        for t in self.order(frames).rev() {
            for b in 0..batch {
                let dh = &mut grad_state[b * hidden..][..hidden];
                dh.iter_mut().zip(&grad[at(b, t) * hidden..]).for_each(|(dh, g)| *dh += g);
                let cell_before = match self.previous(t, frames) {
                    Some(p) => &cells[at(b, p) * hidden..][..hidden],
                    None => &nothing,
                };
                let cell = &cells[at(b, t) * hidden..][..hidden];
                let step = &mut step[b * width..][..width];
                let dc = &mut grad_cell[b * hidden..][..hidden];
                retreat(&gates[at(b, t) * width..][..width], cell, cell_before, dh, dc, step);
                grad_gates[at(b, t) * width..][..width].copy_from_slice(step);
            }
            matmul(
                [batch, width, hidden],
                Matrix { data: &step, row_stride: width, column_stride: 1 },
                Matrix { data: weight, row_stride: hidden, column_stride: 1 },
                MatrixMut { data: &mut grad_state, row_stride: hidden, column_stride: 1 },
                false,
            );
        }
        let mut grad_weight = vec![0.0f32; width * hidden];
        matmul(
            [width, batch * frames, hidden],
            Matrix { data: &grad_gates, row_stride: 1, column_stride: width },
            Matrix { data: &previous, row_stride: hidden, column_stride: 1 },
            MatrixMut { data: &mut grad_weight, row_stride: hidden, column_stride: 1 },
            false,
        );
        (grad_gates, grad_weight)
    }
}

/// `[4 * hidden, hidden]` -> `[hidden, 4 * hidden]`: a product with a stored transpose is several times faster.
fn transposed(weight: &[f32], hidden: usize) -> Vec<f32> {
    permuted(weight, [1, hidden, 4 * hidden], 0, [0, 1, hidden as isize])
}

/// Adds states `[rows, hidden]` times the transposed weight to the gates, `[rows, 4 * hidden]`.
fn add_recurrent(states: &[f32], transposed: &[f32], hidden: usize, gates: &mut [f32]) {
    matmul(
        [states.len() / hidden, hidden, 4 * hidden],
        Matrix { data: states, row_stride: hidden, column_stride: 1 },
        Matrix { data: transposed, row_stride: 4 * hidden, column_stride: 1 },
        MatrixMut { data: gates, row_stride: 4 * hidden, column_stride: 1 },
        true,
    );
}
