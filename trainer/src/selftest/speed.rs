//! Training and separation on a device, in seconds of audio each second.

use std::time::Instant;

use anyhow::{Context, ensure};
use candle_core::{Device, Tensor};
use engine::audio::AudioBuffer;
use engine::device::{MatmulPrecision, card_memory, set_matmul_precision};
use engine::model::{Architecture, Mode, Params};
use engine::separator::offline::separate;
use engine::{STEMS, Separator};
use serde_json::{Value, json};

use super::rounding;
use crate::bench::Sorted;
use crate::rng::Rng;
use crate::{bench_training, embedded, memory};

/// Hz.
const RATE: f64 = 44_100.0;

/// How much is done: a CPU would take hours for what a card needs to be busy.
struct Amount {
    batch: usize,
    steps: u64,
    song_seconds: f64,
}

impl Amount {
    fn of(device: &Device) -> Self {
        match device.is_cpu() {
            true => Self { batch: 1, steps: 1, song_seconds: 20.0 },
            false => Self { batch: 16, steps: 5, song_seconds: 240.0 },
        }
    }
}

/// One thing to be timed; gives a sentence and its figures.
type Job = Box<dyn Fn(&Device, &Amount) -> anyhow::Result<(String, Value)>>;

/// Times one thing after the other, in each precision, until it is too late to begin another.
pub fn measure(device: &Device, deadline: Instant) -> anyhow::Result<Vec<Value>> {
    let precisions =
        [vec![MatmulPrecision::F32], if device.is_cpu() { vec![] } else { rounding(device) }].concat();
    let jobs: [(&str, Job); 5] = [
        ("training the seed network", Box::new(|device, amount| train(&seed()?, 132_300, device, amount))),
        ("training Live", Box::new(|device, amount| train(&live()?, 44_100, device, amount))),
        ("separating with Studio", Box::new(with_studio)),
        ("separating a song with Studio", Box::new(song_with_studio)),
        ("the seed network on 3 s", Box::new(one_window)),
    ];
    let amount = Amount::of(device);
    println!("\n{:<32}{:>10}", "speed", "");
    let mut results = Vec::new();
    'jobs: for (what, job) in &jobs {
        for precision in &precisions {
            if Instant::now() >= deadline {
                println!("the time is over; --minutes gives more");
                break 'jobs;
            }
            set_matmul_precision(*precision);
            // A card that has no room for this may have for the next.
            let (text, figures) = job(device, &amount).unwrap_or_else(|error| {
                (format!("failed: {error:#}"), json!({ "error": format!("{error:#}") }))
            });
            let taken = match card_memory(device) {
                Some((taken, _)) => taken,
                None => memory::resident(&mut sysinfo::System::new()).unwrap_or(0),
            };
            println!("{what:<32}{precision:>10}  {text}; {:.1} GB of memory taken", taken as f64 / 1e9);
            results.push(json!({ "what": what, "precision": precision.to_string(), "memory_bytes": taken,
                                 "figures": figures }));
        }
    }
    set_matmul_precision(MatmulPrecision::F32);
    Ok(results)
}

/// The seed's own sizes, with its recurrence along time.
fn seed() -> anyhow::Result<Architecture> {
    Ok(serde_json::from_value(json!({ "name": "wave_unet_dpt" }))?)
}

/// The sizes of the shipped recipe.
fn live() -> anyhow::Result<Architecture> {
    Ok(embedded::checkpoint("live")?.header().architecture.clone())
}

fn train(
    architecture: &Architecture,
    frames: usize,
    device: &Device,
    amount: &Amount,
) -> anyhow::Result<(String, Value)> {
    let (seconds, window) = bench_training::time(architecture, amount.batch, frames, amount.steps, device)?;
    let median = Sorted::new(seconds.clone()).at(0.5);
    let excerpt = window.output as f64 / RATE;
    let speed = amount.batch as f64 * excerpt / median;
    let text = format!("{speed:.2} s of audio each second ({} excerpts of {excerpt:.2} s)", amount.batch);
    Ok((
        text,
        json!({ "audio_seconds_per_second": speed, "batch": amount.batch, "excerpt_seconds": excerpt,
                      "step_seconds": seconds }),
    ))
}

