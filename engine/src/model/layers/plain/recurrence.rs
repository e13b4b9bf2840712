//! Recurrences step by step, both ways at a time.

use candle_core::{DType, Result, Tensor};
use candle_nn::ops::sigmoid;

use super::{linear, product};

/// The parameters of one way, as PyTorch keeps them.
#[derive(Clone, Copy)]
pub struct Way<'a> {
    /// `[gates, in]`.
    pub weight_ih: &'a Tensor,
    /// `[gates, hidden]`.
    pub weight_hh: &'a Tensor,
    /// `[gates]`.
    pub bias_ih: &'a Tensor,
    /// `[gates]`.
    pub bias_hh: &'a Tensor,
}

/// `x` along its first axis. Halved again and again, because the gradient of a narrowing is as long as what was
/// narrowed: one by one, many steps would take a time that grows with their square.
fn steps(x: &Tensor) -> Result<Vec<Tensor>> {
    let count = x.dim(0)?;
    if count == 1 {
        return Ok(vec![x.squeeze(0)?]);
    }
    let half = count / 2;
    let first = steps(&x.narrow(0, 0, half)?)?;
    Ok([first, steps(&x.narrow(0, half, count - half)?)?].concat())
}

/// Runs `step` along `x`, `[steps, rows, in]`, for each way, the second from the end: `step` gets the input's share of
/// the gates, `[ways, rows, gates]`, and returns states `[ways, rows, hidden]`. `[steps, rows, ways * hidden]` comes
/// out.
fn along(x: &Tensor, ways: &[Way<'_>], mut step: impl FnMut(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let shares = ways.iter().enumerate().map(|(index, way)| {
        let share = linear(x, way.weight_ih, way.bias_ih)?;
        if index == 0 { Ok(share) } else { share.flip(&[0]) }
    });
    let shares = Tensor::stack(&shares.collect::<Result<Vec<_>>>()?, 1)?;
    let states = steps(&shares)?.iter().map(&mut step).collect::<Result<Vec<_>>>()?;
    let states = Tensor::stack(&states, 0)?;
    let own = |index| {
        let own = states.narrow(1, index, 1)?.squeeze(1)?.contiguous()?;
        if index == 0 { Ok(own) } else { own.flip(&[0]) }
    };
    Tensor::cat(&(0..ways.len()).map(own).collect::<Result<Vec<_>>>()?, 2)
}

/// Transposed `weight_hh`, `[ways, hidden, gates]`, and `bias_hh`, `[ways, 1, gates]`.
fn of_state(ways: &[Way<'_>]) -> Result<(Tensor, Tensor)> {
    let weights = ways.iter().map(|way| way.weight_hh.t()?.contiguous()).collect::<Result<Vec<_>>>()?;
    let biases: Vec<_> = ways.iter().map(|way| way.bias_hh).collect();
    Ok((Tensor::stack(&weights, 0)?, Tensor::stack(&biases, 0)?.unsqueeze(1)?))
}

/// As [`super::super::Gru`] and [`super::super::BiGru`] along the first axis of `[steps, rows, in]`; `before`, if any,
/// is `[rows, hidden]`.
pub fn gru(x: &Tensor, ways: &[Way<'_>], before: Option<&Tensor>) -> Result<Tensor> {
    let (_, rows, _) = x.dims3()?;
    let (weight, bias) = of_state(ways)?;
    let hidden = weight.dim(1)?;
    let mut state = match before {
        Some(before) => before.detach().unsqueeze(0)?,
        None => Tensor::zeros((ways.len(), rows, hidden), DType::F32, x.device())?,
    };
    along(x, ways, |input| {
        let own = product(&state, &weight)?.broadcast_add(&bias)?;
        let part = |gates: &Tensor, index| gates.narrow(2, index * hidden, hidden);
        let gate = |index| sigmoid(&(part(input, index)? + part(&own, index)?)?);
        let (reset, update) = (gate(0)?, gate(1)?);
        let new = (part(input, 2)? + (reset * part(&own, 2)?)?)?.tanh()?;
        state = (&new + (update * (&state - &new)?)?)?;
        Ok(state.clone())
    })
}

/// As one layer of [`super::super::BiLstm`] along the first axis of `[steps, rows, in]`.
pub fn lstm(x: &Tensor, ways: &[Way<'_>; 2]) -> Result<Tensor> {
    let (_, rows, _) = x.dims3()?;
    let (weight, bias) = of_state(ways)?;
    let hidden = weight.dim(1)?;
    let mut state = Tensor::zeros((ways.len(), rows, hidden), DType::F32, x.device())?;
    let mut cell = state.clone();
    along(x, ways, |input| {
        let gates = (input + product(&state, &weight)?.broadcast_add(&bias)?)?;
        let part = |index| gates.narrow(2, index * hidden, hidden)?.contiguous();
        let (i, f, o) = (sigmoid(&part(0)?)?, sigmoid(&part(1)?)?, sigmoid(&part(3)?)?);
        cell = ((f * &cell)? + (i * part(2)?.tanh()?)?)?;
        state = (o * cell.tanh()?)?;
        Ok(state.clone())
    })
}
