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
