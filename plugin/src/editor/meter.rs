//! A stereo peak meter.

use egui::{
    Align2, Color32, CornerRadius, Mesh, Painter, Pos2, Rect, Sense, Ui, WidgetInfo, WidgetType, pos2, vec2,
};

use super::ballistics::{Ballistics, FLOOR_DB};
use super::theme;

/// The scale's ends, dB relative to full scale.
const BOTTOM_DB: f32 = -60.0;
const TOP_DB: f32 = 6.0;
/// Where the colour begins to warn.
const HOT_DB: f32 = -6.0;
/// Marks of the scale.
const MARKS_DB: [f32; 6] = [0.0, -6.0, -12.0, -24.0, -36.0, -48.0];
/// Between left and right.
const GAP: f32 = 2.0;

/// Height above the bottom, 0 to 1, with more room for loud levels.
fn height(level_db: f32) -> f32 {
    ((level_db - BOTTOM_DB) / (TOP_DB - BOTTOM_DB)).clamp(0.0, 1.0).powf(1.4)
}

fn y(rect: Rect, level_db: f32) -> f32 {
    rect.bottom() - rect.height() * height(level_db)
}

/// Draws left and right into `rect`. `name` is what the levels are of.
pub fn show(ui: &mut Ui, rect: Rect, channels: &[Ballistics; 2], color: Color32, name: &str) {
    let response = ui.interact(rect, ui.id().with((name, "meter")), Sense::hover());
    let loudest = channels[0].held_db.max(channels[1].held_db);
    let text = if loudest <= FLOOR_DB { "silent".to_owned() } else { format!("{loudest:.1} dBFS") };
    response.widget_info(|| {
        WidgetInfo::labeled(WidgetType::ProgressIndicator, true, format!("{name} level: {text}"))
    });
    response.on_hover_text(format!("{name}: peak {text}"));

    let width = 0.5 * (rect.width() - GAP);
    for (channel, meter) in channels.iter().enumerate() {
        let left = rect.left() + channel as f32 * (width + GAP);
        let column = Rect::from_min_size(pos2(left, rect.top()), vec2(width, rect.height()));
        bar(ui.painter(), column, meter, color);
    }
}

/// The scale's figures, right-aligned at `x`, beside a meter in `rect`.
pub fn scale(painter: &Painter, rect: Rect, x: f32) {
    for mark in MARKS_DB {
        let at = pos2(x, y(rect, mark));
        painter.text(at, Align2::RIGHT_CENTER, format!("{mark:.0}"), theme::font(10.0), theme::DIM);
    }
}

fn bar(painter: &Painter, column: Rect, meter: &Ballistics, color: Color32) {
    painter.rect_filled(column, CornerRadius::same(2), theme::WELL);
    let shade = |level_db: f32, color: Color32| {
        theme::blend(theme::WELL, color, 0.45 + 0.55 * height(level_db) / height(HOT_DB))
    };
    let part = |from_db: f32, to_db: f32, low: Color32, high: Color32| {
        if meter.level_db > from_db {
            let to_db = to_db.min(meter.level_db);
            let rect = Rect::from_min_max(
                pos2(column.left(), y(column, to_db)),
                pos2(column.right(), y(column, from_db)),
            );
            painter.add(gradient(rect, high, low));
        }
    };
    let top_db = meter.level_db.clamp(BOTTOM_DB, HOT_DB);
    part(BOTTOM_DB, HOT_DB, shade(BOTTOM_DB, color), shade(top_db, color));
    let hot = theme::blend(color, theme::WARN, 0.85);
    part(HOT_DB, 0.0, hot, hot);
    part(0.0, TOP_DB, theme::BAD, theme::BAD);

    let line = |level_db: f32, color: Color32, thickness: f32| {
        let y = y(column, level_db);
        painter.line_segment([Pos2::new(column.left(), y), Pos2::new(column.right(), y)], (thickness, color));
    };
    line(0.0, theme::FAINT, 1.0);
    if meter.held_db > BOTTOM_DB {
        line(meter.held_db, if meter.held_db >= 0.0 { theme::BAD } else { theme::TEXT }, 1.5);
    }
}

/// A rectangle from one colour at its top to another at its bottom.
fn gradient(rect: Rect, top: Color32, bottom: Color32) -> Mesh {
    let mut mesh = Mesh::default();
    mesh.colored_vertex(rect.left_top(), top);
    mesh.colored_vertex(rect.right_top(), top);
    mesh.colored_vertex(rect.left_bottom(), bottom);
    mesh.colored_vertex(rect.right_bottom(), bottom);
    mesh.add_triangle(0, 1, 2);
    mesh.add_triangle(2, 1, 3);
    mesh
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_rises_and_stays_inside() {
        let heights: Vec<_> = (-100..=20).map(|level| height(level as f32)).collect();
        assert!(heights.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!((height(BOTTOM_DB), height(TOP_DB)), (0.0, 1.0));
        assert_eq!((height(-100.0), height(20.0)), (0.0, 1.0));
    }
}
