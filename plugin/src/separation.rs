//! The running stream: started, kept and ended here, from the checkpoints inside the plugin.

use std::sync::OnceLock;

use engine::Separator;
use engine::checkpoint::Checkpoint;
use engine::device::{DeviceChoice, pick_or_cpu};
use engine::realtime::{Stream, StreamConfig};

use crate::params::{Choice, Device, HAS_DEVICES, Model};

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

/// A separator and where it runs, with the reason: on a card if that is chosen and this build and machine have one that
/// can run the network, else on the CPU.
fn separator(checkpoint: &Checkpoint, device: Device) -> Result<(Box<dyn Separator>, String), String> {
    let mut why = match checkpoint.runs_on_cards() {
        false => "cpu: this model works hop by hop, which a card is too far away for",
        true if HAS_DEVICES => "cpu: chosen",
        true => "cpu: this is the plugin for the CPU; \"Tributary CUDA\" is the one for cards",
    }
    .to_owned();
    if device == Device::Card {
        let picked = pick_or_cpu(DeviceChoice::Auto);
        match checkpoint.separator_on(&picked.device) {
            Ok(separator) => return Ok((separator, picked.why)),
            Err(error) => why = format!("cpu: the card cannot run this ({error})"),
        }
    }
    let separator = checkpoint.separator().map_err(|error| error.to_string())?;
    Ok((separator, why))
}

/// At most one running stream.
#[derive(Default)]
pub struct Separation {
    running: Option<Running>,
}

struct Running {
    stream: Stream,
    choice: Choice,
    device: String,
    config: StreamConfig,
}

impl Separation {
    /// Makes a stream of what was chosen run with `config`. One that does already is left alone, with the audio in it:
    /// hosts prepare a plugin again, while it plays, whenever they load a preset.
    ///
    /// Returns whether the stream was kept. Not for the audio thread.
    ///
    /// # Errors
    /// The checkpoint cannot be read or cannot be run at this rate. No stream runs then.
    pub fn prepare(&mut self, choice: Choice, config: StreamConfig) -> Result<bool, String> {
        let same = |running: &Running| {
            let StreamConfig { sample_rate, max_block, offline } = running.config;
            (running.choice, sample_rate, max_block, offline)
                == (choice, config.sample_rate, config.max_block, config.offline)
        };
        if self.running.as_ref().is_some_and(same) {
            return Ok(true);
        }
        // The old one goes first: two at a time would need twice the memory.
        self.end();
        let (separator, device) = separator(checkpoint(choice.model)?, choice.device)?;
        let stream = Stream::start(separator, config).map_err(|error| error.to_string())?;
        self.running = Some(Running { stream, choice, device, config });
        Ok(false)
    }

    /// Stops the worker and frees everything. Not for the audio thread.
    pub fn end(&mut self) {
        self.running = None;
    }

    /// What runs.
    pub fn choice(&self) -> Option<Choice> {
        self.running.as_ref().map(|running| running.choice)
    }

    /// Where it was begun, and why there.
    pub fn device(&self) -> Option<&str> {
        self.running.as_ref().map(|running| running.device.as_str())
    }

    /// The stream and its largest block, for the audio thread.
    pub fn running(&mut self) -> Option<(&mut Stream, usize)> {
        self.running.as_mut().map(|running| (&mut running.stream, running.config.max_block))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_run_on_cards_if_their_checkpoints_do() {
        for model in Model::ALL {
            assert_eq!(model.runs_on_cards(), checkpoint(model).unwrap().runs_on_cards(), "{}", model.name());
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn without_a_card_the_cpu_runs_it_and_says_why() {
        let (separator, why) = separator(checkpoint(Model::Studio).unwrap(), Device::Card).unwrap();
        assert!(!separator.is_on_card() && why.contains("no CUDA"), "{why}");
        let (_, why) = super::separator(checkpoint(Model::Studio).unwrap(), Device::Cpu).unwrap();
        assert!(why.contains("chosen"), "{why}");
        let (_, why) = super::separator(checkpoint(Model::Live).unwrap(), Device::Cpu).unwrap();
        assert!(why.contains("hop by hop"), "{why}");
    }
}
