//! The attention of one sequence, all heads, forward and backward, by products over blocks of queries.
//!
//! A block's queries meet every key that one of them sees; what a query does not see gets weight 0. Some products are
//! made in vain, but products are what a processor does fastest. Weights are made again in the backward pass: kept,
//! they would be longer than everything else that a layer keeps.

use std::ops::Range;

use super::activation::exp;
use super::cpu::{Matrix, MatrixMut, matmul, vectorised};
use super::lanes::{dot, largest, sum};

/// Queries of a block: whole tiles of the matrix product.
const QUERIES: usize = 24;
/// Without a limit to what is seen, nothing is made in vain, and fewer blocks are better.
const QUERIES_OF_ALL: usize = 30;

/// Sizes of a sequence, and who sees whom.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// Entries of the sequence.
    pub length: usize,
    /// The first entries that are seen only.
    pub skip: usize,
    /// Heads; they divide `size`.
    pub heads: usize,
    /// Width of an entry's query, key, value.
    pub size: usize,
    /// An entry sees so many entries, of which it is the last; all if none.
    pub span: Option<usize>,
}

/// One block of queries.
#[derive(Clone, Copy)]
struct Block {
    first: usize,
    rows: usize,
    /// The first key that one of the queries sees, and how many from there on.
    start: usize,
    width: usize,
}

impl View {
    fn head(&self) -> usize {
        self.size / self.heads
    }

    /// From one row of columns to the next: not a power of two, whose multiples would share a few lines of the cache.
    fn stride(&self) -> usize {
        (self.length.div_ceil(16) | 1) * 16
    }

    fn blocks(self) -> impl Iterator<Item = Block> {
        let queries = if self.span.is_some() { QUERIES } else { QUERIES_OF_ALL };
        (self.skip..self.length).step_by(queries).map(move |first| {
            let rows = queries.min(self.length - first);
            let (start, end) = match self.span {
                Some(span) => ((first + 1).saturating_sub(span), first + rows),
                None => (0, self.length),
            };
            Block { first, rows, start, width: end - start }
        })
    }

    /// Numbers in the largest block of weights.
    fn weights(&self) -> usize {
        let width = self.span.map_or(self.length, |span| self.length.min(span.saturating_add(QUERIES)));
        QUERIES_OF_ALL * width
    }
}

/// What a query sees of its block's keys.
#[inline(always)]
fn seen(span: Option<usize>, entry: usize, start: usize, width: usize) -> Range<usize> {
    match span {
        Some(span) => (entry + 1).saturating_sub(span) - start..entry + 1 - start,
        None => 0..width,
    }
}

vectorised! {
    /// Scores `[rows, width]` become weights; `bias` is that of the farthest distance first, or empty.
    fn weigh(scores: &mut [f32], width: usize, first: usize, start: usize, span: Option<usize>, bias: &[f32]) {
        for (row, scores) in scores.chunks_exact_mut(width).enumerate() {
            let seen = seen(span, first + row, start, width);
            scores[..seen.start].fill(0.0);
            scores[seen.end..].fill(0.0);
            let scores = &mut scores[seen];
            if span.is_some() {
                let bias = &bias[bias.len() - scores.len()..];
                scores.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
            }
            let top = largest(scores);
            scores.iter_mut().for_each(|score| *score = exp(*score - top));
            let factor = 1.0 / sum(scores);
            scores.iter_mut().for_each(|score| *score *= factor);
        }
    }
}

vectorised! {
    /// The gradients of weights `[rows, width]` become those of scores; adds those of the bias.
    fn slope(
        slopes: &mut [f32],
        weights: &[f32],
        width: usize,
        first: usize,
        start: usize,
        span: Option<usize>,
        bias: &mut [f32],
    ) {
        let rows = slopes.chunks_exact_mut(width).zip(weights.chunks_exact(width));
        for (row, (slopes, weights)) in rows.enumerate() {
            let mean = dot(slopes, weights);
            slopes.iter_mut().zip(weights).for_each(|(slope, weight)| *slope = weight * (*slope - mean));
            if span.is_some() {
                let slopes = &slopes[seen(span, first + row, start, width)];
                let from = bias.len() - slopes.len();
                bias[from..].iter_mut().zip(slopes).for_each(|(bias, slope)| *bias += slope);
            }
        }
    }
}

