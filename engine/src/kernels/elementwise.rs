//! Norms, activations, compressed spectra and masks: whatever looks at each number once or twice.

use super::isa::{kernel, madd};

/// As the network's layer norms have it.
const EPSILON: f32 = 1e-5;

/// e^x for `x` within f32's range, by a range-reduced polynomial; relative error below 2e-7.
#[inline(always)]
pub fn exp<const FMA: bool>(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 in two parts, so that the reduction is exact (Cody and Waite 1980).
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding 1.5 * 2^23 rounds to the nearest integer, which then stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let rounded = madd::<FMA>(x, LOG2_E, ROUND);
    let n = rounded - ROUND;
    let r = madd::<FMA>(n, -LN2_LOW, madd::<FMA>(n, -LN2_HIGH, x));
    // Taylor on |r| <= ln(2) / 2.
    let mut p = 1.0 / 5040.0;
    for factor in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = madd::<FMA>(p, r, factor);
    }
    p * f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23))
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FMA>(-x))
}

/// Hyperbolic tangent.
#[inline(always)]
pub fn tanh<const FMA: bool>(x: f32) -> f32 {
    madd::<FMA>(2.0, sigmoid::<FMA>(2.0 * x), -1.0)
}

/// All lanes brought together by `f`, in pairs: a chain of four steps instead of fifteen.
#[inline(always)]
pub fn fold(lanes: [f32; 16], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut eight = [0.0; 8];
    for lane in 0..8 {
        eight[lane] = f(lanes[lane], lanes[lane + 8]);
    }
    let mut four = [0.0; 4];
    for lane in 0..4 {
        four[lane] = f(eight[lane], eight[lane + 4]);
    }
    f(f(four[0], four[2]), f(four[1], four[3]))
}

/// Sum of `f` over pairs, by sums side by side that a compiler can keep in vectors.
#[inline(always)]
pub(super) fn reduce(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; 16];
    let (a, a_rest) = a.as_chunks::<16>();
    let (b, b_rest) = b.as_chunks::<16>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..16 {
            lanes[lane] += f(a[lane], b[lane]);
        }
    }
    lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(&a, &b)| f(a, b)).sum::<f32>()
}

kernel! {
    /// Layer normalisation of rows as long as `weight`.
    pub fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], out: &mut [f32]) {
        let size = weight.len();
        for (x, out) in x.chunks_exact(size).zip(out.chunks_exact_mut(size)) {
            let mean = reduce(x, x, |x, _| x) / size as f32;
            let variance = reduce(x, x, |x, _| (x - mean) * (x - mean)) / size as f32;
            let factor = 1.0 / (variance + EPSILON).sqrt();
            for ((out, x), (weight, bias)) in out.iter_mut().zip(x).zip(weight.iter().zip(bias)) {
                *out = madd::<FMA>((x - mean) * factor, *weight, *bias);
            }
        }
    }
}

kernel! {
    /// `max(x, 0)` into `out`.
    pub fn relu(x: &[f32], out: &mut [f32]) {
        out.iter_mut().zip(x).for_each(|(out, x)| *out = x.max(0.0));
    }
}

kernel! {
    /// Hyperbolic tangent in place.
    pub fn tanh_in_place(x: &mut [f32]) {
        x.iter_mut().for_each(|x| *x = tanh::<FMA>(*x));
    }
}

kernel! {
    /// Takes pairs of real and imaginary parts apart.
    pub fn split_pairs(pairs: &[[f32; 2]], re: &mut [f32], im: &mut [f32]) {
        for ((pair, re), im) in pairs.iter().zip(re).zip(im) {
            (*re, *im) = (pair[0], pair[1]);
        }
    }
}

kernel! {
    /// Magnitudes compressed by a square root, after scaling; below `floor` (of power) compression ends.
    pub fn compress(re: &[f32], im: &[f32], scale: f32, floor: f32, out_re: &mut [f32], out_im: &mut [f32]) {
        for ((re, im), (out_re, out_im)) in re.iter().zip(im).zip(out_re.iter_mut().zip(out_im)) {
            let (re, im) = (re * scale, im * scale);
            let factor = 1.0 / madd::<FMA>(re, re, madd::<FMA>(im, im, floor)).sqrt().sqrt();
            (*out_re, *out_im) = (re * factor, im * factor);
        }
    }
}

kernel! {
    /// Brings complex numbers to a level, and gives their magnitudes.
    pub fn scale_and_measure(factor: f32, re: &mut [f32], im: &mut [f32], magnitudes: &mut [f32]) {
        for ((re, im), magnitude) in re.iter_mut().zip(im).zip(magnitudes) {
            (*re, *im) = (*re * factor, *im * factor);
            *magnitude = madd::<FMA>(*re, *re, *im * *im).sqrt();
        }
    }
}

kernel! {
    /// Copies with a factor.
    pub fn scale(x: &[f32], factor: f32, out: &mut [f32]) {
        out.iter_mut().zip(x).for_each(|(out, x)| *out = x * factor);
    }
}

