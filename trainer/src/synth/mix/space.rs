//! What all stems of a song share: its reverb, its echo, and whether it pumps with the kick. Each stem goes through a
//! copy of its own, so that stems stay apart.

use super::super::dsp::{INAUDIBLE, OnePole, RATE, add, frames};
use super::super::score::{Piece, Score};
use super::{Reverb, Stereo, Track};
use crate::rng::Rng;

/// The song's room, echo and side-chain.
pub struct Space {
    reverb: Reverb,
    echo_seconds: f32,
    feedback: f32,
    damping_hz: f32,
    /// Level factor of ducked tracks at each frame; empty where the song does not pump.
    pump: Vec<f32>,
}

impl Space {
    /// A random space, its echo in time with the song, its pumping with the song's kicks.
    pub fn draw(rng: &mut Rng, score: &Score) -> Self {
        let reverb = Reverb::draw(rng);
        let echo_seconds = 60.0 / score.bpm * *rng.pick(&[0.5, 0.75, 0.75, 1.0, 0.25]);
        let (feedback, damping_hz) = (rng.range(0.1, 0.5), rng.log_range(1_500.0, 9_000.0));
        let (pumps, depth, release) = (rng.chance(0.25), rng.range(0.3, 0.9), rng.log_range(0.08, 0.3));
        let pump = if pumps { pump(score, depth, release) } else { Vec::new() };
        Self { reverb, echo_seconds, feedback, damping_hz, pump }
    }

    /// Sums the tracks of a stem, with their side-chain, reverb and echo.
    pub fn stem(&self, tracks: &[Track], length: usize) -> Stereo {
        let silence = || [vec![0.0; length], vec![0.0; length]];
        let (mut dry, mut reverb, mut echo) = (silence(), silence(), silence());
        for track in tracks {
            for side in 0..2 {
                let mut source = track.channels[side].clone();
                if track.duck > 0.0 {
                    let held = |level: &f32| 1.0 - track.duck * (1.0 - level);
                    source.iter_mut().zip(&self.pump).for_each(|(x, level)| *x *= held(level));
                }
                add(&mut dry[side], 0, &source, 1.0);
                if track.reverb_send > 0.0 {
                    add(&mut reverb[side], 0, &source, track.reverb_send);
                }
                if track.delay_send > 0.0 {
                    add(&mut echo[side], 0, &source, track.delay_send);
                }
            }
        }
        if tracks.iter().any(|t| t.delay_send > 0.0) {
            self.echo(&mut echo);
            (0..2).for_each(|side| add(&mut dry[side], 0, &echo[side], 1.0));
        }
        if tracks.iter().any(|t| t.reverb_send > 0.0) {
            self.reverb.run(&mut reverb);
            (0..2).for_each(|side| add(&mut dry[side], 0, &reverb[side], 1.0));
        }
        dry
    }

    /// Echoes that cross from side to side; the input itself is not in the result.
    fn echo(&self, channels: &mut Stereo) {
        let delay = frames(self.echo_seconds).max(1);
        let mut soft = [OnePole::new(self.damping_hz), OnePole::new(self.damping_hz)];
        let length = channels[0].len();
        let input = channels.clone();
        for side in channels.iter_mut() {
            side.fill(0.0);
        }
        for n in delay..length {
            for side in 0..2 {
                let returned = input[side][n - delay] + self.feedback * channels[1 - side][n - delay];
                channels[side][n] = soft[side].low(returned + INAUDIBLE);
            }
        }
    }
}

/// A compressor keyed by the kick: down at once, back within `release` seconds.
fn pump(score: &Score, depth: f32, release: f32) -> Vec<f32> {
    let kicks = score.drums.iter().filter(|hit| hit.piece == Piece::Kick);
    let mut starts: Vec<usize> = kicks.map(|hit| frames(hit.start)).collect();
    starts.sort_unstable();
    let end = starts.last().map_or(0, |last| last + frames(4.0 * release));
    let (attack, back) = (1.0 - (-1.0 / (0.004 * RATE)).exp(), 1.0 - (-1.0 / (0.5 * release * RATE)).exp());
    let (mut next, mut held, mut level) = (0, 0, 1.0f32);
    (0..end)
        .map(|n| {
            while next < starts.len() && starts[next] <= n {
                held = n + frames(0.03);
                next += 1;
            }
            let (goal, speed) = if n < held { (1.0 - depth, attack) } else { (1.0, back) };
            level += speed * (goal - level);
            level
        })
        .collect()
}
