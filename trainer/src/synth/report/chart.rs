//! The report as a picture: each stem's octave bands beside those of real music.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::super::canvas::{self, FAINT, INK, text};
use super::{Report, StemReport};

const SIZE: (u32, u32) = (1200, 900);
const OURS: RGBColor = RGBColor(250, 170, 74);
const REAL: RGBColor = RGBColor(120, 190, 240);
/// How far songs may be from real music, dB.
const TOLERANCE: f64 = 6.0;
const LEVELS_DB: std::ops::Range<f64> = -45.0..0.0;

/// Draws the four stems' curves.
pub fn draw(file: &Path, report: &Report) -> Result<()> {
    let area = canvas::open(file, SIZE)?;
    let title = format!("Octave bands of {} songs", report.songs);
    text(&area, &title, (24, 24), 26, INK, HPos::Left)?;
    text(&area, "these songs", (520, 24), 20, OURS, HPos::Left)?;
    text(&area, "real music, and ±6 dB around it", (680, 24), 20, REAL, HPos::Left)?;
    let (_, below) = area.split_vertically(48);
    for (panel, stem) in below.split_evenly((2, 2)).iter().zip(&report.stems) {
        curves(panel, &report.bands_hz, stem).map_err(|e| anyhow!("{e}"))?;
    }
    area.present()?;
    Ok(())
}

fn curves(panel: &canvas::Canvas, bands_hz: &[f32], stem: &StemReport) -> Result<()> {
    let octaves = 0.0..(bands_hz.len() - 1) as f64;
    let label = |size: i32| ("sans-serif", size).into_font().color(&FAINT);
    let mut chart = ChartBuilder::on(panel)
        .caption(stem.name, ("sans-serif", 22).into_font().color(&INK))
        .margin(12)
        .x_label_area_size(34)
        .y_label_area_size(48)
        .build_cartesian_2d(octaves.start - 0.3..octaves.end + 0.3, LEVELS_DB)?;
    chart
        .configure_mesh()
        .x_labels(bands_hz.len())
        .x_label_formatter(&|x| {
            let band = x.round().max(0.0) as usize;
            let near = (x - band as f64).abs() < 0.05;
            bands_hz.get(band).filter(|_| near).map_or(String::new(), |hz| format!("{hz:.0}"))
        })
        .y_label_formatter(&|y| format!("{y:.0}"))
        .x_desc("Hz")
        .y_desc("dB of the stem")
        .label_style(label(15))
        .axis_desc_style(label(15).pos(plotters::style::text_anchor::Pos::new(HPos::Center, VPos::Center)))
        .axis_style(FAINT)
        .bold_line_style(FAINT.mix(0.25))
        .light_line_style(TRANSPARENT)
        .draw()?;
    let points = |levels: &mut dyn Iterator<Item = f64>| -> Vec<(f64, f64)> {
        levels.enumerate().map(|(band, db)| (band as f64, db.max(LEVELS_DB.start))).collect()
    };
    let target = |shift: f64| points(&mut stem.target_db.iter().map(|db| f64::from(*db) + shift));
    let around: Vec<(f64, f64)> =
        target(TOLERANCE).into_iter().chain(target(-TOLERANCE).into_iter().rev()).collect();
    chart.draw_series([Polygon::new(around, REAL.mix(0.18))])?;
    chart.draw_series([PathElement::new(target(0.0), REAL.stroke_width(2))])?;
    let ours = points(&mut stem.bands_db.iter().copied());
    chart.draw_series(ours.iter().map(|point| Circle::new(*point, 4, OURS.filled())))?;
    chart.draw_series([PathElement::new(ours, OURS.stroke_width(3))])?;
    Ok(())
}
