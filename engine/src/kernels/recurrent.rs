//! Steps of gated recurrent units, PyTorch's equations, gates in its order: reset, update, new.

use super::elementwise::{sigmoid, tanh};
use super::isa::{kernel, madd};
use super::product::narrow;

kernel! {
    /// The input's and the state's share of the gates, `[rows, 3 * hidden]`, move states `[rows, hidden]`.
    pub fn advance(input: &[f32], gates: &[f32], hidden: usize, state: &mut [f32]) {
        let width = 3 * hidden;
        let rows = input.chunks_exact(width).zip(gates.chunks_exact(width));
        for ((x, h), state) in rows.zip(state.chunks_exact_mut(hidden)) {
            step::<FMA>(x, h, state);
        }
    }
}

/// Numbers that are computed side by side.
const LANES: usize = 16;

/// One row, in blocks that are copied, so that the compiler need not ask whether reading and writing overlap.
#[inline(always)]
fn step<const FMA: bool>(x: &[f32], h: &[f32], state: &mut [f32]) {
    let hidden = state.len();
    let [x_reset, x_update, x_new] = [0, 1, 2].map(|gate| &x[gate * hidden..][..hidden]);
    let [h_reset, h_update, h_new] = [0, 1, 2].map(|gate| &h[gate * hidden..][..hidden]);
    for (index, state) in state.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let at = |from: &[f32]| from.as_chunks::<LANES>().0[index];
        let reset = gate::<FMA>(at(x_reset), at(h_reset));
        let update = gate::<FMA>(at(x_update), at(h_update));
        let (mut new, h_new) = (at(x_new), at(h_new));
        for j in 0..LANES {
            new[j] = tanh::<FMA>(madd::<FMA>(reset[j], h_new[j], new[j]));
        }
        let mut now = *state;
        for j in 0..LANES {
            now[j] = madd::<FMA>(update[j], now[j] - new[j], new[j]);
        }
        *state = now;
    }
    for j in hidden - hidden % LANES..hidden {
        let r = sigmoid::<FMA>(x_reset[j] + h_reset[j]);
        let z = sigmoid::<FMA>(x_update[j] + h_update[j]);
        let n = tanh::<FMA>(madd::<FMA>(r, h_new[j], x_new[j]));
        state[j] = madd::<FMA>(z, state[j] - n, n);
    }
}

/// A block of a gate.
#[inline(always)]
fn gate<const FMA: bool>(x: [f32; LANES], h: [f32; LANES]) -> [f32; LANES] {
    let mut out = x;
    for j in 0..LANES {
        out[j] = sigmoid::<FMA>(x[j] + h[j]);
    }
    out
}

/// A recurrence whose steps are too short for a product over packed panels: one state at a time, with weights
/// `[hidden, 3 * hidden]` that stay in the first-level cache.
pub struct Recurrent {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Recurrent {
    /// `weight` `[3 * hidden, hidden]` and `bias` `[3 * hidden]`, as networks have them.
    pub fn new(weight: &[f32], bias: &[f32]) -> Self {
        let hidden = bias.len() / 3;
        let transposed = (0..hidden).flat_map(|i| (0..3 * hidden).map(move |j| weight[j * hidden + i]));
        Self { weight: transposed.collect(), bias: bias.to_vec() }
    }

