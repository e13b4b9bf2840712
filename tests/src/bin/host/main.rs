//! The `host` program: plays a song through a built bundle as a DAW would, and reports what came out.

mod report;
mod session;
mod song;
mod spectrograms;
mod time;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use engine::Stem;
use engine::audio::AudioBuffer;
use tests::model::{Model, choose};
use tests::play::from_frame;
use tests::plugin::{Format, Setup, Wiring};
use tests::{bundles, plugin};

use report::Report;
use session::{Pace, Session};
use song::Song;

/// Plays a song through Tributary in a headless CLAP or VST3 host: like a sound card (the default), or like a
/// bounce (--offline).
#[derive(Parser)]
#[command(bin_name = "cargo xtask host", max_term_width = 100)]
struct Arguments {
    /// The plugin format
    #[arg(long, value_enum)]
    format: FormatName,
    /// The song: any audio file that the engine reads
    #[arg(long)]
    input: PathBuf,
    /// Folder for main.wav, drums.wav, bass.wav, other.wav and vocals.wav (32-bit float)
    #[arg(long)]
    output: PathBuf,
    /// Block size, frames
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    block: u32,
    /// Play at this sample rate; the song is resampled to it
    #[arg(long, value_name = "HZ", value_parser = clap::value_parser!(u32).range(8_000..=384_000))]
    rate: Option<u32>,
    /// Render as fast as possible; the plugin is told and waits for its worker
    #[arg(long, conflicts_with = "realtime")]
    offline: bool,
    /// Pace the blocks like a sound card, and count those that are late; the default
    #[arg(long)]
    realtime: bool,
    /// Which of the plugin's models separates; the plugin is restarted for it. Default: as the plugin comes
    #[arg(long, value_enum)]
    model: Option<ModelName>,
    /// So many instances at once, each on an audio thread of its own; figures are of all of them, files of the first
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    instances: u32,
    /// A mono track: the song's channels are mixed
    #[arg(long)]
    mono: bool,
    /// Which output buses are connected
    #[arg(long, value_enum, default_value_t = Buses::All)]
    buses: Buses,
    /// Write the report to this file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The bundle to load; default: the one that `cargo xtask` has built
    #[arg(long, value_name = "PATH")]
    bundle: Option<PathBuf>,
    /// A folder with the true stems (drums.wav, ...) to measure against
    #[arg(long, value_name = "DIR")]
    references: Option<PathBuf>,
    /// Draw the spectrograms of the mixture and the stems into this PNG file
    #[arg(long, value_name = "FILE")]
    spectrograms: Option<PathBuf>,
    /// Fail at the first system call that the plugin makes on the audio thread (Linux, not offline)
    #[arg(long, conflicts_with_all = ["offline", "instances"])]
    forbid_system_calls: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum FormatName {
    Clap,
    Vst3,
}

#[derive(Clone, Copy, ValueEnum)]
enum ModelName {
    Live,
    Studio,
}

#[derive(Clone, Copy, ValueEnum)]
enum Buses {
    All,
    Main,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    let format = match arguments.format {
        FormatName::Clap => Format::Clap,
        FormatName::Vst3 => Format::Vst3,
    };
    let bundle = arguments.bundle.clone().or_else(|| bundles::named(format));
    let bundle = bundle.context("which bundle? Name one with --bundle, or use `cargo xtask host`")?;
    let song = Song::read(&arguments.input, arguments.rate, arguments.mono)?;
    let references = arguments.references.as_deref().map(|folder| song.references(folder)).transpose()?;
    std::fs::create_dir_all(&arguments.output)
        .with_context(|| format!("cannot make {}", arguments.output.display()))?;

    let setup = Setup {
        offline: arguments.offline,
        mono: arguments.mono,
        wiring: match arguments.buses {
            Buses::All => Wiring::All,
            Buses::Main => Wiring::First(1),
        },
        ..Setup::offline(song.sample_rate, arguments.block as usize)
    };
    let pace = match (arguments.offline, arguments.forbid_system_calls) {
        (true, _) => Pace::Offline,
        (false, guarded) => Pace::SoundCard { guarded },
    };
    let model = arguments.model.map(|name| match name {
        ModelName::Live => Model::Live,
        ModelName::Studio => Model::Studio,
    });
    let mut sessions = Vec::new();
    for _ in 0..arguments.instances {
        let mut plugin = plugin::load(format, &bundle)?;
        if let Some(model) = model {
            choose(&mut *plugin, setup, model)?;
        }
        sessions.push(Session::new(plugin, setup, &song.audio)?);
    }
    let concert = session::play(sessions, pace)?;
    let played = concert.played.first().context("nothing was played")?;

    let main = from_frame(&played.take.main, played.latency);
    let stems = played.take.stems.as_ref().map(|s| s.each_ref().map(|stem| from_frame(stem, played.latency)));
    write(&arguments.output, "main", &main, setup.sample_rate)?;
    for (stem, audio) in Stem::ALL.iter().zip(stems.iter().flatten()) {
        write(&arguments.output, stem.name(), audio, setup.sample_rate)?;
    }
    let report =
        Report::new(&arguments, &bundle, &song, &concert, &main, stems.as_ref(), references.as_ref());
    print!("{report}");
    if let Some(file) = &arguments.json {
        report.write(file)?;
    }
    if let Some(file) = &arguments.spectrograms {
        let stems = stems.context("there are no stems to draw: their buses are not connected")?;
        spectrograms::draw(file, &song.mixture, &stems, setup.sample_rate)
            .with_context(|| format!("cannot draw {}", file.display()))?;
        println!("pictures       {}", file.display());
    }
    if pace == (Pace::SoundCard { guarded: true }) {
        // The guarded thread cannot even end; everything is written, so the process takes it along.
        std::process::exit(0);
    }
    Ok(())
}

fn write(folder: &Path, name: &str, audio: &AudioBuffer, sample_rate: u32) -> Result<()> {
    ensure!(audio.frames() > 0, "nothing came out");
    song::write(&folder.join(name).with_extension("wav"), audio, sample_rate)
}
