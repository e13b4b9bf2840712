//! Checkpoints by name or by file.

use std::path::Path;

use engine::Result;
use engine::checkpoint::Checkpoint;

/// The Live checkpoint, the same as in the plugin.
static LIVE: &[u8] = include_bytes!("../../checkpoints/live.safetensors");
/// The Studio checkpoint, the same as in the plugin.
static STUDIO: &[u8] = include_bytes!("../../checkpoints/studio.safetensors");

/// `live` and `studio` are the embedded checkpoints; anything else is a file.
pub fn checkpoint(name: &str) -> Result<Checkpoint> {
    match name {
        "live" => Checkpoint::from_bytes(LIVE, "live (embedded)"),
        "studio" => Checkpoint::from_bytes(STUDIO, "studio (embedded)"),
        file => Checkpoint::read(Path::new(file)),
    }
}

#[cfg(test)]
mod tests;
