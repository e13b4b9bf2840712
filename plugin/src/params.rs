//! What the user can set. The string ids are in people's projects: they never change.

use std::sync::Arc;

use engine::Stem;
use nice_plug::prelude::*;
use nice_plug_core::plugin::ParamValue;
use nice_plug_egui::EguiState;

use crate::editor;
use crate::mixer::Settings;

/// The fader's lowest position, which means silence.
pub const MIN_GAIN_DB: f32 = -72.0;
/// The fader's highest position.
pub const MAX_GAIN_DB: f32 = 12.0;
/// Faders snap to this grid, so that 0 dB is exactly 0 however a host rounds its automation.
const GAIN_STEP_DB: f32 = 0.1;

/// The id of [`TributaryParams::model`].
pub const MODEL_ID: &str = "model";
/// The id of [`TributaryParams::device`].
pub const DEVICE_ID: &str = "device";

/// Whether this build can run networks on a card, so that there is something to choose.
pub const HAS_DEVICES: bool = cfg!(any(feature = "cuda", test));

/// All parameters, and what is saved with them.
#[derive(Params)]
pub struct TributaryParams {
    /// Drums' strip.
    #[nested(id_prefix = "drums", group = "Drums")]
    pub drums: StemParams,
    /// Bass's strip.
    #[nested(id_prefix = "bass", group = "Bass")]
    pub bass: StemParams,
    /// Other's strip.
    #[nested(id_prefix = "other", group = "Other")]
    pub other: StemParams,
    /// Vocals' strip.
    #[nested(id_prefix = "vocals", group = "Vocals")]
    pub vocals: StemParams,
    /// The delayed input on the main output, silence on the stem outputs.
    #[id = "bypass"]
    pub bypass: BoolParam,
    /// Where the stem outputs are tapped.
    #[id = "stem_outputs"]
    pub stem_outputs: EnumParam<StemOutputs>,
    /// What separates, from the next activation on: see [`crate::restart`].
    #[id = "model"]
    pub model: EnumParam<Model>,
    /// Where it does, from the next activation on; see [`TributaryParams::device`].
    #[cfg(any(feature = "cuda", test))]
    #[id = "device"]
    pub device: EnumParam<Device>,
    /// The editor's size.
    #[persist = "editor"]
    pub editor_state: Arc<EguiState>,
}

/// One stem's strip.
#[derive(Params)]
pub struct StemParams {
    /// dB; [`MIN_GAIN_DB`] is silence.
    #[id = "gain"]
    pub gain: FloatParam,
    /// Takes the stem out of the mix.
    #[id = "mute"]
    pub mute: BoolParam,
    /// Takes every stem that is not soloed out of the mix.
    #[id = "solo"]
    pub solo: BoolParam,
}

/// Where the stem outputs are tapped.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum StemOutputs {
    /// Before gain, mute and solo: the stems as separated.
    #[id = "pre"]
    #[name = "Pre fader"]
    PreFader,
    /// After gain, mute and solo.
    #[id = "post"]
    #[name = "Post fader"]
    PostFader,
}

/// The checkpoints inside the plugin.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// For playing: little latency, little load.
    #[id = "live"]
    Live,
    /// For mixing and bouncing: more of both.
    #[id = "studio"]
    Studio,
}

impl Model {
    /// All, in the order in which they are offered.
    pub const ALL: [Model; 2] = [Model::Live, Model::Studio];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Model::Live => "Live",
            Model::Studio => "Studio",
        }
    }

    /// Whether a card can run it; as its checkpoint says.
    pub fn runs_on_cards(self) -> bool {
        self == Model::Studio
    }
}

/// Where networks run.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// On a card where there is one, else on the CPU.
    #[id = "card"]
    Card,
    /// On the CPU in any case.
    #[id = "cpu"]
    #[name = "CPU"]
    Cpu,
}

/// What is to run, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The checkpoint.
    pub model: Model,
    /// Its place.
    pub device: Device,
}

impl Choice {
    /// Tells choices apart.
    pub fn code(self) -> u8 {
        2 * self.model as u8 + self.device as u8
    }
}

