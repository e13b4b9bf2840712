//! The running stream: started, kept and ended here, from the checkpoint inside the plugin.

use std::sync::OnceLock;

use engine::checkpoint::Checkpoint;
use engine::realtime::{Stream, StreamConfig};

/// The weights, part of the plugin's own file: no download, no path, no network.
static EMBEDDED: &[u8] = include_bytes!("../../checkpoints/studio.safetensors");

/// The embedded checkpoint, read once for all instances.
fn checkpoint() -> Result<&'static Checkpoint, String> {
    static CHECKPOINT: OnceLock<Result<Checkpoint, String>> = OnceLock::new();
    CHECKPOINT
        .get_or_init(|| Checkpoint::from_bytes(EMBEDDED, "embedded").map_err(|error| error.to_string()))
        .as_ref()
        .map_err(Clone::clone)
}

/// At most one running stream.
#[derive(Default)]
pub struct Separation {
    running: Option<Running>,
}

struct Running {
    stream: Stream,
    config: StreamConfig,
}

impl Separation {
    /// Makes a stream run with `config`. One that does already is left alone, with the audio in it:
    /// hosts prepare a plugin again, while it plays, whenever they load a preset.
    ///
    /// Returns whether the stream was kept. Not for the audio thread.
    ///
    /// # Errors
    /// The checkpoint cannot be read or cannot be run at this rate. No stream runs then.
    pub fn prepare(&mut self, config: StreamConfig) -> Result<bool, String> {
        let same = |running: &Running| {
            let StreamConfig { sample_rate, max_block, offline } = running.config;
            (sample_rate, max_block, offline) == (config.sample_rate, config.max_block, config.offline)
        };
        if self.running.as_ref().is_some_and(same) {
            return Ok(true);
        }
        // The old one goes first: two at a time would need twice the memory.
        self.end();
        let separator = checkpoint()?.separator().map_err(|error| error.to_string())?;
        let stream = Stream::start(separator, config).map_err(|error| error.to_string())?;
        self.running = Some(Running { stream, config });
        Ok(false)
    }

    /// Stops the worker and frees everything. Not for the audio thread.
    pub fn end(&mut self) {
        self.running = None;
    }

    /// The stream and its largest block, for the audio thread.
    pub fn running(&mut self) -> Option<(&mut Stream, usize)> {
        self.running.as_mut().map(|running| (&mut running.stream, running.config.max_block))
    }
}
