//! A long analysis and a short synthesis window: the frequency resolution of the one, the latency of the other.
//!
//! Asymmetric windows as in Mauler and Martin, "A low delay, variable resolution, perfect reconstruction spectral
//! analysis-synthesis system for speech enhancement" (EUSIPCO 2007).

use std::f64::consts::PI;

/// A pair of windows whose product, hop by hop, adds up to one.
#[derive(Debug, Clone)]
pub struct Windows {
    /// `[analysis_window]`: rises slowly, falls within the synthesis window's second half.
    pub analysis: Vec<f32>,
    /// `[synthesis_window]`: for the last frames of the analysis window.
    pub synthesis: Vec<f32>,
}

impl Windows {
    /// Sizes as in a checked [`super::BandDptConfig`].
    pub fn new(analysis: usize, synthesis: usize, hop: usize) -> Self {
        let (fall, rise) = (synthesis / 2, analysis - synthesis / 2);
        let long = |n: usize| {
            if n < rise {
                (PI * (n as f64 + 0.5) / (2 * rise) as f64).sin()
            } else {
                (PI * ((n - rise) as f64 + 0.5) / (2 * fall) as f64).cos()
            }
        };
        let short = |n: usize| {
            let product = (PI * (n as f64 + 0.5) / synthesis as f64).sin().powi(2);
            product * (2 * hop) as f64 / synthesis as f64 / long(analysis - synthesis + n)
        };
        Self {
            analysis: (0..analysis).map(|n| long(n) as f32).collect(),
            synthesis: (0..synthesis).map(|n| short(n) as f32).collect(),
        }
    }

    /// Brings a spectrum to a scale where a sine at full scale has a magnitude of about one.
    pub fn scale(&self) -> f32 {
        (2.0 / self.analysis.iter().map(|&w| f64::from(w)).sum::<f64>()) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_overlap_to_one_for_every_hop() {
        for (analysis, synthesis, hop) in
            [(2048, 512, 256), (2048, 512, 128), (1024, 256, 128), (512, 512, 128)]
        {
            let windows = Windows::new(analysis, synthesis, hop);
            for start in 0..hop {
                let sum: f32 = (start..synthesis)
                    .step_by(hop)
                    .map(|n| windows.synthesis[n] * windows.analysis[analysis - synthesis + n])
                    .sum();
                assert!((sum - 1.0).abs() < 1e-6, "{analysis} {synthesis} {hop}: {sum}");
            }
            assert!(windows.synthesis.iter().all(|w| w.is_finite() && *w < 4.0));
        }
    }
}
