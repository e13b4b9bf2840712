//! The sums of group normalisation followed by ReLU (Wu and He 2018), for one item at a time.
//!
//! Statistics go over all frames and 8 neighbouring channels, as both Wave-U-Nets have it.

use super::cpu::vectorised;
use super::norm::EPSILON;

/// Channels that share their statistics.
pub const GROUP: usize = 8;

/// Running sums of the groups of one item.
pub struct Sums {
    /// Sum and sum of squares of each group.
    groups: Vec<[f64; 2]>,
    /// Frames so far.
    frames: usize,
}

/// Frames that are summed in f32: short runs keep the loop fast, their sums in f64 keep it exact over long windows.
const RUN: usize = 64;

impl Sums {
    /// Nothing yet.
    pub fn new(channels: usize) -> Self {
        Self { groups: vec![[0.0; 2]; channels / GROUP], frames: 0 }
    }

    /// Adds `[frames, channels]`; all blocks but the last must have a multiple of 64 frames.
    pub fn add(&mut self, x: &[f32]) {
        let channels = self.groups.len() * GROUP;
        self.frames += x.len() / channels;
        x.chunks(channels * RUN).for_each(|run| add_run(run, &mut self.groups));
    }

    /// Mean and 1 / standard deviation of each channel's group.
    pub fn statistics(&self) -> Vec<(f32, f32)> {
        let count = (self.frames * GROUP) as f64;
        let group = |[sum, squares]: &[f64; 2]| {
            let mean = sum / count;
            let variance = (squares / count - mean * mean).max(0.0);
            [(mean as f32, (1.0 / (variance + f64::from(EPSILON)).sqrt()) as f32); GROUP]
        };
        self.groups.iter().flat_map(group).collect()
    }
}

vectorised! {
    fn add_run(run: &[f32], groups: &mut [[f64; 2]]) {
        let channels = groups.len() * GROUP;
        for (g, total) in groups.iter_mut().enumerate() {
            let (mut sum, mut squares) = ([0.0f32; GROUP], [0.0f32; GROUP]);
            for row in run.chunks_exact(channels) {
                let row = &row[g * GROUP..(g + 1) * GROUP];
                for c in 0..GROUP {
                    sum[c] += row[c];
                    squares[c] += row[c] * row[c];
                }
            }
            total[0] += f64::from(sum.iter().sum::<f32>());
            total[1] += f64::from(squares.iter().sum::<f32>());
        }
    }
}

/// Normalise, scale and shift in one: `x * scale + shift` for each channel.
pub struct Affine {
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Affine {
    /// For an item's statistics and the layer's weight and bias, all `[channels]`.
    pub fn new(statistics: &[(f32, f32)], weight: &[f32], bias: &[f32]) -> Self {
        let channel = |((mean, deviation), (w, b)): (&(f32, f32), (&f32, &f32))| {
            (w * deviation, b - mean * w * deviation)
        };
        let (scale, shift) = statistics.iter().zip(weight.iter().zip(bias)).map(channel).unzip();
        Self { scale, shift }
    }

    /// Normalised, scaled, shifted and rectified, `[frames, channels]`.
    pub fn rectified(&self, x: &[f32], out: &mut [f32]) {
        rectify(x, &self.scale, &self.shift, out);
    }

    /// Zeroes the gradient wherever the rectified value is 0.
    pub fn mask(&self, x: &[f32], grad: &mut [f32]) {
        mask(x, &self.scale, &self.shift, grad);
    }
}

vectorised! {
    fn rectify(x: &[f32], scale: &[f32], shift: &[f32], out: &mut [f32]) {
        let channels = scale.len();
        for (out, x) in out.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
            for ((out, x), (scale, shift)) in out.iter_mut().zip(x).zip(scale.iter().zip(shift)) {
                *out = (x * scale + shift).max(0.0);
            }
        }
    }
}