vectorised! {
    /// `to = factor * from`.
    fn scaled(from: &[f32], factor: f32, to: &mut [f32]) {
        to.iter_mut().zip(from).for_each(|(to, from)| *to = factor * from);
    }
}

/// Room for one sequence after the other.
pub struct Attend {
    view: View,
    scale: f32,
    /// `[heads, length, head]` each; the queries are scaled.
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    /// `[heads, head, stride]`.
    key_columns: Vec<f32>,
    value_columns: Vec<f32>,
    /// `[heads, span]`, the farthest distance first.
    bias: Vec<f32>,
    /// A block's `[rows, width]`.
    weights: Vec<f32>,
    slopes: Vec<f32>,
    /// A block's `[rows, size]`.
    rows: Vec<f32>,
    /// Gradients, as the numbers themselves.
    of_queries: Vec<f32>,
    of_keys: Vec<f32>,
    of_values: Vec<f32>,
    of_bias: Vec<f32>,
}

/// Rows whose numbers are neighbours.
fn plain(data: &[f32], row_stride: usize) -> Matrix<'_> {
    Matrix { data, row_stride, column_stride: 1 }
}

/// The transpose of `[.., width]`.
fn turned(data: &[f32], width: usize) -> Matrix<'_> {
    Matrix { data, row_stride: 1, column_stride: width }
}

/// As [`plain`], to be written.
fn to(data: &mut [f32], row_stride: usize) -> MatrixMut<'_> {
    MatrixMut { data, row_stride, column_stride: 1 }
}

/// Each head's `[span]` back to front.
fn reversed(bias: &[f32], span: usize) -> Vec<f32> {
    bias.chunks_exact(span.max(1)).flat_map(|head| head.iter().rev()).copied().collect()
}

impl Attend {
    /// `bias`: `[heads, span]`; it is of no use without a span.
    pub fn new(view: View, bias: &[f32], backward: bool) -> Self {
        let all = || vec![0.0; view.length * view.size];
        let columns = || vec![0.0; view.stride() * view.size];
        let if_backward = |make: &dyn Fn() -> Vec<f32>| if backward { make() } else { Vec::new() };
        let weights = || vec![0.0; view.weights()];
        let bias = view.span.map_or_else(Vec::new, |span| reversed(bias, span));
        Self {
            view,
            scale: (view.head() as f32).powf(-0.5),
            queries: all(),
            keys: all(),
            values: all(),
            key_columns: columns(),
            value_columns: if_backward(&columns),
            of_bias: vec![0.0; bias.len()],
            bias,
            weights: weights(),
            slopes: if_backward(&weights),
            rows: vec![0.0; QUERIES_OF_ALL * view.size],
            of_queries: if_backward(&all),
            of_keys: if_backward(&all),
            of_values: if_backward(&all),
        }
    }