kernel! {
    /// Sum of squares.
    pub fn energy(x: &[f32]) -> f32 {
        reduce(x, x, |x, _| x * x)
    }
}

kernel! {
    /// `out += mask * x` for complex numbers; `out` in pairs of real and imaginary parts.
    pub fn add_masked(
        mask_re: &[f32],
        mask_im: &[f32],
        x_re: &[f32],
        x_im: &[f32],
        out: &mut [[f32; 2]],
    ) {
        let x = x_re.iter().zip(x_im);
        for ((out, (mask_re, mask_im)), (x_re, x_im)) in out.iter_mut().zip(mask_re.iter().zip(mask_im)).zip(x) {
            out[0] = madd::<FMA>(*mask_re, *x_re, madd::<FMA>(-*mask_im, *x_im, out[0]));
            out[1] = madd::<FMA>(*mask_re, *x_im, madd::<FMA>(*mask_im, *x_re, out[1]));
        }
    }
}

kernel! {
    /// `out = a * b`.
    pub fn multiply(a: &[f32], b: &[f32], out: &mut [f32]) {
        out.iter_mut().zip(a.iter().zip(b)).for_each(|(out, (a, b))| *out = a * b);
    }
}

kernel! {
    /// `out += a * b`.
    pub fn add_product(a: &[f32], b: &[f32], out: &mut [f32]) {
        out.iter_mut().zip(a.iter().zip(b)).for_each(|(out, (a, b))| *out = madd::<FMA>(*a, *b, *out));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Isa;
    use crate::kernels::tests::{assert_near, noise};

    #[test]
    fn activations_agree_with_the_standard_library() {
        for i in -4000..=4000 {
            let x = i as f32 * 0.01;
            let exact = f64::from(x);
            for (found, expected) in [
                (sigmoid::<true>(x), 1.0 / (1.0 + (-exact).exp())),
                (sigmoid::<false>(x), 1.0 / (1.0 + (-exact).exp())),
                (tanh::<true>(x), exact.tanh()),
                (tanh::<false>(x), exact.tanh()),
            ] {
                assert!((f64::from(found) - expected).abs() < 4e-7, "{x}: {found} {expected}");
            }
        }
        assert!(exp::<true>(f32::NEG_INFINITY) < 1e-30 && exp::<true>(f32::NAN).is_nan());
    }

    #[test]
    fn rows_are_normalised_at_any_length() {
        for &isa in Isa::available() {
            for size in [1, 5, 16, 64, 83] {
                let (x, weight, bias) = (noise(3 * size, 1), noise(size, 2), noise(size, 3));
                let mut out = vec![0.0; 3 * size];
                layer_norm(isa, &x, &weight, &bias, &mut out);
                let mut expected = Vec::new();
                for row in x.chunks_exact(size) {
                    let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / size as f64;
                    let variance =
                        row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / size as f64;
                    let factor = (variance + 1e-5).sqrt().recip();
                    let normal = row.iter().map(|&x| (f64::from(x) - mean) * factor);
                    expected.extend(
                        normal
                            .zip(weight.iter().zip(&bias))
                            .map(|(x, (w, b))| (x * f64::from(*w)) as f32 + b),
                    );
                }
                assert_near(&out, &expected, 5e-6, &format!("{isa:?} {size}"));
            }
        }
    }

    #[test]
    fn spectra_are_taken_apart_compressed_and_masked_at_any_length() {
        for &isa in Isa::available() {
            for bins in [1, 7, 16, 33] {
                let pairs: Vec<[f32; 2]> = noise(2 * bins, 1).chunks_exact(2).map(|z| [z[0], z[1]]).collect();
                let (mut re, mut im) = (vec![0.0; bins], vec![0.0; bins]);
                split_pairs(isa, &pairs, &mut re, &mut im);
                let (mut small_re, mut small_im) = (vec![0.0; bins], vec![0.0; bins]);
                compress(isa, &re, &im, 0.5, 1e-12, &mut small_re, &mut small_im);
                let mut out = vec![[1.0, 2.0]; bins];
                add_masked(isa, &small_re, &small_im, &re, &im, &mut out);
                for (bin, [x, y]) in pairs.iter().enumerate() {
                    let magnitude = (0.25 * (x * x + y * y)).sqrt();
                    let (a, b) = (0.5 * x / magnitude.sqrt(), 0.5 * y / magnitude.sqrt());
                    assert!((small_re[bin] - a).abs() < 1e-5 && (small_im[bin] - b).abs() < 1e-5);
                    let expected = [1.0 + a * x - b * y, 2.0 + a * y + b * x];
                    assert_near(&out[bin], &expected, 1e-5, "masked");
                }
            }
        }
    }

    #[test]
    fn silence_stays_silent_when_compressed() {
        let mut out = [[1.0f32; 3], [1.0; 3]];
        let [re, im] = &mut out;
        compress(Isa::best(), &[0.0; 3], &[0.0; 3], 1.0, 1e-12, re, im);
        assert_eq!(out, [[0.0; 3]; 2]);
    }
}
