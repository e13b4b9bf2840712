//! Attention along many independent sequences: along time over the last frames, or over all bands of a frame.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::Linear;
use super::activation::exp;
use super::cpu::{forward_by_host, permuted, slice, vectorised, with_slices};
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
        let op = Attention { along: Along::Frames { skip } };
        Ok((self.out_proj.forward(&seen.apply_op2(&self.distance_bias, op)?)?, projected))
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
        self.out_proj.forward(&projected.apply_op2(&bias, Attention { along: Along::Bands })?)
    }
}

/// What a sequence runs along.
#[derive(Debug, Clone, Copy)]
enum Along {
    /// Causally; the first `skip` frames are seen only.
    Frames { skip: usize },
    /// Every band sees every band.
    Bands,
}

/// Queries, keys and values `[frames, bands, 3 * size]` and bias `[heads, span]` -> `[frames - skip, bands, size]`.
struct Attention {
    along: Along,
}

/// Sizes of one call.
#[derive(Clone, Copy)]
struct Sizes {
    frames: usize,
    bands: usize,
    size: usize,
    heads: usize,
    span: usize,
    skip: usize,
    causal: bool,
}

/// One sequence of one head, `[length, head]` each; keys and values also as `[head, length]`.
struct Head {
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    key_columns: Vec<f32>,
    value_columns: Vec<f32>,
}

impl Sizes {
    fn new(
        along: Along,
        (frames, bands, width): (usize, usize, usize),
        (heads, span): (usize, usize),
    ) -> Result<Self> {
        let size = width / 3;
        if heads == 0 || !size.is_multiple_of(heads) {
            candle_core::bail!("attention of size {size} cannot have {heads} heads");
        }
        let (skip, causal) = match along {
            Along::Frames { skip } => (skip, true),
            Along::Bands => (0, false),
        };
        Ok(Self { frames, bands, size, heads, span, skip, causal })
    }

    fn rows(&self) -> usize {
        if self.causal { self.bands } else { self.frames }
    }

    fn length(&self) -> usize {
        if self.causal { self.frames } else { self.bands }
    }

    /// Entries of a sequence that are asked for.
    fn asked(&self) -> std::ops::Range<usize> {
        self.skip..self.length()
    }

    /// Where in `[frames, bands]` an entry of a row lies.
    fn at(&self, row: usize, entry: usize) -> usize {
        if self.causal { entry * self.bands + row } else { row * self.bands + entry }
    }

    /// What an entry sees.
    fn seen(&self, entry: usize) -> std::ops::Range<usize> {
        if self.causal { (entry + 1).saturating_sub(self.span)..entry + 1 } else { 0..self.length() }
    }

    fn head(&self) -> usize {
        self.size / self.heads
    }

    fn scale(&self) -> f32 {
        (self.head() as f32).powf(-0.5)
    }

    fn gather(&self, qkv: &[f32], row: usize, head: usize) -> Head {
        let (length, d) = (self.length(), self.head());
        let part = |part: usize| {
            let start = part * self.size + head * d;
            let mut out = vec![0.0; length * d];
            for (entry, out) in out.chunks_exact_mut(d).enumerate() {
                out.copy_from_slice(&qkv[self.at(row, entry) * 3 * self.size + start..][..d]);
            }
            out
        };
        let columns = |x: &[f32]| permuted(x, [1, d, length], 0, [0, 1, d as isize]);
        let (key, value) = (part(1), part(2));
        Head { query: part(0), key_columns: columns(&key), value_columns: columns(&value), key, value }
    }

    /// Weights of what `entry` sees, into `weights`.
    fn weigh(&self, head: &Head, bias: &[f32], entry: usize, weights: &mut Vec<f32>) {
        let (seen, d, length) = (self.seen(entry), self.head(), self.length());
        weights.clear();
        if self.causal {
            weights.extend(bias[..seen.len()].iter().rev());
        } else {
            weights.resize(seen.len(), 0.0);
        }
        let query = &head.query[entry * d..][..d];
        add_products(query, &head.key_columns[seen.start..], length, self.scale(), weights);
        softmax(weights);
    }
}

vectorised! {
    /// `out[i] += scale * sum over d of x[d] * columns[d * stride + i]`.
    fn add_products(x: &[f32], columns: &[f32], stride: usize, scale: f32, out: &mut [f32]) {
        for (d, x) in x.iter().enumerate() {
            let factor = x * scale;
            out.iter_mut().zip(&columns[d * stride..]).for_each(|(out, column)| *out += factor * column);
        }
    }
}

vectorised! {
    /// `out += sum over i of weights[i] * rows[i]`.
    fn add_rows_weighted(weights: &[f32], rows: &[f32], out: &mut [f32]) {
        for (weight, row) in weights.iter().zip(rows.chunks_exact(out.len())) {
            out.iter_mut().zip(row).for_each(|(out, x)| *out += weight * x);
        }
    }
}

vectorised! {
    /// `rows[i] += weights[i] * x`.
    fn add_outer(weights: &[f32], x: &[f32], rows: &mut [f32]) {
        for (weight, row) in weights.iter().zip(rows.chunks_exact_mut(x.len())) {
            row.iter_mut().zip(x).for_each(|(row, x)| *row += weight * x);
        }
    }
}

