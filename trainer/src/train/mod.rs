//! `trainer train`: a recipe becomes a checkpoint.

mod dashboard;
mod data;
mod date;
mod init;
mod learner;
mod log;
mod loss;
mod measure;
pub mod optimizer;
mod preflight;
mod processes;
pub mod recipe;
mod records;
mod run;
mod schedule;
mod state;
mod tensorboard;
mod validate;

use std::path::PathBuf;
use std::process::ExitCode;

use processes::Processes;
use recipe::Recipe;
use run::{Prepared, Start};

/// Trains a network as a recipe says. Everything is written to runs/<name>/.
///
/// log.jsonl has a line for each step and validation; best.safetensors and last.safetensors are checkpoints for the
/// plugin and `trainer separate`; state.safetensors is what --resume goes on from; `tensorboard --logdir DIR` shows
/// curves, sounds and spectrograms of all runs. docs/recipes.md explains every key of a recipe.
#[derive(clap::Args)]
pub struct Args {
    /// The recipe, a TOML file.
    #[arg(value_name = "RECIPE.toml")]
    pub recipe: PathBuf,
    /// Goes on where the run was stopped or killed; the result is the same as without the stop.
    #[arg(long)]
    pub resume: bool,
    /// Starts from the weights of a checkpoint: `live`, `studio` or a file.
    #[arg(long, value_name = "live|studio|FILE", conflicts_with = "resume")]
    pub init_from: Option<String>,
    /// With --init-from: takes the tensors that fit from a checkpoint of another architecture, and says which do not.
    #[arg(long, requires = "init_from")]
    pub partial: bool,
    /// Checks recipe, data, memory and disk, does one step, and writes nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Stops after so many minutes, to be resumed later.
    #[arg(long, value_name = "N")]
    pub minutes: Option<f64>,
    /// The folder in which runs lie.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub runs: PathBuf,
    #[command(flatten)]
    pub device: crate::device::Args,
}

/// Trains, together with the other processes if there are any.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    crate::memory::keep();
    let processes = Processes::join()?;
    let trained = train(args, &processes);
    if let Err(error) = &trained {
        processes.end_all_for(error);
    }
    trained.map(|()| ExitCode::SUCCESS)
}

fn train(args: &Args, processes: &Processes) -> anyhow::Result<()> {
    let picked = args.device.for_process(processes.rank_here()).pick()?;
    let recipe = Recipe::read(&args.recipe)?;
    let folder = args.runs.join(&recipe.name);
    let start = match &args.init_from {
        Some(checkpoint) => Start::From { checkpoint, partial: args.partial },
        None if args.resume => Start::Resume,
        None => Start::Fresh,
    };
    if processes.is_first() {
        println!("device: {}", picked.why);
    }
    let prepared = Prepared::new(recipe, folder, &start, processes, picked.device)?;
    if args.dry_run { prepared.dry_run() } else { prepared.open()?.go(args.minutes) }
}
