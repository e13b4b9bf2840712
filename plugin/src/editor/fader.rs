//! A gain fader and its number field.
//!
//! Drag it (finely with Shift), use the arrow, Page Up and Page Down keys, or double-click or press
//! Home for 0 dB.

use egui::{
    Align2, Color32, CornerRadius, CursorIcon, DragValue, EventFilter, Id, Key, Painter, Rect, Response,
    Sense, Stroke, StrokeKind, Ui, WidgetInfo, accesskit, pos2, vec2,
};
use nice_plug::prelude::*;

use super::{gesture, theme};
use crate::params::{MAX_GAIN_DB, MIN_GAIN_DB, gain_to_text};

const CAP_HEIGHT: f32 = 20.0;
const CAP_WIDTH: f32 = 34.0;
/// Between an end of the fader and that of its track.
pub const END: f32 = 0.5 * CAP_HEIGHT;
/// What Shift divides by.
const FINE: f32 = 10.0;
/// Marks of the scale, dB.
const MARKS_DB: [f32; 7] = [12.0, 6.0, 0.0, -6.0, -12.0, -24.0, -48.0];

/// Draws a fader into `rect` and lets the user move it.
pub fn show(ui: &mut Ui, rect: Rect, setter: &ParamSetter, param: &FloatParam, color: Color32) {
    let response = ui
        .interact(rect, ui.id().with((param.name(), "fader")), Sense::click_and_drag())
        .on_hover_cursor(CursorIcon::ResizeVertical);
    let track = rect.shrink2(vec2(0.0, END));

    let new = dragged(ui, &response, param, track.height()).or_else(|| keyed(ui, &response, param));
    let new = if response.double_clicked() { Some(param.default_plain_value()) } else { new };
    gesture::apply(setter, param, &response, new);

    let value = f64::from(param.value());
    response.widget_info(|| WidgetInfo::slider(true, value, param.name()));
    ui.ctx().accesskit_node_builder(response.id, |node| {
        node.set_min_numeric_value(f64::from(MIN_GAIN_DB));
        node.set_max_numeric_value(f64::from(MAX_GAIN_DB));
        node.set_value(param.to_string());
        node.add_action(accesskit::Action::Increment);
        node.add_action(accesskit::Action::Decrement);
    });
    paint(ui, track, param, color, &response);
}

/// Where a drag has brought the fader, if one goes on.
fn dragged(ui: &Ui, response: &Response, param: &FloatParam, travel: f32) -> Option<f32> {
    if !response.dragged() {
        return None;
    }
    // Between host and fader there may be a block's time and rounding, so the drag keeps its own
    // position. It has begun where the button went down, some points before egui calls it a drag.
    let id = response.id.with("drag");
    let (from, moved) = if response.drag_started() {
        let origin = ui.input(|input| input.pointer.press_origin());
        let now = response.interact_pointer_pos();
        (None, origin.zip(now).map_or(0.0, |(origin, now)| now.y - origin.y))
    } else {
        (ui.data(|data| data.get_temp::<f32>(id)), response.drag_delta().y)
    };
    let fine = if ui.input(|input| input.modifiers.shift) { FINE } else { 1.0 };
    let from = from.unwrap_or_else(|| param.unmodulated_normalized_value());
    let position = from - moved / (travel.max(1.0) * fine);
    let position = position.clamp(0.0, 1.0);
    ui.data_mut(|data| data.insert_temp(id, position));
    (moved != 0.0).then(|| param.preview_plain(position))
}

/// Where keys and assistive technology have brought the fader.
fn keyed(ui: &Ui, response: &Response, param: &FloatParam) -> Option<f32> {
    let count = |up: usize, down: usize| up as f32 - down as f32;
    let mut steps_db = ui.input(|input| {
        count(
            input.num_accesskit_action_requests(response.id, accesskit::Action::Increment),
            input.num_accesskit_action_requests(response.id, accesskit::Action::Decrement),
        )
    });
    if response.has_focus() {
        lock_arrows(ui, response.id);
        let (small, large, home) = ui.input(|input| {
            (
                count(input.num_presses(Key::ArrowUp), input.num_presses(Key::ArrowDown))
                    / if input.modifiers.shift { FINE } else { 1.0 },
                count(input.num_presses(Key::PageUp), input.num_presses(Key::PageDown)),
                input.key_pressed(Key::Home),
            )
        });
        if home {
            return Some(param.default_plain_value());
        }
        steps_db += small + 6.0 * large;
    }
    (steps_db != 0.0).then(|| {
        let target = (param.unmodulated_plain_value() + steps_db).clamp(MIN_GAIN_DB, MAX_GAIN_DB);
        param.preview_plain(param.preview_normalized(target))
    })
}

