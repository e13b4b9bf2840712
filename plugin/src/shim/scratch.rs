//! Stand-ins for the channels that a host leaves out.

use engine::STEMS;

/// Channels of the main input.
pub const MAX_INPUTS: usize = 2;
/// Main bus and stem buses.
pub const MAX_BUSES: usize = 1 + STEMS;
/// Channels of all output buses.
pub const MAX_OUTPUTS: usize = 2 * MAX_BUSES;

/// Channels of each bus, as the plugin was activated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Layout {
    /// Of the main input.
    pub input: usize,
    /// Of the output buses, main first; 0 after the last.
    pub outputs: [usize; MAX_BUSES],
}

impl Layout {
    /// How many output buses there are.
    pub fn buses(&self) -> usize {
        self.outputs.iter().take_while(|&&channels| channels > 0).count()
    }

    /// Bus and channel of every output, in order.
    pub fn output_channels(self) -> impl Iterator<Item = (usize, usize)> {
        (0..MAX_BUSES).flat_map(move |bus| (0..self.outputs[bus]).map(move |channel| (bus, channel)))
    }

    /// Whether every bus fits into the tables.
    pub fn is_sound(&self) -> bool {
        (1..=MAX_INPUTS).contains(&self.input)
            && self.outputs[0] > 0
            && self.outputs.iter().all(|&channels| channels <= 2)
            && self.outputs[self.buses()..].iter().all(|&channels| channels == 0)
    }
}

/// Where each channel of one block lies. Null is a channel that the host left out.
#[derive(Debug, Clone, Copy)]
pub struct Channels {
    /// The main input's.
    pub inputs: [*mut f32; MAX_INPUTS],
    /// By bus; a bus with one channel uses the first place.
    pub outputs: [[*mut f32; 2]; MAX_BUSES],
}

impl Default for Channels {
    fn default() -> Self {
        Self { inputs: [std::ptr::null_mut(); MAX_INPUTS], outputs: [[std::ptr::null_mut(); 2]; MAX_BUSES] }
    }
}

/// One block of memory for each channel of a layout, made while no audio runs.
#[derive(Debug)]
pub struct Scratch {
    layout: Layout,
    frames: usize,
    inputs: Vec<Vec<f32>>,
    /// Two for each bus.
    outputs: Vec<Vec<f32>>,
}

impl Scratch {
    /// Room for blocks of up to `frames` frames.
    pub fn new(layout: Layout, frames: usize) -> Self {
        let blocks = |count| (0..count).map(|_| vec![0.0; frames]).collect();
        Self { layout, frames, inputs: blocks(MAX_INPUTS), outputs: blocks(MAX_OUTPUTS) }
    }

    /// The layout that it was made for.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Completes a table: every channel of the layout becomes a valid pointer to `frames` samples,
    /// and no output overlaps another output, or an input other than its own (in-place processing
    /// of the main bus stays in place). A missing input becomes silence.
    ///
    /// Returns false, with the table in any state, when the block is longer than was promised and
    /// the host's buffers alone do not do. No allocation.
    ///
    /// # Safety
    /// Non-null pointers in `channels` are valid for `frames` samples.
    pub unsafe fn complete(&mut self, channels: &mut Channels, frames: usize) -> bool {
        let fits = frames <= self.frames;
        for place @ (bus, channel) in self.layout.output_channels() {
            let given = channels.outputs[bus][channel];
            let mut before = self.layout.output_channels().take_while(|&other| other != place);
            let taken = before.any(|(bus, channel)| overlap(given, channels.outputs[bus][channel], frames));
            if given.is_null() || taken {
                if !fits {
                    return false;
                }
                channels.outputs[bus][channel] = self.outputs[2 * bus + channel].as_mut_ptr();
            }
        }
        for input in 0..self.layout.input {
            let given = channels.inputs[input];
            let overwritten = self.layout.output_channels().any(|(bus, channel)| {
                let output = channels.outputs[bus][channel];
                let in_place = (bus, channel) == (0, input) && output == given;
                !in_place && overlap(given, output, frames)
            });
            if given.is_null() || overwritten {
                if !fits {
                    return false;
                }
                let stand_in = &mut self.inputs[input][..frames];
                if given.is_null() {
                    stand_in.fill(0.0);
                } else {
                    // SAFETY: the caller vouches for `given`; our own block cannot overlap the host's.
                    unsafe { std::ptr::copy_nonoverlapping(given, stand_in.as_mut_ptr(), frames) };
                }
                channels.inputs[input] = stand_in.as_mut_ptr();
            }
        }
        true
    }
}

