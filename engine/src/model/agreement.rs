//! Whether layers and networks compute on a device what their fused operations compute on the CPU: outputs, and the
//! gradients of the input and of every trained parameter.
//!
//! On the CPU itself, the operations that cards run are compared with the fused ones.

use std::collections::BTreeMap;

use candle_core::{Device, Result, Tensor, Var};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::layers::{
    BandAttention, BandLinear, BatchNorm, BiGru, BiLstm, Conv, Dropout, Filter, Gru, ImprovedTransformer,
    ImprovedTransformerConfig, LayerNorm, Linear, NormedConv, Recurrence, Resample, ResampleDirection,
    SelfAttention, TimeAttention, TransposedConv, join_cropped, leaky_relu, scale_items, share_remainder,
    unfused,
};
use super::params::Init;
use super::{
    BandDpt, BandDptConfig, ConvKind, Growth, Mode, Network, Params, Resampling, WaveUnetConfig,
    WaveUnetDptConfig,
};

/// Dropout included.
const TRAIN: Mode = Mode::Train { seed: 5, first_item: 0 };

/// Output and gradients by name.
type Outcome = BTreeMap<String, Vec<f32>>;

/// Runs a layer forward and backward on a device.
type Run = dyn Fn(&Device) -> Result<Outcome>;

/// A layer or a network with an input.
pub struct Case {
    /// What it is.
    pub name: String,
    run: Box<Run>,
}

/// How far apart two devices are. Differences are of whole tensors, relative to their length.
#[derive(Debug, Clone, PartialEq)]
pub struct Agreement {
    /// Of the output.
    pub output: f64,
    /// Of the gradient that differs most.
    pub gradient: f64,
    /// Whose gradient that is.
    pub of: String,
}

impl Case {
    /// `build` makes the layer, `shape` is the input's.
    fn new<L: 'static>(
        name: impl Into<String>,
        build: impl Fn(&Params) -> Result<L> + 'static,
        shape: &[usize],
        forward: impl Fn(&L, &Tensor) -> Result<Tensor> + 'static,
    ) -> Self {
        let shape = shape.to_vec();
        let run = move |device: &Device| outcome(&build, &shape, &forward, device);
        Self { name: name.into(), run: Box::new(run) }
    }

    /// A network on a mixture. It takes its mixture's level as given, so that the input is a factor behind it.
    fn network<N: Network + 'static>(
        name: &str,
        build: impl Fn(&Params) -> Result<N> + 'static,
        frames: usize,
    ) -> Self {
        let scaled = move |network: &N, factor: &Tensor| {
            let input = network.window(frames).input;
            let mixture = random(&[3, 2, input], 1).to_device(factor.device())?;
            network.forward(&mixture, TRAIN)?.broadcast_mul(factor)
        };
        Self::new(name, build, &[1], scaled)
    }

    /// Compares the device with the CPU.
    ///
    /// # Errors
    /// An operation that the device lacks, or the device fails.
    pub fn agreement(&self, device: &Device) -> Result<Agreement> {
        let expected = (self.run)(&Device::Cpu)?;
        let mut found = if device.is_cpu() { unfused(|| (self.run)(device)) } else { (self.run)(device) }?;
        let largest = expected.values().map(|values| length(values)).fold(0.0, f64::max);
        let mut agreement = Agreement { output: 0.0, gradient: 0.0, of: String::new() };
        for (name, expected) in &expected {
            let Some(found) = found.remove(name).filter(|found| found.len() == expected.len()) else {
                candle_core::bail!("{}: {name} is missing or of another shape", self.name);
            };
            let difference: Vec<f32> = expected.iter().zip(&found).map(|(a, b)| a - b).collect();
            // Gradients that are zero but for rounding must not be compared with themselves.
            let distance = length(&difference) / length(expected).max(1e-2 * largest);
            // What is not a number is farther away than any number.
            let distance = if distance.is_nan() { f64::INFINITY } else { distance };
            if name == OUTPUT {
                agreement.output = distance;
            } else if distance >= agreement.gradient {
                (agreement.gradient, agreement.of) = (distance, name.clone());
            }
        }
        match found.keys().next() {
            Some(name) => {
                candle_core::bail!("{}: {name} has a gradient that the CPU does not know", self.name)
            }
            None => Ok(agreement),
        }
    }
}

