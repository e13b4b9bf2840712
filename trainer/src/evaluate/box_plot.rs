//! Box plots over songs: a panel for each measure, in it a group for each stem, in it a box for each method.

use std::path::Path;

use anyhow::{Result, anyhow};
use engine::Stem;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::results::Results;
use crate::metrics::aggregate::{Aggregator, Measure};

type Canvas<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

const PANEL: (u32, u32) = (560, 430);
const COLUMNS: usize = 3;
const ROWS: usize = 2;
const INK: RGBColor = RGBColor(40, 42, 54);
const GRID: RGBColor = RGBColor(222, 224, 232);
/// Figures beyond this many dB, such as the artifacts of the mixture, which has none, are drawn at this edge.
const EDGE: f64 = 60.0;
/// By method; told apart by the colour-blind too (Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(213, 94, 0),
    RGBColor(120, 120, 120),
];

/// Draws all measures. Each song counts once, with the median of its windows.
///
/// # Errors
/// The file cannot be written.
pub fn draw(file: &Path, results: &Results) -> Result<()> {
    plotters::style::register_font("sans-serif", FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|_| anyhow!("the built-in font is broken"))?;
    let size = (PANEL.0 * COLUMNS as u32, PANEL.1 * ROWS as u32);
    let canvas = BitMapBackend::new(file, size).into_drawing_area();
    canvas.fill(&WHITE)?;
    let cells = canvas.split_evenly((ROWS, COLUMNS));
    for (cell, measure) in cells.iter().zip(Measure::ALL) {
        panel(cell, results, measure)?;
    }
    if let Some(cell) = cells.last() {
        legend(cell, results)?;
    }
    canvas.present()?;
    Ok(())
}

fn panel(cell: &Canvas, results: &Results, measure: Measure) -> Result<()> {
    let boxes: Vec<Vec<Option<FiveNumbers>>> = results
        .methods
        .iter()
        .map(|m| Stem::ALL.map(|s| FiveNumbers::of(m.figures(measure, s, Aggregator::Median))).into())
        .collect();
    let all = || boxes.iter().flatten().flatten();
    let (low, high) = all().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), b| {
        (b.outliers.iter().copied().fold(low.min(b.low), f64::min), {
            b.outliers.iter().copied().fold(high.max(b.high), f64::max)
        })
    });
    let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
    let margin = 0.06 * (high - low).max(1.0);
    let mut chart = ChartBuilder::on(cell)
        .margin(12)
        .caption(format!("{}, dB", measure.title()), ("sans-serif", 22).into_font().color(&INK))
        .y_label_area_size(48)
        .x_label_area_size(28)
        .build_cartesian_2d(0.0..Stem::ALL.len() as f64, low - margin..high + margin)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(0)
        .bold_line_style(GRID)
        .light_line_style(WHITE)
        .axis_style(INK)
        .label_style(("sans-serif", 15).into_font().color(&INK))
        .draw()?;
    let (plane, width) = (chart.plotting_area(), 0.8 / boxes.len() as f64);
    for stem in Stem::ALL {
        let middle = plane.map_coordinate(&(stem as usize as f64 + 0.5, low - margin));
        let (left, top) = cell.get_base_pixel();
        text(cell, stem.name(), (middle.0 - left, middle.1 - top + 14), 17, HPos::Center)?;
        for (index, boxes) in boxes.iter().enumerate() {
            let Some(numbers) = &boxes[stem as usize] else { continue };
            let centre = stem as usize as f64 + 0.1 + (index as f64 + 0.5) * width;
            let colour = COLOURS[index % COLOURS.len()];
            let half = 0.36 * width;
            let [first, median, third] = numbers.quartiles;
            let body = [(centre - half, first), (centre + half, third)];
            plane.draw(&Rectangle::new(body, colour.mix(0.35).filled()))?;
            plane.draw(&Rectangle::new(body, colour))?;
            let line = |from: (f64, f64), to: (f64, f64), width: u32| {
                plane.draw(&PathElement::new([from, to], colour.stroke_width(width)))
            };
            line((centre - half, median), (centre + half, median), 3)?;
            for (end, edge) in [(numbers.low, first), (numbers.high, third)] {
                line((centre, edge), (centre, end), 1)?;
                line((centre - half / 2.0, end), (centre + half / 2.0, end), 1)?;
            }
            for outlier in &numbers.outliers {
                plane.draw(&Circle::new((centre, *outlier), 2, colour.filled()))?;
            }
        }
    }
    Ok(())
}

