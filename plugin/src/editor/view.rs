//! The whole picture: a function of parameters, a snapshot and the meters' movement, and of nothing
//! else, so that it can be drawn without a host.

use std::sync::atomic::Ordering;

use egui::{Rect, Ui, pos2, vec2};
use engine::realtime::LatencyBudget;
use engine::{STEMS, Stem};
use nice_plug::prelude::*;

use super::ballistics::Ballistics;
use super::{footer, header, strip, theme};
use crate::mixer::Peaks;
use crate::params::{Choice, TributaryParams};
use crate::status::Status;

const MARGIN: f32 = 14.0;
const GAP: f32 = 10.0;
const HEADER_HEIGHT: f32 = 40.0;
const FOOTER_HEIGHT: f32 = 22.0;
/// The main strip's width, in stem strips.
const MAIN_STRIP: f32 = 0.8;

/// What the plugin is doing at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The highest magnitudes since the last snapshot.
    pub peaks: Peaks,
    /// The host's rate, Hz; 0 while the plugin is not active.
    pub sample_rate: u32,
    /// What runs; `None` while nothing does.
    pub choice: Option<Choice>,
    /// A card does the work at this moment.
    pub on_card: bool,
    /// Where the stream was begun, and why there.
    pub device: String,
    /// The latency, part by part.
    pub latency: LatencyBudget,
    /// The host is bouncing.
    pub offline: bool,
    /// Why nothing can be separated.
    pub error: Option<String>,
    /// The worker's share of real time.
    pub load: f32,
    /// Times that the worker was late since the stream was started.
    pub dropouts: u64,
    /// Frames that were missing in all.
    pub missing_frames: u64,
    /// The worker has died.
    pub failed: bool,
}

impl Snapshot {
    /// The plugin's present state. Takes the peaks: the next snapshot has new ones.
    pub fn take(status: &Status) -> Self {
        let session = status.session();
        let mut snapshot = Self {
            peaks: status.meters.take(),
            sample_rate: session.sample_rate,
            choice: session.choice,
            device: session.device,
            latency: session.latency,
            offline: session.offline,
            error: session.error,
            ..Self::default()
        };
        if let Some(monitor) = session.monitor {
            snapshot.load = monitor.load.load(Ordering::Relaxed);
            snapshot.dropouts = monitor.dropouts.load(Ordering::Relaxed);
            snapshot.missing_frames = monitor.missing_frames.load(Ordering::Relaxed);
            snapshot.on_card = monitor.on_card.load(Ordering::Relaxed);
            snapshot.failed = monitor.failed.load(Ordering::Relaxed);
        }
        snapshot
    }
}

/// What moves from one picture to the next.
#[derive(Debug, Clone, Default)]
pub struct ViewState {
    main: [Ballistics; 2],
    stems: [[Ballistics; 2]; STEMS],
    /// Dropouts that the user has seen and cleared.
    cleared: u64,
}

impl ViewState {
    /// Moves the meters on by `seconds`.
    fn advance(&mut self, snapshot: &Snapshot, seconds: f32) {
        let meters = self.main.iter_mut().chain(self.stems.iter_mut().flatten());
        let peaks = snapshot.peaks.main.iter().chain(snapshot.peaks.stems.iter().flatten());
        meters.zip(peaks).for_each(|(meter, &peak)| meter.advance(peak, seconds));
    }

    /// Dropouts since they were last cleared. A new stream counts from 0 again.
    fn dropouts(&mut self, snapshot: &Snapshot) -> u64 {
        if snapshot.dropouts < self.cleared {
            self.cleared = 0;
        }
        snapshot.dropouts - self.cleared
    }
}

/// Draws everything, and passes on what the user does.
pub fn draw(
    ui: &mut Ui,
    setter: &ParamSetter,
    params: &TributaryParams,
    state: &mut ViewState,
    snapshot: &Snapshot,
) {
    state.advance(snapshot, ui.input(|input| input.stable_dt).min(0.1));
    let window = ui.max_rect();
    ui.painter().rect_filled(window, 0, theme::BACKGROUND);
    let area = window.shrink(MARGIN);
    header::show(ui, area.with_max_y(area.top() + HEADER_HEIGHT), setter, params);

    let body = Rect::from_min_max(
        pos2(area.left(), area.top() + HEADER_HEIGHT + GAP),
        pos2(area.right(), area.bottom() - FOOTER_HEIGHT - GAP),
    );
    let settings = params.settings();
    let width = (body.width() - STEMS as f32 * GAP) / (STEMS as f32 + MAIN_STRIP);
    let size = vec2(width, body.height());
    for (index, stem) in Stem::ALL.into_iter().enumerate() {
        let heard = settings.is_heard(index);
        let rect = Rect::from_min_size(body.min + vec2(index as f32 * (width + GAP), 0.0), size);
        strip::stem(ui, rect, setter, stem, params.stem(stem), heard, &state.stems[index]);
    }
    let main = body.with_min_x(body.right() - MAIN_STRIP * width);
    strip::main(ui, main, setter, params, &state.main);

    let dropouts = state.dropouts(snapshot);
    let rect = area.with_min_y(area.bottom() - FOOTER_HEIGHT);
    // The window's corner is for resizing.
    let rect = rect.with_max_x(rect.right() - 6.0);
    if footer::show(ui, rect, setter, params, snapshot, dropouts) {
        state.cleared = snapshot.dropouts;
    }
}