const OUTPUT: &str = "output";

fn length(values: &[f32]) -> f64 {
    values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()
}

/// In -1..1, on the CPU.
pub(crate) fn random(shape: &[usize], seed: u64) -> Tensor {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).expect("as many values as the shape has")
}

fn outcome<L>(
    build: &impl Fn(&Params) -> Result<L>,
    shape: &[usize],
    forward: &impl Fn(&L, &Tensor) -> Result<Tensor>,
    device: &Device,
) -> Result<Outcome> {
    let on_device = |shape: &[usize], seed| random(shape, seed).to_device(device);
    let params = Params::fresh(7, device);
    let layer = build(&params)?;
    let input = Var::from_tensor(&on_device(shape, 1)?)?;
    let mut variables = vec![("input".to_owned(), input.clone())];
    for (name, parameter) in params.into_variables() {
        // Away from the symmetric start, where some gradients vanish.
        let start = parameter.var.as_tensor().clone();
        parameter.var.set(&(&start + (on_device(start.dims(), 3)? * 0.2)?)?)?;
        if parameter.trained {
            variables.push((name, parameter.var));
        }
    }
    let output = forward(&layer, input.as_tensor())?;
    // A loss whose gradient exercises every output.
    let gradients = (&output * on_device(output.dims(), 99)?)?.sum_all()?.backward()?;
    let values = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
    let mut outcome = BTreeMap::from([(OUTPUT.to_owned(), values(&output)?)]);
    for (name, var) in variables {
        if let Some(gradient) = gradients.get(var.as_tensor()) {
            outcome.insert(name, values(gradient)?);
        }
    }
    Ok(outcome)
}

/// Every layer in every form that a network has it in.
pub fn layers() -> Vec<Case> {
    [convolutions(), resampling(), recurrences(), attention(), small()].into_iter().flatten().collect()
}

fn convolutions() -> Vec<Case> {
    let mut cases = Vec::new();
    for stride in [1, 2, 3, 7] {
        let conv = move |p: &Params| Conv::new(&p.root(), 3, 4, 5, stride);
        let normed = move |p: &Params| {
            let filter = Filter::Conv(Conv::new(&p.root().at("filter"), 3, 16, 5, stride)?);
            NormedConv::new(&p.root(), filter, 16, stride != 2)
        };
        let shape = [3, 233, 3];
        cases.push(Case::new(format!("conv, stride {stride}"), conv, &shape, |l, x| l.forward(x)));
        cases.push(Case::new(format!("normed conv, stride {stride}"), normed, &shape, |l, x| l.forward(x)));
    }
    for stride in [1, 2] {
        let conv = move |p: &Params| TransposedConv::new(&p.root(), 3, 4, 5, stride);
        let normed = move |p: &Params| {
            let filter = TransposedConv::new(&p.root().at("filter"), 3, 8, 5, stride)?;
            NormedConv::new(&p.root(), Filter::Transposed(filter), 8, false)
        };
        let shape = [3, 57, 3];
        cases.push(Case::new(format!("transposed conv, stride {stride}"), conv, &shape, |l, x| l.forward(x)));
        let name = format!("normed transposed conv, stride {stride}");
        cases.push(Case::new(name, normed, &shape, |l, x| l.forward(x)));
    }
    let linear = |p: &Params| Linear::new(&p.root(), 7, 4);
    cases.push(Case::new("linear", linear, &[3, 7, 5], |l, x| l.forward(&x.transpose(1, 2)?)));
    cases
}

