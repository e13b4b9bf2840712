//! What may reach a separator: finite samples of a sane size.

/// Input beyond this magnitude (+60 dBFS) is clipped to it, so that no network can overflow.
pub const INPUT_LIMIT: f32 = 1000.0;

/// Silence for a sample that is not finite; otherwise the sample, within [`INPUT_LIMIT`].
pub fn sanitise(sample: f32) -> f32 {
    if sample.is_finite() { sample.clamp(-INPUT_LIMIT, INPUT_LIMIT) } else { 0.0 }
}
