//! `trainer train`: a recipe becomes a checkpoint.

mod data;
mod date;
mod log;
mod loss;
pub mod optimizer;
pub mod recipe;
mod run;
mod state;
mod validate;

use std::path::PathBuf;
use std::process::ExitCode;

use recipe::Recipe;

/// Trains a network as a recipe says. Everything is written to runs/<name>/.
///
/// log.jsonl has a line for each step and validation; best.safetensors and last.safetensors are checkpoints for the
/// plugin and `trainer separate`; state.safetensors is what --resume goes on from.
#[derive(clap::Args)]
pub struct Args {
    /// The recipe, a TOML file.
    #[arg(value_name = "RECIPE.toml")]
    pub recipe: PathBuf,
    /// Goes on where the run was stopped or killed; the result is the same as without the stop.
    #[arg(long)]
    pub resume: bool,
    /// Stops after so many minutes, to be resumed later.
    #[arg(long, value_name = "N")]
    pub minutes: Option<f64>,
    /// The folder in which runs lie.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub runs: PathBuf,
}

/// Trains.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    crate::memory::keep();
    let recipe = Recipe::read(&args.recipe)?;
    let folder = args.runs.join(&recipe.name);
    run::Run::start(recipe, folder, args.resume)?.go(args.minutes)?;
    Ok(ExitCode::SUCCESS)
}
