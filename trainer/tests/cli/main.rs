//! The `trainer` command as its users run it.

mod common;
mod separate;
mod synth;
mod train;
