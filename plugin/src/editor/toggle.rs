//! Buttons that stay down.

use egui::{
    Align2, Color32, CornerRadius, Rect, Response, Sense, Stroke, StrokeKind, Ui, WidgetInfo, WidgetType,
};

use super::theme;

/// How a toggle looks and what it is called.
pub struct Toggle<'a> {
    /// What is written on it.
    pub text: &'a str,
    /// What assistive technology calls it.
    pub name: &'a str,
    /// Whether it is down.
    pub on: bool,
    /// Its colour when it is down.
    pub color: Color32,
    /// Its corners.
    pub corner: CornerRadius,
    /// One of several that exclude each other, or one that stands alone.
    pub kind: WidgetType,
}

impl Toggle<'_> {
    /// Draws it into `rect`. The response says whether it was clicked.
    pub fn show(self, ui: &mut Ui, rect: Rect) -> Response {
        let response = ui.interact(rect, ui.id().with(self.name), Sense::click());
        response.widget_info(|| WidgetInfo::selected(self.kind, true, self.on, self.name));

        let painter = ui.painter();
        let resting = if self.on { self.color } else { theme::PANEL };
        let fill = if response.hovered() { theme::blend(resting, theme::TEXT, 0.10) } else { resting };
        painter.rect_filled(rect, self.corner, fill);
        let edge = match (response.has_focus(), self.on) {
            (true, _) => theme::FOCUS,
            (false, true) => self.color,
            (false, false) => theme::EDGE,
        };
        painter.rect_stroke(rect, self.corner, Stroke::new(1.0, edge), StrokeKind::Inside);
        let ink = if self.on { theme::BACKGROUND } else { theme::DIM };
        painter.text(rect.center(), Align2::CENTER_CENTER, self.text, theme::font(13.0), ink);
        response
    }
}