fn legend(cell: &Canvas, results: &Results) -> Result<()> {
    let mut y = 60;
    for (index, method) in results.methods.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        cell.draw(&Rectangle::new([(40, y - 8), (64, y + 8)], colour.mix(0.35).filled()))?;
        cell.draw(&Rectangle::new([(40, y - 8), (64, y + 8)], colour))?;
        text(cell, &method.name, (76, y), 18, HPos::Left)?;
        y += 28;
    }
    let taps = results.windows.filters;
    for line in [
        format!("{} songs; each counts once, with the median of its windows", results.songs.len()),
        "box: quartiles and median; whiskers: up to 1.5 times the box beyond it".to_owned(),
        format!("figures beyond {EDGE} dB are drawn there"),
        format!("SDR, ISR, SIR, SAR: BSSEval v4, {} s windows, {taps} taps", results.windows.window),
        "plain SDR: whole song, as in the MDX challenge".to_owned(),
    ] {
        y += 26;
        text(cell, &line, (40, y), 16, HPos::Left)?;
    }
    Ok(())
}

fn text(cell: &Canvas, text: &str, at: (i32, i32), size: u32, side: HPos) -> Result<()> {
    let style = TextStyle::from(("sans-serif", size)).color(&INK).pos(Pos::new(side, VPos::Center));
    cell.draw_text(text, &style, at)?;
    Ok(())
}

/// What a box shows.
#[derive(Debug, PartialEq)]
struct FiveNumbers {
    /// The lowest and the highest figure within 1.5 interquartile ranges of the box.
    low: f64,
    quartiles: [f64; 3],
    high: f64,
    outliers: Vec<f64>,
}

impl FiveNumbers {
    /// Of the finite figures; `None` where there are none.
    fn of(figures: Vec<f64>) -> Option<Self> {
        let known = figures.into_iter().filter(|x| x.is_finite()).map(|x| x.clamp(-EDGE, EDGE));
        let mut known: Vec<f64> = known.collect();
        known.sort_by(f64::total_cmp);
        let last = known.len().checked_sub(1)?;
        let quartiles = [0.25, 0.5, 0.75].map(|part| {
            let place = part * last as f64;
            let below = place.floor() as usize;
            known[below] + (place - below as f64) * (known[(below + 1).min(last)] - known[below])
        });
        let reach = 1.5 * (quartiles[2] - quartiles[0]);
        let inside = |x: &f64| (quartiles[0] - reach..=quartiles[2] + reach).contains(x);
        let (within, outliers): (Vec<f64>, Vec<f64>) = known.into_iter().partition(inside);
        Some(Self { low: *within.first()?, quartiles, high: *within.last()?, outliers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_has_quartiles_whiskers_and_outliers() {
        let numbers = FiveNumbers::of(vec![5.0, 1.0, f64::NAN, 2.0, 3.0, 50.0, 4.0]).unwrap();
        assert_eq!(numbers.quartiles, [2.25, 3.5, 4.75]);
        assert_eq!((numbers.low, numbers.high, numbers.outliers), (1.0, 5.0, vec![50.0]));
        assert_eq!(FiveNumbers::of(vec![f64::NAN]), None);
        assert_eq!(FiveNumbers::of(vec![190.0]).unwrap().high, EDGE);
    }
}
