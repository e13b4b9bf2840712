//! `trainer synth`: songs of our own, from no files at all.

mod bass;
mod canvas;
mod compose;
mod drums;
mod dsp;
mod instruments;
mod material;
mod mix;
mod other;
mod pack;
mod picture;
mod reference;
mod report;
mod resing;
mod score;
mod song;
mod soundfont;
mod voice;
mod write;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::ensure;
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;

use crate::exit::WrongUse;
pub use material::{Recordings, SHARE};
use report::{Figures, Report};
pub use song::Generator;
pub use write::mix;

/// Generates songs with their stems, in MUSDB18-HQ layout: DIR/<song>/{mixture,drums,bass,other,vocals}.wav.
///
/// 44.1 kHz, stereo, 32-bit float; the stems add up to the mixture bit for bit. No files are needed; recordings
/// (--pack, --soundfont) play some of the parts if they are given.
#[derive(clap::Args)]
pub struct Args {
    /// How many songs.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub songs: u64,
    /// Length of each song, in seconds.
    #[arg(long, value_name = "S", default_value_t = 20.0)]
    pub seconds: f32,
    /// The first song's seed, counted up for the next; the same seed gives the same song.
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub seed: u64,
    /// The folder to write to.
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Divides the songs among DIR/train, DIR/valid and DIR/test in this proportion.
    #[arg(long, value_name = "TRAIN:VALID:TEST")]
    pub split: Option<Split>,
    /// What may play in place of our own instruments.
    #[command(flatten)]
    pub recordings: Recordings,
    /// Prints spectra, loudness and levels of the stems, and writes them to DIR/report.json and DIR/report.png.
    #[arg(long)]
    pub report: bool,
    /// Writes spectrograms of the first song to DIR/<song>.png.
    #[arg(long)]
    pub picture: bool,
}

/// Proportions of the training, validation and test folders.
#[derive(Debug, Clone, Copy)]
pub struct Split([u64; 3]);

impl std::str::FromStr for Split {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<u64> = text.split(':').map_while(|part| part.parse().ok()).collect();
        match parts[..] {
            [train, valid, test] if train + valid + test > 0 && text.matches(':').count() == 2 => {
                Ok(Self([train, valid, test]))
            }
            _ => Err("three whole numbers such as 8:1:1 are needed".into()),
        }
    }
}

impl Split {
    /// The folder of song `index` of `count`.
    fn folder(self, index: u64, count: u64) -> &'static str {
        let total = u128::from(self.0.iter().sum::<u64>());
        // The song's middle, in parts of the whole, so that rounding is fair.
        let place = (2 * u128::from(index) + 1) * total;
        let border = |parts: u64| 2 * u128::from(count) * u128::from(parts);
        if place < border(self.0[0]) {
            "train"
        } else if place < border(self.0[0] + self.0[1]) {
            "valid"
        } else {
            "test"
        }
    }
}

