//! The distances by candle's own operations, for cards; as [`super::distance`].

use candle_core::{D, Result, Tensor};

use super::distance::Measure;
use super::stft::magnitude::{FLOOR as QUIETEST, SOFTEST};
use super::{si_sdr, stft::Resolution};

/// `[batch, stems, 2, frames]` twice -> `[batch, stems]`.
pub fn distance(measure: &Measure, estimate: &Tensor, target: &Tensor) -> Result<Tensor> {
    match measure {
        Measure::L1 => mean(&absolute(&(estimate - target)?)?),
        Measure::Mse => mean(&(estimate - target)?.sqr()?),
        Measure::SiSdr => si_sdr(estimate, target),
        Measure::Stft(resolutions) => over(resolutions, |resolution| {
            let [re, im] = resolution.spectrogram(&(estimate - target)?)?;
            mean(&(absolute(&re)? + absolute(&im)?)?)
        }),
        Measure::StftMagnitude(resolutions) => over(resolutions, |r| magnitudes(r, estimate, target)),
    }
}

/// The magnitude, whose slope at 0 is 0; candle's own has 1 there.
fn absolute(x: &Tensor) -> Result<Tensor> {
    x * x.sign()?.detach()
}

/// Mean over all that belongs to a stem.
fn mean(x: &Tensor) -> Result<Tensor> {
    x.flatten_from(2)?.mean(D::Minus1)
}

fn over(resolutions: &[Resolution], own: impl Fn(&Resolution) -> Result<Tensor>) -> Result<Tensor> {
    let all = resolutions.iter().map(own).collect::<Result<Vec<_>>>()?;
    Tensor::stack(&all, 0)?.mean(0)
}

fn si_sdr(estimate: &Tensor, target: &Tensor) -> Result<Tensor> {
    let own = mean(&target.sqr()?)?;
    let factor = (mean(&(estimate * target)?)? / (&own + si_sdr::FLOOR)?)?;
    let share = target.broadcast_mul(&factor.unsqueeze(2)?.unsqueeze(3)?)?;
    let rest = (mean(&(estimate - share)?.sqr()?)? + si_sdr::FLOOR)?;
    let signal = ((factor.sqr()? * own)? + si_sdr::FLOOR)?;
    (rest / signal)?.log()? * (10.0 / std::f64::consts::LN_10)
}

fn magnitudes(resolution: &Resolution, estimate: &Tensor, target: &Tensor) -> Result<Tensor> {
    let magnitude = |x: &Tensor| -> Result<Tensor> {
        let [re, im] = resolution.spectrogram(x)?;
        ((re.sqr()? + im.sqr()?)? + f64::from(QUIETEST))?.sqrt()
    };
    let (estimate, target) = (magnitude(estimate)?, magnitude(target)?);
    // Without the smallest of numbers, the slope at no difference would be none.
    let difference = (mean(&(&estimate - &target)?.sqr()?)? + 1e-20)?.sqrt()?;
    let own = mean(&target.sqr()?)?.maximum(SOFTEST)?.sqrt()?;
    let logarithm = mean(&absolute(&(estimate / target)?.log()?)?)?;
    (difference / own)? + logarithm
}

impl Resolution {
    /// `[batch, stems, 2, frames]` -> real and imaginary parts, each `[batch, stems, 2 * windows * bins]` but for its
    /// shape.
    fn spectrogram(&self, x: &Tensor) -> Result<[Tensor; 2]> {
        let (batch, stems, channels, frames) = x.dims4()?;
        let (size, hop) = (self.size(), self.hop());
        let windows = self.starts(frames).count();
        let before = size - hop;
        let after = (windows - 1) * hop + size - before - frames;
        let parts = x.pad_with_zeros(3, before, after)?;
        let parts = parts.reshape((batch * stems * channels, windows + size / hop - 1, hop))?;
        let shifted =
            (0..size / hop).map(|part| parts.narrow(1, part, windows)).collect::<Result<Vec<_>>>()?;
        let rows = Tensor::cat(&shifted, 2)?.reshape(((), size))?;
        let spectra = rows.matmul(self.waves(x.device())?)?.reshape((batch, stems, (), 2 * self.bins()))?;
        Ok([spectra.narrow(3, 0, self.bins())?, spectra.narrow(3, self.bins(), self.bins())?])
    }
}
