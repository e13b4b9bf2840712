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
    use std::ffi::{c_int, c_uint};

    const PRIO_PROCESS: c_int = 0;
    /// Above ordinary programs, below the sound server (-11 by default).
    const NICE: c_int = -5;

    unsafe extern "C" {
        fn setpriority(which: c_int, who: c_uint, nice: c_int) -> c_int;
    }

    /// On Linux, "process 0" is the calling thread. Refused without RLIMIT_NICE or CAP_SYS_NICE.
    pub fn raise() {
        // SAFETY: a plain system call on integers.
        unsafe { setpriority(PRIO_PROCESS, 0, NICE) };
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
