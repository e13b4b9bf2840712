//! `trainer score`: any program's stems of one song against the true ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use engine::audio::AudioBuffer;
use engine::files::write_atomically;
use serde::Serialize;

use crate::evaluate::stem_files::{self, MIXTURE};
use crate::exit::WrongUse;
use crate::metrics::aggregate::{Aggregator, Measure, StemScores};
use crate::metrics::bss_eval::{self, Options};
use crate::metrics::{museval, plain_sdr};

/// Scores the stems of one song: BSSEval v4 (SDR, ISR, SIR, SAR) as museval defines it, and plain SDR.
///
/// Each audio file in REFERENCE_DIR is a stem, and needs a file of the same name in ESTIMATE_DIR; mixture.* is none.
/// Estimates that are longer or shorter are cut or filled with silence, as museval does.
#[derive(clap::Args)]
pub struct Args {
    /// The folder with the true stems, such as drums.wav, bass.wav, other.wav and vocals.wav.
    #[arg(value_name = "REFERENCE_DIR")]
    pub references: PathBuf,
    /// The folder with the separated stems.
    #[arg(value_name = "ESTIMATE_DIR")]
    pub estimates: PathBuf,
    /// Writes the ratios of every window, in museval's layout.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Scores only these stems, as if the song had no others.
    #[arg(long, value_name = "NAME[,...]", value_delimiter = ',')]
    pub stems: Vec<String>,
    #[command(flatten)]
    pub windows: Windows,
}

/// How BSSEval measures.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Windows {
    /// Length of what one set of BSSEval's ratios covers, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    pub window: f64,
    /// From the start of one window to that of the next, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    pub hop: f64,
    /// Length of BSSEval's distortion filters.
    #[arg(long, value_name = "TAPS", default_value_t = 512)]
    pub filters: usize,
}

impl Windows {
    /// In frames at a rate in Hz; fractions are cut off, as museval does.
    ///
    /// # Errors
    /// Something is shorter than one frame or too long.
    pub fn at(self, sample_rate: u32) -> anyhow::Result<Options> {
        let frames = |seconds: f64, name: &str| {
            let frames = seconds * f64::from(sample_rate);
            // Also refuses what is no number.
            let bearable = (1.0..1e12).contains(&frames);
            ensure!(bearable, WrongUse(format!("--{name} {seconds} is no length of a window in seconds")));
            Ok(frames as usize)
        };
        // The equations of 4 stereo stems with 4096 taps would take 8 GB.
        ensure!(
            (1..=2048).contains(&self.filters),
            WrongUse(format!("--filters must lie between 1 and 2048, not {}", self.filters))
        );
        Ok(Options {
            window: frames(self.window, "window")?,
            hop: frames(self.hop, "hop")?,
            taps: self.filters,
        })
    }

    /// What was computed, in one sentence.
    pub fn definition(self) -> String {
        let Self { window, hop, filters } = self;
        format!("{}; windows of {window} s every {hop} s, filters of {filters} taps", bss_eval::DEFINITION)
    }
}

/// What `--json` writes: museval's layout, and beside it what museval does not have.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    track: &'a museval::Track,
    definition: String,
    plain_sdr_definition: &'static str,
    plain_sdr: BTreeMap<&'a str, Option<f64>>,
}