    /// Takes a sequence's entries, query, key and value `[3 * size]` each.
    fn load<'a>(&mut self, entries: impl Iterator<Item = &'a [f32]>) {
        let View { length, size, .. } = self.view;
        let (d, stride) = (self.view.head(), self.view.stride());
        for (entry, x) in entries.take(length).enumerate() {
            let (query, rest) = x.split_at(size);
            let (key, value) = rest.split_at(size);
            for head in 0..self.view.heads {
                let (own, at) = (head * d..(head + 1) * d, (head * length + entry) * d);
                scaled(&query[own.clone()], self.scale, &mut self.queries[at..at + d]);
                self.keys[at..at + d].copy_from_slice(&key[own.clone()]);
                self.values[at..at + d].copy_from_slice(&value[own]);
            }
            for (columns, x) in [(&mut self.key_columns, key), (&mut self.value_columns, value)] {
                columns.iter_mut().skip(entry).step_by(stride).zip(x).for_each(|(to, from)| *to = *from);
            }
        }
    }

    /// A block's weights for one head.
    fn weigh(&mut self, block: Block, head: usize) {
        let Block { first, rows, start, width } = block;
        let (d, stride, length) = (self.view.head(), self.view.stride(), self.view.length);
        let weights = &mut self.weights[..rows * width];
        matmul(
            [rows, d, width],
            plain(&self.queries[(head * length + first) * d..], d),
            plain(&self.key_columns[head * d * stride + start..], stride),
            to(weights, width),
            false,
        );
        let span = self.view.span;
        let bias = span.map_or(&[][..], |span| &self.bias[head * span..][..span]);
        weigh(weights, width, first, start, span, bias);
    }

    /// Hands each asked entry's result, `[size]`, to `take`.
    pub fn forward<'a>(
        &mut self,
        entries: impl Iterator<Item = &'a [f32]>,
        mut take: impl FnMut(usize, &[f32]),
    ) {
        self.load(entries);
        let View { length, size, heads, .. } = self.view;
        let d = self.view.head();
        for block in self.view.blocks() {
            let Block { first, rows, start, width } = block;
            for head in 0..heads {
                self.weigh(block, head);
                matmul(
                    [rows, width, d],
                    plain(&self.weights, width),
                    plain(&self.values[(head * length + start) * d..], d),
                    to(&mut self.rows[head * d..], size),
                    false,
                );
            }
            self.rows.chunks_exact(size).take(rows).enumerate().for_each(|(row, x)| take(first + row, x));
        }
    }

    /// `grad` gives each asked entry's gradient, `[size]`; hands each entry's own, `[3 * size]`, to `take`.
    pub fn backward<'a>(
        &mut self,
        entries: impl Iterator<Item = &'a [f32]>,
        grad: impl Fn(usize) -> &'a [f32],
        mut take: impl FnMut(usize, &[f32]),
    ) {
        self.load(entries);
        for of in [&mut self.of_queries, &mut self.of_keys, &mut self.of_values] {
            of.fill(0.0);
        }
        let View { size, heads, .. } = self.view;
        for block in self.view.blocks() {
            for (row, to) in self.rows.chunks_exact_mut(size).take(block.rows).enumerate() {
                to.copy_from_slice(&grad(block.first + row)[..size]);
            }
            (0..heads).for_each(|head| self.retrace(block, head));
        }
        let (length, d) = (self.view.length, self.view.head());
        let mut out = vec![0.0; 3 * size];
        for entry in 0..length {
            let (of_query, rest) = out.split_at_mut(size);
            let (of_key, of_value) = rest.split_at_mut(size);
            for head in 0..heads {
                let (own, at) = (head * d..(head + 1) * d, (head * length + entry) * d);
                scaled(&self.of_queries[at..at + d], self.scale, &mut of_query[own.clone()]);
                of_key[own.clone()].copy_from_slice(&self.of_keys[at..at + d]);
                of_value[own].copy_from_slice(&self.of_values[at..at + d]);
            }
            take(entry, &out);
        }
    }

    /// One head's part in the gradients of a block, which arrive in `rows`.
    fn retrace(&mut self, block: Block, head: usize) {
        self.weigh(block, head);
        let Block { first, rows, start, width } = block;
        let View { length, size, span, .. } = self.view;
        let (d, stride) = (self.view.head(), self.view.stride());
        let (queries, keys) = ((head * length + first) * d, (head * length + start) * d);
        let (weights, slopes) = (&self.weights[..rows * width], &mut self.slopes[..rows * width]);
        let arriving = plain(&self.rows[head * d..], size);

        let columns = plain(&self.value_columns[head * d * stride + start..], stride);
        matmul([rows, d, width], arriving, columns, to(slopes, width), false);
        matmul([width, rows, d], turned(weights, width), arriving, to(&mut self.of_values[keys..], d), true);
        let bias = span.map_or(&mut [][..], |span| &mut self.of_bias[head * span..][..span]);
        slope(slopes, weights, width, first, start, span, bias);
        let (slopes, of_queries) = (&*slopes, to(&mut self.of_queries[queries..], d));
        matmul([rows, width, d], plain(slopes, width), plain(&self.keys[keys..], d), of_queries, false);
        let (queries, of_keys) = (plain(&self.queries[queries..], d), to(&mut self.of_keys[keys..], d));
        matmul([width, rows, d], turned(slopes, width), queries, of_keys, true);
    }

    /// The bias's gradient over all sequences so far, `[heads, span]`.
    pub fn of_bias(&self) -> Vec<f32> {
        self.view.span.map_or_else(Vec::new, |span| reversed(&self.of_bias, span))
    }
}
