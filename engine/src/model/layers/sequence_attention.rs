//! Attention along many independent sequences: along time over the last frames, or over all bands of a frame.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::Linear;
use super::attend::{Attend, View};
use super::cpu::{slice, with_slices};
use super::plain;
use super::sequences::{Axis, Group, Part, Sequences};
use crate::model::params::{Init, Scope};

/// Causal self-attention along time: a frame sees the last `span` frames of its own row, itself included, with a
/// learned bias for each head and distance.
#[derive(Debug)]
pub struct TimeAttention {
    in_proj: Linear,
    out_proj: Linear,
    /// `[heads, span]`.
    distance_bias: Tensor,
}

impl TimeAttention {
    /// Takes `in_proj_weight`, `in_proj_bias`, `out_proj.*` and `distance_bias`.
    pub fn new(scope: &Scope<'_>, size: usize, heads: usize, span: usize) -> Result<Self> {
        Ok(Self {
            in_proj: Linear::with_prefix(scope, "in_proj_", size, 3 * size)?,
            out_proj: Linear::new(&scope.at("out_proj"), size, size)?,
            distance_bias: scope.get("distance_bias", &[heads, span], Init::Constant(0.0))?,
        })
    }

    /// `[frames, rows, size]` -> the same, and the frames' queries, keys and values `[frames, rows, 3 * size]`.
    /// `past` are those of the frames before, oldest first; they get no gradient.
    pub fn forward(&self, x: &Tensor, past: Option<&Tensor>) -> Result<(Tensor, Tensor)> {
        let projected = self.in_proj.forward(x)?;
        let (seen, skip) = match past {
            Some(past) => (Tensor::cat(&[past, &projected], 0)?, past.dim(0)?),
            None => (projected.clone(), 0),
        };
        let attended = Attention { axis: Axis::Frames, skip }.of(&seen, &self.distance_bias)?;
        Ok((self.out_proj.forward(&attended)?, projected))
    }
}

/// Self-attention over all bands of one frame.
#[derive(Debug)]
pub struct BandAttention {
    in_proj: Linear,
    out_proj: Linear,
    heads: usize,
}

impl BandAttention {
    /// Takes `in_proj_weight`, `in_proj_bias` and `out_proj.*`.
    pub fn new(scope: &Scope<'_>, size: usize, heads: usize) -> Result<Self> {
        Ok(Self {
            in_proj: Linear::with_prefix(scope, "in_proj_", size, 3 * size)?,
            out_proj: Linear::new(&scope.at("out_proj"), size, size)?,
            heads,
        })
    }

    /// `[frames, bands, size]` -> the same.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let projected = self.in_proj.forward(x)?;
        // No bias: zeros for a distance of nothing.
        let bias = Tensor::zeros((self.heads, 1), x.dtype(), x.device())?;
        self.out_proj.forward(&Attention { axis: Axis::Bands, skip: 0 }.of(&projected, &bias)?)
    }
}

/// Queries, keys and values `[frames, bands, 3 * size]` and bias `[heads, span]` -> `[frames - skip, bands, size]`.
/// Along frames causally, and the first `skip` frames are seen only; every band sees every band.
struct Attention {
    axis: Axis,
    skip: usize,
}

/// Sequences that one thread works on before the next is free to: a few neighbours along frames, where they share cache
/// lines, and about as many numbers across bands.
const BANDS_AT_ONCE: usize = 4;
const FRAMES_AT_ONCE: usize = 32;

/// One call.
struct Call {
    /// Of the queries, keys and values, and of the result.
    sequences: Sequences,
    results: Sequences,
    groups: Vec<Group>,
    view: View,
}

impl Attention {
    fn of(self, qkv: &Tensor, bias: &Tensor) -> Result<Tensor> {
        match plain::is_for(qkv) {
            true => plain::attend(qkv, bias, self.axis, self.skip),
            false => qkv.apply_op2(bias, self),
        }
    }