fn resampling() -> Vec<Case> {
    let mut cases = Vec::new();
    for (taps, stride) in [(7, 3), (21, 4), (15, 2), (3, 5), (5, 1)] {
        for direction in [ResampleDirection::Down, ResampleDirection::Up] {
            let frames = if direction == ResampleDirection::Up { 40 } else { 40 * stride + 1 };
            let build = move |p: &Params| Resample::new(&p.root(), 4, taps, stride, direction, true);
            let name = format!("resampling {direction:?} by {stride}, {taps} taps").to_lowercase();
            cases.push(Case::new(name, build, &[3, frames, 4], |l, x| l.forward(x)));
        }
    }
    cases
}

fn recurrences() -> Vec<Case> {
    let before = random(&[5, 4], 6);
    let gru = |p: &Params| Gru::new(&p.root(), 3, 4);
    vec![
        Case::new("lstm, two layers", |p| BiLstm::new(&p.root(), 4, 5, 2), &[3, 26, 4], |l, x| l.forward(x)),
        Case::new("gru along frames", gru, &[37, 5, 3], |l, x| l.along_frames(x, None)),
        Case::new("gru that goes on", gru, &[7, 5, 3], move |l, x| {
            l.along_frames(x, Some(&before.to_device(x.device())?))
        }),
        Case::new("gru across bands", |p| BiGru::new(&p.root(), 3, 4), &[36, 9, 3], |l, x| l.across_bands(x)),
    ]
}

fn attention() -> Vec<Case> {
    let mut cases = Vec::new();
    for span in [1, 3, 50] {
        let layer = move |p: &Params| TimeAttention::new(&p.root(), 6, 2, span);
        let name = format!("attention along time, span {span}");
        cases.push(Case::new(name, layer, &[37, 3, 6], |l, x| Ok(l.forward(x, None)?.0)));
        let past = random(&[2, 3, 18], 6);
        let name = format!("attention that goes on, span {span}");
        cases.push(Case::new(name, layer, &[4, 3, 6], move |l, x| {
            Ok(l.forward(x, Some(&past.to_device(x.device())?))?.0)
        }));
    }
    let bands = |p: &Params| BandAttention::new(&p.root(), 6, 2);
    cases.push(Case::new("attention across bands", bands, &[13, 15, 6], |l, x| l.forward(x)));
    let all = |p: &Params| SelfAttention::new(&p.root(), 8, 2);
    cases.push(Case::new("attention", all, &[3, 26, 8], |l, x| l.forward(x)));
    for recurrence in [Recurrence::Frame, Recurrence::Time] {
        let config = ImprovedTransformerConfig {
            size: 8,
            heads: 2,
            hidden: 6,
            lstm_layers: 1,
            recurrence,
            dropout: 0.1,
        };
        let name = format!("improved transformer along {recurrence:?}").to_lowercase();
        let build = move |p: &Params| ImprovedTransformer::new(&p.root(), config);
        cases.push(Case::new(name, build, &[3, 16, 8], |l, x| l.forward(x, TRAIN)));
    }
    cases
}

fn small() -> Vec<Case> {
    let bands =
        |p: &Params| BandLinear::new(&p.root(), "", vec![[3, 2], [1, 4], [5, 1]], |_| Init::Uniform(0.5));
    let none = |_: &Params| Ok(());
    let (mixture, other) = (random(&[3, 2, 5], 8), random(&[3, 5, 2], 4));
    vec![
        Case::new("linear for each band", bands, &[3, 30, 9], |l, x| l.forward(x)),
        Case::new("layer norm", |p| LayerNorm::new(&p.root(), 8), &[3, 9, 8], |l, x| l.forward(x)),
        Case::new("batch norm", |p| BatchNorm::new(&p.root(), 6), &[3, 9, 6], |l, x| l.forward(x, TRAIN)),
        Case::new("dropout", |_| Ok(Dropout::new(0.4, 1)), &[3, 6, 8], |l, x| l.forward(x, TRAIN)),
        Case::new("leaky relu", none, &[3, 5, 8], |(), x| leaky_relu(x)),
        Case::new("scaled items", none, &[3, 4, 5], |(), x| scale_items(x, vec![0.5, -2.0, 3.0])),
        Case::new("shared remainder", none, &[3, 4, 2, 5], move |(), x| {
            share_remainder(x, &mixture.to_device(x.device())?)
        }),
        Case::new("joined shortcut", none, &[3, 9, 4], move |(), x| {
            join_cropped(x, &other.to_device(x.device())?)
        }),
    ]
}

