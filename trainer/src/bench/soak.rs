//! Long runs: does anything drift, overflow or slow down?

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::ensure;
use engine::audio::AudioBuffer;
use engine::{STEMS, Separator};
use serde_json::json;

use super::music::{self, SILENCE};
use super::timing::Sorted;
use crate::exit::WrongUse;

/// How far a state's norm may be from that of the second minute in the last, which hears the same.
const DRIFT: f32 = 0.1;
/// How much slower hops may be in silence than others.
const SLOWDOWN: f64 = 2.0;
/// Frames in a second; material is at this rate.
const RATE: usize = 44_100;

/// What one minute was like.
struct Minute {
    /// Root mean square of each part of the state, mean over the minute.
    states: Vec<f32>,
    /// Largest sample of any stem.
    peak: f32,
    /// Samples that are no number.
    broken: usize,
    times: Sorted,
    /// Of hops in silence only.
    silent: Sorted,
}

/// Runs so many minutes of audio and prints what each was like. The last minute hears what the second has heard.
///
/// # Errors
/// Fewer than three minutes, or the separator's own.
pub fn run(mut separator: Box<dyn Separator>, minutes: u32, json: Option<&Path>) -> anyhow::Result<ExitCode> {
    ensure!(minutes >= 3, WrongUse(format!("--soak needs at least 3 minutes, not {minutes}")));
    println!("minute  state norms, largest sample, time for a hop: median, p99, max; median in silence (ms)");
    let mut all = Vec::new();
    for number in 0..u64::from(minutes) {
        let seed = if number + 1 == u64::from(minutes) { 1 } else { number };
        let minute = Minute::run(separator.as_mut(), &music::minute(seed))?;
        let norms = minute.states.iter().map(|x| format!("{x:.4}")).collect::<Vec<_>>().join(" ");
        let times =
            [minute.times.at(0.5), minute.times.at(0.99), minute.times.at(1.0), minute.silent.at(0.5)];
        let times = times.map(|seconds| format!("{:.3}", 1e3 * seconds)).join(" ");
        println!("{:6}  {norms}  {:.3}  {times}", number + 1, minute.peak);
        all.push(minute);
    }
    let (second, last) = (&all[1], &all[all.len() - 1]);
    let mut faults = Vec::new();
    let broken: usize = all.iter().map(|minute| minute.broken).sum();
    if broken > 0 {
        faults.push(format!("{broken} samples of the stems are no numbers"));
    }
    for (part, (a, b)) in second.states.iter().zip(&last.states).enumerate() {
        if (b - a).abs() > DRIFT * a {
            faults.push(format!("the norm of state {part} went from {a:.4} to {b:.4} with the same music"));
        }
    }
    for (number, minute) in all.iter().enumerate() {
        let (silent, other) = (minute.silent.at(0.5), minute.times.at(0.5));
        if silent > SLOWDOWN * other {
            let ratio = silent / other;
            faults.push(format!(
                "hops in silence took {ratio:.1} times as long as others in minute {}",
                number + 1
            ));
        }
    }
    super::write(
        json,
        &json!({
            "minutes": all.iter().map(Minute::json).collect::<Vec<_>>(),
            "faults": faults,
        }),
    )?;
    for fault in &faults {
        println!("FAULT: {fault}");
    }
    if faults.is_empty() {
        println!("no drift, no broken samples, no slow silence in {minutes} minutes of audio");
    }
    Ok(ExitCode::from(u8::from(!faults.is_empty())))
}

impl Minute {
    fn run(separator: &mut dyn Separator, music: &AudioBuffer) -> anyhow::Result<Self> {
        let hop = separator.spec().hop;
        let mut mixture = AudioBuffer::new(2, hop);
        let mut stems: [AudioBuffer; STEMS] = std::array::from_fn(|_| AudioBuffer::new(2, hop));
        let (mut sums, mut now) = (Vec::<f32>::new(), Vec::new());
        let (mut times, mut silent) = (Vec::new(), Vec::new());
        let (mut peak, mut broken) = (0.0f32, 0);
        for start in (0..music.frames()).step_by(hop) {
            music::fill(&mut mixture, music, start);
            let begun = Instant::now();
            separator.process(&mixture, &mut stems)?;
            let time = begun.elapsed().as_secs_f64();
            times.push(time);
            // Not the first second of silence: the tail before it is still in the windows.
            if ((SILENCE.start + 1) * RATE..SILENCE.end * RATE).contains(&start) {
                silent.push(time);
            }
            for sample in stems.iter().flat_map(AudioBuffer::iter).flatten() {
                broken += usize::from(!sample.is_finite());
                peak = peak.max(sample.abs());
            }
            now.clear();
            separator.state_rms(&mut now);
            sums.resize(now.len(), 0.0);
            sums.iter_mut().zip(&now).for_each(|(sum, x)| *sum += x);
        }
        let states = sums.iter().map(|sum| sum / times.len() as f32).collect();
        Ok(Self { states, peak, broken, times: Sorted::new(times), silent: Sorted::new(silent) })
    }

    fn json(&self) -> serde_json::Value {
        let milliseconds = |seconds: f64| 1e3 * seconds;
        json!({
            "state_rms": self.states,
            "peak": self.peak,
            "broken_samples": self.broken,
            "hop_ms_median": milliseconds(self.times.at(0.5)),
            "hop_ms_p99": milliseconds(self.times.at(0.99)),
            "hop_ms_max": milliseconds(self.times.at(1.0)),
            "hop_ms_median_in_silence": milliseconds(self.silent.at(0.5)),
        })
    }
}
