//! How a network's windows are laid over the stream.

use serde::{Deserialize, Serialize};

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
