//! The few vector operations that products are made of.

/// A register of f32 numbers.
pub trait Vector: Copy {
    /// How many.
    const LANES: usize;

    /// All zero.
    ///
    /// # Safety
    /// As for all functions here: the processor has the instructions, and pointers are good for [`Self::LANES`] numbers.
    unsafe fn zero() -> Self;
    /// All the same.
    ///
    /// # Safety
    /// See [`Self::zero`].
    unsafe fn splat(x: f32) -> Self;
    /// Reads.
    ///
    /// # Safety
    /// See [`Self::zero`].
    unsafe fn load(from: *const f32) -> Self;
    /// Reads half-precision numbers.
    ///
    /// # Safety
    /// See [`Self::zero`].
    unsafe fn load_half(from: *const u16) -> Self;
    /// `self * b + c`.
    ///
    /// # Safety
    /// See [`Self::zero`].
    unsafe fn madd(self, b: Self, c: Self) -> Self;
    /// Sum.
    ///
    /// # Safety
    /// See [`Self::zero`].
    unsafe fn add(self, b: Self) -> Self;
    /// Writes.
    ///
    /// # Safety
    /// See [`Self::zero`].
    unsafe fn store(self, to: *mut f32);
}

/// Vectors for processors about which nothing is known.
#[derive(Clone, Copy)]
pub struct Plain([f32; 8]);

impl Vector for Plain {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> Self {
        Self([0.0; 8])
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self([x; 8])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for eight numbers.
        Self(unsafe { from.cast::<[f32; 8]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn load_half(from: *const u16) -> Self {
        // SAFETY: the caller vouches for eight numbers.
        Self(
            unsafe { from.cast::<[u16; 8]>().read_unaligned() }
                .map(|bits| half::f16::from_bits(bits).to_f32()),
        )
    }

    #[inline(always)]
    unsafe fn madd(self, b: Self, c: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] * b.0[i] + c.0[i]))
    }

    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + b.0[i]))
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for eight numbers.
        unsafe { to.cast::<[f32; 8]>().write_unaligned(self.0) }
    }
}

/// Implements [`Vector`] by one instruction for each operation.
macro_rules! vector {
    ($type:ty, $lanes:literal, $zero:expr, $splat:path, $load:path, $half:expr, $madd:expr, $add:path, $store:path) => {
        impl Vector for $type {
            const LANES: usize = $lanes;

            #[inline(always)]
            unsafe fn zero() -> Self {
                // SAFETY: as for all of these, the caller vouches for the processor and the pointers.
                unsafe { $zero }
            }

            #[inline(always)]
            unsafe fn splat(x: f32) -> Self {
                // SAFETY: see above.
                unsafe { $splat(x) }
            }

            #[inline(always)]
            unsafe fn load(from: *const f32) -> Self {
                // SAFETY: see above.
                unsafe { $load(from) }
            }

            #[inline(always)]
            unsafe fn load_half(from: *const u16) -> Self {
                // SAFETY: see above.
                unsafe { $half(from) }
            }

            #[inline(always)]
            unsafe fn madd(self, b: Self, c: Self) -> Self {
                // SAFETY: see above.
                unsafe { $madd(self, b, c) }
            }

            #[inline(always)]
            unsafe fn add(self, b: Self) -> Self {
                // SAFETY: see above.
                unsafe { $add(self, b) }
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut f32) {
                // SAFETY: see above.
                unsafe { $store(to, self) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Vector;

    vector!(
        __m256,
        8,
        _mm256_setzero_ps(),
        _mm256_set1_ps,
        _mm256_loadu_ps,
        |from: *const u16| _mm256_cvtph_ps(_mm_loadu_si128(from.cast())),
        _mm256_fmadd_ps,
        _mm256_add_ps,
        _mm256_storeu_ps
    );
    vector!(
        __m512,
        16,
        _mm512_setzero_ps(),
        _mm512_set1_ps,
        _mm512_loadu_ps,
        |from: *const u16| _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())),
        _mm512_fmadd_ps,
        _mm512_add_ps,
        _mm512_storeu_ps
    );
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use std::arch::aarch64::*;

    use super::Vector;

    vector!(
        float32x4_t,
        4,
        vdupq_n_f32(0.0),
        vdupq_n_f32,
        vld1q_f32,
        |from: *const u16| {
            let bits = from.cast::<[u16; 4]>().read_unaligned();
            vld1q_f32(bits.map(|bits| half::f16::from_bits(bits).to_f32()).as_ptr())
        },
        |a, b, c| vfmaq_f32(c, a, b),
        vaddq_f32,
        vst1q_f32
    );
}
