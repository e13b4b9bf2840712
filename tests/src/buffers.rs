//! The memory that a plugin reads and writes, with fences around it.

use anyhow::{Result, ensure};

use crate::plugin::{Bus, Setup, Wiring};

/// Behind the last frame of a block: a plugin that writes there has overrun it.
const FENCE: f32 = 12_345.678;
/// Frames of fence behind the largest block.
const FENCE_FRAMES: usize = 64;

/// One block of input and output, and the channel pointers that the formats ask for.
pub struct Buffers {
    largest_block: usize,
    wiring: Wiring,
    frames: usize,
    /// `[channels][largest_block + FENCE_FRAMES]`
    input: Vec<Vec<f32>>,
    /// `[buses][channels][largest_block + FENCE_FRAMES]`, only the connected buses.
    outputs: Vec<Vec<Vec<f32>>>,
    input_pointers: Vec<*mut f32>,
    /// `[announced buses][channels]`
    output_pointers: Vec<Vec<*mut f32>>,
}

impl Buffers {
    pub fn new(setup: Setup, input: &Bus, outputs: &[Bus]) -> Self {
        let frames = setup.largest_block + FENCE_FRAMES;
        let connected = setup.wiring.connected(outputs.len());
        let announced = match setup.wiring {
            Wiring::First(count) => count.min(outputs.len()),
            _ => outputs.len(),
        };
        Self {
            largest_block: setup.largest_block,
            wiring: setup.wiring,
            frames: 0,
            input: vec![vec![0.0; frames]; input.channels],
            outputs: outputs[..connected].iter().map(|bus| vec![vec![0.0; frames]; bus.channels]).collect(),
            input_pointers: vec![std::ptr::null_mut(); input.channels],
            output_pointers: outputs[..announced]
                .iter()
                .map(|bus| vec![std::ptr::null_mut(); bus.channels])
                .collect(),
        }
    }

    /// Takes in one block, fences everything, and points all pointers at it.
    pub fn fill(&mut self, input: &[&[f32]]) -> Result<()> {
        let frames = input.first().map_or(0, |channel| channel.len());
        ensure!(
            input.len() == self.input.len() && input.iter().all(|channel| channel.len() == frames),
            "the plugin has {} input channels; the block has {}",
            self.input.len(),
            input.len()
        );
        ensure!(frames <= self.largest_block, "{frames} frames, and room for {}", self.largest_block);
        self.frames = frames;
        for (buffer, channel) in self.input.iter_mut().zip(input) {
            buffer[..frames].copy_from_slice(channel);
            buffer[frames..].fill(FENCE);
        }
        for buffer in self.outputs.iter_mut().flatten() {
            buffer[..frames].fill(f32::NAN);
            buffer[frames..].fill(FENCE);
        }
        for (pointer, buffer) in self.input_pointers.iter_mut().zip(&mut self.input) {
            *pointer = buffer.as_mut_ptr();
        }
        for (pointers, buffers) in self.output_pointers.iter_mut().zip(&mut self.outputs) {
            for (pointer, buffer) in pointers.iter_mut().zip(buffers) {
                *pointer = buffer.as_mut_ptr();
            }
        }
        if self.wiring == Wiring::InPlace
            && let Some(main) = self.output_pointers.first_mut()
        {
            for (pointer, input) in main.iter_mut().zip(&self.input_pointers) {
                *pointer = *input;
            }
        }
        Ok(())
    }

    /// After `process`: the fences must still stand.
    pub fn check(&self) -> Result<()> {
        let stands = |buffer: &Vec<f32>| buffer[self.frames..].iter().all(|sample| *sample == FENCE);
        ensure!(
            self.input.iter().all(stands) && self.outputs.iter().flatten().all(stands),
            "the plugin wrote behind the end of a buffer of {} frames",
            self.frames
        );
        Ok(())
    }

    /// How many output buses have memory.
    pub fn connected(&self) -> usize {
        self.outputs.len()
    }

    /// After `process`: a channel that the plugin calls silent (one bit each) must be.
    pub fn check_silence(&self, bus: usize, flags: u64) -> Result<()> {
        for channel in (0..self.outputs[bus].len()).filter(|channel| flags & (1 << channel) != 0) {
            let constant = self.output(bus, channel).windows(2).all(|pair| pair[0] == pair[1]);
            ensure!(constant, "the plugin calls channel {channel} of output bus {bus} silent, and it is not");
        }
        Ok(())
    }

    /// Frames in the current block.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// One bit for each input channel that is silent in this block.
    pub fn silent_inputs(&self) -> u64 {
        let silent = |buffer: &Vec<f32>| buffer[..self.frames].iter().all(|sample| *sample == 0.0);
        self.input.iter().enumerate().filter(|(_, buffer)| silent(buffer)).map(|(index, _)| 1 << index).sum()
    }

    /// The input's channel pointers and their number.
    pub fn input_list(&mut self) -> (*mut *mut f32, usize) {
        (self.input_pointers.as_mut_ptr(), self.input_pointers.len())
    }

    /// The channel pointers of each announced output bus, and their number.
    pub fn output_lists(&mut self) -> impl Iterator<Item = (*mut *mut f32, usize)> {
        let connected = self.outputs.len();
        let null_lists = self.wiring == Wiring::NullLists;
        self.output_pointers.iter_mut().enumerate().map(move |(index, pointers)| {
            let is_null = null_lists && index >= connected;
            (if is_null { std::ptr::null_mut() } else { pointers.as_mut_ptr() }, pointers.len())
        })
    }

    /// How many output buses are announced.
    pub fn announced(&self) -> usize {
        self.output_pointers.len()
    }

    pub fn output(&self, bus: usize, channel: usize) -> &[f32] {
        let in_place = self.wiring == Wiring::InPlace && bus == 0;
        let buffers = if in_place { &self.input } else { &self.outputs[bus] };
        &buffers[channel][..self.frames]
    }
}
