//! The running stream: started, kept and ended here, from the checkpoints inside the plugin.

use std::sync::OnceLock;

use engine::Separator;
use engine::checkpoint::Checkpoint;
use engine::device::{DeviceChoice, pick_or_cpu};
use engine::realtime::{Stream, StreamConfig};

use crate::params::Model;

/// The weights, part of the plugin's own file: no download, no path, no network.
fn embedded(model: Model) -> &'static [u8] {
    match model {
        Model::Live => include_bytes!("../../checkpoints/live.safetensors"),
        Model::Studio => include_bytes!("../../checkpoints/studio.safetensors"),
    }
}

/// An embedded checkpoint, read once for all instances, when it is first wanted.
fn checkpoint(model: Model) -> Result<&'static Checkpoint, String> {
    static READ: [OnceLock<Result<Checkpoint, String>>; Model::ALL.len()] =
        [const { OnceLock::new() }; Model::ALL.len()];
    READ[model as usize]
        .get_or_init(|| {
            let name = format!("{} (embedded)", model.name());
            Checkpoint::from_bytes(embedded(model), &name).map_err(|error| error.to_string())
        })
        .as_ref()
        .map_err(Clone::clone)
}

/// On a card where this build and this machine have one that can run the network, else on the CPU.
fn separator(checkpoint: &Checkpoint) -> Result<Box<dyn Separator>, String> {
    let on_card = || checkpoint.separator_on(&pick_or_cpu(DeviceChoice::Auto).device).ok();
    let separator = checkpoint.runs_on_cards().then(on_card).flatten();
    separator.map_or_else(|| checkpoint.separator(), Ok).map_err(|error| error.to_string())
}

/// At most one running stream.
#[derive(Default)]
pub struct Separation {
    running: Option<Running>,
}

struct Running {
    stream: Stream,
    model: Model,
    config: StreamConfig,
}

impl Separation {
    /// Makes a stream of `model` run with `config`. One that does already is left alone, with the audio in it:
    /// hosts prepare a plugin again, while it plays, whenever they load a preset.
    ///
    /// Returns whether the stream was kept. Not for the audio thread.
    ///
    /// # Errors
    /// The checkpoint cannot be read or cannot be run at this rate. No stream runs then.
    pub fn prepare(&mut self, model: Model, config: StreamConfig) -> Result<bool, String> {
        let same = |running: &Running| {
            let StreamConfig { sample_rate, max_block, offline } = running.config;
            (running.model, sample_rate, max_block, offline)
                == (model, config.sample_rate, config.max_block, config.offline)
        };
        if self.running.as_ref().is_some_and(same) {
            return Ok(true);
        }
        // The old one goes first: two at a time would need twice the memory.
        self.end();
        let separator = separator(checkpoint(model)?)?;
        let stream = Stream::start(separator, config).map_err(|error| error.to_string())?;
        self.running = Some(Running { stream, model, config });
        Ok(false)
    }

    /// Stops the worker and frees everything. Not for the audio thread.
    pub fn end(&mut self) {
        self.running = None;
    }

    /// The model that runs.
    pub fn model(&self) -> Option<Model> {
        self.running.as_ref().map(|running| running.model)
    }

    /// The stream and its largest block, for the audio thread.
    pub fn running(&mut self) -> Option<(&mut Stream, usize)> {
        self.running.as_mut().map(|running| (&mut running.stream, running.config.max_block))
    }
}
