//! The restart handshake between the two threads: two atomic words and a stop flag.
//!
//! A restart begins a new *generation*. The audio thread requests it and says where in the input it begins;
//! the worker throws away the input before that point, resets the separator and acknowledges, saying where in
//! the output the generation begins. Each message is one word, so that neither side can see half of it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const FRAME_BITS: u32 = 48;

/// Where a generation begins: after this many frames have gone through a ring since the stream's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Mark {
    /// Wraps; only one request is ever outstanding, so equality is enough.
    pub generation: u16,
    /// 48 bits are 23 years at 384 kHz.
    pub frames: u64,
}

impl Mark {
    fn pack(self) -> u64 {
        (u64::from(self.generation) << FRAME_BITS) | (self.frames & ((1 << FRAME_BITS) - 1))
    }

    fn unpack(word: u64) -> Self {
        Self { generation: (word >> FRAME_BITS) as u16, frames: word & ((1 << FRAME_BITS) - 1) }
    }
}

/// Shared by the audio thread and the worker. All zero: generation 0 runs and begins at frame 0.
#[derive(Default)]
pub(super) struct Control {
    request: AtomicU64,
    acknowledged: AtomicU64,
    stop: AtomicBool,
}

impl Control {
    /// Audio thread: a new generation begins at this input frame.
    pub fn request(&self, mark: Mark) {
        self.request.store(mark.pack(), Ordering::Release);
    }

    /// Worker: the newest request. Seen at the latest by whoever sees input that was pushed after it.
    pub fn requested(&self) -> Mark {
        Mark::unpack(self.request.load(Ordering::Acquire))
    }

    /// Worker: the generation begins at this output frame.
    pub fn acknowledge(&self, mark: Mark) {
        self.acknowledged.store(mark.pack(), Ordering::Release);
    }

    /// Audio thread: the newest acknowledgement.
    pub fn acknowledged(&self) -> Mark {
        Mark::unpack(self.acknowledged.load(Ordering::Acquire))
    }

    /// Owner: the worker shall end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Worker: whether to end.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_survives_its_word() {
        for mark in [
            Mark::default(),
            Mark { generation: 1, frames: 7 },
            Mark { generation: u16::MAX, frames: (1 << FRAME_BITS) - 1 },
        ] {
            assert_eq!(Mark::unpack(mark.pack()), mark);
        }
    }
}
