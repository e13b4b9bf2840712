//! What came out, in figures: for people and as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use engine::audio::AudioBuffer;
use engine::{STEMS, Stem};
use serde::Serialize;
use tests::measure::{Dropouts, SDR_DEFINITION, dropouts, null_db, peak_db, rms_db, sdr_db, sum};
use tests::play::from_frame;

use crate::session::{Concert, Played};
use crate::song::Song;
use crate::{Arguments, Buses, FormatName};

/// All figures of one run. Decibels have a floor of -300: silence, or no difference at all.
#[derive(Serialize)]
pub struct Report {
    plugin: String,
    format: &'static str,
    bundle: String,
    input: String,
    sample_rate: u32,
    block: u32,
    offline: bool,
    mono: bool,
    instances: u32,
    buses_connected: &'static str,
    seconds: f64,
    latency_frames: usize,
    latency_ms: f64,
    /// Sum of the stems against the input, the worst of all instances; null without stems.
    null_db: Option<f64>,
    /// Main bus against the input.
    main_null_db: f64,
    /// Of all instances: events in which the stems do not add up to the input; null without stems, where they cannot be seen.
    dropouts: Option<usize>,
    dropouts_after_first_second: Option<usize>,
    dropout_frames: Option<usize>,
    /// `process` calls that ended after the next block was due, of all instances; null offline.
    late_calls: Option<usize>,
    /// Time needed for a second of audio: offline the wall time, else the processor time of all instances' threads.
    real_time_factor: Option<f64>,
    /// Cores that other programs and machines used meanwhile; null where the system does not say.
    others_cores: Option<f64>,
    call_ms_median: f64,
    call_ms_max: f64,
    buses: Vec<BusLevel>,
    /// Against the true stems, where they are known.
    sdr: Option<Sdr>,
}

#[derive(Serialize)]
struct BusLevel {
    name: &'static str,
    peak_db: f64,
    rms_db: f64,
}

#[derive(Serialize)]
struct Sdr {
    definition: &'static str,
    /// By stem; null where the true stem is silent.
    stems: BTreeMap<&'static str, Option<StemSdr>>,
}

#[derive(Serialize)]
struct StemSdr {
    /// Of the stem that the plugin gave.
    stem_db: f64,
    /// Of the mixture, taken for the stem: what doing nothing scores.
    mixture_db: f64,
}

impl Report {
    /// Measures. `main` and `stems` are the first instance's and have their latency removed.
    pub fn new(
        arguments: &Arguments,
        bundle: &Path,
        song: &Song,
        concert: &Concert,
        main: &AudioBuffer,
        stems: Option<&[AudioBuffer; STEMS]>,
        references: Option<&[AudioBuffer; STEMS]>,
    ) -> Self {
        let (mixture, played) = (&song.mixture, &concert.played[0]);
        let rate = f64::from(song.sample_rate);
        let seconds = song.audio.frames() as f64 / rate;
        let sums: Option<Vec<AudioBuffer>> = concert.played.iter().map(stem_sum).collect();
        let worst_null =
            |sums: &Vec<AudioBuffer>| sums.iter().map(|sum| null_db(sum, mixture)).reduce(f64::max);
        let all_dropouts = |sums: &Vec<AudioBuffer>| {
            let each = sums.iter().map(|sum| dropouts(sum, mixture, song.sample_rate));
            each.fold(Dropouts::default(), |all, one| Dropouts {
                events: all.events + one.events,
                frames: all.frames + one.frames,
                in_first_second: all.in_first_second + one.in_first_second,
            })
        };
        let dropouts = sums.as_ref().map(all_dropouts);
        let main_expected = if main.channels() == 1 { &song.audio } else { mixture };
        let names = std::iter::once("main").chain(Stem::ALL.iter().map(|stem| stem.name()));
        let buses = names
            .zip(std::iter::once(main).chain(stems.into_iter().flatten()))
            .map(|(name, audio)| BusLevel { name, peak_db: peak_db(audio), rms_db: rms_db(audio) })
            .collect();
        let mut calls: Vec<Duration> =
            concert.played.iter().flat_map(|it| it.calls.iter().copied()).collect();
        calls.sort_unstable();
        let milliseconds = |call: Option<&Duration>| call.map_or(0.0, |call| call.as_secs_f64() * 1e3);
        Self {
            plugin: played.plugin.clone(),
            format: match arguments.format {
                FormatName::Clap => "clap",
                FormatName::Vst3 => "vst3",
            },
            bundle: bundle.display().to_string(),
            input: arguments.input.display().to_string(),
            sample_rate: song.sample_rate,
            block: arguments.block,
            offline: arguments.offline,
            mono: arguments.mono,
            instances: arguments.instances,
            buses_connected: match arguments.buses {
                Buses::All => "all",
                Buses::Main => "main",
            },
            seconds,
            latency_frames: played.latency,
            latency_ms: played.latency as f64 / rate * 1e3,
            null_db: sums.as_ref().and_then(worst_null),
            main_null_db: null_db(main, main_expected),
            dropouts: dropouts.map(|found| found.events),
            dropouts_after_first_second: dropouts.map(|found| found.events - found.in_first_second),
            dropout_frames: dropouts.map(|found| found.frames),
            late_calls: (!arguments.offline).then(|| concert.played.iter().map(|it| it.late_calls).sum()),
            real_time_factor: if arguments.offline {
                concert.played.iter().map(|it| it.wall_seconds).reduce(f64::max)
            } else {
                concert.plugin_seconds
            }
            .map(|needed| needed * rate / (song.audio.frames() + played.latency) as f64),
            others_cores: concert.others_cores,
            call_ms_median: milliseconds(calls.get(calls.len() / 2)),
            call_ms_max: milliseconds(calls.last()),
            buses,
            sdr: stems.zip(references).map(|(stems, references)| Sdr {
                definition: SDR_DEFINITION,
                stems: Stem::ALL
                    .iter()
                    .map(|stem| {
                        let reference = &references[*stem as usize];
                        let stem_db = sdr_db(&stems[*stem as usize], reference);
                        let both = stem_db.zip(sdr_db(mixture, reference));
                        (stem.name(), both.map(|(stem_db, mixture_db)| StemSdr { stem_db, mixture_db }))
                    })
                    .collect(),
            }),
        }
    }

