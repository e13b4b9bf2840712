//! `trainer evaluate`: separators measured on a data set, song by song.

mod box_plot;
mod compare;
mod dataset;
mod irm;
mod method;
mod results;
pub mod stem_files;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use engine::STEMS;
use indicatif::{ProgressBar, ProgressStyle};
use rayon::ThreadPoolBuilder;
use rayon::prelude::*;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use crate::exit::WrongUse;
use crate::metrics::aggregate::StemScores;
use crate::metrics::bss_eval::BssEval;
use crate::metrics::plain_sdr;
use crate::score::Windows;
use dataset::Song;
use method::Method;
use results::{MethodResults, Results};

/// Separates the songs of a data set and scores the stems: BSSEval v4 as museval defines it, and plain SDR.
///
/// DIR has one folder for each song, with mixture.wav and the four stems (MUSDB18-HQ's layout). Each checkpoint is
/// run by the very separator that the plugin runs. `mixture` (the mixture taken for each stem) and `irm` (the ideal
/// ratio mask, which knows the stems) can be evaluated beside checkpoints.
#[derive(clap::Args)]
pub struct Args {
    /// The folder with the songs.
    #[arg(long, value_name = "DIR")]
    pub dataset: PathBuf,
    /// What to evaluate: embedded checkpoints, files, or baselines; with several, each is compared with the first.
    #[arg(
        long,
        value_name = "live|studio|FILE|mixture|irm[,...]",
        value_delimiter = ',',
        required_unless_present = "compare"
    )]
    pub checkpoint: Vec<String>,
    /// Further ones, as above; alone, it only insists that there are several.
    #[arg(long, value_name = "NAME[,...]", value_delimiter = ',', num_args = 0..=1)]
    pub compare: Option<Vec<String>>,
    /// Measures only the beginning of each song, in seconds.
    #[arg(long, value_name = "S")]
    pub seconds: Option<f64>,
    /// Writes everything: aggregates, and each window of each song in museval's layout.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Writes a table with a row for each checkpoint, song and stem.
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Draws box plots over the songs, as PNG.
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Writes a JSON file for each song, where museval looks for them: DIR/<checkpoint>/test/<song>.json.
    #[arg(long, value_name = "DIR")]
    pub tracks: Option<PathBuf>,
    /// How many songs to work on at a time; by default as many as processors and memory allow.
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Seed of the confidence intervals.
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub windows: Windows,
    #[command(flatten)]
    pub device: crate::device::Args,
}