/// Reads, scores, prints.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let pairs = pairs(args)?;
    let (references, sample_rate) = read_references(&pairs)?;
    let options = args.windows.at(sample_rate)?;
    let estimates = pairs
        .iter()
        .zip(&references)
        .map(|(pair, reference)| read_estimate(pair, reference, sample_rate))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let ratios = bss_eval::evaluate(&references, &estimates, options)?;
    let names: Vec<&str> = pairs.iter().map(|pair| pair.name.as_str()).collect();
    let track = museval::Track::new(names.iter().copied(), &ratios, args.windows.window, args.windows.hop);
    let scores: Vec<StemScores> = ratios
        .into_iter()
        .zip(references.iter().zip(&estimates))
        .map(|(ratios, (s, e))| StemScores { ratios, plain_sdr: plain_sdr::sdr(s, e) })
        .collect();

    println!("{}", args.windows.definition());
    println!("{}", plain_sdr::FORMULA);
    println!();
    println!("dB; BSSEval: median over windows");
    print!("{:<16}", "");
    Measure::ALL.iter().for_each(|measure| print!("{:>11}", measure.title()));
    println!();
    for (name, scores) in names.iter().zip(&scores) {
        print!("{name:<16}");
        Measure::ALL.iter().for_each(|m| print!("{:>11.3}", scores.figure(*m, Aggregator::Median)));
        println!();
    }
    if let Some(path) = &args.json {
        let report = Report {
            track: &track,
            definition: args.windows.definition(),
            plain_sdr_definition: plain_sdr::FORMULA,
            plain_sdr: names.into_iter().zip(scores.iter().map(|s| s.plain_sdr)).collect(),
        };
        write_json(path, &report)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes JSON for people and programs, whole or not at all.
///
/// # Errors
/// The file cannot be written.
pub fn write_json(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    Ok(write_atomically(path, |file| writeln!(file, "{text}"))?)
}

/// One stem's two files.
struct Pair {
    name: String,
    reference: PathBuf,
    estimate: PathBuf,
}

/// Every reference with its estimate.
///
/// # Errors
/// No references, or one without an estimate.
fn pairs(args: &Args) -> anyhow::Result<Vec<Pair>> {
    let mut references = stem_files::find(&args.references)?;
    let estimates: BTreeMap<String, PathBuf> = stem_files::find(&args.estimates)?.into_iter().collect();
    references.retain(|(name, _)| name != MIXTURE);
    for name in &args.stems {
        ensure!(
            references.iter().any(|(found, _)| found == name),
            "{} has no {name} ({name}.wav or {name}.flac)",
            args.references.display()
        );
    }
    if !args.stems.is_empty() {
        references.retain(|(name, _)| args.stems.contains(name));
    }
    ensure!(
        !references.is_empty(),
        "{} has no stems: expected files such as drums.wav, bass.wav, other.wav and vocals.wav",
        args.references.display()
    );
    let mut pairs = Vec::new();
    for (name, reference) in references {
        let estimate = estimates.get(&name).cloned().with_context(|| {
            format!(
                "{} has no {name} ({name}.wav or {name}.flac), which {} is the reference of; --stems chooses stems",
                args.estimates.display(),
                reference.display()
            )
        })?;
        pairs.push(Pair { name, reference, estimate });
    }
    for name in estimates.keys().filter(|name| *name != MIXTURE && args.stems.is_empty()) {
        if !pairs.iter().any(|pair| pair.name == *name) {
            eprintln!("note: {name} is not scored: {} has none", args.references.display());
        }
    }
    Ok(pairs)
}

/// The references and their rate in Hz.
///
/// # Errors
/// They differ in length, rate or channels.
fn read_references(pairs: &[Pair]) -> anyhow::Result<(Vec<AudioBuffer>, u32)> {
    let mut first: Option<(usize, usize, u32)> = None;
    let mut references = Vec::new();
    for pair in pairs {
        let (audio, sample_rate) = stem_files::read(&pair.reference, usize::MAX)?;
        let shape = (audio.frames(), audio.channels(), sample_rate);
        let expected = *first.get_or_insert(shape);
        ensure!(
            shape == expected,
            "references differ: {} has {}, {} has {}",
            pairs[0].reference.display(),
            describe(expected),
            pair.reference.display(),
            describe(shape)
        );
        note_silence(&pair.reference, &audio);
        references.push(audio);
    }
    let (_, _, sample_rate) = first.context("there are no references")?;
    Ok((references, sample_rate))
}

/// What is left out should be known.
fn note_silence(file: &Path, audio: &AudioBuffer) {
    if bss_eval::silent(audio) {
        eprintln!(
            "note: {} is silent: the stem has no BSSEval, the others are scored without it",
            file.display()
        );
    }
}

fn describe((frames, channels, sample_rate): (usize, usize, u32)) -> String {
    format!("{frames} frames of {channels} channel(s) at {sample_rate} Hz")
}

/// An estimate, as long as its reference.
fn read_estimate(pair: &Pair, reference: &AudioBuffer, sample_rate: u32) -> anyhow::Result<AudioBuffer> {
    let (audio, rate) = stem_files::read(&pair.estimate, usize::MAX)?;
    let file = pair.estimate.display();
    ensure!(
        (rate, audio.channels()) == (sample_rate, reference.channels()),
        "{file} has {}; its reference has {}",
        describe((audio.frames(), audio.channels(), rate)),
        describe((reference.frames(), reference.channels(), sample_rate))
    );
    note_silence(&pair.estimate, &audio);
    let (found, wanted) = (audio.frames(), reference.frames());
    if found == wanted {
        return Ok(audio);
    }
    let how = if found > wanted { "its end is left out" } else { "silence is put at its end" };
    eprintln!("note: {file} has {found} frames, its reference {wanted}: {how}");
    let fit = |channel: &[f32]| {
        let mut channel = channel.to_vec();
        channel.resize(wanted, 0.0);
        channel
    };
    AudioBuffer::from_channels(audio.iter().map(fit).collect()).context("channels of different lengths")
}
