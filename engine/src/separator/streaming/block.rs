//! One dual-path block, step by step: a layer along time with carried state, then one across bands.

use super::weights::Weights;
use crate::Result;
use crate::kernels::attention::{Across, Ring};
use crate::kernels::elementwise::{energy, layer_norm, relu};
use crate::kernels::recurrent::{Bidirectional, advance};
use crate::kernels::{Isa, Packed, Then};
use crate::model::BandDptConfig;

/// What steps work in; nothing stays in it.
pub struct Memory {
    /// The kernels' instructions.
    pub isa: Isa,
    /// Features, normalised: `[bands][size]`.
    pub normal: Vec<f32>,
    /// Queries, keys and values, or gates.
    wide: Vec<f32>,
    /// The state's share of the gates.
    gates: Vec<f32>,
    /// What attention or a recurrence gives.
    inner: Vec<f32>,
}

impl Memory {
    /// For networks of these sizes.
    pub fn new(isa: Isa, config: &BandDptConfig) -> Self {
        let BandDptConfig { size, time_hidden, band_hidden, .. } = *config;
        let bands = config.bands.len();
        Self {
            isa,
            normal: vec![0.0; bands * size],
            wide: vec![0.0; bands * (3 * size).max(3 * time_hidden).max(6 * band_hidden)],
            gates: vec![0.0; bands * 3 * time_hidden.max(band_hidden)],
            inner: vec![0.0; bands * size.max(time_hidden).max(2 * band_hidden)],
        }
    }
}

/// Layer normalisation's parameters.
pub struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Norm {
    /// Takes `<name>.weight` and `<name>.bias`.
    pub fn new(weights: &Weights<'_>, name: &str, size: usize) -> Result<Self> {
        Ok(Self {
            weight: weights.get(&format!("{name}.weight"), &[size])?,
            bias: weights.get(&format!("{name}.bias"), &[size])?,
        })
    }

    /// Normalises each row of `x` into the memory's `normal`.
    pub fn run(&self, x: &[f32], memory: &mut Memory) {
        layer_norm(memory.isa, x, &self.weight, &self.bias, &mut memory.normal);
    }
}

/// Projections into queries (scaled), keys and values, and back.
struct Projections {
    norm: Norm,
    inward: Packed,
    outward: Packed,
}

impl Projections {
    fn new(weights: &Weights<'_>, scope: &str, size: usize, heads: usize) -> Result<Self> {
        let mut weight = weights.get(&format!("{scope}.attention.in_proj_weight"), &[3 * size, size])?;
        let mut bias = weights.get(&format!("{scope}.attention.in_proj_bias"), &[3 * size])?;
        let scale = ((size / heads) as f32).powf(-0.5);
        weight[..size * size].iter_mut().chain(&mut bias[..size]).for_each(|query| *query *= scale);
        let name = |part: &str| format!("{scope}.attention.out_proj.{part}");
        Ok(Self {
            norm: Norm::new(weights, &format!("{scope}.norm1"), size)?,
            inward: weights.pack_wide(&weight, &bias, size),
            outward: weights.pack(&name("weight"), &name("bias"), size, size)?,
        })
    }

    /// `attend` makes `[bands][size]` of `[bands][3 * size]`.
    fn step(&self, x: &mut [f32], memory: &mut Memory, attend: impl FnOnce(&[f32], &mut [f32])) {
        self.norm.run(x, memory);
        let Memory { normal, wide, inner, .. } = memory;
        let (wide, inner) = (&mut wide[..3 * x.len()], &mut inner[..x.len()]);
        self.inward.apply(normal, wide, Then::Store);
        attend(wide, inner);
        self.outward.apply(inner, x, Then::Add);
    }
}

/// Two layers.
pub struct Block {
    attention: Option<(Projections, Ring)>,
    norm: Norm,
    input: Packed,
    recurrent: Packed,
    linear: Packed,
    /// `[bands][time_hidden]`.
    state: Vec<f32>,
    bands: BandLayer,
}