/// Window by window, as a stream.
fn with_studio(device: &Device, amount: &Amount) -> anyhow::Result<(String, Value)> {
    let mut separator = embedded::checkpoint("studio")?.separator_on(device)?;
    let hop = separator.spec().hop;
    let song = noise(hop, amount.song_seconds / 4.0);
    let mut mixture = AudioBuffer::new(2, hop);
    let mut stems: [AudioBuffer; STEMS] = std::array::from_fn(|_| AudioBuffer::new(2, hop));
    let mut seconds = Vec::new();
    for start in (0..song.frames()).step_by(hop) {
        for (to, from) in mixture.iter_mut().zip(song.iter()) {
            to.copy_from_slice(&from[start..start + hop]);
        }
        let begun = Instant::now();
        separator.process(&mixture, &mut stems)?;
        seconds.push(begun.elapsed().as_secs_f64());
    }
    ensure_still_on(device, separator.as_ref())?;
    let times = Sorted::new(seconds);
    let (median, longest) = (times.at(0.5), times.at(1.0));
    let hop_seconds = hop as f64 / RATE;
    let text = format!(
        "a window in {:.1} ms (longest {:.1} ms), one every {:.0} ms",
        1e3 * median,
        1e3 * longest,
        1e3 * hop_seconds
    );
    Ok((
        text,
        json!({ "window_seconds_median": median, "window_seconds_max": longest, "hop_seconds": hop_seconds }),
    ))
}

/// A whole song, as `trainer separate` does it.
fn song_with_studio(device: &Device, amount: &Amount) -> anyhow::Result<(String, Value)> {
    let mut separator = embedded::checkpoint("studio")?.separator_on(device)?;
    let song = noise(separator.spec().hop, amount.song_seconds);
    let begun = Instant::now();
    separate(&mut separator, &song, |_, _| ())?;
    ensure_still_on(device, separator.as_ref())?;
    let (audio, seconds) = (song.frames() as f64 / RATE, begun.elapsed().as_secs_f64());
    let text = format!("{:.1} times real time ({audio:.0} s in {seconds:.1} s)", audio / seconds);
    Ok((text, json!({ "times_real_time": audio / seconds, "audio_seconds": audio, "seconds": seconds })))
}

/// A card that fails hands over to the CPU, whose speed must not be taken for its own.
fn ensure_still_on(device: &Device, separator: &dyn Separator) -> anyhow::Result<()> {
    ensure!(device.is_cpu() || separator.is_on_card(), "the card has failed, and the CPU went on");
    Ok(())
}

fn one_window(device: &Device, _: &Amount) -> anyhow::Result<(String, Value)> {
    let network = seed()?.build(&Params::fresh(1, device)).context("the network cannot be built")?;
    let window = network.window(132_300);
    let mut seconds = Vec::new();
    for _ in 0..4 {
        let mixture = Tensor::zeros((1, 2, window.input), candle_core::DType::F32, device)?;
        let begun = Instant::now();
        // Only what has come back is done: a card works on by itself.
        network.forward(&mixture, Mode::Evaluate)?.flatten_all()?.to_vec1::<f32>()?;
        seconds.push(begun.elapsed().as_secs_f64());
    }
    let median = Sorted::new(seconds[1..].to_vec()).at(0.5);
    let audio = window.output as f64 / RATE;
    let text = format!("{:.0} ms for {audio:.2} s ({:.1} times real time)", 1e3 * median, audio / median);
    Ok((text, json!({ "seconds": seconds, "audio_seconds": audio })))
}

/// Whole hops of white noise at about the level of music, `seconds` long.
fn noise(hop: usize, seconds: f64) -> AudioBuffer {
    let frames = ((seconds * RATE) as usize).div_ceil(hop) * hop;
    let mut rng = Rng::new(1, &[]);
    let mut noise = AudioBuffer::new(2, frames);
    noise.iter_mut().flatten().for_each(|x| *x = rng.range(-0.3, 0.3));
    noise
}
