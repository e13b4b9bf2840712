//! A higher priority for the threads that separate.
//!
//! Only what an ordinary user may ask for and what cannot freeze a machine: no real-time class, because a model
//! too large for the machine would then starve everything else. All of it is best effort; a refusal changes nothing.

use std::cell::Cell;

thread_local! {
    static RAISED: Cell<bool> = const { Cell::new(false) };
}

/// Raises this thread's priority, where the system lets us.
pub(crate) fn raise() {
    RAISED.set(true);
    system::raise();
}

/// Whether this thread asked for it: threads that work for it shall ask, too.
pub(crate) fn is_raised() -> bool {
    RAISED.get()
}

#[cfg(target_os = "linux")]
mod system {
    use std::ffi::{c_int, c_long, c_uint};

    const PRIO_PROCESS: c_int = 0;
    /// Above ordinary programs, below the sound server (-11 by default).
    const NICE: c_int = -5;
    /// How long this thread computes before others may have their turn, if it has had its share; the shorter, the
    /// sooner it begins after it was woken. The kernel's own is 3 ms and more, half of a Live hop.
    const SLICE_NANOSECONDS: u64 = 300_000;

    unsafe extern "C" {
        fn setpriority(which: c_int, who: c_uint, nice: c_int) -> c_int;
        fn getpriority(which: c_int, who: c_uint) -> c_int;
        fn syscall(number: c_long, ...) -> c_long;
    }

    /// The kernel's `struct sched_attr`, in its first version.
    #[repr(C)]
    struct SchedulingAttributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }

    #[cfg(target_arch = "x86_64")]
    const SCHED_SETATTR: Option<c_long> = Some(314);
    #[cfg(target_arch = "aarch64")]
    const SCHED_SETATTR: Option<c_long> = Some(274);
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    const SCHED_SETATTR: Option<c_long> = None;

    /// On Linux, "process 0" is the calling thread. A better niceness is refused without RLIMIT_NICE or
    /// CAP_SYS_NICE; anybody may have short slices, from Linux 6.12 on.
    pub fn raise() {
        // SAFETY: plain system calls on integers.
        let nice = unsafe {
            setpriority(PRIO_PROCESS, 0, NICE);
            getpriority(PRIO_PROCESS, 0)
        };
        let attributes = SchedulingAttributes {
            size: size_of::<SchedulingAttributes>() as u32,
            policy: 0,
            flags: 0,
            nice,
            priority: 0,
            runtime: SLICE_NANOSECONDS,
            deadline: 0,
            period: 0,
        };
        if let Some(number) = SCHED_SETATTR {
            // SAFETY: the kernel reads as many bytes as `size` says: thread, attributes, flags.
            unsafe { syscall(number, 0 as c_long, &raw const attributes, 0 as c_long) };
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_attributes_are_laid_out_as_the_kernel_wants_them() {
            assert_eq!(size_of::<SchedulingAttributes>(), 48);
            assert_eq!(std::mem::offset_of!(SchedulingAttributes, runtime), 24);
        }
    }
}

#[cfg(target_os = "macos")]
mod system {
    use std::ffi::{c_int, c_uint};

    const QOS_CLASS_USER_INTERACTIVE: c_uint = 0x21;

    unsafe extern "C" {
        fn pthread_set_qos_class_self_np(class: c_uint, relative_priority: c_int) -> c_int;
    }

    pub fn raise() {
        // SAFETY: concerns the calling thread alone, and takes plain integers.
        unsafe { pthread_set_qos_class_self_np(QOS_CLASS_USER_INTERACTIVE, 0) };
    }
}

#[cfg(windows)]
mod system {
    use std::ffi::{c_int, c_void};

    const THREAD_PRIORITY_HIGHEST: c_int = 2;

    #[link(name = "kernel32")]
    unsafe extern "system" {
        fn GetCurrentThread() -> *mut c_void;
        fn SetThreadPriority(thread: *mut c_void, priority: c_int) -> c_int;
    }

    pub fn raise() {
        // SAFETY: the pseudo handle of the calling thread is always valid and needs no closing.
        unsafe { SetThreadPriority(GetCurrentThread(), THREAD_PRIORITY_HIGHEST) };
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
mod system {
    pub fn raise() {}
}
