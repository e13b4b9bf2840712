//! What pictures have in common: the font, the colours, a text at a place.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Something to draw on.
pub type Canvas<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

/// Behind everything.
pub const BACKGROUND: RGBColor = RGBColor(16, 17, 24);
/// For what is to be read first.
pub const INK: RGBColor = RGBColor(226, 228, 236);
/// For axes.
pub const FAINT: RGBColor = RGBColor(140, 145, 160);

/// An empty picture, written to `file` (its ending says the format) when it is presented.
///
/// # Errors
/// The font cannot be used.
pub fn open(file: &Path, size: (u32, u32)) -> Result<Canvas<'_>> {
    // egui's own font: a bare machine has none.
    plotters::style::register_font("sans-serif", FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|_| anyhow!("the built-in font is broken"))?;
    let canvas = BitMapBackend::new(file, size).into_drawing_area();
    canvas.fill(&BACKGROUND)?;
    Ok(canvas)
}

/// Writes a text whose middle line is at `at`.
///
/// # Errors
/// The font cannot be used.
pub fn text(canvas: &Canvas, text: &str, at: (i32, i32), size: u32, ink: RGBColor, side: HPos) -> Result<()> {
    let style = TextStyle::from(("sans-serif", size)).color(&ink).pos(Pos::new(side, VPos::Center));
    canvas.draw_text(text, &style, at)?;
    Ok(())
}

/// Draws a line.
///
/// # Errors
/// The picture cannot be drawn.
pub fn line(canvas: &Canvas, from: (i32, i32), to: (i32, i32)) -> Result<()> {
    canvas.draw(&PathElement::new([from, to], FAINT))?;
    Ok(())
}
