//! Attention of one query over keys and values that lie ready, and the ring in which a stream keeps them.

use super::Isa;
use super::elementwise::{exp, fold};
use super::isa::{kernel, madd};

/// Numbers that are summed side by side.
const LANES: usize = 16;

kernel! {
    /// One query, `[heads * head]`, scaled already, over keys and values: for each head, softmax of the products with its
    /// keys, added to what `scores` `[heads][stride]` holds, weights its values, into `out` `[heads * head]`. Keys lie by
    /// number, `keys[d * stride + i]`, values by key, `values[i * row + d]`. `stride` is a multiple of [`LANES`]; of
    /// keys that are none the scores are minus infinity, and values are read for the first `count` only.
    fn attend(
        query: &[f32],
        keys: &[f32],
        stride: usize,
        values: &[f32],
        row: usize,
        count: usize,
        scores: &mut [f32],
        out: &mut [f32],
    ) {
        let head = query.len() / (scores.len() / stride);
        // All heads' products, then all softmaxes, then all sums, because a step of one head waits for the last, but not
        // for another head.
        let heads = query.chunks_exact(head).zip(keys.chunks_exact(head * stride));
        for ((query, keys), scores) in heads.zip(scores.chunks_exact_mut(stride)) {
            for (chunk, scores) in scores.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                let mut sums = *scores;
                for (q, keys) in query.iter().zip(keys.chunks_exact(stride)) {
                    let key = &keys.as_chunks::<LANES>().0[chunk];
                    for lane in 0..LANES {
                        sums[lane] = madd::<FMA>(*q, key[lane], sums[lane]);
                    }
                }
                *scores = sums;
            }
        }
        for scores in scores.chunks_exact_mut(stride) {
            let scores = scores.as_chunks_mut::<LANES>().0;
            let mut largest = [f32::NEG_INFINITY; LANES];
            for scores in &*scores {
                for lane in 0..LANES {
                    largest[lane] = if scores[lane] > largest[lane] { scores[lane] } else { largest[lane] };
                }
            }
            let largest = fold(largest, |a, b| if b > a { b } else { a });
            scores.as_flattened_mut().iter_mut().for_each(|score| *score = exp::<FMA>(*score - largest));
        }
        let heads = scores.chunks_exact(stride).zip(out.chunks_exact_mut(head));
        for (index, (scores, out)) in heads.enumerate() {
            let mut sums = [0.0f32; LANES];
            for scores in scores.as_chunks::<LANES>().0 {
                for lane in 0..LANES {
                    sums[lane] += scores[lane];
                }
            }
            let factor = 1.0 / fold(sums, |a, b| a + b);
            mix::<FMA>(&scores[..count], &values[index * head..], row, factor, out);
        }
    }
}

/// `out = factor * sum of weights[i] * values[i * row..]`.
#[inline(always)]
fn mix<const FMA: bool>(weights: &[f32], values: &[f32], row: usize, factor: f32, out: &mut [f32]) {
    let (blocks, rest) = out.as_chunks_mut::<LANES>();
    for (block, out) in blocks.iter_mut().enumerate() {
        // Four sums, so that one addition need not wait for the other.
        let mut sums = [[0.0f32; LANES]; 4];
        let value = |i: usize| values[i * row + block * LANES..].first_chunk::<LANES>();
        let (fours, last) = weights.as_chunks::<4>();
        for (four, weights) in fours.iter().enumerate() {
            for k in 0..4 {
                let Some(value) = value(4 * four + k) else { continue };
                for lane in 0..LANES {
                    sums[k][lane] = madd::<FMA>(weights[k], value[lane], sums[k][lane]);
                }
            }
        }
        for (k, weight) in last.iter().enumerate() {
            let Some(value) = value(4 * fours.len() + k) else { continue };
            for lane in 0..LANES {
                sums[0][lane] = madd::<FMA>(*weight, value[lane], sums[0][lane]);
            }
        }
        for lane in 0..LANES {
            out[lane] = ((sums[0][lane] + sums[1][lane]) + (sums[2][lane] + sums[3][lane])) * factor;
        }
    }
    let done = blocks.len() * LANES;
    for (d, out) in rest.iter_mut().enumerate() {
        let sum: f32 =
            weights.iter().enumerate().map(|(i, weight)| weight * values[i * row + done + d]).sum();
        *out = sum * factor;
    }
}

