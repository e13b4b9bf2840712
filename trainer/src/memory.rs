//! How much memory the process holds, and how it keeps it.

use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

/// Keeps freed memory for the next step instead of giving it back to the system: training takes and frees gigabytes
/// in each step, and the system would clear every page again. To be called before threads start; does nothing where
/// the C library has no such choice.
pub fn keep() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` only sets the allocator's own thresholds.
    unsafe {
        // One heap for all threads, no mapping of its own for a large block, and no trimming.
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
    }
}

/// Bytes of the process now, where the machine tells.
pub fn resident(system: &mut Result<System, sysinfo::Error>) -> Option<u64> {
    let (Ok(system), Ok(pid)) = (system, sysinfo::get_current_pid()) else { return None };
    let what = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, what);
    system.process(pid).map(sysinfo::Process::memory)
}
