//! What a recurrent layer costs in training: ours, candle_nn's, one without a true recurrence; and attention.
//!
//! ```text
//! RAYON_NUM_THREADS=1 cargo run --release --package engine --example recurrence
//! ```
//!
//! times forward and backward of one layer at the Live network's sizes: 4 excerpts of 6 s, 28 bands each, 64 features.
//! Every run starts from the same numbers; the table has the fastest run of a few, since other programs only slow one
//! down. Threads are rayon's, for candle's own products too.
//!
//! * `Gru` along time, `BiGru` across bands: the layers of a block.
//! * `candle_nn` GRU: unrolled, a graph of a dozen tensors for every frame. It runs over fewer frames, and its time is
//!   multiplied up. That flatters it: the gradient of each frame that it cuts from its input is as long as the input.
//! * minGRU (Feng et al. 2024): gates see the input alone, so that all frames come from one scan in parallel, here in
//!   log space by doubling, with candle's operations. It runs over fewer rows, and its time is multiplied up.
//!
//! `GFLOP/s` counts multiplications and additions of the products (and of attention) alone, the backward pass twice as
//! many as the forward pass, whatever a layer computes once more to save memory.

use std::error::Error;
use std::time::Instant;

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::rnn::{GRUConfig, GRUState, RNN};
use candle_nn::{VarBuilder, VarMap};
use engine::model::Params;
use engine::model::layers::{BandAttention, BiGru, Gru, Linear, TimeAttention};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Frames of an excerpt of 6 s, one every 256 samples at 44.1 kHz.
const FRAMES: usize = 1_034;
const SECONDS: f64 = FRAMES as f64 * 256.0 / 44_100.0;
const EXCERPTS: usize = 4;
const BANDS: usize = 28;
const ROWS: usize = EXCERPTS * BANDS;
/// Features, and units of a recurrence.
const SIZE: usize = 64;
/// Units across bands, per direction.
const BAND_HIDDEN: usize = 32;
const HEADS: usize = 4;
const SPAN: usize = 32;
/// Frames for candle_nn's layer, rows for minGRU.
const FEWER_FRAMES: usize = 64;
const FEWER_ROWS: usize = BANDS;
/// Runs of our layers, and of the others.
const RUNS: usize = 7;
const FEWER_RUNS: usize = 3;

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let threads = std::env::var("RAYON_NUM_THREADS").unwrap_or_else(|_| "all".to_owned());
    println!("threads: {threads}; {EXCERPTS} excerpts of {SECONDS:.2} s, {BANDS} bands, {SIZE} features\n");
    println!("| layer | forward, ms | with backward, ms | GFLOP/s | audio s/s |\n|---|---|---|---|---|");
    let (params, time, bands) =
        (Params::fresh(1, &Device::Cpu), [FRAMES, ROWS, SIZE], [FRAMES * EXCERPTS, BANDS, SIZE]);
    let root = params.root();
    let gru = |input: usize, hidden: usize| 3 * hidden * (input + hidden);
    let attention = |seen: usize| 4 * SIZE * SIZE + 2 * seen * SIZE;

    let layer = Gru::new(&root.at("gru"), SIZE, SIZE)?;
    measure("Gru along time", time, Cost::of(gru(SIZE, SIZE)), |x| layer.along_frames(x, None))?;
    let layer = BiGru::new(&root.at("bigru"), SIZE, BAND_HIDDEN)?;
    measure("BiGru across bands", bands, Cost::of(2 * gru(SIZE, BAND_HIDDEN)), |x| layer.across_bands(x))?;
    let layer = TimeAttention::new(&root.at("time"), SIZE, HEADS, SPAN)?;
    measure("TimeAttention", time, Cost::of(attention(SPAN)), |x| Ok(layer.forward(x, None)?.0))?;
    let layer = BandAttention::new(&root.at("bands"), SIZE, HEADS)?;
    measure("BandAttention", bands, Cost::of(attention(BANDS)), |x| layer.forward(x))?;
    let layer = Unrolled::new(SIZE, SIZE)?;
    let cost =
        Cost { scale: FRAMES as f64 / FEWER_FRAMES as f64, runs: FEWER_RUNS, ..Cost::of(gru(SIZE, SIZE)) };
    measure("candle_nn GRU, scaled", [FEWER_FRAMES, ROWS, SIZE], cost, |x| layer.forward(x))?;
    let layer = MinGru::new(&params, SIZE, SIZE)?;
    let cost = Cost { scale: ROWS as f64 / FEWER_ROWS as f64, runs: FEWER_RUNS, ..Cost::of(2 * SIZE * SIZE) };
    measure("minGRU, scaled", [FRAMES, FEWER_ROWS, SIZE], cost, |x| layer.forward(x))?;
    Ok(())
}