/// Writes the songs, several at a time.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    ensure!(
        args.seconds > 0.0 && args.seconds <= 3_600.0,
        WrongUse(format!("--seconds must lie between 0 and 3600, not {}", args.seconds))
    );
    ensure!(args.songs > 0, WrongUse("--songs must be at least 1".into()));
    let generator = Generator::open(&args.recordings)?;
    if let Some(pack) = generator.material().pack() {
        println!("pack: {} recordings, {} MiB in memory", pack.len(), pack.bytes() >> 20);
    }
    let bar = ProgressBar::new(args.songs).with_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len} songs, {eta} left")
            .unwrap_or(ProgressStyle::default_bar()),
    );
    let (start, processor) = (Instant::now(), processor_seconds());
    let songs: Vec<(u32, Option<Figures>)> = (0..args.songs)
        .into_par_iter()
        .map(|index| {
            let stems = generator.song(args.seed.wrapping_add(index), args.seconds);
            write::write_song(&args.folder(index), &stems)?;
            bar.inc(1);
            Ok((write::checksum(&stems), args.report.then(|| Figures::of(&stems))))
        })
        .collect::<anyhow::Result<_>>()?;
    bar.finish_and_clear();
    let elapsed = start.elapsed().as_secs_f64();
    let seconds = args.songs as f64 * f64::from(args.seconds);
    println!(
        "{} songs, {seconds:.0} s of music in {elapsed:.1} s ({:.1} times real time), in {}",
        args.songs,
        seconds / elapsed,
        args.output.display()
    );
    if let (Some(before), Some(after)) = (processor, processor_seconds()) {
        let used = (after - before).max(1e-3);
        println!("{used:.1} s of processor time: {:.1} times real time per core", seconds / used);
    }
    let sums: Vec<u8> = songs.iter().flat_map(|(sum, _)| sum.to_le_bytes()).collect();
    println!("hash {:08x}", crc32c::crc32c(&sums));
    if args.report {
        let figures: Vec<Figures> = songs.into_iter().filter_map(|(_, figures)| figures).collect();
        let report = Report::new(&figures);
        print!("{report}");
        report.write(&args.output)?;
    }
    if args.picture {
        let file = args.output.join(format!("{}.png", args.name(0)));
        let stems = generator.song(args.seed, args.seconds);
        picture::draw(&file, &mix(&stems), &stems)?;
        println!("picture {}", file.display());
    }
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn name(&self, index: u64) -> String {
        format!("song-{:05}", self.seed.wrapping_add(index))
    }

    /// Where a song goes.
    fn folder(&self, index: u64) -> PathBuf {
        let split = self.split.map_or("", |split| split.folder(index, self.songs));
        self.output.join(split).join(self.name(index))
    }
}

/// Processor time that this process has used, all threads together; `None` where the system does not tell.
fn processor_seconds() -> Option<f64> {
    use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};
    let own = sysinfo::get_current_pid().ok()?;
    let mut system = System::new().ok()?;
    let what = ProcessRefreshKind::nothing().with_cpu();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), false, what);
    Some(system.process(own)?.accumulated_cpu_time() as f64 / 1_000.0)
}

#[cfg(test)]
mod tests {
    use engine::STEMS;

    use super::*;

    fn song(seed: u64, seconds: f32) -> [engine::audio::AudioBuffer; STEMS] {
        Generator::default().song(seed, seconds)
    }

    #[test]
    fn a_seed_always_gives_the_same_song_and_another_seed_another() {
        let first = song(3, 3.0);
        let again = std::thread::spawn(|| song(3, 3.0)).join().unwrap();
        assert!(first == again);
        assert!(first != song(4, 3.0));
    }

    #[test]
    fn stems_add_up_to_the_mixture_in_any_order_and_stay_below_full_scale() {
        for seed in 0..4 {
            let stems = song(seed, 4.0);
            for side in 0..2 {
                for frame in 0..stems[0].frames() {
                    let x: [f32; STEMS] = std::array::from_fn(|s| stems[s].channel(side)[frame]);
                    let forwards = ((x[0] + x[1]) + x[2]) + x[3];
                    let backwards = x[0] + (x[1] + (x[2] + x[3]));
                    assert!(forwards.to_bits() == backwards.to_bits() || forwards == 0.0);
                    assert!(forwards.abs() < 1.0, "{forwards}");
                }
            }
        }
    }

    #[test]
    fn songs_are_finite_and_most_stems_sound() {
        let mut sounding = 0;
        for seed in 10..16 {
            for stem in song(seed, 6.0) {
                assert!(stem.iter().flatten().all(|x| x.is_finite()));
                sounding += usize::from(stem.iter().flatten().any(|x| x.abs() > 0.01));
            }
        }
        assert!(sounding >= 18, "{sounding} of 24");
    }

    #[test]
    fn splits_keep_their_proportions() {
        let split: Split = "8:1:1".parse().unwrap();
        let count = |name| (0..40).filter(|&i| split.folder(i, 40) == name).count();
        assert_eq!([count("train"), count("valid"), count("test")], [32, 4, 4]);
        assert!(
            "8:1".parse::<Split>().is_err()
                && "0:0:0".parse::<Split>().is_err()
                && "1:2:x".parse::<Split>().is_err()
        );
    }
}
