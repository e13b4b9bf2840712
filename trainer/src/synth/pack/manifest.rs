//! `manifest.csv`: which recordings a pack holds, and what each of them plays.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context, anyhow, bail};

/// The file that makes a folder a pack.
pub const NAME: &str = "manifest.csv";

/// One recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The file, relative to the pack.
    pub file: PathBuf,
    /// `drums/kick`, `bass/electric`, `other/piano`, `vocals/speech`: the stem, then the kind.
    pub family: String,
    /// Which instrument, kit or speaker.
    pub instrument: String,
    /// How it is played; empty where nobody says.
    pub articulation: String,
    /// MIDI note number, from `midi` or else from `f0_hz`; none for sounds without a pitch.
    pub pitch: Option<f32>,
    /// Whether `midi` says so: then neighbouring notes of the instrument sound alike.
    pub mapped: bool,
    /// 0 to 1, the rank of the loudness layer.
    pub velocity: Option<f32>,
}

impl Row {
    /// What comes before the family's slash: the stem.
    pub fn stem(&self) -> &str {
        self.family.split('/').next().unwrap_or_default()
    }

    /// What comes after it.
    pub fn kind(&self) -> &str {
        self.family.split_once('/').map_or("", |(_, kind)| kind)
    }
}

/// Reads the manifest of a pack. Needed columns: `file`, `family`, `instrument`; used where they are there:
/// `articulation`, `midi`, `f0_hz`, `velocity`. Others are for people.
///
/// # Errors
/// No manifest, a column is missing, or a row cannot be true; the row is named by its line.
pub fn read(folder: &Path) -> anyhow::Result<Vec<Row>> {
    let path = folder.join(NAME);
    let mut table = csv::Reader::from_path(&path)
        .with_context(|| format!("{}: a pack is a folder with a {NAME}", path.display()))?;
    let columns = table.headers().with_context(|| format!("{}: no header line", path.display()))?.clone();
    let column = |name: &str| columns.iter().position(|c| c == name);
    let needed = |name: &str| {
        column(name).ok_or_else(|| anyhow!("{}: the column `{name}` is missing", path.display()))
    };
    let (file, family, instrument) = (needed("file")?, needed("family")?, needed("instrument")?);
    let optional = ["articulation", "midi", "f0_hz", "velocity"].map(column);
    let mut rows = Vec::new();
    for record in table.records() {
        let record = record.with_context(|| format!("{}: a row is broken", path.display()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let text = |column: Option<usize>| column.and_then(|c| record.get(c)).unwrap_or("").trim();
        let row = (|| {
            let number = |column: Option<usize>, name: &str, range: std::ops::RangeInclusive<f32>| {
                let text = text(column);
                if text.is_empty() {
                    return Ok(None);
                }
                match text.parse::<f32>() {
                    Ok(x) if range.contains(&x) => Ok(Some(x)),
                    _ => Err(anyhow!("`{name}` must be a number in {range:?}, not {text:?}")),
                }
            };
            let (midi, f0_hz) =
                (number(optional[1], "midi", 0.0..=127.0)?, number(optional[2], "f0_hz", 8.0..=20_000.0)?);
            let row = Row {
                file: PathBuf::from(text(Some(file))),
                family: text(Some(family)).to_owned(),
                instrument: text(Some(instrument)).to_owned(),
                articulation: text(optional[0]).to_owned(),
                pitch: midi.or(f0_hz.map(|hz| 69.0 + 12.0 * (hz / 440.0).log2())),
                mapped: midi.is_some(),
                velocity: number(optional[3], "velocity", 0.0..=1.0)?,
            };
            let inside = row.file.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
            if row.file.as_os_str().is_empty() || !inside {
                bail!("`file` must name a file inside the pack, not {:?}", text(Some(file)));
            }
            if engine::Stem::ALL.iter().all(|stem| stem.name() != row.stem()) || row.kind().is_empty() {
                bail!("`family` must be drums/..., bass/..., other/... or vocals/..., not {:?}", row.family);
            }
            Ok(row)
        })();
        rows.push(row.with_context(|| format!("{}, line {line}", path.display()))?);
    }
    if rows.is_empty() {
        bail!("{}: lists no recordings", path.display());
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> anyhow::Result<Vec<Row>> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(NAME), text).unwrap();
        read(folder.path())
    }

    #[test]
    fn rows_say_what_a_recording_plays() {
        let rows = parse(
            "family,file,instrument,midi,f0_hz,velocity,licence\n\
             bass/electric,a.wav,finger,40,,0.5,CC0\n\
             other/pad,b.wav,drone,,440,,\n\
             drums/kick,c.wav,kit,,,,\n",
        )
        .unwrap();
        assert_eq!((rows[0].stem(), rows[0].kind()), ("bass", "electric"));
        assert_eq!((rows[0].pitch, rows[0].mapped, rows[0].velocity), (Some(40.0), true, Some(0.5)));
        assert_eq!((rows[1].pitch, rows[1].mapped), (Some(69.0), false));
        assert_eq!(rows[2].pitch, None);
    }

    #[test]
    fn rows_that_cannot_be_true_are_named_by_their_line() {
        let header = "file,family,instrument,midi\n";
        for (row, word) in [
            ("a.wav,drums/kick,kit,sixty\n", "midi"),
            ("../a.wav,drums/kick,kit,\n", "inside the pack"),
            ("a.wav,guitar,kit,\n", "family"),
            ("a.wav,drums/kick\n", "broken"),
        ] {
            let error = format!("{:#}", parse(&format!("{header}b.wav,bass/x,y,40\n{row}")).unwrap_err());
            assert!(error.contains("line") && error.contains('3') && error.contains(word), "{error}");
        }
        assert!(format!("{:#}", parse("file,family\n").unwrap_err()).contains("instrument"));
        assert!(format!("{:#}", parse(header).unwrap_err()).contains("no recordings"));
    }
}
