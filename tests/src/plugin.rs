//! A plugin as a host sees it, whatever its format.

use std::path::Path;

use anyhow::{Result, bail};

use crate::clap::ClapPlugin;
use crate::vst3::Vst3Plugin;

/// The plugin formats that this host can load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// CLAP, through clack-host.
    Clap,
    /// VST3, through the vst3 bindings.
    Vst3,
}

impl Format {
    /// Both.
    pub const ALL: [Format; 2] = [Format::Clap, Format::Vst3];

    /// The file extension of its bundles.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Clap => "clap",
            Format::Vst3 => "vst3",
        }
    }
}

/// How much of the output buses the host connects, and how badly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wiring {
    /// Every bus, every channel.
    #[default]
    All,
    /// Only the first so many buses; `First(1)` is the main bus alone.
    First(usize),
    /// All buses are announced, but behind the main one every channel pointer is null.
    NullChannels,
    /// All buses are announced, but behind the main one the channel lists themselves are null.
    NullLists,
    /// As `All`, with the main output in the same memory as the input.
    InPlace,
}

impl Wiring {
    /// How many of `offered` buses get memory to write to.
    pub fn connected(self, offered: usize) -> usize {
        match self {
            Wiring::All | Wiring::InPlace => offered,
            Wiring::First(count) => count.min(offered),
            Wiring::NullChannels | Wiring::NullLists => offered.min(1),
        }
    }
}

/// How the host is going to run the plugin; constant between two activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// Hz.
    pub sample_rate: u32,
    /// The largest block that the host promises, frames.
    pub promised_block: usize,
    /// The largest block that it sends; more than promised is a host's mistake that VST3 hosts make.
    pub largest_block: usize,
    /// Rendering as fast as possible rather than playing.
    pub offline: bool,
    /// One input channel instead of two.
    pub mono: bool,
    /// Which output buses are connected.
    pub wiring: Wiring,
}

impl Setup {
    /// A well-behaved host on a stereo track, rendering offline with all buses connected.
    pub fn offline(sample_rate: u32, largest_block: usize) -> Self {
        Self {
            sample_rate,
            promised_block: largest_block,
            largest_block,
            offline: true,
            mono: false,
            wiring: Wiring::All,
        }
    }
}

/// One audio bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bus {
    /// As the plugin calls it.
    pub name: String,
    /// How many channels it has.
    pub channels: usize,
}

/// One parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// The format's own number for it.
    pub id: u32,
    /// As the plugin calls it.
    pub name: String,
    /// It is the one that the host's own bypass button controls.
    pub bypass: bool,
    /// Its plain value at 0 and at 1; VST3 has 0 and 1 themselves.
    pub range: (f64, f64),
}

/// A loaded plugin. Values of parameters are normalised: 0 to 1.
///
/// Use follows the formats' rules: `process` and `reset` between `activate` and `deactivate`.
pub trait Plugin {
    /// Its name, as a host would show it.
    fn name(&self) -> &str;

    /// Input buses, the main one first. Constant while active.
    fn inputs(&self) -> Result<Vec<Bus>>;

    /// Output buses, the main one first. Constant while active.
    fn outputs(&self) -> Result<Vec<Bus>>;

    /// All parameters.
    fn parameters(&self) -> Result<Vec<Parameter>>;

    /// A parameter's value, 0 to 1.
    fn value(&self, parameter: &Parameter) -> Result<f64>;

    /// Changes a parameter, with the first frame of the next block. At most 64 changes a block.
    fn set(&mut self, parameter: &Parameter, value: f64);

    /// The plugin's state.
    fn save(&mut self) -> Result<Vec<u8>>;

    /// Restores a state.
    ///
    /// # Errors
    /// The plugin refuses it.
    fn load(&mut self, state: &[u8]) -> Result<()>;

    /// Prepares for processing.
    ///
    /// # Errors
    /// The plugin refuses, or has no layout for mono.
    fn activate(&mut self, setup: Setup) -> Result<()>;

    /// Ends processing. No effect when inactive.
    fn deactivate(&mut self);

    /// Whether the plugin has asked to be deactivated and activated again, since it was last asked or activated.
    fn wants_restart(&mut self) -> bool;

    /// The latency that the plugin reports, frames. Only while active.
    fn latency(&self) -> Result<usize>;

    /// A jump of the transport: forget all audio. Only while active.
    fn reset(&mut self);

    /// One block, at most `largest_block` frames in each channel of the main input.
    /// No allocation and no system call of the host's own. The input's silence is announced where there is any.
    ///
    /// # Errors
    /// The plugin reports an error or writes outside its buffers; the block does not fit the setup.
    fn process(&mut self, input: &[&[f32]]) -> Result<()>;

    /// What the last block left on a connected output bus and channel; NaN where the plugin wrote nothing.
    fn output(&self, bus: usize, channel: usize) -> &[f32];
}

/// Loads the first plugin of a bundle.
///
/// # Errors
/// The bundle cannot be loaded or has no plugin.
pub fn load(format: Format, bundle: &Path) -> Result<Box<dyn Plugin>> {
    if !bundle.exists() {
        bail!("no bundle at {}; `cargo xtask bundle` makes it", bundle.display());
    }
    Ok(match format {
        Format::Clap => Box::new(ClapPlugin::load(bundle)?),
        Format::Vst3 => Box::new(Vst3Plugin::load(bundle)?),
    })
}
