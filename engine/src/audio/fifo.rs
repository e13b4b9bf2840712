//! A queue of planar frames, of fixed capacity, without allocation.

use super::AudioBuffer;

/// First in, first out, `[channels][capacity]`.
pub(crate) struct Fifo {
    ring: AudioBuffer,
    start: usize,
    len: usize,
}

impl Fifo {
    /// Empty.
    pub fn new(channels: usize, capacity: usize) -> Self {
        Self { ring: AudioBuffer::new(channels, capacity), start: 0, len: 0 }
    }

    /// Frames in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Empties it, then puts `frames` of silence into it.
    pub fn refill(&mut self, frames: usize) {
        self.ring.clear();
        self.start = 0;
        self.len = frames;
    }

    /// Appends as many frames as the channels have; there must be room.
    pub fn push<'a>(&mut self, channels: impl Iterator<Item = &'a [f32]>) {
        let at = (self.start + self.len) % self.ring.frames();
        let mut frames = 0;
        for (ring, new) in self.ring.iter_mut().zip(channels) {
            frames = new.len();
            let first = frames.min(ring.len() - at);
            ring[at..at + first].copy_from_slice(&new[..first]);
            ring[..frames - first].copy_from_slice(&new[first..]);
        }
        self.len += frames;
        debug_assert!(self.len <= self.ring.frames());
    }

    /// Takes as many frames as the channels have; they must be there.
    pub fn pop<'a>(&mut self, channels: impl Iterator<Item = &'a mut [f32]>) {
        let at = self.start;
        let mut frames = 0;
        for (ring, out) in self.ring.iter().zip(channels) {
            frames = out.len();
            let first = frames.min(ring.len() - at);
            out[..first].copy_from_slice(&ring[at..at + first]);
            out[first..].copy_from_slice(&ring[..frames - first]);
        }
        debug_assert!(frames <= self.len);
        self.start = (at + frames) % self.ring.frames();
        self.len -= frames;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_in_the_order_they_went_in() {
        let mut fifo = Fifo::new(1, 10);
        fifo.refill(2);
        let (mut next_in, mut expected) = (1.0, vec![0.0, 0.0]);
        for size in [3, 4, 1, 5, 7, 2] {
            let block: Vec<f32> = (0..size).map(|n| next_in + n as f32).collect();
            next_in += size as f32;
            fifo.push([block.as_slice()].into_iter());
            expected.extend_from_slice(&block);
            let mut out = vec![0.0; size];
            fifo.pop([out.as_mut_slice()].into_iter());
            assert_eq!(out, expected[..size]);
            expected.drain(..size);
            assert_eq!(fifo.len(), 2);
        }
    }
}
