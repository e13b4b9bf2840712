//! A picture of the mixture and its stems: time to the right, frequency up, level as colour.

use std::path::Path;

use anyhow::{Result, anyhow};
use engine::audio::AudioBuffer;
use engine::{STEMS, Stem};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use realfft::RealFftPlanner;

type Canvas<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

const SIZE: (u32, u32) = (1400, 1560);
const HEADER: i32 = 64;
const PANEL: i32 = 284;
/// Of a spectrogram inside its panel: from the left, from the top.
const INSET: (i32, i32) = (76, 34);
const PLOT: (u32, u32) = (1210, 236);
const BACKGROUND: RGBColor = RGBColor(16, 17, 24);
const INK: RGBColor = RGBColor(226, 228, 236);
const FAINT: RGBColor = RGBColor(140, 145, 160);

/// The frequency axis is logarithmic between these.
const HERTZ: (f64, f64) = (40.0, 16_000.0);
const FREQUENCY_MARKS: [(f64, &str); 9] = [
    (50.0, "50"),
    (100.0, "100"),
    (200.0, "200"),
    (500.0, "500"),
    (1_000.0, "1k"),
    (2_000.0, "2k"),
    (5_000.0, "5k"),
    (10_000.0, "10k"),
    (16_000.0, "16k"),
];
/// From black to white, dB of a full-scale sine.
const LEVELS: (f64, f64) = (-100.0, -20.0);
/// Frames in one transform: bins of 11 Hz at 44.1 kHz.
const WINDOW: usize = 4096;

/// Colours from the lowest level to the highest, evenly spaced.
const COLOURS: [[f64; 3]; 7] = [
    [10.0, 9.0, 18.0],
    [44.0, 20.0, 84.0],
    [112.0, 28.0, 110.0],
    [186.0, 54.0, 86.0],
    [238.0, 104.0, 54.0],
    [252.0, 180.0, 74.0],
    [253.0, 248.0, 206.0],
];

/// Draws all five, the mixture first. The signals have the same length.
///
/// # Errors
/// The file cannot be written.
pub fn draw(
    file: &Path,
    mixture: &AudioBuffer,
    stems: &[AudioBuffer; STEMS],
    sample_rate: u32,
) -> Result<()> {
    plotters::style::register_font("sans-serif", FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|_| anyhow!("the built-in font is broken"))?;
    let canvas = BitMapBackend::new(file, SIZE).into_drawing_area();
    canvas.fill(&BACKGROUND)?;
    let seconds = mixture.frames() as f64 / f64::from(sample_rate);
    text(&canvas, "Tributary: one mixture, four stems", (INSET.0, 22), 30, INK, HPos::Left)?;
    colour_bar(&canvas)?;
    let names = ["mixture"].into_iter().chain(Stem::ALL.map(Stem::name));
    for (row, (name, signal)) in names.zip(std::iter::once(mixture).chain(stems)).enumerate() {
        let top = HEADER + row as i32 * PANEL;
        text(&canvas, name, (INSET.0, top + 16), 22, INK, HPos::Left)?;
        let origin = (INSET.0, top + INSET.1);
        spectrogram(&canvas, origin, signal, sample_rate)?;
        frequency_axis(&canvas, origin)?;
        time_axis(&canvas, origin, seconds)?;
    }
    let middle = (INSET.0 + PLOT.0 as i32 / 2, SIZE.1 as i32 - 18);
    text(&canvas, "seconds", middle, 18, FAINT, HPos::Center)?;
    canvas.present()?;
    Ok(())
}

fn spectrogram(canvas: &Canvas, origin: (i32, i32), signal: &AudioBuffer, sample_rate: u32) -> Result<()> {
    let transform = RealFftPlanner::<f32>::new().plan_fft_forward(WINDOW);
    let window: Vec<f32> =
        (0..WINDOW).map(|i| 0.5 - 0.5 * (std::f32::consts::TAU * i as f32 / WINDOW as f32).cos()).collect();
    // A full-scale sine in a Hann window has a peak of a quarter of the window's length.
    let full_scale = (WINDOW as f64 / 4.0).powi(2);
    let mut frames = transform.make_input_vec();
    let mut spectrum = transform.make_output_vec();
    let mut power = vec![0.0; spectrum.len()];
    let bin = |hertz: f64| hertz * WINDOW as f64 / f64::from(sample_rate);
    for column in 0..PLOT.0 {
        let centre = (f64::from(column) + 0.5) / f64::from(PLOT.0) * signal.frames() as f64;
        let start = centre as isize - (WINDOW / 2) as isize;
        power.fill(0.0);
        for channel in signal.iter() {
            for (i, (to, weight)) in frames.iter_mut().zip(&window).enumerate() {
                let at = usize::try_from(start + i as isize).ok();
                *to = at.and_then(|at| channel.get(at)).map_or(0.0, |sample| sample * weight);
            }
            transform.process(&mut frames, &mut spectrum)?;
            for (sum, bin) in power.iter_mut().zip(&spectrum) {
                *sum += f64::from(bin.norm_sqr()) / full_scale / signal.channels() as f64;
            }
        }
        for row in 0..PLOT.1 {
            let edge = |row: u32| bin(hertz_at(f64::from(row) / f64::from(PLOT.1)));
            let level = 10.0 * strongest(&power, edge(row), edge(row + 1)).log10();
            let y = origin.1 + (PLOT.1 - 1 - row) as i32;
            canvas.draw_pixel((origin.0 + column as i32, y), &colour(level))?;
        }
    }
    Ok(())
}

