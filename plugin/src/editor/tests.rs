//! The editor, used without a window.

#![allow(clippy::disallowed_methods, reason = "no audio thread here")]

use std::cell::RefCell;
use std::sync::Mutex;

use egui::accesskit::{Node, NodeId, Role, Toggled};
use egui::{Context, Event, Key, Modifiers, PointerButton, Pos2, RawInput, Rect, Vec2, pos2, vec2};
use nice_plug::context::gui::GuiContext;

use super::*;
use crate::params::{Choice, Device, Model};

/// What the editor told the host: begin, set and end.
#[derive(Debug, Clone, PartialEq)]
enum Told {
    Begin(String),
    Set(String, f32),
    End(String),
}

/// A host that does what it is told and remembers it.
struct Host {
    params: Arc<TributaryParams>,
    told: Mutex<Vec<Told>>,
}

impl Host {
    fn id(&self, param: ParamPtr) -> String {
        let known = self.params.param_map().into_iter().find(|(_, ptr, _)| *ptr == param);
        known.expect("a parameter of ours").0
    }

    fn note(&self, told: Told) {
        self.told.lock().unwrap().push(told);
    }
}

impl GuiContext for Host {
    fn plugin_api(&self) -> PluginApi {
        PluginApi::Clap
    }
    fn request_resize(&self) -> bool {
        false
    }
    unsafe fn raw_begin_set_parameter(&self, param: ParamPtr) {
        self.note(Told::Begin(self.id(param)));
    }
    unsafe fn raw_set_parameter_normalized(&self, param: ParamPtr, normalized: f32) {
        // SAFETY: the parameters live as long as this host.
        unsafe { param._internal_set_normalized_value(normalized) };
        self.note(Told::Set(self.id(param), normalized));
    }
    unsafe fn raw_end_set_parameter(&self, param: ParamPtr) {
        self.note(Told::End(self.id(param)));
    }
    fn get_state(&self) -> PluginState {
        unreachable!("the editor does not ask for it")
    }
    fn set_state(&self, _state: PluginState) {}
}

/// An editor on a host, drawn frame by frame.
struct Bench {
    ctx: Context,
    host: Host,
    state: RefCell<ViewState>,
    snapshot: Snapshot,
    size: Vec2,
    nodes: Vec<Node>,
    /// The name of the widget that the keyboard acts on.
    focus: Option<String>,
}

impl Bench {
    fn new(snapshot: Snapshot) -> Self {
        let ctx = Context::default();
        ctx.enable_accesskit();
        theme::apply(&ctx);
        let host = Host { params: Arc::default(), told: Mutex::default() };
        let size = vec2(DEFAULT_SIZE.width, DEFAULT_SIZE.height);
        let mut bench =
            Self { ctx, host, state: RefCell::default(), snapshot, size, nodes: Vec::new(), focus: None };
        bench.frame(Vec::new());
        bench
    }

    fn frame(&mut self, events: Vec<Event>) {
        let input = RawInput {
            screen_rect: Some(Rect::from_min_size(Pos2::ZERO, self.size)),
            events,
            ..RawInput::default()
        };
        let setter = ParamSetter::new(&self.host);
        let output = self.ctx.run_ui(input, |ui| {
            view::draw(ui, &setter, &self.host.params, &mut self.state.borrow_mut(), &self.snapshot);
        });
        if let Some(update) = output.platform_output.accesskit_update {
            let is_focus = |(id, _): &&(NodeId, Node)| *id == update.focus;
            let focus = update.nodes.iter().find(is_focus);
            self.focus = focus.and_then(|(_, node)| node.label()).map(str::to_owned);
            self.nodes = update.nodes.into_iter().map(|(_, node)| node).collect();
        }
    }

    /// The widget with this role and name.
    fn node(&self, role: Role, name: &str) -> &Node {
        let mut found = self.nodes.iter().filter(|node| node.role() == role && node.label() == Some(name));
        match (found.next(), found.next()) {
            (Some(node), None) => node,
            (None, _) => panic!("no {role:?} named {name:?} among {:?}", self.names()),
            (Some(_), Some(_)) => panic!("several {role:?} named {name:?}"),
        }
    }

    /// Whether a text is to be read somewhere.
    fn says(&self, text: &str) -> bool {
        self.nodes.iter().any(|node| node.value() == Some(text) || node.label() == Some(text))
    }

    fn names(&self) -> Vec<(Role, &str)> {
        self.nodes.iter().filter_map(|node| Some((node.role(), node.label()?))).collect()
    }

    fn center(&self, role: Role, name: &str) -> Pos2 {
        let bounds = self.node(role, name).bounds().expect("bounds");
        pos2(0.5 * (bounds.x0 + bounds.x1) as f32, 0.5 * (bounds.y0 + bounds.y1) as f32)
    }

    fn button(&mut self, at: Pos2, pressed: bool) {
        let modifiers = Modifiers::NONE;
        self.frame(vec![
            Event::PointerMoved(at),
            Event::PointerButton { pos: at, button: PointerButton::Primary, pressed, modifiers },
        ]);
    }

