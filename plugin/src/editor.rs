//! The editor's window: nice-plug's frame around our drawing.

use std::sync::Arc;

use nice_plug::editor::dpi::LogicalSize;
use nice_plug::prelude::*;
use nice_plug_egui::resizable_window::ResizableWindow;
use nice_plug_egui::{EguiNiceSettings, EguiState, create_egui_editor};

use crate::Tributary;
use crate::params::TributaryParams;
use crate::restart::Restart;
use crate::shim::Task;
use crate::status::Status;

mod ballistics;
mod fader;
mod footer;
mod gesture;
mod header;
mod meter;
mod strip;
pub mod theme;
mod toggle;
pub mod view;

use view::{Snapshot, ViewState};

/// The editor's size when first opened, logical pixels.
pub const DEFAULT_SIZE: LogicalSize<f32> = LogicalSize::new(760.0, 480.0);
/// The smallest size at which everything can be read, logical pixels.
const MIN_SIZE: LogicalSize<f32> = LogicalSize::new(640.0, 400.0);
/// The largest size that is restored, logical pixels.
const MAX_SIZE: LogicalSize<f32> = LogicalSize::new(4096.0, 2160.0);
/// Where the size is kept in a project; see [`TributaryParams::editor_state`].
const STATE_FIELD: &str = "editor";

/// The editor for the host to open. By `executor` it asks the host for a restart when another model is chosen.
pub fn create(
    params: Arc<TributaryParams>,
    status: Arc<Status>,
    restart: Arc<Restart>,
    executor: AsyncExecutor<Tributary>,
) -> Option<Box<dyn Editor>> {
    create_egui_editor(
        params.editor_state.clone(),
        ViewState::default(),
        EguiNiceSettings::new().with_tile("Tributary"),
        |ctx, _, _| theme::apply(ctx),
        move |ui, setter, _, state| {
            let snapshot = Snapshot::take(&status);
            ResizableWindow::new("window")
                .min_size((MIN_SIZE.width, MIN_SIZE.height))
                .show(ui, |ui| view::draw(ui, setter, &params, state, &snapshot));
            if restart.take_due() {
                // The window's thread is not always the host's main thread.
                executor.execute_gui(Task::Restart);
            }
            // At once, not after a while: egui-baseview loses new glyphs when it lays out a frame that
            // it does not paint.
            ui.ctx().request_repaint();
        },
    )
}

/// Projects come from strangers: a size that no window should have is not restored.
pub fn filter_state(state: &mut PluginState) {
    let sound = |text: &String| {
        serde_json::from_str::<EguiState>(text).is_ok_and(|editor| {
            let size = editor.size();
            (MIN_SIZE.width..=MAX_SIZE.width).contains(&size.width)
                && (MIN_SIZE.height..=MAX_SIZE.height).contains(&size.height)
        })
    };
    if state.fields.get(STATE_FIELD).is_some_and(|text| !sound(text)) {
        state.fields.remove(STATE_FIELD);
    }
}

#[cfg(test)]
mod tests;
