//! What stems of real music look like on a long average: the figures that generated songs are held against.

use engine::STEMS;

/// Centres of the octave bands, Hz. A band reaches from its centre divided by √2 to its centre times √2.
pub const BANDS_HZ: [f32; 7] = [125.0, 250.0, 500.0, 1_000.0, 2_000.0, 4_000.0, 8_000.0];

/// Energy in each octave band against the stem's energy from 20 Hz to 20 kHz, dB: `[stem][band]`, stems in the
/// order of [`engine::Stem::ALL`].
///
/// Measured on the recordings of the pack (1 396 files, see its manifest): the power spectrum of every file over its
/// total power, averaged over the files of a family, families then averaged with weights in percent:
/// - drums: half the mean of the 7 recorded loops; half a kit, each family weighted by the energy that it gives to a
///   bar, from the median energy of its peak-normalised one-shots and a usual bar: 4 kicks at 0 dB, 2.5 snares at
///   -1 dB, 8 hi-hats at -10 dB, 0.7 cymbals at -6 dB, 0.7 toms and 0.4 claps at -3 dB, 2 others at -8 dB. That
///   makes kick 54, snare 20, cymbal 12, tom 10, hi-hat 2, percussion 2.
/// - bass, notes up to MIDI 52: electric 45, synth 20, 808 15, upright 10, fretless 5, others 5.
/// - other, notes of MIDI 36 to 84: piano 18, electric guitar 18, acoustic guitar 15, electric piano 12, synth 12,
///   pad 6, strings 6, sax 3, brass 3, synth strings 2, bell 2, flute, ukulele and kalimba 1 each.
/// - vocals: sung phrases 25, other singing 15, vowels 10, ensembles 10, choir singers 5, speech 35. Speech is in
///   because the sung files are mostly held vowels, while songs have words, and their consonants make the top.
pub const LEVELS_DB: [[f32; 7]; STEMS] = [
    [-6.8, -8.7, -9.6, -10.4, -12.2, -12.3, -12.2],
    [-5.6, -7.6, -11.6, -13.7, -16.9, -17.1, -29.1],
    [-7.3, -6.0, -5.9, -8.2, -11.4, -18.3, -20.4],
    [-10.1, -5.5, -4.2, -7.4, -15.8, -19.5, -18.5],
];

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::*;
    use crate::synth::Generator;
    use crate::synth::dsp::Svf;

    /// Energy in the octave bands and between 20 Hz and 20 kHz.
    fn measure(signal: &[f32]) -> ([f64; 7], f64) {
        let energy = |x: f32| f64::from(x) * f64::from(x);
        let bands = BANDS_HZ.map(|hz| {
            let mut filters = [Svf::new(hz, 1.414), Svf::new(hz, 1.414)];
            let band = |x: &f32| {
                let once = filters[0].next(*x).band;
                energy(filters[1].next(once).band)
            };
            signal.iter().map(band).sum()
        });
        let mut low = Svf::new(20.0, 0.707);
        (bands, signal.iter().map(|x| energy(low.next(*x).high)).sum())
    }

    /// The full comparison is `trainer synth --report`, on many more and longer songs; this finds what went far off.
    #[test]
    fn stems_sound_about_as_dark_and_bright_as_real_ones() {
        let songs: Vec<_> =
            (0..40u64).into_par_iter().map(|seed| Generator::default().song(seed, 3.0)).collect();
        for (stem, target) in LEVELS_DB.iter().enumerate() {
            let (mut shares, mut count) = ([0.0f64; 7], 0.0);
            for song in &songs {
                let (bands, total) = measure(song[stem].channel(0));
                if total > 1e-3 {
                    count += 1.0;
                    shares.iter_mut().zip(bands).for_each(|(share, band)| *share += band / total);
                }
            }
            assert!(count >= 20.0, "{count} of {} sound", songs.len());
            for (band, share) in shares.iter().enumerate() {
                let level = 10.0 * (share / count).log10();
                let off = level - f64::from(target[band]);
                assert!(off.abs() < 8.0, "stem {stem} at {} Hz: {off:.1} dB off", BANDS_HZ[band]);
            }
        }
    }
}
