//! Mixture consistency: stems that add up to the mixture.

use crate::STEMS;
use crate::audio::AudioBuffer;

/// Mean square (-100 dBFS) below which a stem's energy no longer counts.
const FLOOR: f32 = 1e-10;

/// Shares what the stems lack of the mixture (`[2][frames]`) among them by their energy over these frames,
/// equally when all are silent.
pub(super) fn share_residual_by_energy(mixture: [&[f32]; 2], stems: &mut [AudioBuffer; STEMS]) {
    let samples = (2 * mixture[0].len()).max(1) as f32;
    let energies =
        stems.each_ref().map(|stem| FLOOR + stem.iter().flatten().map(|x| x * x).sum::<f32>() / samples);
    let total: f32 = energies.iter().sum();
    share_residual(mixture, stems, energies.map(|energy| energy / total));
}

/// Shares what the stems lack of the mixture (`[2][frames]`) equally among them.
pub(super) fn share_residual_equally(mixture: [&[f32]; 2], stems: &mut [AudioBuffer; STEMS]) {
    share_residual(mixture, stems, [1.0 / STEMS as f32; STEMS]);
}

/// `shares` add up to one.
fn share_residual(mixture: [&[f32]; 2], stems: &mut [AudioBuffer; STEMS], shares: [f32; STEMS]) {
    for (c, mixture) in mixture.into_iter().enumerate() {
        let mut channels = stems.each_mut().map(|stem| stem.channel_mut(c));
        for (n, &mixed) in mixture.iter().enumerate() {
            let residual = mixed - channels.iter().map(|channel| channel[n]).sum::<f32>();
            channels.iter_mut().zip(shares).for_each(|(channel, share)| channel[n] += share * residual);
        }
    }
}
