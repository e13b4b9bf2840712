//! Many figures become one, by rules that have names.

use super::bss_eval::Ratios;

/// How figures of windows become one of a song, and those of songs one of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregator {
    /// The middle one, or the mean of the two in the middle; SiSEC's and museval's.
    Median,
    /// The arithmetic mean.
    Mean,
}

impl Aggregator {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Median => "median",
            Self::Mean => "mean",
        }
    }

    /// Of the finite figures; NaN where there are none.
    pub fn of(self, figures: impl IntoIterator<Item = f64>) -> f64 {
        let mut known: Vec<f64> = figures.into_iter().filter(|x| x.is_finite()).collect();
        match self {
            Self::Mean => known.iter().sum::<f64>() / known.len() as f64,
            Self::Median if known.is_empty() => f64::NAN,
            Self::Median => {
                known.sort_by(f64::total_cmp);
                f64::midpoint(known[(known.len() - 1) / 2], known[known.len() / 2])
            }
        }
    }
}

/// What is measured of one stem of one song.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// BSSEval's.
    Sdr,
    /// BSSEval's.
    Isr,
    /// BSSEval's.
    Sir,
    /// BSSEval's.
    Sar,
    /// The MDX challenge's, of the whole song.
    PlainSdr,
}

impl Measure {
    /// In the order of tables.
    pub const ALL: [Self; 5] = [Self::Sdr, Self::Isr, Self::Sir, Self::Sar, Self::PlainSdr];

    /// As in tables.
    pub fn title(self) -> &'static str {
        match self {
            Self::Sdr => "SDR",
            Self::Isr => "ISR",
            Self::Sir => "SIR",
            Self::Sar => "SAR",
            Self::PlainSdr => "plain SDR",
        }
    }

    /// As in JSON and CSV.
    pub fn key(self) -> &'static str {
        if self == Self::PlainSdr { "plain_SDR" } else { self.title() }
    }
}

/// The scores of one stem of one song.
#[derive(Debug, Clone, PartialEq)]
pub struct StemScores {
    /// By window.
    pub ratios: Vec<Ratios>,
    /// `None` where the reference is silent.
    pub plain_sdr: Option<f64>,
}

impl StemScores {
    /// One figure for the song, in dB; NaN where there is none.
    pub fn figure(&self, measure: Measure, windows: Aggregator) -> f64 {
        let of = |ratio: fn(&Ratios) -> f64| windows.of(self.ratios.iter().map(ratio));
        match measure {
            Measure::Sdr => of(|r| r.sdr),
            Measure::Isr => of(|r| r.isr),
            Measure::Sir => of(|r| r.sir),
            Measure::Sar => of(|r| r.sar),
            Measure::PlainSdr => self.plain_sdr.unwrap_or(f64::NAN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: f64 = f64::NAN;

    #[test]
    fn medians_and_means_leave_out_what_is_no_number() {
        for (figures, median, mean) in [
            (&[3.0, 1.0, 8.0][..], 3.0, 4.0),
            (&[3.0, NONE, 1.0, 8.0, 100.0], 5.5, 28.0),
            (&[f64::INFINITY, 2.0, f64::NEG_INFINITY], 2.0, 2.0),
        ] {
            assert_eq!(Aggregator::Median.of(figures.iter().copied()), median);
            assert_eq!(Aggregator::Mean.of(figures.iter().copied()), mean);
        }
        assert!(Aggregator::Median.of([NONE]).is_nan() && Aggregator::Mean.of([]).is_nan());
    }

    #[test]
    fn a_songs_figure_is_that_of_its_windows_and_plain_sdr_has_none() {
        let ratios = [1.0, 2.0, 9.0].map(|sdr| Ratios { sdr, isr: -sdr, sir: 2.0 * sdr, sar: NONE });
        let scores = StemScores { ratios: ratios.into(), plain_sdr: Some(7.0) };
        let of = |aggregator| Measure::ALL.map(|measure| scores.figure(measure, aggregator));
        assert_eq!(of(Aggregator::Median)[..3], [2.0, -2.0, 4.0]);
        assert_eq!(of(Aggregator::Mean)[..3], [4.0, -4.0, 8.0]);
        assert!(of(Aggregator::Mean)[3].is_nan() && of(Aggregator::Mean)[4] == 7.0);
    }
}
