//! Reductions of a row in sixteen lanes, which a compiler can keep in vectors. In plain order it may not.

use crate::kernels::elementwise;

const LANES: usize = 16;

/// `join` over all `step(acc, a, b)`, each lane from `start` on; a and b have the same length.
#[inline(always)]
pub fn fold(
    a: &[f32],
    b: &[f32],
    start: f32,
    step: impl Fn(f32, f32, f32) -> f32,
    join: impl Fn(f32, f32) -> f32,
) -> f32 {
    let ((a_blocks, a_rest), (b_blocks, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut lanes = [start; LANES];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for i in 0..LANES {
            lanes[i] = step(lanes[i], a[i], b[i]);
        }
    }
    let rest = a_rest.iter().zip(b_rest).fold(start, |acc, (a, b)| step(acc, *a, *b));
    join(elementwise::fold(lanes, &join), rest)
}

/// Sum of all numbers.
#[inline(always)]
pub fn sum(x: &[f32]) -> f32 {
    fold(x, x, 0.0, |acc, x, _| acc + x, |a, b| a + b)
}

/// Sum of all products.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    fold(a, b, 0.0, |acc, a, b| acc + a * b, |a, b| a + b)
}

/// The largest number; minus infinity if there is none.
#[inline(always)]
pub fn largest(x: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    fold(x, x, f32::NEG_INFINITY, |acc, x, _| larger(acc, x), larger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_of_every_length_give_what_plain_loops_give() {
        for length in 0..70 {
            // Whole numbers, so that every order gives the same.
            let a: Vec<f32> = (0..length).map(|i| ((i * 7919) % 31) as f32 - 20.0).collect();
            let b: Vec<f32> = (0..length).map(|i| ((i * 104_729) % 17) as f32 - 8.0).collect();
            assert_eq!(sum(&a), a.iter().sum::<f32>());
            assert_eq!(dot(&a, &b), a.iter().zip(&b).map(|(a, b)| a * b).sum::<f32>());
            assert_eq!(largest(&a), a.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
    }
}
