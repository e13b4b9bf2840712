//! Tells the host of changes, as gestures that it can record.

use egui::Response;
use nice_plug::prelude::*;

/// Passes a widget's change of a parameter on. A drag is one gesture from start to end, any other
/// change is one of its own.
pub fn apply<P: Param>(setter: &ParamSetter, param: &P, response: &Response, value: Option<P::Plain>) {
    if response.drag_started() {
        setter.begin_set_parameter(param);
    }
    if let Some(value) = value {
        if response.dragged() || response.drag_stopped() {
            setter.set_parameter(param, value);
        } else {
            set(setter, param, value);
        }
    }
    if response.drag_stopped() {
        setter.end_set_parameter(param);
    }
}

/// A change at one moment.
pub fn set<P: Param>(setter: &ParamSetter, param: &P, value: P::Plain) {
    setter.begin_set_parameter(param);
    setter.set_parameter(param, value);
    setter.end_set_parameter(param);
}
