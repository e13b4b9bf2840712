//! Audio in memory and in files.

mod buffer;

pub use buffer::AudioBuffer;
