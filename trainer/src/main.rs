//! The `trainer` command: makes songs, trains networks on them, and separates with the result.
//!
//! Nothing happens here but choosing a subcommand; each lives in a file or folder of its own, with an `Args`
//! and a `run`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod bench_training;
mod check;
mod device;
mod embedded;
mod evaluate;
mod exit;
mod import;
mod inspect;
mod memory;
mod metrics;
mod pattern;
mod rng;
mod score;
mod selftest;
mod separate;
mod synth;
mod train;

/// Makes songs, trains separation networks on them, and separates with the result.
#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Bench(bench::Args),
    BenchTraining(bench_training::Args),
    Check(check::Args),
    Evaluate(evaluate::Args),
    Import(import::Args),
    Inspect(inspect::Args),
    Score(score::Args),
    Selftest(selftest::Args),
    Separate(separate::Args),
    Synth(synth::Args),
    Train(train::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Bench(args) => bench::run(&args),
        Command::BenchTraining(args) => bench_training::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Score(args) => score::run(&args),
        Command::Selftest(args) => selftest::run(&args),
        Command::Separate(args) => separate::run(&args),
        Command::Synth(args) => synth::run(&args),
        Command::Train(args) => train::run(&args),
    };
    result.unwrap_or_else(|error| exit::report(&error))
}
