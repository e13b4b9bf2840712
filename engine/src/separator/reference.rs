//! The Live network as a stream by candle's operations: what the kernels are measured against.

use std::sync::Arc;

use super::{Separator, SeparatorSpec};
use crate::audio::{AudioBuffer, sanitise};
use crate::model::{BandDpt, BandDptState};
use crate::{Result, STEMS};

/// Steps [`BandDpt::advance`] hop by hop. It allocates, and candle may take several threads: not for playing.
pub struct ReferenceStream {
    network: Arc<BandDpt>,
    spec: SeparatorSpec,
    state: BandDptState,
    /// One hop, `[2][hop]`.
    mixture: Vec<f32>,
}

impl ReferenceStream {
    /// `sample_rate` in Hz.
    pub fn new(network: Arc<BandDpt>, sample_rate: u32) -> Self {
        let (hop, latency) = (network.config().hop, network.config().latency());
        let state = network.start();
        let spec = SeparatorSpec { sample_rate, hop, latency };
        Self { network, spec, state, mixture: vec![0.0; 2 * hop] }
    }
}

impl Separator for ReferenceStream {
    fn spec(&self) -> SeparatorSpec {
        self.spec
    }

    fn process(&mut self, mixture: &AudioBuffer, stems: &mut [AudioBuffer; STEMS]) -> Result<()> {
        super::check_hop(self.spec.hop, mixture, stems)?;
        let samples = mixture.iter().flatten();
        self.mixture.iter_mut().zip(samples).for_each(|(to, &sample)| *to = sanitise(sample));
        let separated = self.network.advance(&self.mixture, &mut self.state)?;
        let channels = stems.iter_mut().flat_map(AudioBuffer::iter_mut);
        channels.zip(separated.chunks_exact(self.spec.hop)).for_each(|(to, from)| to.copy_from_slice(from));
        Ok(())
    }

    fn reset(&mut self) {
        self.state = self.network.start();
    }
}
