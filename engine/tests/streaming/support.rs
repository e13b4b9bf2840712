//! A separator whose every output sample is known, and which fails on demand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use engine::audio::AudioBuffer;
use engine::{Error, Result, STEMS, Separator, SeparatorSpec};

/// What each stem gets of the mixture: unequal, exact in f32, and adding up to exactly one.
pub const SHARES: [f32; STEMS] = [0.125, 0.5, 0.25, 0.125];

/// Turned by the test while the separator runs elsewhere.
#[derive(Default)]
pub struct Knobs {
    /// Each hop takes this long.
    pub hop_micros: AtomicU64,
    /// This many of the next hops are errors.
    pub errors: AtomicU32,
    /// This many of the next hops come out as NaN.
    pub nans: AtomicU32,
    /// The next hop panics.
    pub panic: AtomicBool,
    /// Hops asked for so far.
    pub hops: AtomicU64,
}

/// Delays the mixture by its latency and gives each stem its share.
pub struct Splitter {
    spec: SeparatorSpec,
    knobs: Arc<Knobs>,
    /// `[latency]`
    line: Vec<[f32; 2]>,
    at: usize,
}

impl Splitter {
    pub fn boxed(sample_rate: u32, hop: usize, latency: usize) -> (Box<dyn Separator>, Arc<Knobs>) {
        let knobs = Arc::<Knobs>::default();
        let spec = SeparatorSpec { sample_rate, hop, latency };
        (Box::new(Self { spec, knobs: knobs.clone(), line: vec![[0.0; 2]; latency], at: 0 }), knobs)
    }
}

impl Separator for Splitter {
    fn spec(&self) -> SeparatorSpec {
        self.spec
    }

    fn process(&mut self, mixture: &AudioBuffer, stems: &mut [AudioBuffer; STEMS]) -> Result<()> {
        self.knobs.hops.fetch_add(1, Ordering::SeqCst);
        let micros = self.knobs.hop_micros.load(Ordering::SeqCst);
        if micros > 0 {
            std::thread::sleep(Duration::from_micros(micros));
        }
        assert!(!self.knobs.panic.load(Ordering::SeqCst), "a panic that the test asked for");
        if countdown(&self.knobs.errors) {
            return Err(Error::Unsupported("an error that the test asked for".into()));
        }
        for i in 0..self.spec.hop {
            let now = [mixture.channel(0)[i], mixture.channel(1)[i]];
            let delayed = match self.line.get_mut(self.at) {
                Some(slot) => std::mem::replace(slot, now),
                None => now,
            };
            self.at = (self.at + 1) % self.spec.latency.max(1);
            for (stem, share) in stems.iter_mut().zip(SHARES) {
                (0..2).for_each(|c| stem.channel_mut(c)[i] = share * delayed[c]);
            }
        }
        if countdown(&self.knobs.nans) {
            stems[0].channel_mut(0)[0] = f32::NAN;
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.line.fill([0.0; 2]);
        self.at = 0;
    }
}

fn countdown(counter: &AtomicU32) -> bool {
    counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok()
}

/// Reproducible noise in -1..1, and block sizes.
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(1))
    }

    /// In -1..1.
    pub fn sample(&mut self) -> f32 {
        (self.bits() as f32 / (1_u64 << 31) as f32) - 1.0
    }

    /// In 0..=max.
    pub fn size(&mut self, max: usize) -> usize {
        (self.bits() % (max as u64 + 1)) as usize
    }

    /// `[2][frames]`, not silent.
    pub fn stereo(&mut self, frames: usize) -> [Vec<f32>; 2] {
        std::array::from_fn(|_| (0..frames).map(|_| self.sample()).collect())
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 32
    }
}