/// States from before there was a choice mean the defaults, not what the instance happens to have chosen.
pub fn filter_state(state: &mut PluginState) {
    let mut default = |id: &str, value: &str| {
        state.params.entry(id.to_owned()).or_insert_with(|| ParamValue::String(value.to_owned()));
    };
    default(MODEL_ID, "live");
    if HAS_DEVICES {
        default(DEVICE_ID, "card");
    }
}

impl Default for TributaryParams {
    fn default() -> Self {
        Self {
            drums: StemParams::new("Drums"),
            bass: StemParams::new("Bass"),
            other: StemParams::new("Other"),
            vocals: StemParams::new("Vocals"),
            bypass: BoolParam::new("Bypass", false).make_bypass(),
            stem_outputs: EnumParam::new("Stem Outputs", StemOutputs::PreFader),
            // An automated restart would be a dropout in every pass.
            model: EnumParam::new("Model", Model::Live).non_automatable(),
            #[cfg(any(feature = "cuda", test))]
            device: EnumParam::new("Device", Device::Card).non_automatable(),
            editor_state: EguiState::from_size(editor::DEFAULT_SIZE),
        }
    }
}

impl StemParams {
    fn new(stem: &str) -> Self {
        // Squaring the way gives the upper 40 dB three quarters of it, as on a console.
        let range = FloatRange::Skewed { min: MIN_GAIN_DB, max: MAX_GAIN_DB, factor: 2.0 };
        Self {
            gain: FloatParam::new(format!("{stem} Gain"), 0.0, range)
                .with_step_size(GAIN_STEP_DB)
                .with_unit(" dB")
                .with_value_to_string(Arc::new(gain_to_text))
                .with_string_to_value(Arc::new(gain_from_text)),
            mute: BoolParam::new(format!("{stem} Mute"), false),
            solo: BoolParam::new(format!("{stem} Solo"), false),
        }
    }
}

impl TributaryParams {
    /// What the user wants to run. Callable on any thread.
    pub fn choice(&self) -> Choice {
        let model = self.model.value();
        // What runs on the CPU anyway does not have to be begun again there.
        let device = self.device().filter(|_| model.runs_on_cards());
        Choice { model, device: device.map_or(Device::Cpu, EnumParam::value) }
    }

    /// The choice of a device, in builds that can run networks on a card.
    pub fn device(&self) -> Option<&EnumParam<Device>> {
        #[cfg(any(feature = "cuda", test))]
        return Some(&self.device);
        #[cfg(not(any(feature = "cuda", test)))]
        None
    }

    /// The parameter with this id if another value of it needs a restart.
    pub fn restarting(&self, id: &str) -> Option<ParamPtr> {
        match id {
            MODEL_ID => Some(self.model.as_ptr()),
            DEVICE_ID => self.device().map(EnumParam::as_ptr),
            _ => None,
        }
    }

    /// A stem's strip.
    pub fn stem(&self, stem: Stem) -> &StemParams {
        match stem {
            Stem::Drums => &self.drums,
            Stem::Bass => &self.bass,
            Stem::Other => &self.other,
            Stem::Vocals => &self.vocals,
        }
    }

    /// The mixer's settings at this moment. Callable on the audio thread.
    pub fn settings(&self) -> Settings {
        let mut settings = Settings {
            bypass: self.bypass.value(),
            post_fader: self.stem_outputs.value() == StemOutputs::PostFader,
            ..Settings::default()
        };
        for (index, strip) in Stem::ALL.map(|stem| self.stem(stem)).into_iter().enumerate() {
            settings.gain[index] = linear_gain(strip.gain.value());
            settings.mute[index] = strip.mute.value();
            settings.solo[index] = strip.solo.value();
        }
        settings
    }
}

/// A fader's factor. Anything that is no number, from a damaged project, counts as 0 dB.
fn linear_gain(gain_db: f32) -> f32 {
    if gain_db.is_nan() {
        1.0
    } else if gain_db < MIN_GAIN_DB + 0.5 * GAIN_STEP_DB {
        0.0
    } else {
        util::db_to_gain(gain_db.min(MAX_GAIN_DB))
    }
}

