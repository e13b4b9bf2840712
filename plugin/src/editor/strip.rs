//! The channel strips: one for each stem, one for the main bus.

use egui::{Align2, Color32, CornerRadius, Rect, Stroke, StrokeKind, Ui, WidgetType, pos2, vec2};
use engine::Stem;
use nice_plug::prelude::*;

use super::ballistics::Ballistics;
use super::toggle::Toggle;
use super::{fader, gesture, meter, theme};
use crate::params::{StemParams, TributaryParams};

const PADDING: f32 = 12.0;
const NAME_HEIGHT: f32 = 34.0;
const ROW_HEIGHT: f32 = 26.0;
const ROW_GAP: f32 = 8.0;
const METER_WIDTH: f32 = 20.0;
/// Scale and cap.
const FADER_WIDTH: f32 = 70.0;
const FADER_GAP: f32 = 12.0;
/// The coloured line on top of a strip.
const TOP_LINE: f32 = 4.0;

/// Where the parts of a strip lie.
struct Parts {
    /// Fader and meter.
    middle: Rect,
    /// The number.
    upper_row: Rect,
    /// The buttons.
    lower_row: Rect,
}

/// Draws what all strips have in common.
fn frame(ui: &Ui, rect: Rect, name: &str, ink: Color32, color: Color32) -> Parts {
    let painter = ui.painter();
    painter.rect_filled(rect, theme::PANEL_CORNER, color);
    let below = rect.with_min_y(rect.top() + TOP_LINE);
    painter.rect_filled(below, CornerRadius { nw: 3, ne: 3, ..theme::PANEL_CORNER }, theme::PANEL);
    painter.rect_stroke(rect, theme::PANEL_CORNER, Stroke::new(1.0, theme::EDGE), StrokeKind::Outside);
    let at = pos2(rect.center().x, rect.top() + 0.5 * NAME_HEIGHT + TOP_LINE);
    painter.text(at, Align2::CENTER_CENTER, name, theme::font(15.0), ink);

    let inner = rect.shrink(PADDING);
    let lower_row = inner.with_min_y(inner.bottom() - ROW_HEIGHT);
    let upper_row = lower_row.translate(vec2(0.0, -ROW_HEIGHT - ROW_GAP));
    let middle = Rect::from_min_max(
        pos2(inner.left(), rect.top() + NAME_HEIGHT + 8.0),
        pos2(inner.right(), upper_row.top() - ROW_GAP),
    );
    Parts { middle, upper_row, lower_row }
}

/// Draws one stem's strip into `rect`. `heard` says whether mutes and solos leave it in the mix.
pub fn stem(
    ui: &mut Ui,
    rect: Rect,
    setter: &ParamSetter,
    stem: Stem,
    params: &StemParams,
    heard: bool,
    levels: &[Ballistics; 2],
) {
    // A stem that is not in the mix is grey.
    let (ink, color) = if heard {
        (theme::TEXT, theme::stem(stem))
    } else {
        (theme::DIM, theme::blend(theme::stem(stem), theme::PANEL, 0.65))
    };
    let name = title(stem);
    let parts = frame(ui, rect, name, ink, color);

    let width = FADER_WIDTH + FADER_GAP + METER_WIDTH;
    // The figures of the scale are lighter than the meter, so the middle is a little to the left.
    let left = parts.middle.center().x - 0.5 * width - 4.0;
    let fader_rect =
        Rect::from_min_size(pos2(left, parts.middle.top()), vec2(FADER_WIDTH, parts.middle.height()));
    let meter_left = fader_rect.right() + FADER_GAP;
    let meter_rect = Rect::from_x_y_ranges(meter_left..=meter_left + METER_WIDTH, parts.middle.y_range())
        .shrink2(vec2(0.0, fader::END));
    meter::show(ui, meter_rect, levels, color, name);
    fader::show(ui, fader_rect, setter, &params.gain, color);
    fader::number(ui, parts.upper_row, setter, &params.gain);

    let (left, right) = parts.lower_row.split_left_right_at_fraction(0.5);
    let gap = vec2(0.5 * ROW_GAP, 0.0);
    let buttons = [
        (
            &params.mute,
            "M",
            theme::BAD,
            Rect::from_min_max(left.min, left.max - gap),
            "Take this stem out of the mix",
        ),
        (
            &params.solo,
            "S",
            theme::WARN,
            Rect::from_min_max(right.min + gap, right.max),
            "Keep only soloed stems in the mix",
        ),
    ];
    for (param, text, color, rect, help) in buttons {
        let toggle = Toggle {
            text,
            name: param.name(),
            on: param.value(),
            color,
            corner: theme::CORNER,
            kind: WidgetType::Checkbox,
        };
        if toggle.show(ui, rect).on_hover_text(help).clicked() {
            gesture::set(setter, param, !param.value());
        }
    }
}

/// Draws the main bus's strip into `rect`.
pub fn main(
    ui: &mut Ui,
    rect: Rect,
    setter: &ParamSetter,
    params: &TributaryParams,
    levels: &[Ballistics; 2],
) {
    let parts = frame(ui, rect, "Main", theme::TEXT, theme::DIM);
    let middle = parts.middle.with_max_y(parts.upper_row.bottom()).shrink2(vec2(0.0, 10.0));
    let meter_rect =
        Rect::from_center_size(middle.center() + vec2(8.0, 0.0), vec2(1.4 * METER_WIDTH, middle.height()));
    meter::show(ui, meter_rect, levels, theme::GOOD, "Main");
    meter::scale(ui.painter(), meter_rect, meter_rect.left() - 6.0);

    let toggle = Toggle {
        text: "Bypass",
        name: params.bypass.name(),
        on: params.bypass.value(),
        color: theme::WARN,
        corner: theme::CORNER,
        kind: WidgetType::Checkbox,
    };
    let help = "The input alone on the main output, with the same latency; silence on the stem outputs";
    if toggle.show(ui, parts.lower_row).on_hover_text(help).clicked() {
        gesture::set(setter, &params.bypass, !params.bypass.value());
    }
}

fn title(stem: Stem) -> &'static str {
    match stem {
        Stem::Drums => "Drums",
        Stem::Bass => "Bass",
        Stem::Other => "Other",
        Stem::Vocals => "Vocals",
    }
}