    fn click(&mut self, at: Pos2) {
        self.frame(vec![Event::PointerMoved(at)]);
        self.button(at, true);
        self.button(at, false);
    }

    fn press(&mut self, key: Key) {
        for pressed in [true, false] {
            let modifiers = Modifiers::NONE;
            self.frame(vec![Event::Key { key, physical_key: None, pressed, repeat: false, modifiers }]);
        }
    }

    fn told(&self) -> Vec<Told> {
        std::mem::take(&mut *self.host.told.lock().unwrap())
    }
}

const LIVE: Choice = Choice { model: Model::Live, device: Device::Cpu };
const STUDIO: Choice = Choice { model: Model::Studio, device: Device::Card };

fn playing() -> Snapshot {
    Snapshot { sample_rate: 48_000, load: 0.5, dropouts: 3, ..Snapshot::default() }
}

#[test]
fn every_control_has_a_name_that_tells_it_apart() {
    let bench = Bench::new(playing());
    for stem in ["Drums", "Bass", "Other", "Vocals"] {
        bench.node(Role::Slider, &format!("{stem} Gain"));
        bench.node(Role::SpinButton, &format!("{stem} Gain in decibels"));
        bench.node(Role::CheckBox, &format!("{stem} Mute"));
        bench.node(Role::CheckBox, &format!("{stem} Solo"));
    }
    bench.node(Role::CheckBox, "Bypass");
    bench.node(Role::RadioButton, "Model Live");
    bench.node(Role::RadioButton, "Model Studio");
    bench.node(Role::RadioButton, "Stem outputs pre fader");
    bench.node(Role::RadioButton, "Stem outputs post fader");
    bench.node(Role::Button, "Dropouts: 3, clear");
}

#[test]
fn clicking_mute_is_one_gesture() {
    let mut bench = Bench::new(playing());
    bench.click(bench.center(Role::CheckBox, "Bass Mute"));
    let id = "bass_mute".to_owned();
    assert_eq!(bench.told(), [Told::Begin(id.clone()), Told::Set(id.clone(), 1.0), Told::End(id)]);
    assert!(bench.host.params.bass.mute.value());
}

#[test]
fn choosing_a_model_is_one_gesture_and_waits_for_the_host() {
    let mut bench = Bench::new(Snapshot { choice: Some(LIVE), ..playing() });
    assert!(bench.says("Playing"));
    assert_eq!(bench.node(Role::RadioButton, "Model Live").toggled(), Some(Toggled::True));
    bench.click(bench.center(Role::RadioButton, "Model Studio"));
    let id = "model".to_owned();
    assert_eq!(bench.told(), [Told::Begin(id.clone()), Told::Set(id.clone(), 1.0), Told::End(id)]);
    assert_eq!(bench.host.params.model.value(), Model::Studio);
    bench.frame(Vec::new());
    assert_eq!(bench.node(Role::RadioButton, "Model Studio").toggled(), Some(Toggled::True));
    assert!(bench.says("Waiting for restart") && !bench.says("Playing"));
    // What is chosen is not chosen again.
    bench.click(bench.center(Role::RadioButton, "Model Studio"));
    assert_eq!(bench.told(), []);
    bench.snapshot.choice = Some(STUDIO);
    bench.frame(Vec::new());
    assert!(bench.says("Playing") && !bench.says("Waiting for restart"));
}

#[test]
fn the_device_is_shown_and_chosen_where_there_is_a_choice() {
    let mut bench = Bench::new(Snapshot { choice: Some(LIVE), ..playing() });
    assert!(bench.says("CPU") && bench.says("Device"));
    assert!(!bench.names().contains(&(Role::Button, "Run on the CPU")), "Live has no choice");
    bench.click(bench.center(Role::RadioButton, "Model Studio"));
    bench.snapshot = Snapshot { choice: Some(STUDIO), on_card: true, device: "cuda".into(), ..playing() };
    bench.told();
    bench.frame(Vec::new());
    bench.click(bench.center(Role::Button, "Run on the CPU"));
    let id = "device".to_owned();
    assert_eq!(bench.told(), [Told::Begin(id.clone()), Told::Set(id.clone(), 1.0), Told::End(id)]);
    bench.frame(Vec::new());
    assert!(bench.says("Waiting for restart"));
    bench.snapshot.choice = Some(Choice { device: Device::Cpu, ..STUDIO });
    bench.frame(Vec::new());
    assert!(bench.says("Playing"));
    bench.node(Role::Button, "Run on a card, if there is one");
}

#[test]
fn the_keyboard_chooses_a_model() {
    let mut bench = Bench::new(Snapshot { choice: Some(LIVE), ..playing() });
    for _ in 0..40 {
        bench.press(Key::Tab);
        if bench.focus.as_deref() == Some("Model Studio") {
            bench.press(Key::Space);
            break;
        }
    }
    assert_eq!(bench.host.params.model.value(), Model::Studio);
}

