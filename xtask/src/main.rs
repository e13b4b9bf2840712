//! `cargo xtask`: every chore of this repository, on every system, with nothing but Rust.
//!
//! It only calls other programs (cargo, `host`, `trainer`), so it compiles in seconds.

mod bench;
mod bundle;
mod cuda;
mod demo;
mod install;
mod python;
mod setup;
mod test;
mod workspace;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use workspace::{Failed, Profile, Workspace};

/// Chores of the Tributary repository.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Install what the build needs and this machine lacks (Debian and Ubuntu; elsewhere: say what it is)
    Setup,
    /// Build the plugin and lay out Tributary.clap and Tributary.vst3 in target/bundled
    Bundle {
        /// The development build with its real-time assertions, in target/bundled-dev
        #[arg(long)]
        dev: bool,
        /// Another plugin that runs its network on a card: "Tributary CUDA", which only loads where its driver is
        #[arg(long, conflicts_with = "dev")]
        gpu: Option<bundle::Gpu>,
    },
    /// Build for NVIDIA cards without having one: the trainer packed into target/cuda/tributary-cuda, and the plugin
    Cuda,
    /// Copy both bundles to where this user's DAWs look for plugins
    Install,
    /// Play a song through the bundle in a headless CLAP host; stems and pictures go to target/demo
    Demo {
        /// An audio file, or a folder with mixture.wav and (optionally) the true stems;
        /// default: 20 s of music that `trainer synth` makes
        song: Option<PathBuf>,
    },
    /// The headless CLAP and VST3 host with its knobs open: `cargo xtask host --help`
    #[command(disable_help_flag = true)]
    Host {
        /// Passed on to the host
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Compare with the field's reference programs (PyTorch, museval, ONNX Runtime), which are installed under
    /// target/python
    Bench {
        /// What is compared; everything if it is left out
        subject: Option<bench::Subject>,
        /// Passed on to the comparison
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Check the format, lint, and run every test
    Test,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = Workspace::find().and_then(|workspace| match arguments.chore {
        Chore::Setup => setup::run(),
        Chore::Bundle { gpu: Some(bundle::Gpu::Cuda), .. } => {
            cuda::bundle(&workspace).map(|bundles| println!("{bundles}"))
        }
        Chore::Bundle { dev, gpu: None } => {
            let profile = if dev { Profile::Dev } else { Profile::Release };
            bundle::run(&workspace, profile).map(|bundles| println!("{bundles}"))
        }
        Chore::Cuda => cuda::run(&workspace),
        Chore::Install => install::run(&workspace),
        Chore::Demo { song } => demo::run(&workspace, song),
        Chore::Host { arguments } => demo::host(&workspace, arguments),
        Chore::Bench { subject, arguments } => bench::run(&workspace, subject, &arguments),
        Chore::Test => test::run(&workspace),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(error.downcast_ref::<Failed>().map_or(1, |failed| failed.code))
        }
    }
}
