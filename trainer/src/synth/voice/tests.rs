use super::phonemes::Syllable;
use super::*;
use crate::synth::dsp::{RATE, hertz};
use crate::synth::score::Note;

fn note(pitch: f32, start: f32, length: f32) -> Note {
    Note { start, length, pitch, velocity: 0.8 }
}

/// A singer without ornaments.
fn plain(rng: &mut Rng) -> Singer {
    Singer { vibrato: 0.0, growl: 0.0, drift: 0.0, glide: 0.01, jitter: 0.001, ..Singer::draw(rng, 55.0) }
}

fn sung(rng: &mut Rng, singer: &Singer, note: Note) -> Vec<f32> {
    Phrase { notes: &[note], syllables: &[7], spoken: false, open: true }.sing(rng, singer)
}

/// The period with the highest autocorrelation, as Hz, between 70 and 600.
fn pitch_of(signal: &[f32]) -> f32 {
    let score = |lag: usize| {
        let pairs = signal.iter().zip(&signal[lag..]);
        let (mut product, mut energy) = (0.0, 1e-9);
        pairs.for_each(|(a, b)| (product, energy) = (product + a * b, energy + a * a + b * b));
        product / energy
    };
    let lags = (RATE / 600.0) as usize..(RATE / 70.0) as usize;
    let best = lags.clone().map(score).fold(0.0, f32::max);
    // The shortest of the good ones: its multiples are as good.
    let lag = lags.clone().find(|&lag| score(lag) > 0.97 * best && score(lag) >= score(lag + 1));
    RATE / lag.unwrap_or(lags.start) as f32
}

#[test]
fn singers_hit_the_note() {
    for seed in 0..6 {
        let rng = &mut Rng::new(seed, &[]);
        let singer = plain(rng);
        for pitch in [45.0, 52.0, 60.0] {
            let voice = sung(rng, &singer, note(pitch, 0.0, 0.8));
            let found = pitch_of(&voice[frames(0.4)..frames(0.5)]);
            let off = 12.0 * (found / hertz(pitch)).log2();
            assert!(off.abs() < 0.5, "{pitch}: {off} semitones");
        }
    }
}

#[test]
fn vibrato_swings_four_and_a_half_to_seven_times_a_second() {
    for seed in 0..200 {
        let singer = Singer::draw(&mut Rng::new(seed, &[]), 60.0);
        assert!((4.5..7.0).contains(&singer.vibrato_hz));
    }
    let rng = &mut Rng::new(1, &[]);
    let singer = Singer { vibrato: 0.7, vibrato_hz: 5.0, ..plain(rng) };
    let voice = sung(rng, &singer, note(57.0, 0.0, 1.6));
    let track: Vec<f32> =
        (0..50).map(|i| pitch_of(&voice[frames(0.6 + 0.02 * i as f32)..][..2_048])).collect();
    let mean = track.iter().sum::<f32>() / 50.0;
    let crossings = track.windows(2).filter(|w| (w[0] < mean) != (w[1] < mean)).count();
    // Five swings in the second that was looked at cross the mean ten times.
    assert!((8..=12).contains(&crossings), "{crossings}");
}

#[test]
fn the_same_syllable_sounds_alike_and_vowels_move_the_formants() {
    let (a, b) = (Syllable::of(5, false), Syllable::of(5, false));
    assert_eq!((a.onset, a.vowel, a.coda), (b.onset, b.vowel, b.coda));
    let vowels: std::collections::BTreeSet<u32> =
        (1..60).map(|n| Syllable::of(n, true).vowel[1] as u32).collect();
    assert!(vowels.len() >= 8, "{vowels:?}");
}

#[test]
fn falsetto_is_softer_in_tone() {
    // Energy above 1.5 kHz against all.
    let brightness = |passage: f32| {
        let rng = &mut Rng::new(4, &[]);
        let singer = Singer { passage, effort: 0.8, breath: 0.0, ..plain(rng) };
        let voice = sung(rng, &singer, note(64.0, 0.0, 0.6));
        let mut filter = super::super::dsp::Svf::new(1_500.0, 0.7);
        let high: f32 = voice.iter().map(|x| filter.next(*x).high.powi(2)).sum();
        high / voice.iter().map(|x| x * x).sum::<f32>()
    };
    let (falsetto, chest) = (brightness(50.0), brightness(90.0));
    assert!(falsetto < 0.7 * chest, "{falsetto} {chest}");
}

#[test]
fn doubles_and_choirs_stand_beside_the_lead() {
    let notes: Vec<Note> = (0..4).map(|i| note(55.0 + i as f32, 0.3 * i as f32, 0.3)).collect();
    let line = |voice| VocalLine { voice, notes: notes.clone(), syllables: vec![3, 5, 0, 9], spoken: false };
    let lines = [line(Voice::Lead), line(Voice::Double), line(Voice::Choir)];
    let tracks = render(&mut Rng::new(2, &[]), &lines, frames(1.5));
    assert_eq!(tracks.len(), 3);
    for track in &tracks {
        assert!(track.channels.iter().flatten().all(|x| x.is_finite()));
    }
    assert!(tracks[0].power() > tracks[1].power() && tracks[0].power() > tracks[2].power());
    assert!(tracks.iter().all(|t| t.power() > 0.0));
}
