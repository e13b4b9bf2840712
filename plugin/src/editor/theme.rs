//! Colours and sizes.

use egui::{
    Color32, Context, CornerRadius, FontFamily, FontId, Stroke, TextStyle, Theme, Visuals, epaint::Shadow,
};
use engine::Stem;

/// Behind everything.
pub const BACKGROUND: Color32 = Color32::from_rgb(0x11, 0x13, 0x17);
/// Strips.
pub const PANEL: Color32 = Color32::from_rgb(0x1a, 0x1d, 0x23);
/// Lines around strips and buttons.
pub const EDGE: Color32 = Color32::from_rgb(0x2b, 0x30, 0x3a);
/// Sunken: meters, fader tracks, number fields.
pub const WELL: Color32 = Color32::from_rgb(0x0b, 0x0c, 0x0f);
/// Raised: buttons, fader caps.
pub const RAISED: Color32 = Color32::from_rgb(0x2f, 0x35, 0x40);
/// Names and values.
pub const TEXT: Color32 = Color32::from_rgb(0xe9, 0xeb, 0xef);
/// Everything beside them. 5.9 : 1 on a strip.
pub const DIM: Color32 = Color32::from_rgb(0x97, 0x9f, 0xad);
/// Marks that need no reading.
pub const FAINT: Color32 = Color32::from_rgb(0x3d, 0x44, 0x50);
/// Running well.
pub const GOOD: Color32 = Color32::from_rgb(0x4a, 0xd6, 0x8b);
/// Near a limit; soloed.
pub const WARN: Color32 = Color32::from_rgb(0xff, 0xc8, 0x57);
/// Beyond a limit; muted.
pub const BAD: Color32 = Color32::from_rgb(0xff, 0x56, 0x63);
/// Keyboard focus.
pub const FOCUS: Color32 = Color32::from_rgb(0xff, 0xff, 0xff);

/// Corners of strips.
pub const PANEL_CORNER: CornerRadius = CornerRadius::same(8);
/// Corners of buttons and fields.
pub const CORNER: CornerRadius = CornerRadius::same(4);

/// A stem's colour, told apart in lightness too.
pub fn stem(stem: Stem) -> Color32 {
    match stem {
        Stem::Drums => Color32::from_rgb(0xff, 0x9d, 0x4d),
        Stem::Bass => Color32::from_rgb(0x8f, 0x86, 0xff),
        Stem::Other => Color32::from_rgb(0x3f, 0xd0, 0xc1),
        Stem::Vocals => Color32::from_rgb(0xff, 0x70, 0xa6),
    }
}

/// A font of this size, points.
pub fn font(size: f32) -> FontId {
    FontId::new(size, FontFamily::Proportional)
}

/// Between two colours; `t` from 0 to 1.
pub fn blend(a: Color32, b: Color32, t: f32) -> Color32 {
    a.lerp_to_gamma(b, t.clamp(0.0, 1.0))
}

/// Makes egui's own widgets fit in.
pub fn apply(ctx: &Context) {
    ctx.set_theme(Theme::Dark);
    ctx.all_styles_mut(|style| {
        style.text_styles = [
            (TextStyle::Small, font(11.0)),
            (TextStyle::Body, font(13.0)),
            (TextStyle::Monospace, font(13.0)),
            (TextStyle::Button, font(13.0)),
            (TextStyle::Heading, font(20.0)),
        ]
        .into();
        style.interaction.selectable_labels = false;
        style.interaction.tooltip_delay = 0.3;
        let mut visuals = Visuals::dark();
        visuals.panel_fill = BACKGROUND;
        visuals.window_fill = PANEL;
        visuals.window_stroke = Stroke::new(1.0, EDGE);
        visuals.popup_shadow =
            Shadow { offset: [0, 4], blur: 12, spread: 0, color: Color32::from_black_alpha(120) };
        visuals.extreme_bg_color = WELL;
        visuals.selection.bg_fill = FAINT;
        visuals.selection.stroke = Stroke::new(1.0, TEXT);
        let widgets = &mut visuals.widgets;
        for widget in
            [&mut widgets.noninteractive, &mut widgets.inactive, &mut widgets.hovered, &mut widgets.active]
        {
            widget.corner_radius = CORNER;
            widget.fg_stroke = Stroke::new(1.0, TEXT);
            widget.weak_bg_fill = WELL;
            widget.bg_fill = WELL;
            widget.expansion = 0.0;
        }
        widgets.noninteractive.bg_stroke = Stroke::new(1.0, EDGE);
        widgets.inactive.bg_stroke = Stroke::new(1.0, EDGE);
        widgets.hovered.bg_stroke = Stroke::new(1.0, DIM);
        widgets.active.bg_stroke = Stroke::new(1.0, FOCUS);
        style.visuals = visuals;
    });
}
