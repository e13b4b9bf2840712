//! Attention of one query over keys and values that lie ready, and the ring in which a stream keeps them.

use super::Isa;
use super::elementwise::exp;
use super::isa::{kernel, madd};

/// Numbers of a head that are summed side by side.
const LANES: usize = 16;

kernel! {
    /// One query of one head, `[head]`, scaled already: softmax of its products with `scores.len()` keys, added to what
    /// `scores` holds, weights the values. Keys lie by number, `keys[d * stride + i]`, values by key,
    /// `values[i * row + d]`. Into `out`, `[head]`.
    pub fn attend(
        query: &[f32],
        keys: &[f32],
        stride: usize,
        values: &[f32],
        row: usize,
        scores: &mut [f32],
        out: &mut [f32],
    ) {
        let count = scores.len();
        // Sums of so many keys at a time stay in registers.
        let mut first = 0;
        while first < count {
            let width = LANES.min(count - first);
            let mut sums = [0.0f32; LANES];
            sums[..width].copy_from_slice(&scores[first..first + width]);
            if width == LANES {
                for (d, q) in query.iter().enumerate() {
                    let key = &keys[d * stride + first..][..LANES];
                    for lane in 0..LANES {
                        sums[lane] = madd::<FMA>(*q, key[lane], sums[lane]);
                    }
                }
            } else {
                for (d, q) in query.iter().enumerate() {
                    for (sum, key) in sums.iter_mut().zip(&keys[d * stride + first..][..width]) {
                        *sum = madd::<FMA>(*q, *key, *sum);
                    }
                }
            }
            scores[first..first + width].copy_from_slice(&sums[..width]);
            first += width;
        }

        let mut lanes = [f32::NEG_INFINITY; LANES];
        for chunk in scores.chunks(LANES) {
            lanes.iter_mut().zip(chunk).for_each(|(lane, x)| *lane = if *x > *lane { *x } else { *lane });
        }
        let largest = lanes.iter().fold(f32::NEG_INFINITY, |a, b| if *b > a { *b } else { a });
        let mut sums = [0.0f32; LANES];
        for chunk in scores.chunks_mut(LANES) {
            for (sum, x) in sums.iter_mut().zip(chunk) {
                *x = exp::<FMA>(*x - largest);
                *sum += *x;
            }
        }
        let factor = 1.0 / sums.iter().sum::<f32>();

        let (blocks, rest) = out.as_chunks_mut::<LANES>();
        for (block, out) in blocks.iter_mut().enumerate() {
            // Two sums, so that one addition need not wait for the other.
            let mut sums = [[0.0f32; LANES]; 2];
            for (i, weight) in scores.iter().enumerate() {
                let value = &values[i * row + block * LANES..][..LANES];
                for lane in 0..LANES {
                    sums[i % 2][lane] = madd::<FMA>(*weight, value[lane], sums[i % 2][lane]);
                }
            }
            (0..LANES).for_each(|lane| out[lane] = (sums[0][lane] + sums[1][lane]) * factor);
        }
        let done = blocks.len() * LANES;
        for (d, out) in rest.iter_mut().enumerate() {
            let sum: f32 = scores.iter().enumerate().map(|(i, weight)| weight * values[i * row + done + d]).sum();
            *out = sum * factor;
        }
    }
}

/// The last keys and values of all bands, and the learned bias by distance.
pub struct Ring {
    isa: Isa,
    heads: usize,
    head: usize,
    span: usize,
    /// `[bands][size][span]`: keys, by number.
    keys: Vec<f32>,
    /// `[bands][span][size]`: values, by step.
    values: Vec<f32>,
    /// `[heads][2 * span]`: bias of the slot `s` at slot `p` stands at `span - p + s`.
    bias: Vec<f32>,
    /// The slot of the newest step.
    newest: usize,
    /// Steps since the start, up to `span`.
    filled: usize,
    scores: Vec<f32>,
}

impl Ring {
    /// For so many bands; `bias` `[heads, span]` by distance.
    pub fn new(isa: Isa, bands: usize, size: usize, heads: usize, bias: &[f32]) -> Self {
        let span = bias.len() / heads;
        let turned = (0..heads)
            .flat_map(|head| (0..2 * span).map(move |place| bias[head * span + (2 * span - place) % span]));
        Self {
            isa,
            heads,
            head: size / heads,
            span,
            keys: vec![0.0; bands * size * span],
            values: vec![0.0; bands * size * span],
            bias: turned.collect(),
            newest: span - 1,
            filled: 0,
            scores: vec![0.0; span],
        }
    }

    /// Takes a step's queries, keys and values, `[bands, 3 * size]`, queries scaled, and gives what each band's query
    /// finds in its own past, `[bands, size]`.
    pub fn step(&mut self, qkv: &[f32], out: &mut [f32]) {
        let (size, span) = (self.heads * self.head, self.span);
        self.newest = if self.newest + 1 == span { 0 } else { self.newest + 1 };
        self.filled = (self.filled + 1).min(span);
        let rows = qkv.chunks_exact(3 * size).zip(out.chunks_exact_mut(size));
        for (band, (qkv, out)) in rows.enumerate() {
            let (query, rest) = qkv.split_at(size);
            let (key, value) = rest.split_at(size);
            let keys = &mut self.keys[band * size * span..][..size * span];
            keys.iter_mut().skip(self.newest).step_by(span).zip(key).for_each(|(to, key)| *to = *key);
            let values = &mut self.values[band * size * span..][..size * span];
            values[self.newest * size..][..size].copy_from_slice(value);
            for head in 0..self.heads {
                let first = head * self.head;
                let bias = &self.bias[head * 2 * span + span - self.newest..];
                // While the ring fills, the first slots are the only ones.
                let scores = &mut self.scores[..self.filled];
                scores.copy_from_slice(&bias[..self.filled]);
                attend(
                    self.isa,
                    &query[first..first + self.head],
                    &keys[first * span..],
                    span,
                    &values[first..],
                    size,
                    scores,
                    &mut out[first..first + self.head],
                );
            }
        }
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        (self.newest, self.filled) = (self.span - 1, 0);
    }
}

/// Attention of all bands of one step over each other.
pub struct Across {
    isa: Isa,
    heads: usize,
    head: usize,
    bands: usize,
    /// `[size][bands]`.
    keys: Vec<f32>,
    scores: Vec<f32>,
}

impl Across {
    /// Memory for so many bands.
    pub fn new(isa: Isa, bands: usize, size: usize, heads: usize) -> Self {
        let (keys, scores) = (vec![0.0; size * bands], vec![0.0; bands]);
        Self { isa, heads, head: size / heads, bands, keys, scores }
    }

    /// `[bands, 3 * size]`, queries scaled -> `[bands, size]`.
    pub fn step(&mut self, qkv: &[f32], out: &mut [f32]) {
        let (size, bands) = (self.heads * self.head, self.bands);
        for (band, qkv) in qkv.chunks_exact(3 * size).enumerate() {
            let keys = self.keys.iter_mut().skip(band).step_by(bands);
            keys.zip(&qkv[size..2 * size]).for_each(|(to, key)| *to = *key);
        }
        for (query, out) in qkv.chunks_exact(3 * size).zip(out.chunks_exact_mut(size)) {
            for head in 0..self.heads {
                let first = head * self.head;
                self.scores.fill(0.0);
                attend(
                    self.isa,
                    &query[first..first + self.head],
                    &self.keys[first * bands..],
                    bands,
                    &qkv[2 * size + first..],
                    3 * size,
                    &mut self.scores,
                    &mut out[first..first + self.head],
                );
            }
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