    fn call(
        &self,
        (frames, bands, width): (usize, usize, usize),
        (heads, span): (usize, usize),
    ) -> Result<Call> {
        let size = width / 3;
        if heads == 0 || span == 0 || !size.is_multiple_of(heads) {
            candle_core::bail!("attention of size {size} cannot have {heads} heads over {span} entries");
        }
        let sequences = Sequences { axis: self.axis, frames, bands };
        let results = Sequences { frames: frames - self.skip, ..sequences };
        let (span, at_once) = match self.axis {
            Axis::Frames => (Some(span), BANDS_AT_ONCE),
            Axis::Bands => (None, FRAMES_AT_ONCE),
        };
        let view = View { length: sequences.steps(), skip: self.skip, heads, size, span };
        Ok(Call { sequences, results, groups: sequences.groups(at_once), view })
    }
}

impl Call {
    /// The entries of a group's sequence.
    fn entries<'a>(&self, qkv: &'a [f32], group: Group, row: usize) -> impl Iterator<Item = &'a [f32]> {
        let (sequences, width) = (self.sequences, 3 * self.view.size);
        (0..self.view.length).map(move |entry| row_of(sequences, qkv, width, group, (entry, row)))
    }
}

/// One row of one step.
fn row_of(
    sequences: Sequences,
    x: &[f32],
    width: usize,
    group: Group,
    (step, row): (usize, usize),
) -> &[f32] {
    let rows = sequences.step(x, width, group, step);
    &rows.data[row * rows.stride..][..width]
}

/// Sets one row of one step.
fn set_row(part: &mut Part<'_>, (step, row): (usize, usize), x: &[f32]) {
    let (rows, stride) = part.step(step);
    rows[row * stride..][..x.len()].copy_from_slice(x);
}

impl CustomOp2 for Attention {
    fn name(&self) -> &'static str {
        "sequence-attention"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (qkv, bias) = (slice(s1, l1)?, slice(s2, l2)?);
        let call = self.call(l1.shape().dims3()?, l2.shape().dims2()?)?;
        let Sequences { frames, bands, .. } = call.results;
        let size = call.view.size;
        let mut out = vec![0.0; frames * bands * size];
        let parts = call.results.share(&mut out, size, &call.groups);
        call.groups.par_iter().zip(parts).for_each(|(&group, mut out)| {
            let mut attend = Attend::new(call.view, bias, false);
            for row in 0..group.rows {
                let entries = call.entries(qkv, group, row);
                attend.forward(entries, |entry, x| set_row(&mut out, (entry - self.skip, row), x));
            }
        });
        Ok((CpuStorage::F32(out), (frames, bands, size).into()))
    }

    fn bwd(
        &self,
        qkv: &Tensor,
        bias: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let call = self.call(qkv.dims3()?, bias.dims2()?)?;
        let size = call.view.size;
        let mut grad_qkv = vec![0.0; qkv.elem_count()];
        let parts = call.sequences.share(&mut grad_qkv, 3 * size, &call.groups);
        let biases: Vec<Vec<f32>> = with_slices([qkv, bias, grad], |[qkv, bias, grad]| {
            let of_group = |(&group, mut out): (&Group, Part<'_>)| {
                let mut attend = Attend::new(call.view, bias, true);
                for row in 0..group.rows {
                    let arriving =
                        |entry: usize| row_of(call.results, grad, size, group, (entry - self.skip, row));
                    let entries = call.entries(qkv, group, row);
                    attend.backward(entries, arriving, |entry, x| set_row(&mut out, (entry, row), x));
                }
                attend.of_bias()
            };
            call.groups.par_iter().zip(parts).map(of_group).collect()
        })?;
        let mut grad_bias = vec![0.0f32; bias.elem_count()];
        biases.iter().for_each(|part| grad_bias.iter_mut().zip(part).for_each(|(sum, part)| *sum += part));
        let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device()).map(Some);
        let grad_bias = if self.axis == Axis::Frames { tensor(grad_bias, bias)? } else { None };
        Ok((tensor(grad_qkv, qkv)?, grad_bias))
    }
}
