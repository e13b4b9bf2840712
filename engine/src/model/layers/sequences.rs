//! Where independent sequences lie in `[frames, bands, width]`: layers along time run down the frames of each band,
//! layers across bands along the bands of each frame.

use super::cpu::Matrix;

/// What a sequence runs along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// One sequence for each band; the frames are its steps.
    Frames,
    /// One sequence for each frame; the bands are its steps.
    Bands,
}

/// The sequences of one tensor.
#[derive(Debug, Clone, Copy)]
pub struct Sequences {
    /// What they run along.
    pub axis: Axis,
    /// Size of the first axis.
    pub frames: usize,
    /// Size of the second.
    pub bands: usize,
}

/// Neighbouring sequences that are worked on together.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// The first of them.
    pub first: usize,
    /// How many.
    pub rows: usize,
}

/// Rows of one step, some numbers apart.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// From the first row's first number on, and past the last one's.
    pub data: &'a [f32],
    /// From one row to the next.
    pub stride: usize,
}

impl<'a> Rows<'a> {
    /// For a product.
    pub fn matrix(self) -> Matrix<'a> {
        Matrix { data: self.data, row_stride: self.stride, column_stride: 1 }
    }

    /// The first `width` numbers of each row. It does not know how many rows there are.
    pub fn iter(self, width: usize) -> impl Iterator<Item = &'a [f32]> {
        self.data.chunks(self.stride).map(move |row| &row[..width])
    }
}

impl Sequences {
    /// Steps of each sequence.
    pub fn steps(&self) -> usize {
        match self.axis {
            Axis::Frames => self.frames,
            Axis::Bands => self.bands,
        }
    }

    /// How many sequences there are.
    fn count(&self) -> usize {
        match self.axis {
            Axis::Frames => self.bands,
            Axis::Bands => self.frames,
        }
    }

    /// Groups of nearly the same size, which follows from the sizes alone, never from the number of threads.
    pub fn groups(&self, largest: usize) -> Vec<Group> {
        let count = self.count();
        let each = count.div_ceil(count.div_ceil(largest).max(1)).max(1);
        (0..count).step_by(each).map(|first| Group { first, rows: each.min(count - first) }).collect()
    }

    /// A group's rows of one step of `[frames, bands, width]`.
    pub fn step<'a>(&self, x: &'a [f32], width: usize, group: Group, step: usize) -> Rows<'a> {
        let (at, stride) = match self.axis {
            Axis::Frames => (step * self.bands + group.first, width),
            Axis::Bands => (group.first * self.bands + step, self.bands * width),
        };
        Rows { data: &x[at * width..], stride }
    }

    /// Each group's own part of `[frames, bands, width]`, so that several threads can write at a time.
    pub fn share<'a>(&self, x: &'a mut [f32], width: usize, groups: &[Group]) -> Vec<Part<'a>> {
        let part = |_| Part { pieces: Vec::new(), axis: self.axis, width, stride: self.bands * width };
        let mut parts: Vec<_> = groups.iter().map(part).collect();
        match self.axis {
            Axis::Frames => {
                for mut frame in x.chunks_exact_mut(self.bands * width) {
                    for (part, group) in parts.iter_mut().zip(groups) {
                        let (piece, rest) = frame.split_at_mut(group.rows * width);
                        part.pieces.push(piece);
                        frame = rest;
                    }
                }
            }
            Axis::Bands => {
                let mut rest = x;
                for (part, group) in parts.iter_mut().zip(groups) {
                    let (piece, later) = rest.split_at_mut(group.rows * self.bands * width);
                    part.pieces.push(piece);
                    rest = later;
                }
            }
        }
        parts
    }
}

/// A group's part of `[frames, bands, width]`, to be written.
pub struct Part<'a> {
    /// One for each frame along frames, one in all across bands.
    pieces: Vec<&'a mut [f32]>,
    axis: Axis,
    width: usize,
    /// From one frame to the next.
    stride: usize,
}

impl Part<'_> {
    /// The rows of one step, and how far they lie apart.
    pub fn step(&mut self, step: usize) -> (&mut [f32], usize) {
        match self.axis {
            Axis::Frames => (&mut *self.pieces[step], self.width),
            Axis::Bands => (&mut self.pieces[0][step * self.width..], self.stride),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_read_and_write_every_row_of_every_step_once() {
        let (frames, bands, width) = (7, 5, 3);
        let x: Vec<f32> = (0..frames * bands * width).map(|i| i as f32).collect();
        for axis in [Axis::Frames, Axis::Bands] {
            for largest in [1, 2, 3, 100] {
                let sequences = Sequences { axis, frames, bands };
                let groups = sequences.groups(largest);
                assert!(groups.iter().all(|group| (1..=largest).contains(&group.rows)));
                let mut out = vec![0.0f32; x.len()];
                for (&group, mut part) in groups.iter().zip(sequences.share(&mut out, width, &groups)) {
                    for step in 0..sequences.steps() {
                        let from = sequences.step(&x, width, group, step).iter(width).take(group.rows);
                        let (to, stride) = part.step(step);
                        to.chunks_mut(stride).zip(from).for_each(|(to, from)| {
                            to[..width].iter_mut().zip(from).for_each(|(to, from)| *to += from);
                        });
                    }
                }
                assert_eq!(out, x, "{axis:?}, at most {largest}");
            }
        }
    }
}