/// The highest power between two fractional bins; between neighbours it is interpolated.
fn strongest(power: &[f64], low: f64, high: f64) -> f64 {
    let last = power.len() - 1;
    let at = |bin: f64| {
        let below = (bin as usize).min(last);
        let part = (bin - below as f64).clamp(0.0, 1.0);
        power[below] * (1.0 - part) + power[(below + 1).min(last)] * part
    };
    let inside = power.get((low.ceil() as usize).min(last)..(high.ceil() as usize).min(last)).unwrap_or(&[]);
    inside.iter().copied().fold(at(low), f64::max)
}

/// The frequency at a height of 0 to 1.
fn hertz_at(height: f64) -> f64 {
    HERTZ.0 * (HERTZ.1 / HERTZ.0).powf(height)
}

fn colour(level: f64) -> RGBColor {
    let height = ((level - LEVELS.0) / (LEVELS.1 - LEVELS.0)).clamp(0.0, 1.0);
    let position = height * (COLOURS.len() - 1) as f64;
    let below = (position as usize).min(COLOURS.len() - 2);
    let part = position - below as f64;
    let mix = |i: usize| (COLOURS[below][i] * (1.0 - part) + COLOURS[below + 1][i] * part).round() as u8;
    RGBColor(mix(0), mix(1), mix(2))
}

fn frequency_axis(canvas: &Canvas, origin: (i32, i32)) -> Result<()> {
    for (hertz, name) in FREQUENCY_MARKS {
        let height = (hertz / HERTZ.0).ln() / (HERTZ.1 / HERTZ.0).ln();
        let y = origin.1 + ((1.0 - height) * f64::from(PLOT.1)).round() as i32;
        line(canvas, (origin.0 - 6, y), (origin.0 - 1, y))?;
        text(canvas, name, (origin.0 - 10, y), 15, FAINT, HPos::Right)?;
    }
    text(canvas, "Hz", (14, origin.1 + PLOT.1 as i32 / 2), 16, FAINT, HPos::Left)
}

fn time_axis(canvas: &Canvas, origin: (i32, i32), seconds: f64) -> Result<()> {
    let step = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0]
        .into_iter()
        .find(|step| seconds / step <= 14.0)
        .unwrap_or(600.0);
    let bottom = origin.1 + PLOT.1 as i32;
    for mark in 0..=(seconds / step) as usize {
        let time = mark as f64 * step;
        let x = origin.0 + (time / seconds * f64::from(PLOT.0)).round() as i32;
        line(canvas, (x, bottom), (x, bottom + 4))?;
        let name = if step < 1.0 { format!("{time:.1}") } else { format!("{time:.0}") };
        // Below the marks of the last panel there is room; the others share its figures.
        if origin.1 > HEADER + (STEMS as i32) * PANEL {
            text(canvas, &name, (x, bottom + 14), 15, FAINT, HPos::Center)?;
        }
    }
    Ok(())
}

fn colour_bar(canvas: &Canvas) -> Result<()> {
    let (x, width, height) = (INSET.0 + PLOT.0 as i32 + 22, 16, (5 * PANEL - INSET.1 - 14) as u32);
    let top = HEADER + INSET.1;
    for row in 0..height {
        let level = LEVELS.0 + (LEVELS.1 - LEVELS.0) * f64::from(row) / f64::from(height - 1);
        let y = top + (height - 1 - row) as i32;
        canvas.draw(&PathElement::new([(x, y), (x + width, y)], colour(level)))?;
    }
    for level in (LEVELS.0 as i32..=LEVELS.1 as i32).step_by(20) {
        let height_of = (f64::from(level) - LEVELS.0) / (LEVELS.1 - LEVELS.0);
        let y = top + ((1.0 - height_of) * f64::from(height - 1)).round() as i32;
        line(canvas, (x + width, y), (x + width + 5, y))?;
        text(canvas, &level.to_string(), (x + width + 9, y), 15, FAINT, HPos::Left)?;
    }
    text(canvas, "dB", (x, top - 16), 16, FAINT, HPos::Left)
}

fn line(canvas: &Canvas, from: (i32, i32), to: (i32, i32)) -> Result<()> {
    canvas.draw(&PathElement::new([from, to], FAINT))?;
    Ok(())
}

fn text(canvas: &Canvas, text: &str, at: (i32, i32), size: u32, ink: RGBColor, side: HPos) -> Result<()> {
    let style = TextStyle::from(("sans-serif", size)).color(&ink).pos(Pos::new(side, VPos::Center));
    canvas.draw_text(text, &style, at)?;
    Ok(())
}