vectorised! {
    fn softmax(scores: &mut [f32]) {
        let largest = scores.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
        scores.iter_mut().for_each(|score| *score = exp(*score - largest));
        let sum: f32 = scores.iter().sum();
        let factor = 1.0 / sum;
        scores.iter_mut().for_each(|score| *score *= factor);
    }
}

/// What one sequence gives in a backward pass.
struct Share {
    /// `[length, 3 * size]`.
    grad: Vec<f32>,
    /// `[heads, span]`.
    bias: Vec<f32>,
}

impl Sizes {
    /// One sequence: `[asked, size]`.
    fn attend(&self, qkv: &[f32], bias: &[f32], row: usize) -> Vec<f32> {
        let d = self.head();
        let mut out = vec![0.0; self.asked().len() * self.size];
        let mut weights = Vec::new();
        for index in 0..self.heads {
            let head = self.gather(qkv, row, index);
            for (entry, out) in self.asked().zip(out.chunks_exact_mut(self.size)) {
                self.weigh(&head, &bias[index * self.span..][..self.span], entry, &mut weights);
                let values = &head.value[self.seen(entry).start * d..];
                add_rows_weighted(&weights, values, &mut out[index * d..][..d]);
            }
        }
        out
    }

    /// The gradients of one sequence.
    fn retrace(&self, qkv: &[f32], bias: &[f32], grad: &[f32], row: usize) -> Share {
        let (d, length, size, scale) = (self.head(), self.length(), self.size, self.scale());
        let mut share = Share { grad: vec![0.0; length * 3 * size], bias: vec![0.0; bias.len()] };
        let (mut weights, mut slopes) = (Vec::new(), Vec::new());
        for index in 0..self.heads {
            let head = self.gather(qkv, row, index);
            let mut of = [(); 3].map(|()| vec![0.0; length * d]);
            for entry in self.asked() {
                let seen = self.seen(entry);
                self.weigh(&head, &bias[index * self.span..][..self.span], entry, &mut weights);
                let at = if self.causal { self.at(row, entry - self.skip) } else { self.at(row, entry) };
                let grad = &grad[at * size + index * d..][..d];
                slopes.clear();
                slopes.resize(seen.len(), 0.0);
                add_products(grad, &head.value_columns[seen.start..], length, 1.0, &mut slopes);
                let mean: f32 = slopes.iter().zip(&weights).map(|(slope, weight)| slope * weight).sum();
                slopes.iter_mut().zip(&weights).for_each(|(slope, weight)| *slope = weight * (*slope - mean));
                add_outer(&weights, grad, &mut of[2][seen.start * d..]);
                if self.causal {
                    let bias = &mut share.bias[index * self.span..][..seen.len()];
                    bias.iter_mut().zip(slopes.iter().rev()).for_each(|(bias, slope)| *bias += slope);
                }
                slopes.iter_mut().for_each(|slope| *slope *= scale);
                add_rows_weighted(&slopes, &head.key[seen.start * d..], &mut of[0][entry * d..][..d]);
                add_outer(&slopes, &head.query[entry * d..][..d], &mut of[1][seen.start * d..]);
            }
            for (part, of) in of.iter().enumerate() {
                let to = share.grad.chunks_exact_mut(3 * size).zip(of.chunks_exact(d));
                to.for_each(|(to, of)| to[part * size + index * d..][..d].copy_from_slice(of));
            }
        }
        share
    }
}

impl CustomOp2 for Attention {
    fn name(&self) -> &'static str {
        "sequence-attention"
    }

    forward_by_host!(2);

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (qkv, bias) = (slice(s1, l1)?, slice(s2, l2)?);
        let sizes = Sizes::new(self.along, l1.shape().dims3()?, l2.shape().dims2()?)?;
        let parts: Vec<_> =
            (0..sizes.rows()).into_par_iter().map(|row| sizes.attend(qkv, bias, row)).collect();
        let (skip, size) = (sizes.skip, sizes.size);
        let mut out = vec![0.0; parts.iter().map(Vec::len).sum()];
        for (row, part) in parts.iter().enumerate() {
            for (entry, part) in sizes.asked().zip(part.chunks_exact(size)) {
                out[sizes.at(row, entry - skip) * size..][..size].copy_from_slice(part);
            }
        }
        Ok((CpuStorage::F32(out), (sizes.frames - skip, sizes.bands, size).into()))
    }

    fn bwd(
        &self,
        qkv: &Tensor,
        bias: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let sizes = Sizes::new(self.along, qkv.dims3()?, bias.dims2()?)?;
        let shares: Vec<Share> = with_slices([qkv, bias, grad], |[qkv, bias, grad]| {
            (0..sizes.rows()).into_par_iter().map(|row| sizes.retrace(qkv, bias, grad, row)).collect()
        })?;
        let width = 3 * sizes.size;
        let (mut grad_qkv, mut grad_bias) = (vec![0.0; qkv.elem_count()], vec![0.0f32; bias.elem_count()]);
        for (row, share) in shares.iter().enumerate() {
            for (entry, part) in share.grad.chunks_exact(width).enumerate() {
                grad_qkv[sizes.at(row, entry) * width..][..width].copy_from_slice(part);
            }
            grad_bias.iter_mut().zip(&share.bias).for_each(|(sum, part)| *sum += part);
        }
        let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device()).map(Some);
        Ok((tensor(grad_qkv, qkv)?, if sizes.causal { tensor(grad_bias, bias)? } else { None }))
    }
}
