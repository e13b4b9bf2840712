//! The `trainer` command as its users run it.

mod bench;
mod bench_training;
mod common;
mod data;
mod device;
mod evaluate;
mod inspect;
#[cfg(feature = "mpi")]
mod mpi;
mod score;
mod selftest;
mod separate;
mod synth;
mod train;
