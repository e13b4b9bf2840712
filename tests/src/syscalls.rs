//! A guard against system calls on the audio thread (Linux).
//!
//! A lock that has to wait, an allocation that asks the system for memory, a log line, a sleep: all of these
//! end in a system call, and a system call may take any time. The guard is a seccomp filter on one thread;
//! it cannot be taken off again.

use std::ffi::c_int;
use std::sync::atomic::{AtomicI32, Ordering};

use anyhow::{Result, ensure};

/// The exit code of a program whose guarded thread has made a system call.
pub const EXIT_CODE: u8 = 86;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7;

/// A second name of standard error, for our message: the plugin must not write to the first.
static MESSAGES: AtomicI32 = AtomicI32::new(-1);

/// From now on, a system call of the calling thread ends the program with [`EXIT_CODE`] and a message.
///
/// Left over: that message, ending the program, and reading the clock (which on most machines needs no system
/// call).
///
/// # Errors
/// The kernel refuses the filter.
pub fn forbid_on_this_thread() -> Result<()> {
    use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W};

    // SAFETY: no pointers. High, so that nobody meets it by accident.
    let messages = unsafe { libc::fcntl(libc::STDERR_FILENO, libc::F_DUPFD_CLOEXEC, 700) };
    ensure!(messages >= 0, "standard error has no second name: {}", std::io::Error::last_os_error());
    MESSAGES.store(messages, Ordering::SeqCst);
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let jump =
        |k: u32, jt: u8, jf: u8| libc::sock_filter { code: (BPF_JMP | BPF_JEQ | BPF_K) as u16, jt, jf, k };
    let load = |offset: usize| statement(BPF_LD | BPF_W | BPF_ABS, offset as u32);
    let number = std::mem::offset_of!(libc::seccomp_data, nr);
    let architecture = std::mem::offset_of!(libc::seccomp_data, arch);
    // The low half of the first argument, on little-endian machines.
    let first_argument = std::mem::offset_of!(libc::seccomp_data, args);
    let mut filter = [
        load(architecture),
        jump(ARCHITECTURE, 0, 6),
        load(number),
        jump(libc::SYS_clock_gettime as u32, 5, 0),
        jump(libc::SYS_exit_group as u32, 4, 0),
        jump(libc::SYS_write as u32, 0, 2),
        load(first_argument),
        jump(messages.cast_unsigned(), 1, 0),
        statement(BPF_RET | BPF_K, libc::SECCOMP_RET_TRAP),
        statement(BPF_RET | BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the handler only calls what signal handlers may call; the filter outlives its installation.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = report as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        ensure!(libc::sigaction(libc::SIGSYS, &action, std::ptr::null_mut()) == 0, "cannot catch SIGSYS");
        ensure!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "the kernel refuses no_new_privs");
        let installed = libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program);
        ensure!(installed == 0, "the kernel refuses the seccomp filter: {}", std::io::Error::last_os_error());
    }
    Ok(())
}

/// Says which system call it was, without allocating, and ends the program.
extern "C" fn report(_: c_int, info: *mut libc::siginfo_t, _: *mut std::ffi::c_void) {
    // SAFETY: the kernel passes a valid structure; for SIGSYS the number lies behind signal, error and code
    // (three ints, padded to eight bytes) and the address of the call.
    let number = unsafe { *info.cast::<u8>().add(24).cast::<c_int>() };
    let mut text = *b"error: system call      on the audio thread\n";
    let (mut rest, mut digit) = (number.unsigned_abs(), 22);
    loop {
        text[digit] = b'0' + (rest % 10) as u8;
        rest /= 10;
        digit -= 1;
        if rest == 0 {
            break;
        }
    }
    // SAFETY: both are allowed in signal handlers, and by the filter.
    unsafe {
        libc::write(MESSAGES.load(Ordering::SeqCst), text.as_ptr().cast(), text.len());
        libc::_exit(c_int::from(EXIT_CODE));
    }
}