    /// From state zero through all steps: the input's share of the gates is `[steps]` rows of `width` numbers, in
    /// which this recurrence's stand at `offset`; states go to `out` `[steps, out_width]` at `out_offset`.
    pub fn run(&self, isa: super::Isa, way: &Way<'_>, gates: &mut [f32], state: &mut [f32], out: &mut [f32]) {
        state.fill(0.0);
        let steps = way.input.len() / way.width;
        for step in 0..steps {
            let at = if way.reverse { steps - 1 - step } else { step };
            let input = &way.input[at * way.width + way.offset..][..gates.len()];
            let out = &mut out[at * way.out_width + way.out_offset..][..state.len()];
            narrow(isa, state, &self.weight, &self.bias, gates);
            advance_one(isa, input, gates, state);
            out.copy_from_slice(state);
        }
    }
}

/// Where a recurrence reads and writes.
pub struct Way<'a> {
    /// The input's share of the gates.
    pub input: &'a [f32],
    /// Numbers in a row of it.
    pub width: usize,
    /// Where in a row the gates begin.
    pub offset: usize,
    /// Numbers in a row of the output.
    pub out_width: usize,
    /// Where in it the states begin.
    pub out_offset: usize,
    /// From the last row to the first.
    pub reverse: bool,
}

kernel! {
    /// One state through one step.
    fn advance_one(input: &[f32], gates: &[f32], state: &mut [f32]) {
        step::<FMA>(input, gates, state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Isa;
    use crate::kernels::tests::{assert_near, noise};

    /// The equations, one number at a time.
    fn plain(x: &[f32], h: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
        let hidden = h.len();
        let gate = |index: usize| {
            let row = &weight[index * hidden..][..hidden];
            f64::from(bias[index])
                + row.iter().zip(h).map(|(w, h)| f64::from(*w) * f64::from(*h)).sum::<f64>()
        };
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        (0..hidden)
            .map(|j| {
                let r = sigmoid(f64::from(x[j]) + gate(j));
                let z = sigmoid(f64::from(x[hidden + j]) + gate(hidden + j));
                let n = (f64::from(x[2 * hidden + j]) + r * gate(2 * hidden + j)).tanh();
                ((1.0 - z) * n + z * f64::from(h[j])) as f32
            })
            .collect()
    }

    #[test]
    fn steps_are_the_equations_in_both_directions_and_at_any_size() {
        for &isa in Isa::available() {
            for hidden in [1, 5, 32, 40] {
                let (weight, bias) = (noise(3 * hidden * hidden, 1), noise(3 * hidden, 2));
                let recurrent = Recurrent::new(&weight, &bias);
                let (steps, width) = (7, 3 * hidden + 2);
                let input = noise(steps * width, 3);
                for reverse in [false, true] {
                    let (mut gates, mut state) = (vec![0.0; 3 * hidden], vec![1.0; hidden]);
                    let mut out = vec![0.0; steps * (hidden + 3)];
                    let way = Way {
                        input: &input,
                        width,
                        offset: 1,
                        out_width: hidden + 3,
                        out_offset: 2,
                        reverse,
                    };
                    recurrent.run(isa, &way, &mut gates, &mut state, &mut out);
                    let mut h = vec![0.0; hidden];
                    for step in 0..steps {
                        let at = if reverse { steps - 1 - step } else { step };
                        h = plain(&input[at * width + 1..][..3 * hidden], &h, &weight, &bias);
                        let found = &out[at * (hidden + 3) + 2..][..hidden];
                        assert_near(found, &h, 3e-6, &format!("{isa:?} {hidden} {reverse} {step}"));
                    }
                }
            }
        }
    }

    #[test]
    fn rows_advance_side_by_side() {
        for &isa in Isa::available() {
            for hidden in [3, 64] {
                let (x, h, state) =
                    (noise(2 * 3 * hidden, 1), noise(2 * 3 * hidden, 2), noise(2 * hidden, 3));
                let mut found = state.clone();
                advance(isa, &x, &h, hidden, &mut found);
                for row in 0..2 {
                    // The state's share given as a bias alone.
                    let part = |of: &[f32], width: usize| of[row * width..][..width].to_vec();
                    let zero = vec![0.0; 3 * hidden * hidden];
                    let expected =
                        plain(&part(&x, 3 * hidden), &part(&state, hidden), &zero, &part(&h, 3 * hidden));
                    assert_near(&part(&found, hidden), &expected, 2e-6, "rows");
                }
            }
        }
    }
}
