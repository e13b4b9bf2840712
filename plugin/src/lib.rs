//! Tributary, the plugin: a stereo mixture in; drums, bass, other and vocals out, each on its own bus.
//!
//! * [`params`]: what the user can set
//! * [`separation`]: the engine's stream inside the plugin
//! * [`mixer`]: from stems to buses
//! * [`restart`]: how another model gets its turn
//! * [`status`]: what the editor is told
//! * [`editor`]: what the user sees
//! * [`shim`]: the CLAP and VST3 entry points

#![warn(clippy::disallowed_methods)]

use std::sync::Arc;

use engine::STEMS;
use engine::realtime::StreamConfig;
use nice_plug::prelude::*;

pub mod editor;
pub mod mixer;
pub mod params;
pub mod restart;
mod separation;
pub mod shim;
pub mod status;

use mixer::Mixer;
use params::TributaryParams;
use restart::Restart;
use separation::Separation;
use status::{Session, Status};

/// The plugin, as nice-plug sees it.
pub struct Tributary {
    /// Shared with the host's threads and the editor.
    params: Arc<TributaryParams>,
    /// Shared with the editor.
    status: Arc<Status>,
    /// Shared with the editor and the shim.
    restart: Arc<Restart>,
    /// Runs between `initialize` and `deactivate`.
    separation: Separation,
    /// The audio thread's; remade when the rate changes.
    mixer: Mixer,
    /// The main input has one channel, which stands for left and right.
    mono: bool,
    /// The stream was kept by `initialize`, and the reset that follows must not empty it.
    keep_audio: bool,
    /// What the host was told, frames.
    latency: u32,
}

impl Default for Tributary {
    fn default() -> Self {
        let params = Arc::<TributaryParams>::default();
        Self {
            restart: Arc::new(Restart::new(params.clone())),
            params,
            status: Arc::default(),
            separation: Separation::default(),
            mixer: Mixer::new(48_000.0),
            mono: false,
            keep_audio: false,
            latency: 0,
        }
    }
}

/// Frames of memory made for a block, at most: some hosts promise absurd maxima. Longer blocks are
/// processed in parts.
const MAX_BLOCK: usize = 1 << 18;

const MONO: NonZeroU32 = new_nonzero_u32(1);
const STEREO: NonZeroU32 = new_nonzero_u32(2);

/// One layout: channels in and out of the main bus, and of each stem bus.
const fn layout(
    name: &'static str,
    input: NonZeroU32,
    output: NonZeroU32,
    stems: &'static [NonZeroU32],
) -> AudioIOLayout {
    AudioIOLayout {
        main_input_channels: Some(input),
        main_output_channels: Some(output),
        aux_input_ports: &[],
        aux_output_ports: stems,
        names: PortNames {
            layout: Some(name),
            // nice-plug gives the output the input's name, so both have the same.
            main_input: Some("Main"),
            main_output: Some("Main"),
            aux_inputs: &[],
            aux_outputs: &["Drums", "Bass", "Other", "Vocals"],
        },
    }
}