    /// Writes JSON.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(file, text + "\n").with_context(|| format!("cannot write {}", file.display()))
    }
}

/// One instance's stems added up, without their latency; `None` without stems.
fn stem_sum(played: &Played) -> Option<AudioBuffer> {
    Some(from_frame(&sum(played.take.stems.as_ref()?), played.latency))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.offline { "offline" } else { "in real time" };
        writeln!(
            f,
            "{} ({}), {} Hz, blocks of {}, {way}",
            self.plugin, self.format, self.sample_rate, self.block
        )?;
        if self.instances > 1 {
            writeln!(f, "instances      {} at once", self.instances)?;
        }
        writeln!(f, "latency        {} frames, {:.1} ms", self.latency_frames, self.latency_ms)?;
        let null = |db: f64| if db <= -300.0 { "the same samples".to_owned() } else { format!("{db:.1} dB") };
        writeln!(f, "main - input   {}", null(self.main_null_db))?;
        match self.null_db {
            Some(db) => writeln!(f, "stems - input  {}", null(db))?,
            None => writeln!(f, "stems - input  not known: the stems' buses are not connected")?,
        }
        if let Some((events, later)) = self.dropouts.zip(self.dropouts_after_first_second) {
            let frames = self.dropout_frames.unwrap_or(0);
            writeln!(f, "dropouts       {events} ({later} after the first second), {frames} frames in all")?;
        }
        if let Some(late) = self.late_calls {
            writeln!(f, "late calls     {late}")?;
        }
        writeln!(
            f,
            "process calls  {:.3} ms median, {:.3} ms at most",
            self.call_ms_median, self.call_ms_max
        )?;
        if let Some(factor) = self.real_time_factor {
            let what = if self.offline { "wall time" } else { "processor time" };
            writeln!(f, "real time      {factor:.3} s of {what} for a second of audio")?;
        }
        if let Some(others) = self.others_cores {
            writeln!(f, "other programs {others:.2} cores used meanwhile")?;
        }
        for bus in &self.buses {
            writeln!(f, "{:14} peak {:6.1} dB, rms {:6.1} dB", bus.name, bus.peak_db, bus.rms_db)?;
        }
        if let Some(sdr) = &self.sdr {
            writeln!(f, "{}", sdr.definition)?;
            for stem in Stem::ALL {
                match sdr.stems.get(stem.name()).and_then(Option::as_ref) {
                    Some(StemSdr { stem_db, mixture_db }) => writeln!(
                        f,
                        "{:14} {stem_db:6.2} dB, the mixture in its place {mixture_db:6.2} dB: better by {:.2} dB",
                        stem.name(),
                        stem_db - mixture_db
                    )?,
                    None => writeln!(f, "{:14} not defined: the true stem is silent", stem.name())?,
                }
            }
        }
        Ok(())
    }
}
