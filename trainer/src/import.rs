//! `trainer import`: checkpoints of other programs become ours.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use engine::Stem;
use engine::checkpoint::{
    Checkpoint, FORMAT, Foreign, ForeignHints, Header, Precision, Provenance, read_state_dict,
};
use engine::model::layers::Recurrence;
use engine::separator::ChunkPlan;

/// Converts a PyTorch checkpoint (.pt, .pth, .th, .safetensors) of the seed or of Wave-U-Net-Pytorch.
///
/// Sizes are inferred from the weights; what they do not tell is taken from the options, whose defaults are
/// the original programs' own.
#[derive(Parser)]
pub struct Args {
    /// The foreign checkpoint.
    file: PathBuf,
    /// Where to write ours.
    #[arg(short, long)]
    output: PathBuf,
    /// Resampling factor between levels.
    #[arg(long, default_value_t = ForeignHints::default().stride)]
    stride: usize,
    /// Attention heads.
    #[arg(long, default_value_t = ForeignHints::default().heads)]
    heads: usize,
    /// The axis of the LSTM; the seed's released code runs it per frame.
    #[arg(long, value_enum, default_value = "frame")]
    recurrence: Axis,
    /// Order of the stems in the network's outputs.
    #[arg(long, value_delimiter = ',', default_value = "bass,drums,other,vocals", value_parser = stem)]
    stems: Vec<Stem>,
    /// Sample rate that it was trained at, Hz.
    #[arg(long, default_value_t = 44_100)]
    sample_rate: u32,
    /// Seconds per step when it is streamed.
    #[arg(long, default_value_t = 1.0)]
    hop: f64,
    /// Seconds that it looks ahead.
    #[arg(long, default_value_t = 0.5)]
    lookahead: f64,
    /// Seconds that it looks back.
    #[arg(long, default_value_t = 1.4)]
    context: f64,
    /// Store 16-bit weights.
    #[arg(long)]
    f16: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Axis {
    Frame,
    Time,
}

fn stem(name: &str) -> Result<Stem, String> {
    Stem::ALL.into_iter().find(|s| s.name() == name).ok_or_else(|| "drums, bass, other or vocals".into())
}

/// Converts one file.
pub fn run(args: &Args) -> Result<ExitCode> {
    let Ok(stems) = args.stems.as_slice().try_into() else {
        anyhow::bail!("--stems takes the four stems, each once, separated by commas");
    };
    let recurrence = match args.recurrence {
        Axis::Frame => Recurrence::Frame,
        Axis::Time => Recurrence::Time,
    };
    let hints = ForeignHints { stride: args.stride, heads: args.heads, recurrence, stems };
    if !Stem::ALL.iter().all(|stem| stems.contains(stem)) {
        anyhow::bail!("--stems takes the four stems, each once, separated by commas");
    }
    let name = args.file.display().to_string();
    let foreign = Foreign::recognise(read_state_dict(&args.file)?, &hints, &name)?;
    let frames = |seconds: f64| (seconds * f64::from(args.sample_rate)).round() as usize;
    let header = Header {
        format: FORMAT,
        architecture: foreign.architecture,
        sample_rate: args.sample_rate,
        channels: 2,
        stems: Stem::ALL.to_vec(),
        consistency: true,
        chunk: Some(ChunkPlan {
            hop: frames(args.hop),
            lookahead: frames(args.lookahead),
            crossfade: frames(0.1),
            context: frames(args.context),
        }),
        provenance: Provenance {
            data: format!("imported from {}", args.file.file_name().unwrap_or_default().display()),
            trainer: format!("trainer {}", env!("CARGO_PKG_VERSION")),
            ..Default::default()
        },
        metrics: Vec::new(),
    };
    println!("{}", serde_json::to_string_pretty(&header.architecture)?);
    println!(
        "not told by the weights, hence from the options: stride {}, heads {}, recurrence {recurrence:?}, \
         stem order {}, {} Hz",
        args.stride,
        args.heads,
        args.stems.iter().map(|s| s.name()).collect::<Vec<_>>().join(","),
        args.sample_rate
    );
    let checkpoint = Checkpoint::new(header, foreign.tensors, &name)?;
    checkpoint.write(&args.output, if args.f16 { Precision::F16 } else { Precision::F32 })?;
    println!("{}: {} weights", args.output.display(), checkpoint.parameters());
    Ok(ExitCode::SUCCESS)
}