#[test]
fn nothing_in_the_top_line_overlaps_at_the_smallest_size() {
    let mut bench = Bench::new(playing());
    bench.size = vec2(MIN_SIZE.width, MIN_SIZE.height);
    bench.frame(Vec::new());
    bench.frame(Vec::new());
    let left = |name: &str| bench.node(Role::RadioButton, name).bounds().expect("bounds").x0;
    let names = ["Model Live", "Model Studio", "Stem outputs pre fader", "Stem outputs post fader"];
    let mut edges = names.map(left).to_vec();
    assert!(edges.is_sorted(), "{edges:?}");
    // The product's name ends before 155, and the caption needs 50.
    assert!(edges.remove(0) > 155.0 + 50.0, "{edges:?}");
}

#[test]
fn the_keyboard_reaches_and_moves_a_fader() {
    let mut bench = Bench::new(playing());
    for _ in 0..20 {
        bench.press(Key::Tab);
        bench.press(Key::ArrowUp);
        if bench.host.params.drums.gain.value() != 0.0 {
            break;
        }
    }
    assert_eq!(bench.host.params.drums.gain.value(), 1.0);
    bench.press(Key::PageDown);
    assert_eq!(bench.host.params.drums.gain.value(), -5.0);
    bench.press(Key::Home);
    assert_eq!(bench.host.params.drums.gain.value(), 0.0);
}

#[test]
fn dragging_a_fader_is_one_gesture_and_moves_it_as_far_as_the_pointer() {
    let mut bench = Bench::new(playing());
    let start = bench.center(Role::Slider, "Vocals Gain");
    bench.frame(vec![Event::PointerMoved(start)]);
    bench.button(start, true);
    for step in 1..=10 {
        bench.frame(vec![Event::PointerMoved(start + vec2(0.0, 5.0 * step as f32))]);
    }
    bench.button(start + vec2(0.0, 50.0), false);
    let told = bench.told();
    let id = "vocals_gain".to_owned();
    assert_eq!(told.first(), Some(&Told::Begin(id.clone())));
    assert_eq!(told.last(), Some(&Told::End(id)));
    let sets = &told[1..told.len() - 1];
    assert!(sets.len() >= 5 && sets.iter().all(|told| matches!(told, Told::Set(..))), "{sets:?}");
    let bounds = bench.node(Role::Slider, "Vocals Gain").bounds().expect("bounds");
    let gain = &bench.host.params.vocals.gain;
    let travel = bounds.height() as f32 - 2.0 * fader::END;
    let expected = gain.preview_plain(gain.default_normalized_value() - 50.0 / travel);
    assert!((gain.value() - expected).abs() < 0.15, "{} instead of {expected}", gain.value());
}

#[test]
fn a_double_click_puts_a_fader_back_to_unity() {
    let mut bench = Bench::new(playing());
    // SAFETY: the bench's own parameter.
    unsafe { bench.host.params.other.gain.as_ptr()._internal_set_normalized_value(0.2) };
    let at = bench.center(Role::Slider, "Other Gain");
    bench.click(at);
    bench.click(at);
    assert_eq!(bench.host.params.other.gain.value(), 0.0);
}

#[test]
fn cleared_dropouts_stay_cleared_until_there_are_new_ones() {
    let mut bench = Bench::new(playing());
    bench.click(bench.center(Role::Button, "Dropouts: 3, clear"));
    bench.frame(Vec::new());
    bench.node(Role::Button, "Dropouts: 0, clear");
    bench.snapshot.dropouts = 5;
    bench.frame(Vec::new());
    bench.node(Role::Button, "Dropouts: 2, clear");
    // A new stream counts from the start.
    bench.snapshot.dropouts = 1;
    bench.frame(Vec::new());
    bench.node(Role::Button, "Dropouts: 1, clear");
}

#[test]
fn what_is_wrong_is_said() {
    let error = Some("checkpoint embedded: expected 3 tensors, found 2".to_owned());
    let bench = Bench::new(Snapshot { error: error.clone(), sample_rate: 44_100, ..Snapshot::default() });
    assert!(bench.says(error.as_deref().unwrap()));
}

#[test]
fn it_can_be_drawn_at_any_size_and_with_any_levels() {
    for size in [vec2(1.0, 1.0), vec2(MIN_SIZE.width, MIN_SIZE.height), vec2(4096.0, 2160.0)] {
        let mut bench = Bench::new(playing());
        bench.size = size;
        bench.snapshot.peaks.main = [f32::INFINITY, f32::NAN];
        bench.snapshot.load = f32::NAN;
        bench.frame(Vec::new());
        bench.frame(Vec::new());
    }
}

#[test]
fn absurd_window_sizes_are_not_restored() {
    let restored = |text: &str| {
        let mut state = PluginState {
            version: String::new(),
            params: Default::default(),
            fields: [(STATE_FIELD.to_owned(), text.to_owned())].into(),
        };
        filter_state(&mut state);
        !state.fields.is_empty()
    };
    let saved = serde_json::to_string(&*EguiState::from_size(DEFAULT_SIZE)).unwrap();
    assert!(restored(&saved));
    assert!(!restored(&saved.replace("760", "7e30")));
    assert!(!restored(&saved.replace("760", "-5")));
    assert!(!restored("nonsense"));
}
