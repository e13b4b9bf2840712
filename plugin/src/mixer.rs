//! From the delayed input and the stems to the plugin's buses: gains, mutes, solos, bypass.
//!
//! Nothing here changes timing. The main bus is written as `input + sum of (gain - 1) * stem`,
//! which is the delayed input bit for bit while all gains are unity, whatever the stems hold.

use engine::STEMS;
use engine::realtime::StreamBlock;

/// How long a change of gain, mute, solo, tap or bypass takes, seconds. Long enough not to click.
const RAMP_SECONDS: f32 = 0.010;
/// Frames that are mixed at a time; coefficients for that many live on the stack.
const CHUNK: usize = 64;

/// What the user asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Linear factor, by stem.
    pub gain: [f32; STEMS],
    /// Out of the mix, by stem.
    pub mute: [bool; STEMS],
    /// When any is set, only these stay in the mix, by stem.
    pub solo: [bool; STEMS],
    /// The delayed input on the main bus, silence on the stem buses.
    pub bypass: bool,
    /// The stem buses carry gain, mute and solo too.
    pub post_fader: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            gain: [1.0; STEMS],
            mute: [false; STEMS],
            solo: [false; STEMS],
            bypass: false,
            post_fader: false,
        }
    }
}

impl Settings {
    /// Whether mutes and solos leave a stem in the mix. Mute wins over solo.
    pub fn is_heard(&self, stem: usize) -> bool {
        let soloed_out = self.solo.contains(&true) && !self.solo[stem];
        !self.mute[stem] && !soloed_out
    }

    /// A stem's factor in the mix, after mute and solo.
    pub fn mix_gain(&self, stem: usize) -> f32 {
        if self.is_heard(stem) { self.gain[stem] } else { 0.0 }
    }

    /// The factor with which a stem is added to the delayed input on the main bus.
    fn main_factor(&self, stem: usize) -> f32 {
        if self.bypass { 0.0 } else { self.mix_gain(stem) - 1.0 }
    }

    /// The factor with which a stem goes to its own bus.
    fn stem_factor(&self, stem: usize) -> f32 {
        match (self.bypass, self.post_fader) {
            (true, _) => 0.0,
            (false, true) => self.mix_gain(stem),
            (false, false) => 1.0,
        }
    }
}

/// Highest magnitudes of one block, for meters.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Peaks {
    /// Left and right of the main bus.
    pub main: [f32; 2],
    /// Left and right of each stem as it goes into the mix.
    pub stems: [[f32; 2]; STEMS],
}

/// A factor on its way to a new value, linearly and in a fixed time, so that it arrives exactly.
#[derive(Debug, Clone, Copy, Default)]
struct Ramp {
    value: f32,
    target: f32,
    step: f32,
    /// Frames until `target`.
    left: u32,
}

impl Ramp {
    fn set(&mut self, target: f32, frames: u32) {
        if target != self.target {
            self.target = target;
            self.left = frames.max(1);
            self.step = (target - self.value) / self.left as f32;
        }
    }

    fn snap(&mut self) {
        self.value = self.target;
        self.left = 0;
    }

    /// The next factors, one a frame.
    fn fill(&mut self, factors: &mut [f32]) {
        for factor in factors {
            match self.left {
                0 => {}
                1 => self.snap(),
                _ => {
                    self.value += self.step;
                    self.left -= 1;
                }
            }
            *factor = self.value;
        }
    }

    fn is_at(&self, value: f32) -> bool {
        self.left == 0 && self.value == value
    }
}

/// The mixer's state: where each factor is at present.
#[derive(Debug)]
pub struct Mixer {
    /// Factors of `(gain - 1)` on the main bus, by stem.
    main: [Ramp; STEMS],
    /// Factors on the stem buses, by stem.
    stems: [Ramp; STEMS],
    /// [`RAMP_SECONDS`] in frames.
    ramp_frames: u32,
    settings: Settings,
}

