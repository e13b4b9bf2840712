//! `trainer inspect`: what a checkpoint says about itself.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use engine::checkpoint::Checkpoint;

/// Shows a checkpoint's architecture, size, latency, provenance and metrics.
#[derive(Parser)]
pub struct Args {
    /// The checkpoint.
    file: PathBuf,
    /// Print the header as JSON instead.
    #[arg(long)]
    json: bool,
}

/// Reads, checks and prints one checkpoint.
pub fn run(args: &Args) -> Result<ExitCode> {
    let checkpoint = Checkpoint::read(&args.file)?;
    let header = checkpoint.header();
    if args.json {
        println!("{}", serde_json::to_string_pretty(header)?);
        return Ok(ExitCode::SUCCESS);
    }
    let bytes = std::fs::metadata(&args.file)?.len();
    let milliseconds = |frames: usize| 1000.0 * frames as f64 / f64::from(header.sample_rate);
    let spec = checkpoint.separator()?.spec();
    println!(
        "file           {} ({:.2} MB, format {})",
        args.file.display(),
        bytes as f64 / 1e6,
        header.format
    );
    println!("architecture   {}", serde_json::to_string(&header.architecture)?);
    println!("weights        {}", checkpoint.parameters());
    println!("sample rate    {} Hz, {} channels", header.sample_rate, header.channels);
    println!("stems          {}", header.stems.iter().map(|s| s.name()).collect::<Vec<_>>().join(", "));
    println!("hop            {} frames ({:.1} ms)", spec.hop, milliseconds(spec.hop));
    println!(
        "latency        {} frames ({:.1} ms), hop filling not counted",
        spec.latency,
        milliseconds(spec.latency)
    );
    let network = checkpoint.network();
    let input = match header.chunk {
        Some(chunk) => {
            let input = chunk.window(network.as_ref())?.0.input;
            let (length, context) = (milliseconds(input), chunk.context);
            println!(
                "window         {input} frames ({length:.1} ms), at least {context} of context before each hop"
            );
            input
        }
        None => {
            println!("window         none: the network carries a state from hop to hop");
            spec.hop
        }
    };
    let macs = network.macs(input) as f64;
    println!(
        "cost           {:.2} GMAC for a second of audio ({:.3} GMAC for a hop)",
        macs / 1e9 * f64::from(header.sample_rate) / spec.hop as f64,
        macs / 1e9
    );
    let p = &header.provenance;
    for (label, text) in
        [("data", &p.data), ("licence", &p.data_licence), ("recipe", &p.recipe), ("written by", &p.trainer)]
    {
        if !text.is_empty() {
            println!("{label:<14} {text}");
        }
    }
    if p.steps > 0 {
        println!("training       {} steps, seed {}, {}", p.steps, p.seed, p.date);
    }
    for metric in &header.metrics {
        let values = metric.values.iter().map(|(stem, value)| format!("{stem} {value:.2}"));
        println!("{:<14} {}", metric.name, values.collect::<Vec<_>>().join(", "));
        println!("               {}; on {}", metric.definition, metric.dataset);
    }
    Ok(ExitCode::SUCCESS)
}
