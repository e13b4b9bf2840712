//! A song as a picture: spectrograms of the mixture and its stems, time to the right, frequency up, level as colour.

use std::path::Path;

use anyhow::{Context, Result};
use engine::audio::AudioBuffer;
use engine::{STEMS, Stem};
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use realfft::RealFftPlanner;

use super::canvas::{self, Canvas, FAINT, INK, line, text};
use super::dsp::RATE;

const SIZE: (u32, u32) = (960, 1110);
const TOP: i32 = 12;
const PANEL: i32 = 214;
/// A spectrogram inside its panel: from the left, from the top.
const INSET: (i32, i32) = (70, 30);
const PLOT: (u32, u32) = (870, 176);
/// The frequency axis is logarithmic between these.
const HERTZ: (f32, f32) = (40.0, 16_000.0);
const MARKS: [(f32, &str); 6] =
    [(50.0, "50"), (200.0, "200"), (500.0, "500"), (2_000.0, "2k"), (5_000.0, "5k"), (16_000.0, "16k")];
/// From black to white: dB below the loudest point of the mixture.
const RANGE_DB: f32 = 55.0;
/// Frames in one transform.
const WINDOW: usize = 4_096;
/// Pixels of one column in time, and shades: a small file needs few, and the eye does not miss the others.
const COLUMN: u32 = 3;
const SHADES: f32 = 9.0;

/// Draws all five, the mixture first.
///
/// # Errors
/// The file cannot be written.
pub fn draw(file: &Path, mixture: &AudioBuffer, stems: &[AudioBuffer; STEMS]) -> Result<()> {
    paint(file, mixture, stems).with_context(|| format!("cannot write {}", file.display()))
}

fn paint(file: &Path, mixture: &AudioBuffer, stems: &[AudioBuffer; STEMS]) -> Result<()> {
    let area = canvas::open(file, SIZE)?;
    let names = ["mixture"].into_iter().chain(Stem::ALL.map(Stem::name));
    let seconds = mixture.frames() as f32 / RATE;
    let mut brightest = 0.0;
    for (row, (name, signal)) in names.zip(std::iter::once(mixture).chain(stems)).enumerate() {
        let top = TOP + row as i32 * PANEL;
        let origin = (INSET.0, top + INSET.1);
        text(&area, name, (INSET.0, top + 14), 22, INK, HPos::Left)?;
        let levels = levels(signal)?;
        if row == 0 {
            brightest = levels.iter().copied().fold(-120.0, f32::max);
        }
        for (index, level) in levels.iter().enumerate() {
            let (column, row) = (index as u32 / PLOT.1, index as u32 % PLOT.1);
            let colour = colour((level - brightest) / RANGE_DB + 1.0);
            for x in 0..COLUMN {
                let x = origin.0 + (column * COLUMN + x) as i32;
                area.draw_pixel((x, origin.1 + (PLOT.1 - 1 - row) as i32), &colour)?;
            }
        }
        axes(&area, origin, seconds, row == STEMS)?;
    }
    area.present()?;
    Ok(())
}

/// dB at each point of a spectrogram: column by column, each from low to high.
fn levels(signal: &AudioBuffer) -> Result<Vec<f32>> {
    let transform = RealFftPlanner::<f32>::new().plan_fft_forward(WINDOW);
    let window: Vec<f32> =
        (0..WINDOW).map(|i| 0.5 - 0.5 * (std::f32::consts::TAU * i as f32 / WINDOW as f32).cos()).collect();
    let (mut frames, mut spectrum) = (transform.make_input_vec(), transform.make_output_vec());
    let bin = |row: u32| {
        let height = row as f32 / PLOT.1 as f32;
        HERTZ.0 * (HERTZ.1 / HERTZ.0).powf(height) * WINDOW as f32 / RATE
    };
    let columns = PLOT.0 / COLUMN;
    let mut levels = Vec::with_capacity((columns * PLOT.1) as usize);
    for column in 0..columns {
        let centre = ((column as f32 + 0.5) / columns as f32 * signal.frames() as f32) as usize;
        for (i, (to, weight)) in frames.iter_mut().zip(&window).enumerate() {
            let at = (centre + i).checked_sub(WINDOW / 2).filter(|at| *at < signal.frames());
            *to = at.map_or(0.0, |at| weight * signal.iter().map(|channel| channel[at]).sum::<f32>());
        }
        transform.process(&mut frames, &mut spectrum)?;
        let power: Vec<f32> = spectrum.iter().map(|bin| bin.norm_sqr()).collect();
        levels
            .extend((0..PLOT.1).map(|row| 10.0 * (strongest(&power, bin(row), bin(row + 1)) + 1e-9).log10()));
    }
    Ok(levels)
}

/// The highest power between two fractional bins; between neighbours it is interpolated.
fn strongest(power: &[f32], low: f32, high: f32) -> f32 {
    let (below, part) = (low as usize, low.fract());
    let get = |bin: usize| power.get(bin).copied().unwrap_or(0.0);
    let between = get(below) * (1.0 - part) + get(below + 1) * part;
    (low.ceil() as usize..high.ceil() as usize).map(get).fold(between, f32::max)
}

/// From black over violet and orange to white.
fn colour(height: f32) -> RGBColor {
    const STOPS: [[f32; 3]; 6] = [
        [12.0, 10.0, 20.0],
        [56.0, 22.0, 96.0],
        [140.0, 34.0, 108.0],
        [218.0, 78.0, 68.0],
        [250.0, 164.0, 66.0],
        [253.0, 246.0, 200.0],
    ];
    let height = (height.clamp(0.0, 1.0) * SHADES).round() / SHADES * (STOPS.len() - 1) as f32;
    let below = (height as usize).min(STOPS.len() - 2);
    let part = height - below as f32;
    let mix = |i: usize| (STOPS[below][i] * (1.0 - part) + STOPS[below + 1][i] * part) as u8;
    RGBColor(mix(0), mix(1), mix(2))
}

fn axes(area: &Canvas, origin: (i32, i32), seconds: f32, last: bool) -> Result<()> {
    for (hertz, name) in MARKS {
        let height = (hertz / HERTZ.0).ln() / (HERTZ.1 / HERTZ.0).ln();
        let y = origin.1 + ((1.0 - height) * PLOT.1 as f32) as i32;
        line(area, (origin.0 - 6, y), (origin.0 - 1, y))?;
        text(area, name, (origin.0 - 10, y), 15, FAINT, HPos::Right)?;
    }
    text(area, "Hz", (8, origin.1 + PLOT.1 as i32 / 2), 15, FAINT, HPos::Left)?;
    let step = [0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0].into_iter().find(|step| seconds / step <= 14.0);
    let step = step.unwrap_or(600.0);
    let bottom = origin.1 + PLOT.1 as i32;
    for mark in 0..=(seconds / step) as usize {
        let time = mark as f32 * step;
        let x = origin.0 + (time / seconds * PLOT.0 as f32) as i32;
        line(area, (x, bottom), (x, bottom + 4))?;
        if last {
            let name = if step < 1.0 { format!("{time:.1}") } else { format!("{time:.0} s") };
            text(area, &name, (x, bottom + 14), 15, FAINT, HPos::Center)?;
        }
    }
    Ok(())
}
