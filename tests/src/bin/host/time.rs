//! Processor time, and threads whose time is short.

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

/// Makes the calling thread what audio threads are: woken on time, and ahead of ordinary threads. As far as the
/// system lets us; without it, more blocks are late than in a workstation, never fewer.
#[cfg(target_os = "linux")]
pub fn become_audio_thread() {
    /// As the sound server's threads.
    const NICE: libc::c_int = -11;
    // SAFETY: plain system calls on integers; "process 0" is the calling thread. Refusals change nothing.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1);
        libc::setpriority(libc::PRIO_PROCESS, 0, NICE);
    }
}

/// Makes the calling thread what audio threads are, where this program knows how.
#[cfg(not(target_os = "linux"))]
pub fn become_audio_thread() {}
