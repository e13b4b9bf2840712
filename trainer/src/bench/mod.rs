//! `trainer bench`: times a checkpoint as the plugin would run it, on generated music at full speed.

mod music;
mod soak;
mod timing;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use engine::checkpoint::Checkpoint;
use engine::realtime::LatencyBudget;
use engine::separator::{Precision, at_rate};
use engine::{PeakProduct, Separator};
use serde_json::json;

use crate::embedded;
use crate::exit::WrongUse;
use crate::memory;
pub use timing::Sorted;
use timing::Timing;

/// Times a checkpoint as the plugin would run it: hop by hop, on generated music, on one thread.
#[derive(clap::Args)]
pub struct Args {
    /// An embedded checkpoint (`live`, `studio`) or a file.
    #[arg(value_name = "live|studio|FILE")]
    checkpoint: String,
    /// The host's largest block, frames; it decides the latency.
    #[arg(long, value_name = "FRAMES", default_value_t = 512)]
    block: usize,
    /// The host's rate, Hz; another than the checkpoint's is resampled as in the plugin.
    #[arg(long, value_name = "HZ", default_value_t = 44_100)]
    rate: u32,
    /// Seconds of music.
    #[arg(long, value_name = "S", default_value_t = 20.0)]
    seconds: f32,
    /// Empties the caches before every hop: how a hop fares after a host's other work.
    #[arg(long)]
    cold: bool,
    /// Threads. Our separators run on one; `--engine candle` may use more.
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// What computes a network that streams: our kernels, or candle's operations step by step.
    #[arg(long, value_enum, default_value = "kernels")]
    engine: Engine,
    /// How weights of a network that streams are kept in memory; by default half where that loses nothing.
    #[arg(long, value_enum)]
    weights: Option<Width>,
    /// Instead of timing: runs so many minutes of varied music and of what is hard on a stream (silence, fades, noise,
    /// steps, broken samples) at full speed, and watches states, output and time.
    #[arg(long, value_name = "MINUTES", conflicts_with_all = ["cold", "seconds", "block", "rate"])]
    soak: Option<u32>,
    /// Writes the results.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Engine {
    Kernels,
    Candle,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Width {
    F32,
    F16,
}

/// Times, or soaks.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    ensure!(args.threads > 0, WrongUse("--threads must be at least 1".into()));
    ensure!(
        args.threads == 1 || args.engine == Engine::Candle,
        WrongUse("our separators run on one thread; only --engine candle takes more --threads".into())
    );
    ensure!(args.block > 0, WrongUse("--block must be at least 1".into()));
    ensure!(
        args.seconds >= 1.0 && args.seconds <= 3_600.0,
        WrongUse(format!("--seconds must lie in 1..=3600, not {}", args.seconds))
    );
    // Fails only if something has used the pool already, and nothing has.
    rayon::ThreadPoolBuilder::new().num_threads(args.threads).build_global().ok();
    let resident = || memory::resident(&mut sysinfo::System::new()).unwrap_or(0);
    let before = resident();
    let checkpoint = embedded::checkpoint(&args.checkpoint)?;
    let separator = separator(args, &checkpoint).context("the checkpoint cannot be run")?;
    let taken = resident().saturating_sub(before);
    match args.soak {
        Some(minutes) => soak::run(separator, minutes, args.json.as_deref()),
        None => time(args, &checkpoint, separator, taken),
    }
}

fn separator(args: &Args, checkpoint: &Checkpoint) -> engine::Result<Box<dyn Separator>> {
    match (args.engine, args.weights) {
        (Engine::Candle, Some(_)) => {
            Err(engine::Error::Unsupported("--weights is for our kernels, not for --engine candle".into()))
        }
        (Engine::Candle, None) if checkpoint.header().architecture.streams() => checkpoint.reference_stream(),
        (_, Some(Width::F32)) => checkpoint.streaming(Precision::F32),
        (_, Some(Width::F16)) => checkpoint.streaming(Precision::F16),
        (_, None) => checkpoint.separator(),
    }
}

