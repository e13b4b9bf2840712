//! What builds without MPI have in its place: nothing.

use anyhow::bail;

use crate::exit::WrongUse;

/// There is none.
pub enum World {}

/// # Errors
/// Always: each of the processes would train the same run, and write over the others' files.
pub fn join() -> anyhow::Result<Option<World>> {
    bail!(WrongUse(
        "this is one of several processes, and this build trains in one only: build with `--features mpi`, or start \
         a single process"
            .into()
    ))
}

impl World {
    pub fn count(&self) -> usize {
        match *self {}
    }

    pub fn rank(&self) -> usize {
        match *self {}
    }

    pub fn count_here(&self) -> usize {
        match *self {}
    }

    pub fn rank_here(&self) -> usize {
        match *self {}
    }

    pub fn sum(&self, _values: &mut [f32]) {
        match *self {}
    }

    pub fn sum_f64(&self, _values: &mut [f64]) {
        match *self {}
    }

    pub fn largest<const N: usize>(&self, _values: [u64; N]) -> [u64; N] {
        match *self {}
    }

    pub fn abort(&self, _code: i32) {
        match *self {}
    }
}
