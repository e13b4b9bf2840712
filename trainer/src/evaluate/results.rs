//! What was measured: by method, by song, by stem; and what becomes of it as JSON and CSV.

use std::path::Path;

use anyhow::Context;
use engine::files::write_atomically;
use engine::{STEMS, Stem};
use serde_json::{Map, Value, json};

use super::compare::Comparison;
use crate::metrics::aggregate::{Aggregator, Measure, StemScores};
use crate::metrics::{museval, plain_sdr};
use crate::score::{Windows, write_json};

/// Everything that was measured.
pub struct Results {
    /// The data set as the user called it.
    pub dataset: String,
    /// How much of each song; `None` means all of it.
    pub seconds: Option<f64>,
    /// How BSSEval measured.
    pub windows: Windows,
    /// Names of the songs.
    pub songs: Vec<String>,
    /// At least one.
    pub methods: Vec<MethodResults>,
}

/// One method's scores.
pub struct MethodResults {
    /// As the user called it.
    pub name: String,
    /// What it is.
    pub description: String,
    /// By song, then by stem.
    pub songs: Vec<[StemScores; STEMS]>,
}

impl MethodResults {
    /// One figure for each song that has one for this stem, in dB; NaN for the others.
    pub fn figures(&self, measure: Measure, stem: Stem, windows: Aggregator) -> Vec<f64> {
        self.songs.iter().map(|stems| stems[stem as usize].figure(measure, windows)).collect()
    }

    /// By song, the mean of its stems that have a figure.
    pub fn mean_figures(&self, measure: Measure, windows: Aggregator) -> Vec<f64> {
        let of = |stems: &[StemScores; STEMS]| {
            Aggregator::Mean.of(stems.iter().map(|scores| scores.figure(measure, windows)))
        };
        self.songs.iter().map(of).collect()
    }

    /// Over windows, then over songs, by stem; NaN where there is nothing.
    pub fn by_stem(&self, measure: Measure, aggregator: Aggregator) -> [f64; STEMS] {
        Stem::ALL.map(|stem| aggregator.of(self.figures(measure, stem, aggregator)))
    }

    /// Mean over the stems of [`by_stem`](Self::by_stem).
    pub fn mean(&self, measure: Measure, aggregator: Aggregator) -> f64 {
        Aggregator::Mean.of(self.by_stem(measure, aggregator))
    }

    fn aggregate(&self, aggregator: Aggregator, windows: Windows) -> Value {
        let figures = |of: &dyn Fn(Measure) -> f64| {
            let named = Measure::ALL.map(|m| (m.key().to_owned(), rounded(of(m))));
            Value::Object(Map::from_iter(named))
        };
        let mut object = Map::new();
        object.insert("definition".into(), definition(aggregator, windows).into());
        for stem in Stem::ALL {
            object.insert(stem.name().into(), figures(&|m| self.by_stem(m, aggregator)[stem as usize]));
        }
        object.insert("mean".into(), figures(&|m| self.mean(m, aggregator)));
        Value::Object(object)
    }

    fn track(&self, song: usize, windows: Windows) -> museval::Track {
        let names = Stem::ALL.map(Stem::name);
        let ratios: Vec<_> = self.songs[song].iter().map(|scores| scores.ratios.clone()).collect();
        museval::Track::new(names, &ratios, windows.window, windows.hop)
    }

    fn json(&self, songs: &[String], windows: Windows) -> anyhow::Result<Map<String, Value>> {
        let mut tracks = Vec::new();
        for (index, name) in songs.iter().enumerate() {
            let mut track = json!({"name": name});
            let plain = Stem::ALL.map(|stem| {
                let sdr = self.songs[index][stem as usize].plain_sdr;
                (stem.name().to_owned(), rounded(sdr.unwrap_or(f64::NAN)))
            });
            track["plain_SDR"] = Value::Object(Map::from_iter(plain));
            track["targets"] = serde_json::to_value(self.track(index, windows).targets)?;
            tracks.push(track);
        }
        let fields = [
            ("checkpoint", self.name.clone().into()),
            ("description", self.description.clone().into()),
            ("aggregate", self.aggregate(Aggregator::Median, windows)),
            ("aggregate_by_mean", self.aggregate(Aggregator::Mean, windows)),
            ("tracks", tracks.into()),
        ];
        Ok(fields.map(|(key, value)| (key.to_owned(), value)).into_iter().collect())
    }
}

/// Five decimals; null where there is no number.
fn rounded(db: f64) -> Value {
    if db.is_finite() { ((db * 1e5).round() / 1e5).into() } else { Value::Null }
}

/// Exactly what an aggregated figure is.
pub fn definition(aggregator: Aggregator, windows: Windows) -> String {
    let name = aggregator.name();
    format!(
        "SDR, ISR, SIR, SAR: {}; {name} over a song's windows, then {name} over songs, leaving out what has no \
         number. plain_SDR: {}; {name} over songs, leaving out stems below -60 dBFS RMS. mean: the mean of the \
         four stems",
        windows.definition(),
        plain_sdr::FORMULA
    )
}

