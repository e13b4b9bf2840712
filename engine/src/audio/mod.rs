//! Audio in memory and in files.

mod buffer;
mod sanitise;

pub use buffer::AudioBuffer;
pub use sanitise::{INPUT_LIMIT, sanitise};