/// The last keys and values of all bands, and the learned bias by distance.
pub struct Ring {
    isa: Isa,
    size: usize,
    span: usize,
    /// The span, up to whole vectors.
    stride: usize,
    /// `[bands][size][stride]`: keys, by number.
    keys: Vec<f32>,
    /// `[bands][span][size]`: values, by step.
    values: Vec<f32>,
    /// `[heads][2 * span]`: bias of the slot `s` at slot `p` stands at `span - p + s`.
    bias: Vec<f32>,
    /// The slot of the newest step.
    newest: usize,
    /// Steps since the start, up to `span`.
    filled: usize,
    /// What a query starts from, `[heads][stride]`.
    start: Vec<f32>,
    scores: Vec<f32>,
}

impl Ring {
    /// For so many bands; `bias` `[heads, span]` by distance.
    pub fn new(isa: Isa, bands: usize, size: usize, heads: usize, bias: &[f32]) -> Self {
        let span = bias.len() / heads;
        let stride = span.next_multiple_of(LANES);
        let turned = (0..heads)
            .flat_map(|head| (0..2 * span).map(move |place| bias[head * span + (2 * span - place) % span]));
        Self {
            isa,
            size,
            span,
            stride,
            keys: vec![0.0; bands * size * stride],
            values: vec![0.0; bands * size * span],
            bias: turned.collect(),
            newest: span - 1,
            filled: 0,
            start: vec![f32::NEG_INFINITY; heads * stride],
            scores: vec![0.0; heads * stride],
        }
    }

    /// Takes a step's queries, keys and values, `[bands, 3 * size]`, queries scaled, and gives what each band's query
    /// finds in its own past, `[bands, size]`.
    pub fn step(&mut self, qkv: &[f32], out: &mut [f32]) {
        let Self { size, span, stride, .. } = *self;
        self.newest = if self.newest + 1 == span { 0 } else { self.newest + 1 };
        self.filled = (self.filled + 1).min(span);
        for (start, bias) in self.start.chunks_exact_mut(stride).zip(self.bias.chunks_exact(2 * span)) {
            // While the ring fills, the first slots are the only ones.
            start[..self.filled].copy_from_slice(&bias[span - self.newest..][..self.filled]);
        }
        let rows = qkv.chunks_exact(3 * size).zip(out.chunks_exact_mut(size));
        let rings = self.keys.chunks_exact_mut(size * stride).zip(self.values.chunks_exact_mut(size * span));
        for ((qkv, out), (keys, values)) in rows.zip(rings) {
            for (keys, key) in keys.chunks_exact_mut(stride).zip(&qkv[size..2 * size]) {
                keys[self.newest] = *key;
            }
            values[self.newest * size..][..size].copy_from_slice(&qkv[2 * size..]);
            self.scores.copy_from_slice(&self.start);
            attend(self.isa, &qkv[..size], keys, stride, values, size, self.filled, &mut self.scores, out);
        }
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        (self.newest, self.filled) = (self.span - 1, 0);
        self.start.fill(f32::NEG_INFINITY);
    }
}

/// Attention of all bands of one step over each other.
pub struct Across {
    isa: Isa,
    size: usize,
    bands: usize,
    /// The bands, up to whole vectors.
    stride: usize,
    /// `[size][stride]`.
    keys: Vec<f32>,
    /// What a query starts from, `[heads][stride]`.
    start: Vec<f32>,
    scores: Vec<f32>,
}

impl Across {
    /// Memory for so many bands.
    pub fn new(isa: Isa, bands: usize, size: usize, heads: usize) -> Self {
        let stride = bands.next_multiple_of(LANES);
        let mut start = vec![f32::NEG_INFINITY; heads * stride];
        start.chunks_exact_mut(stride).for_each(|start| start[..bands].fill(0.0));
        let (keys, scores) = (vec![0.0; size * stride], vec![0.0; heads * stride]);
        Self { isa, size, bands, stride, keys, start, scores }
    }

