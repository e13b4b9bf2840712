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

/// Seconds for which the machine's cores were busy or taken away so far, added up; `None` where the system does not
/// say.
#[cfg(target_os = "linux")]
pub fn machine_seconds() -> Option<f64> {
    let statistics = std::fs::read_to_string("/proc/stat").ok()?;
    let mut fields = statistics.lines().next()?.split_whitespace();
    (fields.next()? == "cpu").then_some(())?;
    // User, nice, system, idle, waiting for a disk, interrupts (twice), stolen by other machines.
    let ticks: Vec<f64> = fields.take(8).map_while(|field| field.parse().ok()).collect();
    let &[user, nice, system, _, _, interrupts, soft_interrupts, stolen] = &ticks[..] else { return None };
    // SAFETY: no pointers.
    let ticks_per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    let busy = user + nice + system + interrupts + soft_interrupts + stolen;
    (ticks_per_second > 0).then(|| busy / ticks_per_second as f64)
}

/// Seconds for which the machine's cores were busy; not known here.
#[cfg(not(target_os = "linux"))]
pub fn machine_seconds() -> Option<f64> {
    None
}

/// Makes the calling thread what audio threads are: woken on time, and ahead of ordinary threads. As far as the
/// system lets us; without it, more blocks are late than in a workstation, never fewer.
#[cfg(target_os = "linux")]
pub fn become_audio_thread() {
    /// Where real time is refused: as the sound server's threads.
    const NICE: libc::c_int = -11;
    let real_time = libc::sched_param { sched_priority: 1 };
    // SAFETY: plain system calls on integers and a structure of ours; 0 is the calling thread. Refusals change
    // nothing.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1);
        if libc::sched_setscheduler(0, libc::SCHED_RR, &raw const real_time) != 0 {
            libc::setpriority(libc::PRIO_PROCESS, 0, NICE);
        }
    }
}

/// Makes the calling thread what audio threads are, where this program knows how.
#[cfg(not(target_os = "linux"))]
pub fn become_audio_thread() {}