impl Results {
    /// The first method as scripts expect it; further ones below `others`, and `comparisons` with the first.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_json(&self, path: &Path, comparisons: &[Comparison]) -> anyhow::Result<()> {
        let mut methods = self.methods.iter().map(|method| method.json(&self.songs, self.windows));
        let mut report = methods.next().context("nothing was measured")??;
        report.insert("dataset".into(), self.dataset.clone().into());
        report.insert("seconds".into(), self.seconds.into());
        report.insert("songs".into(), self.songs.len().into());
        if self.methods.len() > 1 {
            report
                .insert("others".into(), serde_json::to_value(methods.collect::<anyhow::Result<Vec<_>>>()?)?);
            report.insert("comparisons".into(), serde_json::to_value(comparisons)?);
        }
        write_json(path, &report)
    }

    /// A file for each song as museval writes and finds it: DIR/<checkpoint>/test/<song>.json.
    ///
    /// # Errors
    /// The folder cannot be made or written to.
    pub fn write_tracks(&self, folder: &Path) -> anyhow::Result<()> {
        for method in &self.methods {
            // A checkpoint's path is no folder's name.
            let name = method.name.trim_start_matches(['.', '/', '\\']).replace(['/', '\\', ':'], "_");
            let folder = folder.join(name).join("test");
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("cannot make the folder {}", folder.display()))?;
            for (index, song) in self.songs.iter().enumerate() {
                write_json(&folder.join(format!("{song}.json")), &method.track(index, self.windows))?;
            }
        }
        Ok(())
    }

    /// A row for each method, song and stem, once with the median of the windows and once with their mean.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_csv(&self, path: &Path) -> anyhow::Result<()> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let titles = ["checkpoint", "song", "stem", "windows"].into_iter();
        writer.write_record(titles.chain(Measure::ALL.map(Measure::key)))?;
        for method in &self.methods {
            for (song, stems) in self.songs.iter().zip(&method.songs) {
                for stem in Stem::ALL {
                    for windows in [Aggregator::Median, Aggregator::Mean] {
                        let figure = |m| stems[stem as usize].figure(m, windows);
                        let text = |db: f64| if db.is_finite() { format!("{db:.5}") } else { String::new() };
                        let figures = Measure::ALL.map(|m| text(figure(m)));
                        let labels = [&method.name, song, stem.name(), windows.name()];
                        writer.write_record(labels.into_iter().chain(figures.iter().map(String::as_str)))?;
                    }
                }
            }
        }
        let bytes = writer.into_inner().map_err(|e| anyhow::anyhow!("{e}"))?;
        Ok(write_atomically(path, |file| file.write_all(&bytes))?)
    }
}

impl std::fmt::Display for Results {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let length = self.seconds.map_or(String::new(), |s| format!(", the first {s} s of each"));
        writeln!(f, "{}: {} songs{length}", self.dataset, self.songs.len())?;
        writeln!(f, "{}", self.windows.definition())?;
        writeln!(f, "{}", plain_sdr::FORMULA)?;
        writeln!(f, "median: over a song's windows, then over songs; mean: likewise; all in dB")?;
        self.methods.iter().try_for_each(|m| writeln!(f, "{}: {}", m.name, m.description))?;
        let width = self.methods.iter().map(|m| m.name.len()).max().unwrap_or(0).max(12) + 8;
        for measure in Measure::ALL {
            write!(f, "\n{:<width$}", measure.title())?;
            Stem::ALL.iter().try_for_each(|stem| write!(f, "{:>9}", stem.name()))?;
            writeln!(f, "{:>9}", "mean")?;
            for method in &self.methods {
                for aggregator in [Aggregator::Median, Aggregator::Mean] {
                    write!(f, "{:<width$}", format!("{}, {}", method.name, aggregator.name()))?;
                    let figures = method.by_stem(measure, aggregator);
                    figures.iter().try_for_each(|db| write!(f, "{db:>9.2}"))?;
                    writeln!(f, "{:>9.2}", method.mean(measure, aggregator))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::bss_eval::Ratios;

    #[test]
    fn figures_are_joined_over_windows_then_over_songs_then_over_stems() {
        let stem = |sdrs: &[f64], plain_sdr| StemScores {
            ratios: sdrs.iter().map(|&sdr| Ratios { sdr, ..Ratios::NONE }).collect(),
            plain_sdr,
        };
        let song = |drums: &[f64], plain| {
            let vocals = stem(&[f64::NAN], None);
            [stem(drums, plain), stem(&[2.0], Some(2.0)), stem(&[3.0], Some(3.0)), vocals]
        };
        let songs = vec![
            song(&[1.0, 2.0, 9.0], Some(1.0)),
            song(&[f64::NAN, 5.0], Some(6.0)),
            song(&[30.0], Some(8.0)),
        ];
        let results = MethodResults { name: "a".into(), description: String::new(), songs };
        // Medians of the windows: 2, 5, 30. Means: 4, 5, 30.
        let drums = |measure, aggregator| results.by_stem(measure, aggregator)[0];
        assert_eq!(drums(Measure::Sdr, Aggregator::Median), 5.0);
        assert_eq!(drums(Measure::Sdr, Aggregator::Mean), 13.0);
        assert_eq!(drums(Measure::PlainSdr, Aggregator::Mean), 5.0);
        assert!(results.by_stem(Measure::Sdr, Aggregator::Median)[3].is_nan());
        assert!((results.mean(Measure::Sdr, Aggregator::Median) - 10.0 / 3.0).abs() < 1e-12);
        assert_eq!(
            results.mean_figures(Measure::PlainSdr, Aggregator::Median),
            [2.0, 11.0 / 3.0, 13.0 / 3.0]
        );
    }
}