impl Block {
    /// Takes `<scope>.time.*` and `<scope>.bands.*`.
    pub fn new(weights: &Weights<'_>, scope: &str, config: &BandDptConfig) -> Result<Self> {
        let BandDptConfig { size, heads, attention_span: span, time_hidden: hidden, .. } = *config;
        let time = format!("{scope}.time");
        let bands = config.bands.len();
        let attention = || -> Result<_> {
            let bias = weights.get(&format!("{time}.attention.distance_bias"), &[heads, span])?;
            let ring = Ring::new(weights.isa, bands, size, heads, &bias);
            Ok((Projections::new(weights, &time, size, heads)?, ring))
        };
        let gru = |part: &str| format!("{time}.gru.{part}");
        let linear = |part: &str| format!("{time}.linear.{part}");
        Ok(Self {
            attention: if span > 0 { Some(attention()?) } else { None },
            norm: Norm::new(weights, &format!("{time}.norm2"), size)?,
            input: weights.pack(&gru("weight_ih"), &gru("bias_ih"), size, 3 * hidden)?,
            recurrent: weights.pack(&gru("weight_hh"), &gru("bias_hh"), hidden, 3 * hidden)?,
            linear: weights.pack(&linear("weight"), &linear("bias"), hidden, size)?,
            state: vec![0.0; bands * hidden],
            bands: BandLayer::new(weights, &format!("{scope}.bands"), config)?,
        })
    }

    /// Moves features `[bands][size]` through both layers.
    pub fn step(&mut self, x: &mut [f32], memory: &mut Memory) {
        if let Some((projections, ring)) = &mut self.attention {
            projections.step(x, memory, |qkv, out| ring.step(qkv, out));
        }
        self.norm.run(x, memory);
        let Memory { isa, normal, wide, gates, inner } = memory;
        let hidden = self.recurrent.inputs();
        let width = self.state.len() * 3;
        let (wide, gates, inner) = (&mut wide[..width], &mut gates[..width], &mut inner[..self.state.len()]);
        self.input.apply(normal, wide, Then::Store);
        self.recurrent.apply(&self.state, gates, Then::Store);
        advance(*isa, wide, gates, hidden, &mut self.state);
        relu(*isa, &self.state, inner);
        self.linear.apply(inner, x, Then::Add);
        self.bands.step(x, memory);
    }

    /// Back to the state before the first step.
    pub fn reset(&mut self) {
        if let Some((_, ring)) = &mut self.attention {
            ring.reset();
        }
        self.state.fill(0.0);
    }

    /// Root mean square of the carried state.
    pub fn state_rms(&self) -> f32 {
        (energy(Isa::Portable, &self.state) / self.state.len() as f32).sqrt()
    }
}

struct BandLayer {
    attention: Projections,
    across: Across,
    norm: Norm,
    /// Both directions' gates side by side.
    input: Packed,
    recurrence: Bidirectional,
    linear: Packed,
    /// One state.
    state: Vec<f32>,
}

impl BandLayer {
    fn new(weights: &Weights<'_>, scope: &str, config: &BandDptConfig) -> Result<Self> {
        let BandDptConfig { size, heads, band_hidden: hidden, .. } = *config;
        let gru =
            |way: &str, part: &str, shape: &[usize]| weights.get(&format!("{scope}.{way}.{part}"), shape);
        let both = |part: &str, shape: &[usize]| -> Result<Vec<f32>> {
            Ok([gru("gru", part, shape)?, gru("gru_reverse", part, shape)?].concat())
        };
        let recurrent = |way: &str| -> Result<_> {
            Ok((gru(way, "weight_hh", &[3 * hidden, hidden])?, gru(way, "bias_hh", &[3 * hidden])?))
        };
        let linear = |part: &str| format!("{scope}.linear.{part}");
        Ok(Self {
            attention: Projections::new(weights, scope, size, heads)?,
            across: Across::new(weights.isa, config.bands.len(), size, heads),
            norm: Norm::new(weights, &format!("{scope}.norm2"), size)?,
            input: weights.pack_wide(
                &both("weight_ih", &[3 * hidden, size])?,
                &both("bias_ih", &[3 * hidden])?,
                size,
            ),
            recurrence: Bidirectional::new([recurrent("gru")?, recurrent("gru_reverse")?]),
            linear: weights.pack(&linear("weight"), &linear("bias"), 2 * hidden, size)?,
            state: vec![0.0; hidden],
        })
    }

    fn step(&mut self, x: &mut [f32], memory: &mut Memory) {
        self.attention.step(x, memory, |qkv, out| self.across.step(qkv, out));
        self.norm.run(x, memory);
        let Memory { isa, normal, wide, gates, inner } = memory;
        let hidden = self.state.len();
        let bands = x.len() / self.linear.outputs();
        let (wide, inner) = (&mut wide[..bands * 6 * hidden], &mut inner[..bands * 2 * hidden]);
        self.input.apply(normal, wide, Then::Store);
        self.recurrence.run(*isa, wide, &mut gates[..3 * hidden], &mut self.state, inner);
        inner.iter_mut().for_each(|x| *x = x.max(0.0));
        self.linear.apply(inner, x, Then::Add);
    }
}
