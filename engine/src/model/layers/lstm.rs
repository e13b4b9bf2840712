//! Bidirectional LSTM along the frames.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::activation::{sigmoid, tanh};
use super::conv::convolve;
use super::cpu::{Matrix, MatrixMut, matmul, slice, with_slice};
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
    reverse: bool,
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
                reverse,
            })
        };
        let layers = (0..layers).map(|layer| Ok([direction(layer, false)?, direction(layer, true)?]));
        Ok(Self { layers: layers.collect::<Result<_>>()? })
    }

    /// `[batch, frames, in]` -> `[batch, frames, 2 * hidden]`, both directions starting from zero.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        for [forward, backward] in &self.layers {
            x = Tensor::cat(&[forward.forward(&x)?, backward.forward(&x)?], 2)?;
        }
        Ok(x)
    }
}

impl Direction {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let bias = (&self.bias_ih + &self.bias_hh)?;
        let gates = convolve(x, &self.weight_ih.unsqueeze(2)?, &bias, 1)?;
        gates.contiguous()?.apply_op2(&self.weight_hh, Recur { reverse: self.reverse })
    }
}

/// The recurrence alone: the input's share of the gates `[batch, frames, 4 * hidden]` and `weight_hh`
/// `[4 * hidden, hidden]` -> hidden states `[batch, frames, hidden]`.
struct Recur {
    reverse: bool,
}

/// Activated gates of one frame of one item, `[4 * hidden]` in place.
fn activate(gates: &mut [f32], hidden: usize) {
    for (index, gate) in gates.iter_mut().enumerate() {
        *gate = if index / hidden == 2 { tanh(*gate) } else { sigmoid(*gate) };
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
}

impl CustomOp2 for Recur {
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
        let (batch, frames, _) = l1.shape().dims3()?;
        let (width, hidden) = l2.shape().dims2()?;
        let mut out = vec![0.0f32; batch * frames * hidden];
        let mut state = vec![0.0f32; batch * hidden];
        let mut cell = vec![0.0f32; batch * hidden];
        let mut gates = vec![0.0f32; batch * width];
        for t in self.order(frames) {
            for (b, gates) in gates.chunks_exact_mut(width).enumerate() {
                gates.copy_from_slice(&input[(b * frames + t) * width..][..width]);
            }
            matmul(
                [batch, hidden, width],
                Matrix { data: &state, row_stride: hidden, column_stride: 1 },
                Matrix { data: weight, row_stride: 1, column_stride: hidden },
                MatrixMut { data: &mut gates, row_stride: width, column_stride: 1 },
                true,
            );
            for b in 0..batch {
                let gates = &mut gates[b * width..][..width];
                activate(gates, hidden);
                let (cell, state) = (&mut cell[b * hidden..][..hidden], &mut state[b * hidden..][..hidden]);
                for j in 0..hidden {
                    cell[j] = gates[hidden + j] * cell[j] + gates[j] * gates[2 * hidden + j];
                    state[j] = gates[3 * hidden + j] * tanh(cell[j]);
                }
                out[(b * frames + t) * hidden..][..hidden].copy_from_slice(state);
            }
        }
        Ok((CpuStorage::F32(out), (batch, frames, hidden).into()))
    }

    fn bwd(
        &self,
        input: &Tensor,
        weight: &Tensor,
        res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (batch, frames, hidden) = res.dims3()?;
        let dims = [batch, frames, hidden];
        let (grad_input, grad_weight) = with_slice(input, |input| {
            with_slice(weight, |weight| {
                with_slice(res, |res| with_slice(grad, |grad| self.gradients(dims, input, weight, res, grad)))
            })
        })????;
        Ok((
            Some(Tensor::from_vec(grad_input, input.shape(), input.device())?),
            Some(Tensor::from_vec(grad_weight, weight.shape(), input.device())?),
        ))
    }
}

impl Recur {
    /// Backpropagation through time. The states are the stored result, so all gates come from one product.
    fn gradients(
        &self,
        [batch, frames, hidden]: [usize; 3],
        input: &[f32],
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
        let mut gates = input.to_vec();
        matmul(
            [batch * frames, hidden, width],
            Matrix { data: &previous, row_stride: hidden, column_stride: 1 },
            Matrix { data: weight, row_stride: 1, column_stride: hidden },
            MatrixMut { data: &mut gates, row_stride: width, column_stride: 1 },
            true,
        );
        gates.chunks_exact_mut(width).for_each(|gates| activate(gates, hidden));
        let mut cells = vec![0.0f32; states.len()];
        for b in 0..batch {
            for t in self.order(frames) {
                let before = self.previous(t, frames).map(|p| at(b, p) * hidden);
                let gates = &gates[at(b, t) * width..][..width];
                for j in 0..hidden {
                    let carried = before.map_or(0.0, |p| gates[hidden + j] * cells[p + j]);
                    cells[at(b, t) * hidden + j] = carried + gates[j] * gates[2 * hidden + j];
                }
            }
        }

        let mut grad_gates = vec![0.0f32; input.len()];
        let mut grad_state = vec![0.0f32; batch * hidden];
        let mut grad_cell = vec![0.0f32; batch * hidden];
        let mut step = vec![0.0f32; batch * width];
        for t in self.order(frames).rev() {
            for b in 0..batch {
                let gates = &gates[at(b, t) * width..][..width];
                let step = &mut step[b * width..][..width];
                let before = self.previous(t, frames).map(|p| at(b, p) * hidden);
                for j in 0..hidden {
                    let [i, f, g, o] = [0, 1, 2, 3].map(|gate| gates[gate * hidden + j]);
                    let squashed = tanh(cells[at(b, t) * hidden + j]);
                    let dh = grad[at(b, t) * hidden + j] + grad_state[b * hidden + j];
                    let dc = dh * o * (1.0 - squashed * squashed) + grad_cell[b * hidden + j];
                    let cell_before = before.map_or(0.0, |p| cells[p + j]);
                    step[j] = dc * g * i * (1.0 - i);
                    step[hidden + j] = dc * cell_before * f * (1.0 - f);
                    step[2 * hidden + j] = dc * i * (1.0 - g * g);
                    step[3 * hidden + j] = dh * squashed * o * (1.0 - o);
                    grad_cell[b * hidden + j] = dc * f;
                }
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
