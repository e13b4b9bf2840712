//! Networks whose output is known without running them.

use candle_core::{Result, Tensor};
use engine::STEMS;
use engine::model::{Mode, Network, Window};

/// Each stem is the mixture filtered by a short kernel, by valid convolution: `crop[0]` frames are lost on the
/// left, `crop[1]` on the right, and lengths grow in steps of `grain`, as in a Wave-U-Net.
pub struct Filters {
    pub crop: [usize; 2],
    pub grain: usize,
    /// `[STEMS][3]`: weights of the frame before, the frame itself, the frame after.
    pub kernels: [[f32; 3]; STEMS],
    /// Added to every output sample: what a network makes of silence.
    pub bias: f32,
    /// Output is NaN where the mixture is above this.
    pub nan_above: f32,
}

impl Filters {
    /// Stems that add up to the mixture by themselves.
    pub fn consistent() -> Self {
        let kernels = [[0.2, 0.5, -0.1], [-0.1, 0.3, 0.3], [0.0, 0.1, 0.0], [-0.1, 0.1, -0.2]];
        Self { crop: [37, 21], grain: 16, kernels, bias: 0.0, nan_above: f32::INFINITY }
    }

    /// Stems that add up to 0.65 of the mixture, and to something where there is none.
    pub fn inconsistent() -> Self {
        let kernels = [0.4, 0.15, 0.1, 0.0].map(|gain| [0.0, gain, 0.0]);
        Self { kernels, bias: 0.01, ..Self::consistent() }
    }

    /// One output sample of one stem.
    pub fn apply(&self, stem: usize, mixture: &[f32], n: usize) -> f32 {
        let at = |k: usize| k.checked_sub(1).and_then(|k| mixture.get(k)).copied().unwrap_or(0.0);
        let [before, now, after] = self.kernels[stem];
        if at(n + 1) > self.nan_above {
            return f32::NAN;
        }
        self.bias + before * at(n) + now * at(n + 1) + after * at(n + 2)
    }
}

impl Network for Filters {
    fn window(&self, output_frames: usize) -> Window {
        let output = output_frames.next_multiple_of(self.grain);
        Window { input: self.crop[0] + output + self.crop[1], output, output_start: self.crop[0] }
    }

    fn macs(&self, input_frames: usize) -> u64 {
        (3 * STEMS * 2 * (input_frames - self.crop[0] - self.crop[1])) as u64
    }

    fn forward(&self, mixture: &Tensor, mode: Mode) -> Result<Tensor> {
        assert_eq!(mode, Mode::Evaluate);
        assert_eq!(rayon::current_num_threads(), 1, "separation takes one core");
        let (batch, channels, input) = mixture.dims3()?;
        assert_eq!(channels, 2);
        let output = input - self.crop[0] - self.crop[1];
        assert_eq!(output % self.grain, 0, "not a window of this network");
        let samples = mixture.flatten_all()?.to_vec1::<f32>()?;
        let mut stems = Vec::new();
        for item in samples.chunks_exact(2 * input) {
            for stem in 0..STEMS {
                for channel in item.chunks_exact(input) {
                    stems.extend((0..output).map(|n| self.apply(stem, channel, self.crop[0] + n)));
                }
            }
        }
        Tensor::from_vec(stems, (batch, STEMS, 2, output), mixture.device())
    }
}
