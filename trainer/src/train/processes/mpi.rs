//! Processes that talk by MPI.

use anyhow::Context;
use mpi::Threading;
use mpi::collective::SystemOperation;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Equivalence};

/// All processes. MPI ends when it is dropped, which waits for the others.
pub struct World {
    all: SimpleCommunicator,
    /// Those on the same machine.
    here: SimpleCommunicator,
    _universe: Universe,
}

impl Drop for World {
    fn drop(&mut self) {
        // The others wait for a process that will never come.
        if std::thread::panicking() {
            self.abort(PANICKED);
        }
    }
}

/// The exit code of a Rust program that has panicked.
const PANICKED: i32 = 101;

/// Starts MPI; `None` if there is only this process after all.
///
/// # Errors
/// MPI cannot be started.
pub fn join() -> anyhow::Result<Option<World>> {
    // Only the thread that trains talks to the others.
    let (universe, _) =
        mpi::initialize_with_threading(Threading::Funneled).context("MPI cannot be started")?;
    let all = universe.world();
    let here = all.split_shared(all.rank());
    let world = World { all, here, _universe: universe };
    Ok((world.count() > 1).then_some(world))
}

impl World {
    pub fn count(&self) -> usize {
        self.all.size() as usize
    }

    pub fn rank(&self) -> usize {
        self.all.rank() as usize
    }

    pub fn count_here(&self) -> usize {
        self.here.size() as usize
    }

    pub fn rank_here(&self) -> usize {
        self.here.rank() as usize
    }

    pub fn sum(&self, values: &mut [f32]) {
        self.reduce(values, SystemOperation::sum());
    }

    pub fn sum_f64(&self, values: &mut [f64]) {
        self.reduce(values, SystemOperation::sum());
    }

    /// The largest of each number over all processes.
    pub fn largest<const N: usize>(&self, mut values: [u64; N]) -> [u64; N] {
        self.reduce(&mut values, SystemOperation::max());
        values
    }

    /// Ends all processes.
    pub fn abort(&self, code: i32) {
        self.all.abort(code)
    }

    fn reduce<T: Equivalence + Copy>(&self, values: &mut [T], operation: SystemOperation) {
        let own = values.to_vec();
        self.all.all_reduce_into(&own[..], values, operation);
    }
}