vectorised! {
    fn mask(x: &[f32], scale: &[f32], shift: &[f32], grad: &mut [f32]) {
        let channels = scale.len();
        for (grad, x) in grad.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
            for ((grad, x), (scale, shift)) in grad.iter_mut().zip(x).zip(scale.iter().zip(shift)) {
                *grad = if x * scale + shift > 0.0 { *grad } else { 0.0 };
            }
        }
    }
}

/// What one item gives to the gradients of weight and bias, `[channels]` each; the input's gradient needs them whole.
pub struct Gradients<'a> {
    /// `(mean, 1 / deviation)` of each channel.
    pub statistics: &'a [(f32, f32)],
    /// The weight's.
    pub weight: Vec<f32>,
    /// The bias's.
    pub bias: Vec<f32>,
}

impl<'a> Gradients<'a> {
    /// Nothing yet.
    pub fn new(statistics: &'a [(f32, f32)]) -> Self {
        let zeros = vec![0.0; statistics.len()];
        Self { statistics, weight: zeros.clone(), bias: zeros }
    }

    /// Adds a block, `[frames, channels]`; `grad` is already masked.
    pub fn add(&mut self, x: &[f32], grad: &[f32]) {
        let (mut weight, mut bias) = (vec![0.0; self.weight.len()], vec![0.0; self.bias.len()]);
        let (mean, deviation) = self.split();
        add_gradients(x, grad, &mean, &deviation, &mut weight, &mut bias);
        // Block by block, so that small numbers are not lost in the sum over a long window.
        self.weight.iter_mut().zip(weight).for_each(|(sum, g)| *sum += g);
        self.bias.iter_mut().zip(bias).for_each(|(sum, g)| *sum += g);
    }

    /// The input's gradient in place of the output's:
    /// d x = (w g - mean(w g) - x' mean(w g x')) / deviation, means over the group.
    pub fn input(&self, x: &[f32], weight: &[f32], grad: &mut [f32]) {
        let channels = weight.len();
        let count = (x.len() / channels * GROUP) as f32;
        let means = |gradients: &[f32]| -> Vec<f32> {
            let sums = gradients.chunks_exact(GROUP).zip(weight.chunks_exact(GROUP));
            sums.flat_map(|(g, w)| [g.iter().zip(w).map(|(g, w)| g * w).sum::<f32>() / count; GROUP])
                .collect()
        };
        let (mean_g, mean_gx) = (means(&self.bias), means(&self.weight));
        // As a g + b x + c for each channel.
        let (mean, deviation) = self.split();
        let a: Vec<f32> = weight.iter().zip(&deviation).map(|(w, d)| w * d).collect();
        let b: Vec<f32> = mean_gx.iter().zip(&deviation).map(|(m, d)| -m * d * d).collect();
        let c: Vec<f32> = (0..channels).map(|i| -mean_g[i] * deviation[i] - b[i] * mean[i]).collect();
        combine(x, &a, &b, &c, grad);
    }

    fn split(&self) -> (Vec<f32>, Vec<f32>) {
        self.statistics.iter().copied().unzip()
    }
}

vectorised! {
    fn add_gradients(
        x: &[f32],
        grad: &[f32],
        mean: &[f32],
        deviation: &[f32],
        weight: &mut [f32],
        bias: &mut [f32],
    ) {
        let channels = mean.len();
        for (x, grad) in x.chunks_exact(channels).zip(grad.chunks_exact(channels)) {
            let sums = weight.iter_mut().zip(bias.iter_mut());
            let statistics = mean.iter().zip(deviation);
            for (((weight, bias), (x, grad)), (mean, deviation)) in sums.zip(x.iter().zip(grad)).zip(statistics) {
                *bias += grad;
                *weight += grad * (x - mean) * deviation;
            }
        }
    }
}

vectorised! {
    /// `grad = a grad + b x + c` for each channel.
    fn combine(x: &[f32], a: &[f32], b: &[f32], c: &[f32], grad: &mut [f32]) {
        let channels = a.len();
        for (grad, x) in grad.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
            let factors = a.iter().zip(b).zip(c);
            for ((grad, x), ((a, b), c)) in grad.iter_mut().zip(x).zip(factors) {
                *grad = *grad * a + x * b + c;
            }
        }
    }
}
