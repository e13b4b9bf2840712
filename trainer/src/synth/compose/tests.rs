use super::*;
use crate::synth::score::{Piece, Voice};

fn songs(count: u64) -> Vec<Score> {
    (0..count).map(|seed| compose(&mut Rng::new(seed, &[]), 24.0)).collect()
}

/// The share of songs for which something holds, in percent.
fn share(songs: &[Score], holds: impl Fn(&Score) -> bool) -> usize {
    100 * songs.iter().filter(|score| holds(score)).count() / songs.len()
}

#[test]
fn tempi_reach_from_60_to_180() {
    let songs = songs(400);
    assert!(songs.iter().all(|s| (60.0..180.0).contains(&s.bpm)));
    assert!(songs.iter().any(|s| s.bpm < 66.0) && songs.iter().any(|s| s.bpm > 165.0));
}

#[test]
fn some_songs_are_instrumental_some_are_voices_alone_some_are_rapped() {
    let songs = songs(400);
    let silent =
        |s: &Score| [s.drums.is_empty(), s.bass.is_empty(), s.other.iter().all(|p| p.notes.is_empty())];
    let instrumental = share(&songs, |s| s.vocals.is_empty() && silent(s) == [false; 3]);
    assert!((5..25).contains(&instrumental), "{instrumental}");
    let voices = share(&songs, |s| !s.vocals.is_empty() && silent(s) == [true; 3]);
    assert!((1..9).contains(&voices), "{voices}");
    let spoken = share(&songs, |s| s.vocals.iter().any(|line| line.spoken));
    assert!((8..30).contains(&spoken), "{spoken}");
    for voice in [Voice::Double, Voice::Harmony, Voice::Choir] {
        let found = share(&songs, |s| s.vocals.iter().any(|line| line.voice == voice));
        assert!((8..60).contains(&found), "{voice:?} {found}");
    }
}

#[test]
fn five_to_ten_percent_are_odd() {
    let count = 2_000;
    let odd = (0..count).filter(|&seed| Kind::draw(&mut Rng::new(seed, &[])).is_odd()).count();
    assert!((count as usize / 20..count as usize / 10).contains(&odd), "{odd} of {count}");
}

#[test]
fn the_other_stem_has_two_to_eight_parts_and_goes_as_low_as_the_bass() {
    let songs = songs(400);
    let counts: Vec<usize> = songs.iter().map(|s| s.other.len()).collect();
    assert!(counts.iter().all(|n| (1..=8).contains(n)) && counts.contains(&2) && counts.contains(&8));
    let low = |s: &Score| s.other.iter().flat_map(|p| &p.notes).any(|n| n.pitch < 43.0);
    assert!(share(&songs, low) > 35, "{}", share(&songs, low));
}

#[test]
fn instruments_drop_out_and_everybody_stops_at_times() {
    let songs = songs(200);
    // A gap of two seconds between drum hits, in a song that has drums before and after it.
    let drops = share(&songs, |s| {
        let mut starts: Vec<f32> = s.drums.iter().map(|hit| hit.start).collect();
        starts.sort_by(f32::total_cmp);
        starts.windows(2).any(|w| w[1] - w[0] > 2.0)
    });
    assert!(drops > 10, "{drops}");
    let fills = share(&songs, |s| s.drums.iter().any(|h| matches!(h.piece, Piece::TomHigh | Piece::TomLow)));
    assert!(fills > 40, "{fills}");
}

#[test]
fn every_note_has_a_syllable_and_voices_sing_one_note_at_a_time() {
    for score in songs(60) {
        for line in &score.vocals {
            assert_eq!(line.notes.len(), line.syllables.len());
            if matches!(line.voice, Voice::Lead | Voice::Harmony) {
                for pair in line.notes.windows(2) {
                    assert!(pair[0].start + pair[0].length <= pair[1].start + 0.06);
                }
            }
        }
    }
}

#[test]
fn the_same_words_come_back() {
    let again = share(&songs(60), |s| {
        s.vocals.first().is_some_and(|line| {
            let mut words: Vec<u64> = line.syllables.iter().copied().filter(|w| *w != 0).collect();
            words.sort_unstable();
            words.windows(2).any(|w| w[0] == w[1])
        })
    });
    assert!(again > 15, "{again}");
}
