//! Scores of one song in the JSON layout of museval's `TrackStore`, so that its readers read ours.

use serde::Serialize;

use super::bss_eval::Ratios;

/// One song.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Track {
    /// By stem.
    pub targets: Vec<Target>,
}

/// One stem of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Target {
    /// The stem's.
    pub name: String,
    /// In time.
    pub frames: Vec<Frame>,
}

/// One window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Frame {
    /// When it starts, s.
    pub time: f64,
    /// How long it is, s.
    pub duration: f64,
    /// Its ratios, dB.
    pub metrics: Metrics,
}

/// Rounded to five decimals as museval does; `null` where there is no number, or an infinite one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub struct Metrics {
    /// See [`Ratios`].
    pub sdr: Option<f64>,
    /// See [`Ratios`].
    pub isr: Option<f64>,
    /// See [`Ratios`].
    pub sir: Option<f64>,
    /// See [`Ratios`].
    pub sar: Option<f64>,
}

impl From<Ratios> for Metrics {
    fn from(ratios: Ratios) -> Self {
        let known = |db: f64| db.is_finite().then(|| (db * 1e5).round() / 1e5);
        let Ratios { sdr, isr, sir, sar } = ratios;
        Self { sdr: known(sdr), isr: known(isr), sir: known(sir), sar: known(sar) }
    }
}

impl Track {
    /// `ratios` are by stem in the order of `names`, then by window; `window` and `hop` in seconds.
    pub fn new<'a>(
        names: impl IntoIterator<Item = &'a str>,
        ratios: &[Vec<Ratios>],
        window: f64,
        hop: f64,
    ) -> Self {
        let frame = |(index, ratios): (usize, &Ratios)| Frame {
            time: index as f64 * hop,
            duration: window,
            metrics: Metrics::from(*ratios),
        };
        let targets = names.into_iter().zip(ratios).map(|(name, ratios)| Target {
            name: name.to_owned(),
            frames: ratios.iter().enumerate().map(frame).collect(),
        });
        Self { targets: targets.collect() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn windows_have_their_time_and_numbers_that_are_none_are_null() {
        let ratios = Ratios { sdr: 1.234_567, isr: f64::NAN, sir: f64::INFINITY, sar: -0.5 };
        let track = Track::new(["drums"], &[vec![Ratios::NONE, ratios]], 1.0, 0.5);
        let none = json!({"SDR": null, "ISR": null, "SIR": null, "SAR": null});
        let some = json!({"SDR": 1.23457, "ISR": null, "SIR": null, "SAR": -0.5});
        let frames = json!([
            {"time": 0.0, "duration": 1.0, "metrics": none},
            {"time": 0.5, "duration": 1.0, "metrics": some},
        ]);
        let wanted = json!({"targets": [{"name": "drums", "frames": frames}]});
        assert_eq!(serde_json::to_value(track).unwrap(), wanted);
    }
}