impl Mixer {
    /// A mixer at rest on the default settings. `sample_rate` in Hz.
    pub fn new(sample_rate: f32) -> Self {
        let mut mixer = Self {
            main: [Ramp::default(); STEMS],
            stems: [Ramp::default(); STEMS],
            ramp_frames: (RAMP_SECONDS * sample_rate) as u32,
            settings: Settings::default(),
        };
        mixer.set(Settings::default());
        mixer.snap();
        mixer
    }

    /// Starts moving to new settings.
    pub fn set(&mut self, settings: Settings) {
        self.settings = settings;
        for stem in 0..STEMS {
            self.main[stem].set(settings.main_factor(stem), self.ramp_frames);
            self.stems[stem].set(settings.stem_factor(stem), self.ramp_frames);
        }
    }

    /// Ends all movements at once, for a start from silence.
    pub fn snap(&mut self) {
        self.main.iter_mut().chain(&mut self.stems).for_each(Ramp::snap);
    }

    /// Mixes one block into the buses, from their frame `at` on.
    ///
    /// `main` is the main bus, `[1 or 2][frames]`; `buses` are the stem buses, each
    /// `[0, 1 or 2][frames]`, 0 for a bus that the host does not have. A mono bus gets the mean of
    /// left and right. All buses hold at least `at` plus the block's frames.
    pub fn process(
        &mut self,
        block: &StreamBlock,
        at: usize,
        main: &mut [&mut [f32]],
        buses: &mut [&mut [&mut [f32]]; STEMS],
    ) -> Peaks {
        let mut peaks = Peaks::default();
        let frames = block.dry[0].len();
        let mut start = 0;
        while start < frames {
            let length = CHUNK.min(frames - start);
            let chunk = start..start + length;
            let target = at + start..at + start + length;
            let mut factors = [0.0; CHUNK];
            let factors = &mut factors[..length];
            let mut mix = [[0.0; CHUNK]; 2];
            for (mix, dry) in mix.iter_mut().zip(block.dry) {
                mix[..length].copy_from_slice(&dry[chunk.clone()]);
            }

            for (index, bus) in buses.iter_mut().enumerate() {
                let stem = block.stems[index].map(|channel| &channel[chunk.clone()]);
                let ramp = &mut self.main[index];
                if !ramp.is_at(0.0) {
                    ramp.fill(factors);
                    for (mix, stem) in mix.iter_mut().zip(stem) {
                        for ((mix, stem), factor) in mix.iter_mut().zip(stem).zip(&*factors) {
                            *mix += factor * stem;
                        }
                    }
                }
                if !self.settings.bypass {
                    let gain = 1.0 + ramp.value;
                    let peak = &mut peaks.stems[index];
                    *peak = [0, 1].map(|c| peak[c].max(gain * highest(stem[c])));
                }

                self.stems[index].fill(factors);
                write(bus, target.clone(), |channel, frame| factors[frame] * stem[channel][frame]);
            }

            write(main, target, |channel, frame| mix[channel][frame]);
            peaks.main = [0, 1].map(|c| peaks.main[c].max(highest(&mix[c][..length])));
            start += length;
        }
        peaks
    }
}

/// Writes a stereo signal, given as a function of channel and frame, to a part of a bus.
fn write(bus: &mut [&mut [f32]], part: std::ops::Range<usize>, signal: impl Fn(usize, usize) -> f32) {
    match bus {
        [] => {}
        [mono] => {
            for (frame, sample) in mono[part].iter_mut().enumerate() {
                *sample = 0.5 * (signal(0, frame) + signal(1, frame));
            }
        }
        [left, right, ..] => {
            for (frame, sample) in left[part.clone()].iter_mut().enumerate() {
                *sample = signal(0, frame);
            }
            for (frame, sample) in right[part].iter_mut().enumerate() {
                *sample = signal(1, frame);
            }
        }
    }
}

fn highest(samples: &[f32]) -> f32 {
    samples.iter().fold(0.0, |highest, sample| highest.max(sample.abs()))
}

#[cfg(test)]
mod tests;
