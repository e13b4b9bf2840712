//! Flush-to-zero for a thread.
//!
//! Decaying states of a network end in denormal numbers, which are up to a hundred times slower than others.
//! Whatever separates runs in this mode, in the plugin and offline, so that both give the same bits.

use std::marker::PhantomData;

/// While it lives, this thread treats denormal results, and denormal operands where the processor can, as zero.
pub(crate) struct FlushDenormals {
    before: usize,
    /// It must be dropped in the thread that it was made in.
    _thread: PhantomData<*const ()>,
}

impl FlushDenormals {
    /// Switches the mode on until the guard is dropped.
    pub fn new() -> Self {
        let before = control::read();
        control::write(before | control::FLUSH);
        Self { before, _thread: PhantomData }
    }
}

impl Drop for FlushDenormals {
    fn drop(&mut self) {
        control::write(self.before);
    }
}

#[cfg(target_arch = "x86_64")]
mod control {
    /// Flush to zero, and denormals are zero.
    pub const FLUSH: usize = 1 << 15 | 1 << 6;

    pub fn read() -> usize {
        let mut mxcsr = 0_u32;
        // SAFETY: stores this thread's control register to a local variable; changes nothing else.
        unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &mut mxcsr, options(nostack, preserves_flags)) };
        mxcsr as usize
    }

    pub fn write(value: usize) {
        let mxcsr = value as u32;
        // SAFETY: the value was read from this register, but for two bits that every x86-64 has; they concern
        // this thread's arithmetic alone, and no computation here relies on denormals.
        unsafe {
            std::arch::asm!("ldmxcsr [{}]", in(reg) &mxcsr, options(nostack, preserves_flags, readonly))
        };
    }
}

#[cfg(target_arch = "aarch64")]
mod control {
    /// Flush to zero, operands included.
    pub const FLUSH: usize = 1 << 24;

    pub fn read() -> usize {
        let fpcr: usize;
        // SAFETY: reads this thread's control register.
        unsafe { std::arch::asm!("mrs {}, fpcr", out(reg) fpcr, options(nomem, nostack, preserves_flags)) };
        fpcr
    }

    pub fn write(value: usize) {
        // SAFETY: the value was read from this register, but for a bit that every AArch64 has; it concerns
        // this thread's arithmetic alone, and no computation here relies on denormals.
        unsafe { std::arch::asm!("msr fpcr, {}", in(reg) value, options(nomem, nostack, preserves_flags)) };
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod control {
    pub const FLUSH: usize = 0;

    pub fn read() -> usize {
        0
    }

    pub fn write(_: usize) {}
}

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn a_denormal_result_is_zero_while_the_guard_lives() {
        let product = || black_box(1e-30_f32) * black_box(1e-10_f32);
        let guard = FlushDenormals::new();
        assert_eq!(product(), 0.0);
        drop(guard);
        assert_ne!(product(), 0.0);
    }
}