/// A gain without its unit: `-inf`, `-6.0`, `0.0`, `+3.5`.
pub fn gain_to_text(gain_db: f32) -> String {
    if gain_db < MIN_GAIN_DB + 0.5 * GAIN_STEP_DB {
        "-inf".to_owned()
    } else if gain_db.abs() < 0.5 * GAIN_STEP_DB {
        "0.0".to_owned()
    } else {
        format!("{gain_db:+.1}")
    }
}

/// The inverse of [`gain_to_text`], with or without the unit.
fn gain_from_text(text: &str) -> Option<f32> {
    let text = text.trim().to_lowercase();
    let number = text.strip_suffix("db").unwrap_or(&text).trim();
    if number.starts_with("-inf") || number == "-∞" {
        return Some(MIN_GAIN_DB);
    }
    let gain_db: f32 = number.parse().ok()?;
    (!gain_db.is_nan()).then(|| gain_db.clamp(MIN_GAIN_DB, MAX_GAIN_DB))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_ids_never_change() {
        // Builds without cards lack the last; tests have it.
        let ids: Vec<_> = TributaryParams::default().param_map().into_iter().map(|(id, ..)| id).collect();
        let expected = [
            "drums_gain",
            "drums_mute",
            "drums_solo",
            "bass_gain",
            "bass_mute",
            "bass_solo",
            "other_gain",
            "other_mute",
            "other_solo",
            "vocals_gain",
            "vocals_mute",
            "vocals_solo",
            "bypass",
            "stem_outputs",
            MODEL_ID,
            DEVICE_ID,
        ];
        assert_eq!(ids, expected);
    }

    #[test]
    fn a_state_without_a_model_means_live_and_one_with_a_model_is_left_alone() {
        let filtered = |params: &[(&str, &str)]| {
            let value = |text: &str| ParamValue::String(text.to_owned());
            let params = params.iter().map(|(id, text)| ((*id).to_owned(), value(text))).collect();
            let mut state = PluginState { version: String::new(), params, fields: Default::default() };
            filter_state(&mut state);
            match state.params.remove(MODEL_ID) {
                Some(ParamValue::String(text)) => text,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(filtered(&[("stem_outputs", "post")]), "live");
        assert_eq!(filtered(&[("stem_outputs", "post"), (MODEL_ID, "studio")]), "studio");
        assert_eq!(Model::Live.to_index(), TributaryParams::default().model.value().to_index());
        for model in Model::ALL {
            assert_eq!(Model::variants()[model.to_index()], model.name());
        }
    }

    #[test]
    fn default_settings_are_exactly_unity_after_a_round_trip_through_normalised_values() {
        let params = TributaryParams::default();
        for stem in Stem::ALL {
            let gain = &params.stem(stem).gain;
            let again = gain.preview_plain(gain.default_normalized_value());
            assert_eq!(linear_gain(again).to_bits(), 1.0f32.to_bits());
        }
        assert_eq!(params.settings(), Settings::default());
    }

    #[test]
    fn gains_are_read_as_they_are_written() {
        for gain_db in [MIN_GAIN_DB, -40.0, -6.1, 0.0, 3.5, MAX_GAIN_DB] {
            assert_eq!(gain_from_text(&gain_to_text(gain_db)), Some(gain_db));
            assert_eq!(gain_from_text(&format!("{} dB", gain_to_text(gain_db))), Some(gain_db));
        }
        assert_eq!(gain_from_text("loud"), None);
        assert_eq!(gain_from_text("NaN"), None);
        assert_eq!(gain_from_text("900"), Some(MAX_GAIN_DB));
    }

    #[test]
    fn the_lowest_fader_position_is_silence_and_a_damaged_gain_is_unity() {
        assert_eq!(linear_gain(MIN_GAIN_DB), 0.0);
        assert_eq!(linear_gain(f32::NEG_INFINITY), 0.0);
        assert_eq!(linear_gain(f32::NAN), 1.0);
        assert!(linear_gain(f32::INFINITY) < 4.0);
    }
}