/// `taken`: bytes of memory for the checkpoint and its separator.
fn time(
    args: &Args,
    checkpoint: &Checkpoint,
    separator: Box<dyn Separator>,
    taken: u64,
) -> anyhow::Result<ExitCode> {
    let header = checkpoint.header();
    let model_hop = separator.spec().hop;
    let network = checkpoint.network();
    let input = match header.chunk {
        Some(chunk) => chunk.window(network.as_ref())?.0.input,
        None => model_hop,
    };
    let macs_per_second = network.macs(input) as f64 * f64::from(header.sample_rate) / model_hop as f64;

    let mut host = at_rate(separator, args.rate)
        .with_context(|| WrongUse(format!("--rate {} cannot be run", args.rate)))?;
    let latency = LatencyBudget::new(&host, args.block)
        .with_context(|| WrongUse(format!("--block {} is too large", args.block)))?;
    let spec = host.separator.spec();
    let mut product = PeakProduct::new();
    let Timing { hops, products } =
        Timing::run(host.separator.as_mut(), args.seconds, args.cold, &mut product)?;
    let gemm_gflops = |seconds: f64| product.operations() / seconds / 1e9;
    let (gemm, peak) = (gemm_gflops(products.mean()), gemm_gflops(products.at(0.0)));
    let hop_seconds = spec.hop as f64 / f64::from(args.rate);
    let real_time_factor = hops.mean() / hop_seconds;
    // With windows the work comes all at once, every so many hops: the mean is what counts.
    let gflops = 2.0 * macs_per_second / real_time_factor / 1e9;
    let milliseconds = |frames: u32| 1e3 * f64::from(frames) / f64::from(args.rate);
    let (median, p99, max) = (hops.at(0.5), hops.at(0.99), hops.at(1.0));

    println!("checkpoint      {} ({} weights)", args.checkpoint, checkpoint.parameters());
    let how = if args.cold { "caches emptied before each" } else { "one after the other" };
    println!("hops            {} of {} frames ({:.2} ms), {how}", hops.count(), spec.hop, 1e3 * hop_seconds);
    println!(
        "time for a hop  median {:.3} ms, p99 {:.3} ms, max {:.3} ms",
        1e3 * median,
        1e3 * p99,
        1e3 * max
    );
    println!("real time       {real_time_factor:.4} of it");
    println!(
        "speed           {gflops:.1} GFLOP/s, {:.0} % of the {gemm:.1} of products of matrices in turns with it (best: \
         {peak:.1})",
        100.0 * gflops / gemm
    );
    println!("cost            {:.2} GMAC for a second of audio", macs_per_second / 1e9);
    println!("memory          {:.1} MB for the checkpoint and its separator", taken as f64 / 1e6);
    let parts = [
        ("resampling", latency.resampling),
        ("separator", latency.separator),
        ("collecting one hop", latency.hop),
        ("time to compute", latency.slack),
    ];
    let text = parts.map(|(name, frames)| format!("{name} {:.1}", milliseconds(frames))).join(", ");
    println!(
        "latency         {:.1} ms at {} Hz and blocks of {} frames: {text}",
        milliseconds(latency.total()),
        args.rate,
        args.block
    );
    let result = json!({
        "checkpoint": args.checkpoint,
        "engine": format!("{:?}", args.engine).to_lowercase(),
        "cold": args.cold,
        "rate": args.rate,
        "block": args.block,
        "threads": args.threads,
        "hop_frames": spec.hop,
        "hops": hops.count(),
        "real_time_factor": real_time_factor,
        "hop_ms_median": 1e3 * median,
        "hop_ms_p99": 1e3 * p99,
        "hop_ms_max": 1e3 * max,
        "latency_ms": milliseconds(latency.total()),
        "latency_frames": parts.iter().map(|(name, frames)| ((*name).to_owned(), json!(frames)))
            .collect::<serde_json::Map<_, _>>(),
        "gflops": gflops,
        "gemm_gflops": gemm,
        "gemm_peak_gflops": peak,
        "share_of_peak": gflops / gemm,
        "parameters": checkpoint.parameters(),
        "macs_per_second": macs_per_second,
        "memory_bytes": taken,
    });
    write(args.json.as_deref(), &result)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes results, if they are asked for.
pub fn write(file: Option<&std::path::Path>, result: &serde_json::Value) -> anyhow::Result<()> {
    let Some(file) = file else { return Ok(()) };
    let text = serde_json::to_string_pretty(result)?;
    Ok(engine::files::write_atomically(file, |w| w.write_all(text.as_bytes()))?)
}
