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

/// A recurrence in both directions whose steps are too short for products over packed panels: weights
/// `[hidden, 3 * hidden]` stay in the first-level cache. (One direction after the other: taking turns was slower.)
pub struct Bidirectional {
    ways: [Way; 2],
}

struct Way {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Bidirectional {
    /// Of each direction, forwards first, `weight` `[3 * hidden, hidden]` and `bias` `[3 * hidden]`, as networks have them.
    pub fn new(ways: [(Vec<f32>, Vec<f32>); 2]) -> Self {
        let way = |(weight, bias): (Vec<f32>, Vec<f32>)| {
            let hidden = bias.len() / 3;
            let transposed = (0..hidden).flat_map(|i| (0..3 * hidden).map(move |j| (i, j)));
            Way { weight: transposed.map(|(i, j)| weight[j * hidden + i]).collect(), bias }
        };
        Self { ways: ways.map(way) }
    }

    /// From state zero through all rows: `input` `[rows, 2, 3 * hidden]` is the input's share of the gates, `out`
    /// `[rows, 2, hidden]` gets the states; `gates` and `state` have room for one direction's.
    pub fn run(&self, isa: super::Isa, input: &[f32], gates: &mut [f32], state: &mut [f32], out: &mut [f32]) {
        let rows = out.len() / (2 * state.len());
        for (index, way) in self.ways.iter().enumerate() {
            state.fill(0.0);
            for row in 0..rows {
                let at = 2 * if index == 0 { row } else { rows - 1 - row } + index;
                narrow(isa, state, &way.weight, &way.bias, gates);
                advance_one(isa, &input[at * gates.len()..][..gates.len()], gates, state);
                out[at * state.len()..][..state.len()].copy_from_slice(state);
            }
        }
    }
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
                let weights = |seed| (noise(3 * hidden * hidden, seed), noise(3 * hidden, seed + 1));
                let ways = [weights(1), weights(3)];
                let recurrence = Bidirectional::new(ways.clone());
                let rows = 7;
                let input = noise(rows * 6 * hidden, 5);
                let (mut gates, mut state) = (vec![0.0; 3 * hidden], vec![1.0; hidden]);
                let mut out = vec![0.0; rows * 2 * hidden];
                recurrence.run(isa, &input, &mut gates, &mut state, &mut out);
                for (way, (weight, bias)) in ways.iter().enumerate() {
                    let mut h = vec![0.0; hidden];
                    for row in 0..rows {
                        let at = 2 * if way == 0 { row } else { rows - 1 - row } + way;
                        h = plain(&input[at * 3 * hidden..][..3 * hidden], &h, weight, bias);
                        let found = &out[at * hidden..][..hidden];
                        assert_near(found, &h, 3e-6, &format!("{isa:?} {hidden} {way} {row}"));
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
