//! The bottom line: latency, load, dropouts, rate, and what is wrong.

use egui::{
    Align, Button, Color32, CornerRadius, Grid, Label, Layout, Rect, RichText, Sense, Ui, UiBuilder,
    WidgetInfo, WidgetType, vec2,
};
use engine::realtime::LatencyBudget;
use nice_plug::prelude::ParamSetter;

use super::view::Snapshot;
use super::{gesture, theme};
use crate::params::{Choice, Device, TributaryParams};

/// From here on the load is near the limit.
const HIGH_LOAD: f32 = 0.7;

/// Draws the bottom line into `rect`. Returns whether the dropouts are to be forgotten.
pub fn show(
    ui: &mut Ui,
    rect: Rect,
    setter: &ParamSetter,
    params: &TributaryParams,
    snapshot: &Snapshot,
    dropouts: u64,
) -> bool {
    let line = UiBuilder::new().max_rect(rect).layout(Layout::left_to_right(Align::Center));
    ui.scope_builder(line, |ui| {
        ui.spacing_mut().item_spacing.x = 6.0;
        state(ui, snapshot, params.choice());
        ui.add_space(14.0);
        let mut clear = false;
        if snapshot.sample_rate > 0 && snapshot.error.is_none() {
            latency(ui, &snapshot.latency, snapshot.sample_rate);
            ui.add_space(14.0);
            load(ui, snapshot.load);
            ui.add_space(14.0);
            clear = self::dropouts(ui, dropouts, snapshot.missing_frames);
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if snapshot.sample_rate > 0 {
                value(ui, &format!("{} kHz", f64::from(snapshot.sample_rate) / 1000.0));
                ui.add_space(14.0);
                device(ui, setter, params, snapshot);
            }
        });
        clear
    })
    .inner
}

fn caption(ui: &mut Ui, text: &str) {
    ui.label(RichText::new(text).color(theme::DIM));
}

fn value(ui: &mut Ui, text: &str) {
    ui.label(RichText::new(text).color(theme::TEXT));
}

/// A dot and a word, or what is wrong.
fn state(ui: &mut Ui, snapshot: &Snapshot, wanted: Choice) {
    let waiting =
        snapshot.choice.filter(|&running| running != wanted).map(|running| waiting(running, wanted));
    let (color, text, help) = match (snapshot, &waiting) {
        (Snapshot { error: Some(error), .. }, _) => (theme::BAD, error.as_str(), error.as_str()),
        (Snapshot { failed: true, .. }, _) => {
            let text = "The separator has stopped: passing the input";
            (theme::BAD, text, text)
        }
        (Snapshot { sample_rate: 0, .. }, _) => {
            (theme::FAINT, "Not active", "The host has not started the plugin")
        }
        (_, Some(help)) => (theme::WARN, "Waiting for restart", help.as_str()),
        (Snapshot { offline: true, .. }, _) => (theme::GOOD, "Rendering", "The host is bouncing"),
        _ => (theme::GOOD, "Playing", "The separator is running"),
    };
    let (rect, _) = ui.allocate_exact_size(vec2(10.0, 10.0), Sense::hover());
    ui.painter().circle_filled(rect.center(), 4.0, color);
    let ink = if color == theme::BAD { theme::BAD } else { theme::TEXT };
    ui.add(Label::new(RichText::new(text).color(ink)).truncate()).on_hover_text(help);
}

/// Why the chosen model does not run yet, and what helps.
fn waiting(running: Choice, wanted: Choice) -> String {
    let name = |choice: Choice| {
        let place = match choice.device {
            _ if running.model != wanted.model => "",
            Device::Card => " on the card",
            Device::Cpu => " on the CPU",
        };
        format!("{}{place}", choice.model.name())
    };
    format!(
        "{} begins when the host restarts the plugin, which it has been asked to do. {} goes on until then. If \
         nothing happens, switch the plugin off and on, or load the project again.",
        name(wanted),
        name(running)
    )
}

