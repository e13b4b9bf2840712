//! The top line: the product's name, which model separates, and where the stem outputs are tapped.

use egui::{
    Align2, CornerRadius, Pos2, Rect, Shape, Stroke, Ui, WidgetType, epaint::CubicBezierShape, pos2, vec2,
};
use nice_plug::prelude::*;

use super::toggle::Toggle;
use super::{gesture, theme};
use crate::params::{Model, StemOutputs, TributaryParams};

const BUTTON_HEIGHT: f32 = 26.0;
/// Between a choice and its caption.
const CAPTION_GAP: f32 = 10.0;
/// Between two choices.
const CHOICE_GAP: f32 = 22.0;

/// Draws the top line into `rect`.
pub fn show(ui: &mut Ui, rect: Rect, setter: &ParamSetter, params: &TributaryParams) {
    let logo = Rect::from_min_size(rect.left_center() - vec2(0.0, 14.0), vec2(34.0, 28.0));
    mark(ui, logo);
    let name = pos2(logo.right() + 12.0, rect.center().y);
    ui.painter().text(name, Align2::LEFT_CENTER, "Tributary", theme::font(22.0), theme::TEXT);

    let outputs = Choice {
        caption: "Stem outputs",
        width: 80.0,
        options: [
            (
                StemOutputs::PreFader,
                "Pre fader",
                "Stem outputs pre fader",
                "The stem outputs carry the stems as separated",
            ),
            (
                StemOutputs::PostFader,
                "Post fader",
                "Stem outputs post fader",
                "The stem outputs follow gain, mute and solo",
            ),
        ],
    };
    let left = outputs.show(ui, rect, setter, &params.stem_outputs);
    let model = Choice {
        caption: "Model",
        width: 60.0,
        options: [
            (Model::Live, Model::Live.name(), "Model Live", "For playing: little latency, little load"),
            (
                Model::Studio,
                Model::Studio.name(),
                "Model Studio",
                "For mixing and bouncing: more latency and load. The host restarts the plugin",
            ),
        ],
    };
    model.show(ui, rect.with_max_x(left - CHOICE_GAP), setter, &params.model);
}

/// One of two.
struct Choice<T> {
    caption: &'static str,
    /// Each button's, points.
    width: f32,
    /// Value, what is written on it, what assistive technology calls it, and help.
    options: [(T, &'static str, &'static str, &'static str); 2],
}

impl<T: Enum + PartialEq + Copy + 'static> Choice<T> {
    /// Draws it at the right end of `rect`. Returns where it begins.
    fn show(self, ui: &mut Ui, rect: Rect, setter: &ParamSetter, param: &EnumParam<T>) -> f32 {
        let size = vec2(self.width, BUTTON_HEIGHT);
        let right = Rect::from_min_size(rect.right_center() - vec2(size.x, 0.5 * size.y), size);
        // The edge between the two is drawn once.
        let left = right.translate(vec2(1.0 - size.x, 0.0));
        let corners =
            [CornerRadius { nw: 4, sw: 4, ne: 0, se: 0 }, CornerRadius { nw: 0, sw: 0, ne: 4, se: 4 }];
        for (((value, text, name, help), rect), corner) in
            self.options.into_iter().zip([left, right]).zip(corners)
        {
            let on = param.value() == value;
            let toggle = Toggle { text, name, on, color: theme::DIM, corner, kind: WidgetType::RadioButton };
            if toggle.show(ui, rect).on_hover_text(help).clicked() && !on {
                gesture::set(setter, param, value);
            }
        }
        let at = left.left_center() - vec2(CAPTION_GAP, 0.0);
        ui.painter().text(at, Align2::RIGHT_CENTER, self.caption, theme::font(13.0), theme::DIM).left()
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
