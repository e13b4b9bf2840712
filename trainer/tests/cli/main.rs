//! The `trainer` command as its users run it.

mod common;
mod data;
mod separate;
mod synth;
mod train;