/// Two blocks with everything in them.
pub(crate) fn small_band_dpt(taps: usize) -> BandDptConfig {
    BandDptConfig {
        analysis_window: 32,
        synthesis_window: 16,
        hop: 8,
        bands: vec![2, 5, 10],
        size: 8,
        blocks: 2,
        heads: 2,
        attention_span: 3,
        time_hidden: 6,
        band_hidden: 5,
        mask_hidden: 7,
        taps,
    }
}

/// Every network, small.
pub fn networks() -> Vec<Case> {
    let mut cases = Vec::new();
    for (resampling, conv) in [
        (Resampling::Fixed, ConvKind::Gn),
        (Resampling::Fixed, ConvKind::Bn),
        (Resampling::Learned, ConvKind::Normal),
    ] {
        let config = WaveUnetConfig {
            features: 8,
            growth: Growth::Add,
            levels: 3,
            stride: 2,
            resampling,
            conv,
            separate: conv == ConvKind::Normal,
            ..Default::default()
        };
        let name = format!("wave_unet, {resampling:?} resampling, {conv:?}").to_lowercase();
        cases.push(Case::network(&name, move |p| config.build(p), 200));
    }
    for extras in [false, true] {
        let config = WaveUnetDptConfig {
            features: 8,
            levels: 3,
            normalise: extras,
            add_up: extras,
            ..Default::default()
        };
        let name = format!("wave_unet_dpt{}", if extras { ", normalised, adding up" } else { "" });
        cases.push(Case::network(&name, move |p| config.build(p), 900));
    }
    for taps in [1, 2] {
        let config = small_band_dpt(taps);
        let name = format!("band_dpt, {taps} of masks' taps");
        cases.push(Case::network(&name, move |p| BandDpt::new(p, &config), 200));
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cases: Vec<Case>) {
        for case in cases {
            let found = case.agreement(&Device::Cpu).unwrap();
            println!("{}: {found:?}", case.name);
            assert!(found.output < 2e-5 && found.gradient < 1e-4, "{}: {found:?}", case.name);
        }
    }

    #[test]
    fn layers_for_cards_are_the_fused_ones() {
        check(layers());
    }

    #[test]
    fn networks_on_cards_are_the_fused_ones() {
        check(networks());
    }

    #[test]
    fn a_difference_is_found_wherever_it_is() {
        // Only the second of the two runs, which is the unfused one, sees another function.
        let case = |wrong: fn(&Tensor) -> Result<Tensor>| {
            let forward = move |(): &(), x: &Tensor| match super::super::layers::is_unfused(x) {
                true => wrong(x),
                false => x.sqr(),
            };
            Case::new("wrong", |_: &Params| Ok(()), &[3, 4], forward).agreement(&Device::Cpu)
        };
        let right = case(Tensor::sqr).unwrap();
        assert_eq!((right.output, right.gradient), (0.0, 0.0));
        let output = case(|x| x.sqr()? * 1.01).unwrap();
        assert!((output.output - 0.01).abs() < 1e-5 && (output.gradient - 0.01).abs() < 1e-5);
        let gradient = case(|x| x * &x.detach()).unwrap();
        assert!(gradient.output < 1e-6 && (gradient.gradient - 0.5).abs() < 1e-5 && gradient.of == "input");
        let not_a_number = case(|x| (x.sqr()? * f64::NAN)?.abs()).unwrap();
        assert_eq!(not_a_number.output, f64::INFINITY);
        assert!(case(|x| x.detach().sqr()).is_err(), "a gradient that is missing");
    }
}
