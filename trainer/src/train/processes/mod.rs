//! The processes that train together: one alone, or those that `mpirun` or Slurm has started.
//!
//! A batch is divided among them, item by item. All hold the same weights all the time: each adds up the gradients of
//! its own items, the sums are added up over all processes in one buffer, and each does the same optimiser step.
//! The first process writes the files.

#[cfg_attr(feature = "mpi", path = "mpi.rs")]
#[cfg_attr(not(feature = "mpi"), path = "alone.rs")]
mod world;

use std::ops::Range;

use anyhow::ensure;

use self::world::World;
use crate::exit::{self, WrongUse};

/// What one process knows of all.
pub struct Processes(Option<World>);

impl Processes {
    /// Joins the others, if this process was started together with others.
    ///
    /// # Errors
    /// There are others, and this build cannot talk to them.
    pub fn join() -> anyhow::Result<Self> {
        if is_one_of_many(|name| std::env::var(name).ok()) { world::join().map(Self) } else { Ok(Self(None)) }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.as_ref().map_or(1, World::count)
    }

    /// This one's number, from 0.
    pub fn rank(&self) -> usize {
        self.0.as_ref().map_or(0, World::rank)
    }

    /// How many there are on this machine.
    pub fn count_here(&self) -> usize {
        self.0.as_ref().map_or(1, World::count_here)
    }

    /// This one's number among those on this machine, from 0.
    pub fn rank_here(&self) -> usize {
        self.0.as_ref().map_or(0, World::rank_here)
    }

    /// Whether this is the one that writes the files and talks to the user.
    pub fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// This process's items of a batch.
    ///
    /// # Errors
    /// The batch cannot be divided evenly, so that its mean would not be the mean of the shares.
    pub fn share(&self, batch: usize) -> anyhow::Result<Range<usize>> {
        let count = self.count();
        ensure!(
            batch.is_multiple_of(count),
            WrongUse(format!(
                "{count} processes cannot share a batch of {batch} evenly: let `data.batch` be a multiple of {count}, \
                 or start another number of processes"
            ))
        );
        let share = batch / count;
        Ok(self.rank() * share..(self.rank() + 1) * share)
    }

    /// Adds the numbers of all processes; each gets the same sums.
    pub fn sum(&self, values: &mut [f32]) {
        if let Some(world) = &self.0 {
            world.sum(values);
        }
    }

    /// The same in double precision.
    pub fn sum_f64(&self, values: &mut [f64]) {
        if let Some(world) = &self.0 {
            world.sum_f64(values);
        }
    }

    /// Whether any process says so.
    pub fn any(&self, yes: bool) -> bool {
        match &self.0 {
            Some(world) => world.largest([u64::from(yes)]) == [1],
            None => yes,
        }
    }

    /// Whether all have the same number; it is not asked for if there is only one process.
    ///
    /// # Errors
    /// Those of `value`.
    pub fn agree<E>(&self, value: impl FnOnce() -> Result<u64, E>) -> Result<bool, E> {
        let Some(world) = &self.0 else { return Ok(true) };
        let value = value()?;
        let [largest, complement] = world.largest([value, !value]);
        Ok(largest == !complement)
    }

    /// Runs `work` in the first process, then in all others: they find what the first has written.
    pub fn first_before_others<R>(&self, work: impl FnOnce() -> R) -> R {
        if self.is_first() {
            let result = work();
            self.any(false);
            return result;
        }
        self.any(false);
        work()
    }

    /// Prints the error and ends all processes: the others would wait for this one for ever. Does nothing if it is
    /// alone.
    pub fn end_all_for(&self, error: &anyhow::Error) {
        if let Some(world) = &self.0 {
            eprintln!("process {} of {} failed", self.rank(), self.count());
            exit::report(error);
            world.abort(i32::from(exit::code(error)));
        }
    }
}

/// Whether `mpirun`, `srun` or the like has started this process together with others, by what they leave in the
/// environment: Open MPI, MPICH and its relatives, Slurm, and every launcher that speaks PMIx.
fn is_one_of_many(variable: impl Fn(&str) -> Option<String>) -> bool {
    let number = |name| variable(name).and_then(|value| value.parse::<usize>().ok());
    let counts = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"].map(number);
    match counts.into_iter().flatten().max() {
        Some(count) => count > 1,
        // PMIx says which one it is, but not of how many.
        None => number("PMIX_RANK").is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_launchers_leave_in_the_environment_is_understood() {
        let found = |variables: &[(&str, &str)]| {
            is_one_of_many(|name| {
                variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert!(!found(&[]));
        assert!(found(&[("OMPI_COMM_WORLD_SIZE", "2"), ("PMIX_RANK", "0")]));
        assert!(!found(&[("OMPI_COMM_WORLD_SIZE", "1"), ("PMIX_RANK", "0")]));
        assert!(found(&[("PMI_SIZE", "4"), ("PMI_RANK", "3")]));
        assert!(found(&[("PMIX_RANK", "0")]));
        assert!(!found(&[("PMIX_RANK", "0"), ("SLURM_STEP_NUM_TASKS", "1")]));
        assert!(found(&[("SLURM_STEP_NUM_TASKS", "4")]));
    }

    #[test]
    fn one_process_alone_has_everything_and_changes_nothing() {
        let alone = Processes(None);
        assert_eq!((alone.count(), alone.rank(), alone.count_here(), alone.rank_here()), (1, 0, 1, 0));
        assert_eq!(alone.share(7).unwrap(), 0..7);
        assert!(alone.any(true) && !alone.any(false) && alone.is_first());
        assert_eq!(alone.first_before_others(|| 5), 5);
        let not_asked = || -> Result<u64, ()> { Err(()) };
        assert_eq!(alone.agree(not_asked), Ok(true));
        let mut values = [1.5f32, 2.5];
        alone.sum(&mut values);
        assert_eq!(values, [1.5, 2.5]);
    }
}
