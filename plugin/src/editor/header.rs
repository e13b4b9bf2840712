//! The top line: the product's name, and where the stem outputs are tapped.

use egui::{
    Align2, CornerRadius, Pos2, Rect, Shape, Stroke, Ui, WidgetType, epaint::CubicBezierShape, pos2, vec2,
};
use nice_plug::prelude::*;

use super::toggle::Toggle;
use super::{gesture, theme};
use crate::params::{StemOutputs, TributaryParams};

/// Draws the top line into `rect`.
pub fn show(ui: &mut Ui, rect: Rect, setter: &ParamSetter, params: &TributaryParams) {
    let logo = Rect::from_min_size(rect.left_center() - vec2(0.0, 14.0), vec2(34.0, 28.0));
    mark(ui, logo);
    let name = pos2(logo.right() + 12.0, rect.center().y);
    let name = ui.painter().text(name, Align2::LEFT_CENTER, "Tributary", theme::font(22.0), theme::TEXT);
    ui.painter().text(
        name.right_bottom() + vec2(12.0, -5.0),
        Align2::LEFT_BOTTOM,
        "stem separation",
        theme::font(13.0),
        theme::DIM,
    );

    let size = vec2(84.0, 26.0);
    let right = Rect::from_min_size(rect.right_center() - vec2(size.x, 0.5 * size.y), size);
    let left = right.translate(vec2(-size.x + 1.0, 0.0));
    let at = left.left_center() - vec2(12.0, 0.0);
    ui.painter().text(at, Align2::RIGHT_CENTER, "Stem outputs", theme::font(13.0), theme::DIM);
    let choices = [
        (
            StemOutputs::PreFader,
            left,
            "Pre fader",
            "Stem outputs pre fader",
            CornerRadius { nw: 4, sw: 4, ne: 0, se: 0 },
        ),
        (
            StemOutputs::PostFader,
            right,
            "Post fader",
            "Stem outputs post fader",
            CornerRadius { nw: 0, sw: 0, ne: 4, se: 4 },
        ),
    ];
    for (choice, rect, text, name, corner) in choices {
        let on = params.stem_outputs.value() == choice;
        let kind = WidgetType::RadioButton;
        let toggle = Toggle { text, name, on, color: theme::DIM, corner, kind };
        let help = match choice {
            StemOutputs::PreFader => "The stem outputs carry the stems as separated",
            StemOutputs::PostFader => "The stem outputs follow gain, mute and solo",
        };
        if toggle.show(ui, rect).on_hover_text(help).clicked() && !on {
            gesture::set(setter, &params.stem_outputs, choice);
        }
    }
}

/// Four streams that come out of one.
fn mark(ui: &Ui, rect: Rect) {
    let source: Pos2 = rect.left_center();
    for (index, stem) in engine::Stem::ALL.into_iter().enumerate() {
        let mouth = pos2(rect.right(), rect.top() + rect.height() * (index as f32 + 0.5) / 4.0);
        let points =
            [source, source + vec2(0.5 * rect.width(), 0.0), mouth - vec2(0.55 * rect.width(), 0.0), mouth];
        let stroke = Stroke::new(3.0, theme::stem(stem));
        let stream = CubicBezierShape::from_points_stroke(points, false, egui::Color32::TRANSPARENT, stroke);
        ui.painter().add(Shape::CubicBezier(stream));
    }
}
