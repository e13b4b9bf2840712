//! Checkpoints by name or by file.

use std::path::Path;

use engine::Result;
use engine::checkpoint::Checkpoint;

/// The Studio checkpoint, the same as in the plugin.
static STUDIO: &[u8] = include_bytes!("../../checkpoints/studio.safetensors");

/// `studio` is the embedded checkpoint; anything else is a file.
pub fn checkpoint(name: &str) -> Result<Checkpoint> {
    match name {
        "studio" => Checkpoint::from_bytes(STUDIO, "studio (embedded)"),
        file => Checkpoint::read(Path::new(file)),
    }
}