impl Plugin for Tributary {
    // Hosts may have both plugins, so they must be told apart by name and by identifier.
    const NAME: &'static str = if cfg!(feature = "cuda") { "Tributary CUDA" } else { "Tributary" };
    const VENDOR: &'static str = "Tributary";
    const URL: &'static str = "";
    const EMAIL: &'static str = "";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    /// The first is the default. Mono tracks are separated as dual mono. The layouts without stem
    /// buses are for hosts that offer one output only.
    const AUDIO_IO_LAYOUTS: &'static [AudioIOLayout] = &[
        layout("Stereo, stem outputs", STEREO, STEREO, &[STEREO; STEMS]),
        layout("Mono to stereo, stem outputs", MONO, STEREO, &[STEREO; STEMS]),
        layout("Mono, stem outputs", MONO, MONO, &[MONO; STEMS]),
        layout("Mono, stereo stem outputs", MONO, MONO, &[STEREO; STEMS]),
        layout("Stereo", STEREO, STEREO, &[]),
        layout("Mono to stereo", MONO, STEREO, &[]),
        layout("Mono", MONO, MONO, &[]),
    ];

    const SAMPLE_ACCURATE_AUTOMATION: bool = true;

    type SysExMessage = ();
    // All instances share one background thread, which must never be kept busy.
    type BackgroundTask = shim::Task;

    fn task_executor(&mut self) -> TaskExecutor<Self> {
        let restart = self.restart.clone();
        Box::new(move |task| task.run(&restart))
    }

    fn params(&self) -> Arc<dyn Params> {
        self.params.clone()
    }

    fn editor(&mut self, executor: AsyncExecutor<Self>) -> Option<Box<dyn Editor>> {
        shim::offer(executor.clone(), self.restart.clone());
        editor::create(self.params.clone(), self.status.clone(), self.restart.clone(), executor)
    }

    fn filter_state(state: &mut PluginState) {
        params::filter_state(state);
        editor::filter_state(state);
    }

    fn initialize(
        &mut self,
        layout: &AudioIOLayout,
        config: &BufferConfig,
        context: &mut impl InitContext<Self>,
    ) -> bool {
        self.mono = layout.main_input_channels == Some(MONO);
        let config = StreamConfig {
            sample_rate: config.sample_rate.round() as u32,
            max_block: (config.max_buffer_size as usize).clamp(1, MAX_BLOCK),
            offline: config.process_mode == ProcessMode::Offline,
        };
        // A state that is loaded into an active plugin leads here, too. The latency must not change then, and
        // the audio thread must not wait for a network to be made.
        let choice = match self.separation.choice() {
            Some(running) if self.restart.is_active() => running,
            _ => self.params.choice(),
        };
        let kept = self.separation.prepare(choice, config);
        if !matches!(kept, Ok(true)) {
            self.restart.set_running(self.separation.choice());
        }
        let mut session =
            Session { sample_rate: config.sample_rate, offline: config.offline, ..Session::default() };
        session.device = self.separation.device().unwrap_or_default().to_owned();
        if let Some((stream, _)) = self.separation.running() {
            session.choice = Some(choice);
            session.latency = stream.latency();
            session.monitor = Some(stream.monitor());
        }
        self.latency = session.latency.total();
        context.set_latency_samples(self.latency);
        self.keep_audio = matches!(kept, Ok(true));
        if !self.keep_audio {
            self.mixer = Mixer::new(config.sample_rate as f32);
        }
        // A plugin that cannot separate still loads and passes audio, and says why in its editor.
        session.error = kept.err();
        if let Some(error) = &session.error {
            nice_error!("Tributary cannot separate: {error}");
        }
        self.status.set_session(session);
        true
    }

    fn reset(&mut self) {
        if std::mem::take(&mut self.keep_audio) {
            return;
        }
        if let Some((stream, _)) = self.separation.running() {
            stream.reset();
        }
        self.mixer.set(self.params.settings());
        self.mixer.snap();
    }

    fn process(
        &mut self,
        buffer: &mut Buffer,
        aux: &mut AuxiliaryBuffers,
        _context: &mut impl ProcessContext<Self>,
    ) -> ProcessStatus {
        self.mixer.set(self.params.settings());
        let frames = buffer.samples();
        let main = buffer.as_slice();
        let mut buses = aux.outputs.iter_mut().map(Buffer::as_slice);
        let mut buses: [&mut [&mut [f32]]; STEMS] = std::array::from_fn(|_| buses.next().unwrap_or_default());
        match self.separation.running() {
            Some((stream, max_block)) => {
                // Hosts may break their promise about the largest block.
                let mut start = 0;
                while start < frames {
                    let part = start..frames.min(start + max_block);
                    start = part.end;
                    let right = if self.mono { 0 } else { 1 };
                    let block = stream.process([&main[0][part.clone()], &main[right][part.clone()]]);
                    let peaks = self.mixer.process(&block, part.start, main, &mut buses);
                    self.status.meters.add(&peaks);
                }
            }
            None => pass(self.mono, main, &mut buses),
        }
        ProcessStatus::Tail(self.latency)
    }

    fn deactivate(&mut self) {
        // A VST3 instance whose editor was ever open is never dropped: this is where it goes.
        self.separation.end();
        self.restart.set_running(None);
        self.status.set_session(Session::default());
    }
}

/// The input alone, without delay: nothing can be separated.
fn pass(mono: bool, main: &mut [&mut [f32]], buses: &mut [&mut [&mut [f32]]; STEMS]) {
    if mono && let [left, right] = main {
        right.copy_from_slice(left);
    }
    let unsound = |sample: &&mut f32| !sample.is_finite();
    main.iter_mut().flat_map(|channel| channel.iter_mut()).filter(unsound).for_each(|sample| *sample = 0.0);
    buses.iter_mut().flat_map(|bus| bus.iter_mut()).for_each(|channel| channel.fill(0.0));
}

impl ClapPlugin for Tributary {
    const CLAP_ID: &'static str =
        if cfg!(feature = "cuda") { "audio.tributary.tributary-cuda" } else { "audio.tributary.tributary" };
    const CLAP_DESCRIPTION: Option<&'static str> =
        Some("Separates music into drums, bass, other and vocals in real time");
    const CLAP_MANUAL_URL: Option<&'static str> = None;
    const CLAP_SUPPORT_URL: Option<&'static str> = None;
    const CLAP_FEATURES: &'static [ClapFeature] = &[
        ClapFeature::AudioEffect,
        ClapFeature::Utility,
        ClapFeature::Mixing,
        ClapFeature::Stereo,
        ClapFeature::Mono,
    ];
}

impl Vst3Plugin for Tributary {
    const VST3_CLASS_ID: [u8; 16] =
        if cfg!(feature = "cuda") { *b"TributaryCudaSV1" } else { *b"TributaryStemsV1" };
    const VST3_SUBCATEGORIES: &'static [Vst3SubCategory] =
        &[Vst3SubCategory::Fx, Vst3SubCategory::Tools, Vst3SubCategory::Stereo];
}
