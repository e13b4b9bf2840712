//! How a network's windows are laid over the stream.
//!
//! ```text
//! | context (at least) | segment = hop + crossfade | lookahead |
//! |<------------------ the network's window ------------------>| newest frame
//! ```

use serde::{Deserialize, Serialize};

use crate::model::{Network, Window};
use crate::{Error, Result};

/// No part of a plan may be longer (24 s at 44.1 kHz): plans come from files of strangers.
const MAX_FRAMES: usize = 1 << 20;

/// The layout of a chunked separator, in frames at the network's rate; kept in the checkpoint.
///
/// Each step gives `hop` frames. They come from one run of the network on a window that reaches at least
/// `context` frames into the past and `lookahead` frames past the segment; the first `crossfade` frames of
/// a segment are blended with the previous run's, so the stream's latency is `lookahead + crossfade`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChunkPlan {
    /// Frames per step.
    pub hop: usize,
    /// Input frames to the right of a segment; at least what the network's valid convolutions crop there.
    pub lookahead: usize,
    /// Frames over which neighbouring windows are blended.
    pub crossfade: usize,
    /// Input frames to the left of a segment, at least.
    pub context: usize,
}

impl ChunkPlan {
    /// Stem frame n belongs to mixture frame n - latency.
    pub fn latency(&self) -> usize {
        self.lookahead + self.crossfade
    }

    /// The same windows, laid so that each overlaps the next by this part of its segment, 0 to 0.5: more runs,
    /// more blending, another latency.
    ///
    /// # Errors
    /// Another part than 0 to 0.5.
    pub fn with_overlap(self, part: f64) -> Result<Self> {
        if !(0.0..=0.5).contains(&part) {
            return Err(Error::Unsupported(format!(
                "windows overlap by 0 to 0.5 of their length, not {part}"
            )));
        }
        let crossfade = (part * self.segment() as f64) as usize;
        Ok(Self { hop: self.segment() - crossfade, crossfade, ..self })
    }

    /// Frames that one run of the network yields.
    pub(super) fn segment(&self) -> usize {
        self.hop + self.crossfade
    }

    /// The network's window for this plan, and where in its output the segment begins.
    ///
    /// # Errors
    /// A plan that cannot be run with this network; the text says what is wrong.
    pub fn window(&self, network: &dyn Network) -> Result<(Window, usize)> {
        let Self { hop, lookahead, crossfade, context } = *self;
        let refuse = |reason: String| Err(Error::Unsupported(format!("chunk plan {self:?}: {reason}")));
        if [hop, lookahead, crossfade, context].iter().any(|&n| n > MAX_FRAMES) {
            return refuse(format!("no part may be longer than {MAX_FRAMES} frames"));
        }
        if hop == 0 || crossfade > hop {
            return refuse("the hop must be at least one frame, and at least the crossfade".into());
        }
        let mut output_frames = self.segment();
        loop {
            let window = network.window(output_frames);
            let Some(right) = window.input.checked_sub(window.output_start + window.output) else {
                return refuse(format!("the network's window {window:?} has more output than input"));
            };
            if window.output < output_frames {
                return refuse(format!("the network has no window for {output_frames} frames"));
            }
            if right > lookahead {
                return refuse(format!("this network needs a lookahead of at least {right} frames"));
            }
            // The window ends `lookahead` after the segment, its output `right` before that.
            let used = self.segment() + lookahead - right;
            let wanted = self.segment() + lookahead + context;
            if window.output >= used && window.input >= wanted {
                return Ok((window, window.output - used));
            }
            let more = used.saturating_sub(window.output).max(wanted.saturating_sub(window.input));
            output_frames = window.output + more;
        }
    }
}