/// Whether two blocks of `frames` samples share memory.
fn overlap(a: *const f32, b: *const f32, frames: usize) -> bool {
    let bytes = frames * size_of::<f32>();
    !a.is_null() && !b.is_null() && a.addr().abs_diff(b.addr()) < bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAMES: usize = 16;
    const STEREO: Layout = Layout { input: 2, outputs: [2; MAX_BUSES] };
    const MONO: Layout = Layout { input: 1, outputs: [1; MAX_BUSES] };
    const MAIN_ONLY: Layout = Layout { input: 2, outputs: [2, 0, 0, 0, 0] };

    /// Completes a table and checks everything that nice-plug relies on.
    fn complete(scratch: &mut Scratch, mut channels: Channels, frames: usize) -> Channels {
        // SAFETY: all pointers in these tests are null or of FRAMES samples and more.
        assert!(unsafe { scratch.complete(&mut channels, frames) });
        let outputs: Vec<_> =
            scratch.layout().output_channels().map(|(bus, channel)| channels.outputs[bus][channel]).collect();
        for (index, &output) in outputs.iter().enumerate() {
            assert!(!output.is_null());
            assert!(outputs[..index].iter().all(|&other| !overlap(output, other, frames)));
        }
        for (index, &input) in channels.inputs[..scratch.layout().input].iter().enumerate() {
            assert!(!input.is_null());
            let mut elsewhere = outputs.iter().filter(|&&output| output != input || input != outputs[index]);
            assert!(elsewhere.all(|&output| !overlap(input, output, frames)));
        }
        channels
    }

    #[test]
    fn missing_channels_get_separate_blocks_and_missing_inputs_silence() {
        for layout in [STEREO, MONO, MAIN_ONLY] {
            let mut scratch = Scratch::new(layout, FRAMES);
            let channels = complete(&mut scratch, Channels::default(), FRAMES);
            // SAFETY: complete() made it valid.
            unsafe { channels.outputs[0][0].write(1.0) };
            for input in &scratch.inputs {
                assert!(input.iter().all(|&sample| sample == 0.0));
            }
        }
    }

    #[test]
    fn complete_tables_stay_as_the_host_made_them_even_in_place() {
        let mut memory = vec![0.0; FRAMES * MAX_OUTPUTS];
        let mut blocks = memory.chunks_mut(FRAMES).map(<[f32]>::as_mut_ptr);
        let mut channels = Channels::default();
        channels.outputs.iter_mut().flatten().for_each(|channel| *channel = blocks.next().unwrap());
        channels.inputs = channels.outputs[0];
        let completed = complete(&mut Scratch::new(STEREO, FRAMES), channels, FRAMES);
        assert_eq!(completed.inputs, channels.inputs);
        assert_eq!(completed.outputs, channels.outputs);
    }

    #[test]
    fn one_dustbin_for_all_unused_buses_is_told_apart() {
        let mut dustbin = vec![0.0; FRAMES];
        let channels =
            Channels { inputs: [std::ptr::null_mut(); 2], outputs: [[dustbin.as_mut_ptr(); 2]; MAX_BUSES] };
        let completed = complete(&mut Scratch::new(STEREO, FRAMES), channels, FRAMES);
        assert_eq!(completed.outputs[0][0], dustbin.as_mut_ptr());
    }

    #[test]
    fn inputs_that_outputs_would_overwrite_are_copied_first() {
        let mut scratch = Scratch::new(STEREO, FRAMES);
        let mut memory: Vec<f32> = (0..2 * FRAMES).map(|n| n as f32).collect();
        let (left, right) = memory.split_at_mut(FRAMES);
        let (left, right) = (left.as_mut_ptr(), right.as_mut_ptr());
        let mut channels = Channels { inputs: [left, right], ..Channels::default() };
        // Left and right swapped, and a stem bus on top of an input.
        channels.outputs[0] = [right, left];
        let completed = complete(&mut scratch, channels, FRAMES);
        for (input, first) in completed.inputs.into_iter().zip([0.0, FRAMES as f32]) {
            // SAFETY: complete() made both inputs valid.
            assert_eq!(unsafe { input.read() }, first);
        }
        channels.outputs[0] = [left, right];
        channels.outputs[2][1] = left;
        let completed = complete(&mut scratch, channels, FRAMES);
        assert_eq!(completed.inputs, [left, right]);
        assert_ne!(completed.outputs[2][1], left);
    }

    #[test]
    fn blocks_beyond_the_promise_are_refused_unless_nothing_is_missing() {
        let mut scratch = Scratch::new(MONO, FRAMES - 1);
        // SAFETY: all pointers are null.
        assert!(!unsafe { scratch.complete(&mut Channels::default(), FRAMES) });
        let mut memory = vec![0.0; FRAMES * MAX_OUTPUTS];
        let mut blocks = memory.chunks_mut(FRAMES).map(<[f32]>::as_mut_ptr);
        let mut channels = Channels::default();
        channels.outputs.iter_mut().flatten().for_each(|channel| *channel = blocks.next().unwrap());
        channels.inputs = channels.outputs[0];
        complete(&mut scratch, channels, FRAMES);
    }

    #[test]
    fn layouts_that_do_not_fit_are_unsound() {
        assert!([STEREO, MONO, MAIN_ONLY].iter().all(Layout::is_sound));
        assert!(!Layout::default().is_sound());
        assert!(!Layout { input: 3, ..STEREO }.is_sound());
        assert!(!Layout { outputs: [2, 0, 2, 0, 0], ..STEREO }.is_sound());
    }
}