    /// `[bands, 3 * size]`, queries scaled -> `[bands, size]`.
    pub fn step(&mut self, qkv: &[f32], out: &mut [f32]) {
        let Self { size, bands, stride, .. } = *self;
        for (band, qkv) in qkv.chunks_exact(3 * size).enumerate() {
            for (keys, key) in self.keys.chunks_exact_mut(stride).zip(&qkv[size..2 * size]) {
                keys[band] = *key;
            }
        }
        let values = &qkv[2 * size..];
        for (query, out) in qkv.chunks_exact(3 * size).zip(out.chunks_exact_mut(size)) {
            self.scores.copy_from_slice(&self.start);
            attend(
                self.isa,
                &query[..size],
                &self.keys,
                stride,
                values,
                3 * size,
                bands,
                &mut self.scores,
                out,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::tests::{assert_near, noise};

    /// What a query finds, plainly. `keys` and `values` are rows of `[size]`.
    fn plain(query: &[f32], keys: &[&[f32]], values: &[&[f32]], bias: &[f32]) -> Vec<f32> {
        let dot =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let scores = keys.iter().zip(bias).map(|(key, bias)| (dot(query, key) + f64::from(*bias)).exp());
        let scores: Vec<f64> = scores.collect();
        let sum: f64 = scores.iter().sum();
        (0..query.len())
            .map(|d| scores.iter().zip(values).map(|(s, v)| s / sum * f64::from(v[d])).sum::<f64>() as f32)
            .collect()
    }

    #[test]
    fn a_ring_sees_the_last_steps_of_each_band_and_forgets() {
        for &isa in Isa::available() {
            for (bands, heads, head, span) in [(2, 2, 3, 5), (3, 1, 16, 1), (2, 2, 20, 18)] {
                let (size, steps) = (heads * head, 2 * span + 3);
                let bias = noise(heads * span, 1);
                let mut ring = Ring::new(isa, bands, size, heads, &bias);
                for round in 0..2 {
                    let qkv = noise(steps * bands * 3 * size, 2 + round);
                    let row = |step: usize, band: usize| &qkv[(step * bands + band) * 3 * size..][..3 * size];
                    for step in 0..steps {
                        let mut out = vec![0.0; bands * size];
                        ring.step(&qkv[step * bands * 3 * size..][..bands * 3 * size], &mut out);
                        for (band, h) in (0..bands).flat_map(|band| (0..heads).map(move |h| (band, h))) {
                            let seen: Vec<usize> = ((step + 1).saturating_sub(span)..=step).collect();
                            let part = |s: usize, p: usize| &row(s, band)[p * size + h * head..][..head];
                            let keys: Vec<_> = seen.iter().map(|&s| part(s, 1)).collect();
                            let values: Vec<_> = seen.iter().map(|&s| part(s, 2)).collect();
                            let bias: Vec<_> = seen.iter().map(|&s| bias[h * span + step - s]).collect();
                            let expected = plain(part(step, 0), &keys, &values, &bias);
                            let found = &out[band * size + h * head..][..head];
                            assert_near(found, &expected, 2e-6, &format!("{isa:?} {span} {step}"));
                        }
                    }
                    ring.reset();
                }
            }
        }
    }

    #[test]
    fn bands_see_each_other() {
        for &isa in Isa::available() {
            for (bands, heads, head) in [(1, 1, 1), (5, 2, 3), (28, 4, 16)] {
                let size = heads * head;
                let qkv = noise(bands * 3 * size, 1);
                let mut out = vec![0.0; bands * size];
                Across::new(isa, bands, size, heads).step(&qkv, &mut out);
                for (band, h) in (0..bands).flat_map(|band| (0..heads).map(move |h| (band, h))) {
                    let part = |band: usize, p: usize| &qkv[band * 3 * size + p * size + h * head..][..head];
                    let keys: Vec<_> = (0..bands).map(|b| part(b, 1)).collect();
                    let values: Vec<_> = (0..bands).map(|b| part(b, 2)).collect();
                    let expected = plain(part(band, 0), &keys, &values, &vec![0.0; bands]);
                    assert_near(&out[band * size + h * head..][..head], &expected, 2e-6, "bands");
                }
            }
        }
    }
}