/// Where the network runs. In builds that have a choice, a click takes the other place.
fn device(ui: &mut Ui, setter: &ParamSetter, params: &TributaryParams, snapshot: &Snapshot) {
    let text = if snapshot.on_card { "Card" } else { "CPU" };
    let lost = snapshot.choice.is_some_and(|choice| choice.device == Device::Card) && !snapshot.on_card;
    let color = if lost { theme::WARN } else { theme::TEXT };
    let help = match (lost, snapshot.device.starts_with("cpu")) {
        (true, false) => format!("The card has failed ({}), and the CPU goes on", snapshot.device),
        _ => snapshot.device.clone(),
    };
    let text = RichText::new(text).color(color);
    match params.device().filter(|_| params.model.value().runs_on_cards()) {
        Some(param) => {
            let (other, what) = match param.value() {
                Device::Card => (Device::Cpu, "the CPU"),
                Device::Cpu => (Device::Card, "a card, if there is one"),
            };
            let response = ui.add(Button::new(text).frame(false));
            response.widget_info(|| WidgetInfo::labeled(WidgetType::Button, true, format!("Run on {what}")));
            if response.on_hover_text(format!("{help}. Click to run on {what}")).clicked() {
                gesture::set(setter, param, other);
            }
        }
        None => {
            ui.add(Label::new(text).sense(Sense::hover())).on_hover_text(help);
        }
    }
    caption(ui, "Device");
}

fn milliseconds(frames: u32, sample_rate: u32) -> f64 {
    1000.0 * f64::from(frames) / f64::from(sample_rate)
}

/// The whole, and its parts on hover.
fn latency(ui: &mut Ui, latency: &LatencyBudget, sample_rate: u32) {
    caption(ui, "Latency");
    let text = format!("{:.1} ms", milliseconds(latency.total(), sample_rate));
    let label = Label::new(RichText::new(text).color(theme::TEXT)).sense(Sense::hover());
    let response = ui.add(label);
    caption(ui, &format!("{} frames", latency.total()));
    response.on_hover_ui(|ui| {
        Grid::new("latency").num_columns(3).spacing(vec2(16.0, 4.0)).show(ui, |ui| {
            let parts = [
                ("Resampling", latency.resampling),
                ("Separator", latency.separator),
                ("Collecting one hop", latency.hop),
                ("Time to compute", latency.slack),
            ];
            for (name, frames) in parts.into_iter().chain([("Reported to the host", latency.total())]) {
                caption(ui, name);
                value(ui, &format!("{frames} frames"));
                value(ui, &format!("{:.1} ms", milliseconds(frames, sample_rate)));
                ui.end_row();
            }
        });
    });
}

/// The worker's share of real time, as a bar and a number.
fn load(ui: &mut Ui, load: f32) {
    caption(ui, "Load");
    let (rect, response) = ui.allocate_exact_size(vec2(64.0, 6.0), Sense::hover());
    let text = format!("{:.0} %", 100.0 * load);
    let color = load_color(load);
    ui.painter().rect_filled(rect, CornerRadius::same(3), theme::WELL);
    let filled = Rect::from_min_size(rect.min, vec2(rect.width() * load.clamp(0.0, 1.0), rect.height()));
    ui.painter().rect_filled(filled, CornerRadius::same(3), color);
    value(ui, &text);
    response
        .widget_info(|| WidgetInfo::labeled(WidgetType::ProgressIndicator, true, format!("Load: {text}")));
    response.on_hover_text("How much of the time the separator is computing. Above 100 % it cannot keep up.");
}

fn load_color(load: f32) -> Color32 {
    if load >= 1.0 {
        theme::BAD
    } else if load >= HIGH_LOAD {
        theme::WARN
    } else {
        theme::GOOD
    }
}

/// How often the worker was late. Returns whether that is to be forgotten.
fn dropouts(ui: &mut Ui, count: u64, missing_frames: u64) -> bool {
    caption(ui, "Dropouts");
    let color = if count == 0 { theme::TEXT } else { theme::BAD };
    let button = Button::new(RichText::new(count.to_string()).color(color)).frame(false);
    let response = ui.add(button);
    response
        .widget_info(|| WidgetInfo::labeled(WidgetType::Button, true, format!("Dropouts: {count}, clear")));
    let help = format!(
        "Times that the separator was late ({missing_frames} frames in all). The input is heard meanwhile. Click to clear."
    );
    response.on_hover_text(help).clicked()
}
