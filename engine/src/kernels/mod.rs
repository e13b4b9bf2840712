//! Kernels of the streaming separators: allocation-free, on one thread, in the widest vectors of this processor.
//!
//! Everything is row-major f32. Each kernel is one body of plain Rust or of [`vector::Vector`] operations, compiled
//! once for each [`Isa`] and chosen at run time, so that a binary runs anywhere and is tested everywhere.

pub mod attention;
pub mod elementwise;
pub mod isa;
pub mod peak;
pub mod product;
pub mod recurrent;
mod vector;

pub use isa::Isa;
pub use product::{Packed, Precision, Then};

#[cfg(test)]
pub mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Numbers between -1 and 1.
    pub fn noise(count: usize, seed: u64) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
    }

    /// Fails where two lists differ by more than `limit`.
    pub fn assert_near(found: &[f32], expected: &[f32], limit: f32, what: &str) {
        assert_eq!(found.len(), expected.len(), "{what}");
        for (index, (a, b)) in found.iter().zip(expected).enumerate() {
            assert!((a - b).abs() <= limit, "{what}: {a} instead of {b} at {index}");
        }
    }
}