/// What a layer is asked for.
#[derive(Clone, Copy)]
struct Cost {
    /// Multiply-accumulate operations for one row of one frame, forward.
    macs: usize,
    /// By how much the full size is larger than what is run.
    scale: f64,
    runs: usize,
}

impl Cost {
    fn of(macs: usize) -> Self {
        Self { macs, scale: 1.0, runs: RUNS }
    }
}

/// Prints a row of the table for a layer over `[frames, rows, features]`.
fn measure(
    name: &str,
    shape: [usize; 3],
    cost: Cost,
    forward: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<()> {
    let x = Var::from_tensor(&noise(&shape)?)?;
    let slopes = noise(forward(x.as_tensor())?.dims())?;
    let mut fastest = [f64::INFINITY; 2];
    for _ in 0..cost.runs {
        let start = Instant::now();
        let y = forward(x.as_tensor())?;
        let ahead = start.elapsed().as_secs_f64();
        // A loss whose gradient reaches every output; it costs every layer the same.
        let loss = (y * &slopes)?.sum_all()?;
        let start = Instant::now();
        let gradients = loss.backward()?;
        let both = ahead + start.elapsed().as_secs_f64();
        if gradients.get(x.as_tensor()).is_none() {
            candle_core::bail!("{name} gives its input no gradient");
        }
        fastest = [fastest[0].min(ahead), fastest[1].min(both)];
    }
    let [ahead, both] = fastest.map(|seconds| seconds * cost.scale);
    let products = 6.0 * (cost.macs * shape[0] * shape[1]) as f64 * cost.scale;
    let rate = if cost.macs > 0 { format!("{:.1}", products / both / 1e9) } else { "".to_owned() };
    let audio = EXCERPTS as f64 * SECONDS / both;
    println!("| {name} | {:.1} | {:.1} | {rate} | {audio:.0} |", ahead * 1e3, both * 1e3);
    Ok(())
}

fn noise(shape: &[usize]) -> Result<Tensor> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// candle_nn's GRU, one step after the other.
struct Unrolled {
    gru: candle_nn::GRU,
}

impl Unrolled {
    fn new(input: usize, hidden: usize) -> Result<Self> {
        let variables = VarMap::new();
        let builder = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
        Ok(Self { gru: candle_nn::gru(input, hidden, GRUConfig::default(), builder)? })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (frames, rows, _) = x.dims3()?;
        let mut states: Vec<GRUState> = vec![self.gru.zero_state(rows)?];
        for frame in 0..frames {
            states.push(self.gru.step(&x.get(frame)?, &states[frame])?);
        }
        Tensor::stack(&states[1..].iter().map(GRUState::h).collect::<Vec<_>>(), 0)
    }
}

/// The scan of "Were RNNs All We Needed?" (Feng et al. 2024, appendix B): h_t = (1 - z_t) h_(t-1) + z_t g(x_t) with
/// positive g, from h = 0, in logarithms.
struct MinGru {
    update: Linear,
    new: Linear,
}

impl MinGru {
    fn new(params: &Params, input: usize, hidden: usize) -> Result<Self> {
        let root = params.root().at("min_gru");
        Ok(Self {
            update: Linear::new(&root.at("update"), input, hidden)?,
            new: Linear::new(&root.at("new"), input, hidden)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (update, new) = (self.update.forward(x)?, self.new.forward(x)?);
        // g(x) = x + 1/2 above 0, sigmoid(x) below: its logarithm.
        let log_new = ((new.relu()? + 0.5)?.log()? - log_1p_exp(&new.minimum(0.0)?.neg()?)?)?;
        // relu(0) + 1/2 = sigmoid(0) = 1/2 is in both terms.
        let log_new = (log_new + std::f64::consts::LN_2)?;
        let mut values = (log_new - log_1p_exp(&update.neg()?)?)?;
        let mut decay = log_1p_exp(&update)?.neg()?;
        let mut reach = 1;
        while reach < x.dim(0)? {
            // Each frame meets what the frame `reach` before it stands for; both then stand for twice as many.
            let rest = x.dim(0)? - reach;
            let earlier = (values.narrow(0, 0, rest)? + decay.narrow(0, reach, rest)?)?;
            let met = log_add_exp(&values.narrow(0, reach, rest)?, &earlier)?;
            let decayed = (decay.narrow(0, reach, rest)? + decay.narrow(0, 0, rest)?)?;
            values = Tensor::cat(&[values.narrow(0, 0, reach)?, met], 0)?;
            decay = Tensor::cat(&[decay.narrow(0, 0, reach)?, decayed], 0)?;
            reach *= 2;
        }
        values.exp()
    }
}

/// ln(1 + e^x)
fn log_1p_exp(x: &Tensor) -> Result<Tensor> {
    x.relu()? + (x.abs()?.neg()?.exp()? + 1.0)?.log()?
}

/// ln(e^a + e^b)
fn log_add_exp(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a + log_1p_exp(&(b - a)?)?
}
