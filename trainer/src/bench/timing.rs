//! How long hops take.

use std::time::Instant;

use engine::audio::AudioBuffer;
use engine::{PeakProduct, STEMS, Separator};

use super::music;

/// More than any last-level cache that one core can fill, in numbers.
const LARGER_THAN_CACHES: usize = 24 << 20;

/// Hops that are not timed: caches and page tables are cold.
const WARM_UP_HOPS: usize = 20;

/// After so many hops a product of matrices is timed.
const HOPS_BETWEEN_PRODUCTS: usize = 25;

/// Durations in seconds.
pub struct Timing {
    /// Of every hop.
    pub hops: Sorted,
    /// Of products of matrices, in turns with the hops: a processor that others use too is now fast, now slow.
    pub products: Sorted,
}

/// In order of length.
pub struct Sorted(Vec<f64>);

impl Timing {
    /// Runs so many seconds of music through a separator. With `cold` everything is driven out of the caches before
    /// each hop.
    ///
    /// # Errors
    /// The separator's own.
    pub fn run(
        separator: &mut dyn Separator,
        seconds: f32,
        cold: bool,
        product: &mut PeakProduct,
    ) -> anyhow::Result<Self> {
        let spec = separator.spec();
        let music = music::song(1, seconds);
        let mut mixture = AudioBuffer::new(2, spec.hop);
        let mut stems: [AudioBuffer; STEMS] = std::array::from_fn(|_| AudioBuffer::new(2, spec.hop));
        let mut evictor = vec![0.0f32; if cold { LARGER_THAN_CACHES } else { 0 }];
        let hops = (music.frames() / spec.hop).max(1);
        let (mut times, mut products) = (Vec::with_capacity(hops), Vec::new());
        for hop in 0..hops + WARM_UP_HOPS.min(hops) {
            music::fill(&mut mixture, &music, hop % hops * spec.hop);
            if hop % HOPS_BETWEEN_PRODUCTS == 0 {
                // Once for the caches, which the hops have filled.
                product.run();
                products.push(product.run().as_secs_f64());
            }
            evictor.iter_mut().step_by(16).for_each(|x| *x += 1.0);
            let begun = Instant::now();
            separator.process(&mixture, &mut stems)?;
            let time = begun.elapsed().as_secs_f64();
            if hop >= WARM_UP_HOPS.min(hops) {
                times.push(time);
            }
        }
        std::hint::black_box(&evictor);
        Ok(Self { hops: Sorted::new(times), products: Sorted::new(products) })
    }
}

impl Sorted {
    /// From durations in any order; at least one.
    pub fn new(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        Self(times)
    }

    /// The duration that this part of all hops does not exceed.
    pub fn at(&self, part: f64) -> f64 {
        let index = (part * self.0.len() as f64).ceil() as usize;
        self.0.get(index.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// Mean duration.
    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len().max(1) as f64
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_all_hops_are_found() {
        let timing = Sorted::new((1..=200).rev().map(f64::from).collect());
        assert_eq!((timing.at(0.5), timing.at(0.99), timing.at(1.0)), (100.0, 198.0, 200.0));
        assert_eq!((timing.mean(), timing.count()), (100.5, 200));
    }
}