/// Up and down move the fader, not the focus.
fn lock_arrows(ui: &Ui, id: Id) {
    let filter = EventFilter { vertical_arrows: true, ..EventFilter::default() };
    ui.memory_mut(|memory| memory.set_focus_lock_filter(id, filter));
}

fn paint(ui: &Ui, track: Rect, param: &FloatParam, color: Color32, response: &Response) {
    let painter = ui.painter();
    let y = |gain_db: f32| track.bottom() - track.height() * param.preview_normalized(gain_db);
    let center = track.right() - 0.5 * CAP_WIDTH;
    scale(painter, track.left() + 18.0, center, y);

    let groove = Rect::from_center_size(pos2(center, track.center().y), vec2(4.0, track.height()));
    painter.rect_filled(groove, CornerRadius::same(2), theme::WELL);
    let at = y(param.value());
    let below = groove.with_min_y(at);
    painter.rect_filled(below, CornerRadius::same(2), color.gamma_multiply(0.55));

    let cap = Rect::from_center_size(pos2(center, at), vec2(CAP_WIDTH, CAP_HEIGHT));
    painter.rect_filled(cap.translate(vec2(0.0, 2.0)), theme::CORNER, Color32::from_black_alpha(90));
    let active = response.hovered() || response.dragged();
    let fill = if active { theme::blend(theme::RAISED, theme::TEXT, 0.12) } else { theme::RAISED };
    painter.rect_filled(cap, theme::CORNER, fill);
    let edge = if response.has_focus() { theme::FOCUS } else { theme::blend(fill, theme::TEXT, 0.18) };
    painter.rect_stroke(cap, theme::CORNER, Stroke::new(1.0, edge), StrokeKind::Inside);
    painter.hline(cap.x_range().shrink(5.0), at, Stroke::new(2.0, color));
}

fn scale(painter: &Painter, x: f32, center: f32, y: impl Fn(f32) -> f32) {
    for mark in MARKS_DB {
        let strong = mark == 0.0;
        let text = if strong { "0".to_owned() } else { format!("{mark:+.0}") };
        let color = if strong { theme::TEXT } else { theme::DIM };
        painter.text(pos2(x, y(mark)), Align2::RIGHT_CENTER, text, theme::font(10.0), color);
        let width = if strong { 15.0 } else { 11.0 };
        let line = if strong { theme::DIM } else { theme::FAINT };
        painter.hline(center - width..=center + width, y(mark), Stroke::new(1.0, line));
    }
    painter.text(pos2(x, y(MIN_GAIN_DB)), Align2::RIGHT_CENTER, "-inf", theme::font(10.0), theme::DIM);
}

/// Draws the gain as a number that can be dragged and typed over.
pub fn number(ui: &mut Ui, rect: Rect, setter: &ParamSetter, param: &FloatParam) {
    let mut gain_db = param.unmodulated_plain_value();
    let field = DragValue::new(&mut gain_db)
        .range(MIN_GAIN_DB..=MAX_GAIN_DB)
        .speed(0.1)
        .custom_formatter(|gain_db, _| gain_to_text(gain_db as f32))
        .custom_parser(|text| {
            let normalized = param.string_to_normalized_value(text)?;
            Some(f64::from(param.preview_plain(normalized)))
        })
        .suffix(" dB");
    let response = ui.place(rect, field);
    let value = f64::from(gain_db);
    response.widget_info(|| {
        let mut info = WidgetInfo::drag_value(true, value);
        info.label = Some(format!("{} in decibels", param.name()));
        info
    });
    let new = response.changed().then(|| param.preview_plain(param.preview_normalized(gain_db)));
    gesture::apply(setter, param, &response, new);
}
