//! Processor time.

/// Which processor time is asked for.
#[derive(Debug, Clone, Copy)]
pub enum Whose {
    /// Of all threads of this program.
    Program,
    /// Of the calling thread.
    Thread,
}

/// Seconds of processor time used so far; `None` where the system does not say.
#[cfg(unix)]
pub fn processor_seconds(whose: Whose) -> Option<f64> {
    let clock = match whose {
        Whose::Program => libc::CLOCK_PROCESS_CPUTIME_ID,
        Whose::Thread => libc::CLOCK_THREAD_CPUTIME_ID,
    };
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is ours.
    let done = unsafe { libc::clock_gettime(clock, &mut time) } == 0;
    done.then_some(time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9)
}

/// Seconds of processor time used so far; `None` where the system does not say.
#[cfg(not(unix))]
pub fn processor_seconds(_: Whose) -> Option<f64> {
    None
}