/// Measures, prints and writes.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let picked = args.device.pick()?;
    let names = names(args)?;
    if let Some(seconds) = args.seconds {
        ensure!(
            seconds > 0.0 && seconds.is_finite(),
            WrongUse(format!("--seconds must be above 0, not {seconds}"))
        );
    }
    ensure!(args.jobs != Some(0), WrongUse("--jobs must be at least 1".into()));
    let methods = names
        .iter()
        .map(|name| Method::new(name, args.device, &picked))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let songs = dataset::songs(&args.dataset)?;
    songs.iter().try_for_each(|song| args.windows.at(song.sample_rate).map(drop))?;

    let bar = ProgressBar::new(songs.iter().map(|song| (song.seconds_of(args) * 1e3) as u64).sum::<u64>())
        .with_style(
            ProgressStyle::with_template("{msg} {bar:30} {percent}%, {eta} left")
                .unwrap_or(ProgressStyle::default_bar()),
        );
    bar.set_message(format!("{} songs", songs.len()));
    let pool = ThreadPoolBuilder::new().num_threads(jobs(args, &songs)).build()?;
    let scores = pool.install(|| {
        songs
            .par_iter()
            .map(|song| {
                let scores = measure(song, &methods, args, &bar);
                scores.with_context(|| format!("cannot measure the song {}", song.name))
            })
            .collect::<anyhow::Result<Vec<_>>>()
    })?;
    bar.finish_and_clear();

    let mut by_method: Vec<MethodResults> = methods
        .iter()
        .map(|m| MethodResults { name: m.name.clone(), description: m.description(), songs: Vec::new() })
        .collect();
    for song in scores {
        by_method.iter_mut().zip(song).for_each(|(method, stems)| method.songs.push(stems));
    }
    let results = Results {
        dataset: args.dataset.display().to_string(),
        seconds: args.seconds,
        windows: args.windows,
        songs: songs.into_iter().map(|song| song.name).collect(),
        methods: by_method,
    };
    let comparisons = compare::compare(&results.methods, args.seed);
    for method in &methods {
        if let Some(device) = method.device() {
            println!("device of {}: {device}", method.name);
        }
    }
    print!("{results}");
    if !comparisons.is_empty() {
        print!("\n{}", compare::table(&comparisons));
    }
    if let Some(path) = &args.json {
        results.write_json(path, &comparisons)?;
    }
    if let Some(path) = &args.csv {
        results.write_csv(path)?;
    }
    if let Some(folder) = &args.tracks {
        results.write_tracks(folder)?;
    }
    if let Some(path) = &args.plot {
        box_plot::draw(path, &results).with_context(|| format!("cannot draw {}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What to evaluate, the first being what the others are compared with.
///
/// # Errors
/// A name twice, or nothing to compare with.
fn names(args: &Args) -> anyhow::Result<Vec<&str>> {
    let all = args.checkpoint.iter().chain(args.compare.iter().flatten());
    let names: Vec<&str> = all.map(String::as_str).filter(|name| !name.is_empty()).collect();
    for (index, name) in names.iter().enumerate() {
        if names[..index].contains(name) {
            bail!(WrongUse(format!("{name} is named twice")));
        }
    }
    let least = if args.compare.is_some() { 2 } else { 1 };
    ensure!(
        names.len() >= least,
        WrongUse(format!(
            "at least {least} checkpoint(s) are needed, such as live, studio, a file, mixture or irm"
        ))
    );
    Ok(names)
}

impl Song {
    /// How much of it is measured.
    fn seconds_of(&self, args: &Args) -> f64 {
        args.seconds.unwrap_or(f64::INFINITY).min(self.seconds)
    }
}

/// How many songs fit into memory at once, but at least one and at most one for each thread.
fn jobs(args: &Args, songs: &[Song]) -> usize {
    if let Some(jobs) = args.jobs {
        return jobs;
    }
    // Mixture, stems, estimates and copies on the way: 12 stereo signals; BSSEval's equations, twice; a network.
    let frames = |song: &Song| song.seconds_of(args) * f64::from(song.sample_rate);
    let longest = songs.iter().map(frames).fold(0.0, f64::max);
    let unknowns = (2 * STEMS * args.windows.filters) as f64;
    let need = longest * 12.0 * 8.0 + 2.0 * 8.0 * unknowns * unknowns + 5e8;
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    // Where memory cannot be asked for, one song at a time is safe.
    let Ok(system) = System::new_with_specifics(memory) else { return 1 };
    let limit = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
    let free = system.available_memory().min(limit);
    // Most of it; what other programs will want is not known.
    let fit = (0.8 * free as f64 / need) as usize;
    fit.clamp(1, rayon::current_num_threads())
}

/// The scores of one song, by method, then by stem.
fn measure(
    song: &Song,
    methods: &[Method],
    args: &Args,
    bar: &ProgressBar,
) -> anyhow::Result<Vec<[StemScores; STEMS]>> {
    let audio = song.read(args.seconds)?;
    let bss_eval = BssEval::new(&audio.stems, args.windows.at(audio.sample_rate)?)?;
    let share = 1e3 / (f64::from(audio.sample_rate) * methods.len() as f64);
    let mut scores = Vec::new();
    for method in methods {
        let mut shown = 0;
        let estimates = method.separate(&audio, |done| {
            let now = (done as f64 * share) as u64;
            bar.inc(now.saturating_sub(shown));
            shown = shown.max(now);
        })?;
        let mut ratios = bss_eval.score(&estimates)?;
        scores.push(std::array::from_fn(|stem| StemScores {
            ratios: std::mem::take(&mut ratios[stem]),
            plain_sdr: plain_sdr::sdr(&audio.stems[stem], &estimates[stem]),
        }));
    }
    Ok(scores)
}
