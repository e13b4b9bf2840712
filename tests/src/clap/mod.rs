//! The CLAP host. Life cycle through clack-host; ports, parameters, state and processing by the raw interface,
//! because a correct wrapper cannot make a host's mistakes.

mod events;
mod extensions;
mod state;

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::ptr::null_mut;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clack_host::prelude::*;
use clap_sys::audio_buffer::clap_audio_buffer;
use clap_sys::ext::audio_ports::{CLAP_EXT_AUDIO_PORTS, clap_plugin_audio_ports};
use clap_sys::ext::audio_ports_config::{CLAP_EXT_AUDIO_PORTS_CONFIG, clap_plugin_audio_ports_config};
use clap_sys::ext::latency::{CLAP_EXT_LATENCY, clap_plugin_latency};
use clap_sys::ext::params::{CLAP_EXT_PARAMS, CLAP_PARAM_IS_BYPASS, clap_plugin_params};
use clap_sys::ext::render::{CLAP_EXT_RENDER, CLAP_RENDER_OFFLINE, CLAP_RENDER_REALTIME, clap_plugin_render};
use clap_sys::ext::state::{CLAP_EXT_STATE, clap_plugin_state};
use clap_sys::plugin::clap_plugin;
use clap_sys::process::{CLAP_PROCESS_ERROR, clap_process};

use crate::buffers::Buffers;
use crate::plugin::{Bus, Parameter, Plugin, Setup};
use events::{Changes, Transport};
use extensions::{Host, Requests};

/// What exists only while the plugin is active.
struct Active {
    processor: StartedPluginAudioProcessor<Host>,
    buffers: Buffers,
    /// One for each announced output bus.
    output_buffers: Vec<clap_audio_buffer>,
    transport: Transport,
}

/// A plugin in a CLAP bundle.
pub struct ClapPlugin {
    name: String,
    // Before `instance`: the processor must be gone before the instance is destroyed.
    active: Option<Active>,
    instance: PluginInstance<Host>,
    changes: Changes,
}

impl ClapPlugin {
    /// Loads the bundle and makes an instance of its first plugin.
    ///
    /// # Errors
    /// The bundle cannot be loaded, or has no plugin.
    pub fn load(bundle: &Path) -> Result<Self> {
        let file = binary(bundle);
        // SAFETY: a plugin is foreign code; loading it is what this program is for.
        let entry = unsafe { PluginEntry::load(&file) }
            .map_err(|error| anyhow!("{} is no CLAP plugin: {error}", file.display()))?;
        let factory = entry.get_plugin_factory().context("the bundle has no plugin factory")?;
        let descriptor = factory.plugin_descriptors().next().context("the bundle has no plugin")?;
        let id = descriptor.id().context("the plugin has no id")?;
        let name = descriptor.name().map_or_else(|| id.to_string_lossy(), CStr::to_string_lossy).into_owned();
        let host = HostInfo::new("Tributary's test host", "Tributary", "", env!("CARGO_PKG_VERSION"))?;
        let instance = PluginInstance::<Host>::new(|_| Requests::new(), |_| (), &entry, id, &host)
            .map_err(|error| anyhow!("{name} cannot be made: {error}"))?;
        Ok(Self { name, active: None, instance, changes: Changes::new() })
    }

    fn requests<T>(&self, access: impl FnOnce(&Requests) -> T) -> T {
        self.instance.access_shared_handler(access)
    }

    fn raw(&self) -> &clap_plugin {
        self.instance.raw_instance()
    }

    /// One of the plugin's extensions.
    ///
    /// # Safety
    /// `T` is the structure that belongs to `id`.
    unsafe fn extension<T>(&self, id: &CStr) -> Result<&T> {
        let get = self.raw().get_extension.context("the plugin has no get_extension")?;
        // SAFETY: the plugin lives, and its answer is null or lives as long as the plugin.
        unsafe { get(self.raw(), id.as_ptr()).cast::<T>().as_ref() }
            .with_context(|| format!("the plugin has no {}", id.to_string_lossy()))
    }

    fn buses(&self, inputs: bool) -> Result<Vec<Bus>> {
        // SAFETY: structure and name belong together.
        let ports: &clap_plugin_audio_ports = unsafe { self.extension(CLAP_EXT_AUDIO_PORTS)? };
        let (count, get) = ports.count.zip(ports.get).context("clap.audio-ports is incomplete")?;
        // SAFETY: on the main thread, with a living plugin.
        let count = unsafe { count(self.raw(), inputs) };
        (0..count)
            .map(|index| {
                let mut info = MaybeUninit::zeroed();
                // SAFETY: the plugin fills `info` when it returns true; all zeros is valid before.
                let info = unsafe {
                    ensure!(get(self.raw(), index, inputs, info.as_mut_ptr()), "no facts about port {index}");
                    info.assume_init()
                };
                Ok(Bus { name: text(&info.name), channels: info.channel_count as usize })
            })
            .collect()
    }

    /// Chooses the ports: a layout with as many main input channels as asked for.
    fn choose_layout(&self, setup: Setup) -> Result<()> {
        let channels = if setup.mono { 1 } else { 2 };
        if self.inputs()?.first().is_some_and(|bus| bus.channels == channels) {
            return Ok(());
        }
        // SAFETY: structure and name belong together.
        let configs: &clap_plugin_audio_ports_config =
            unsafe { self.extension(CLAP_EXT_AUDIO_PORTS_CONFIG)? };
        let (Some(count), Some(get), Some(select)) = (configs.count, configs.get, configs.select) else {
            bail!("clap.audio-ports-config is incomplete");
        };
        // SAFETY: on the main thread, with a living plugin.
        for index in 0..unsafe { count(self.raw()) } {
            let mut config = MaybeUninit::zeroed();
            // SAFETY: the plugin fills `config` when it returns true; all zeros is valid before.
            let config = unsafe {
                ensure!(get(self.raw(), index, config.as_mut_ptr()), "no facts about layout {index}");
                config.assume_init()
            };
            if config.has_main_input && config.main_input_channel_count == channels as u32 {
                // SAFETY: on the main thread, inactive.
                ensure!(unsafe { select(self.raw(), config.id) }, "the plugin refuses layout {index}");
                return Ok(());
            }
        }
        bail!("the plugin has no layout with {channels} input channels")
    }

    fn choose_render_mode(&self, setup: Setup) -> Result<()> {
        // SAFETY: structure and name belong together.
        let render: &clap_plugin_render = unsafe { self.extension(CLAP_EXT_RENDER)? };
        let set = render.set.context("clap.render is incomplete")?;
        let mode = if setup.offline { CLAP_RENDER_OFFLINE } else { CLAP_RENDER_REALTIME };
        // SAFETY: on the main thread, inactive.
        ensure!(unsafe { set(self.raw(), mode) }, "the plugin refuses the render mode");
        Ok(())
    }

    fn start(&mut self, setup: Setup) -> Result<StartedPluginAudioProcessor<Host>> {
        let configuration = PluginAudioConfiguration {
            sample_rate: f64::from(setup.sample_rate),
            min_frames_count: 1,
            max_frames_count: u32::try_from(setup.promised_block)?,
        };
        self.requests(|requests| requests.activating.store(true, Ordering::SeqCst));
        let stopped = self.instance.activate(|_, _| (), configuration);
        self.requests(|requests| requests.activating.store(false, Ordering::SeqCst));
        let stopped = stopped.map_err(|error| anyhow!("{} cannot be activated: {error}", self.name))?;
        match stopped.start_processing() {
            Ok(started) => Ok(started),
            Err(_) => {
                self.instance.try_deactivate().ok();
                bail!("{} does not start processing", self.name)
            }
        }
    }

    fn stop(&mut self, processor: StartedPluginAudioProcessor<Host>) {
        self.instance.deactivate(processor.stop_processing());
    }

    /// What a host's main thread does in between: the callbacks that the plugin has asked for.
    fn idle(&mut self) {
        if self.requests(|requests| requests.callback.swap(false, Ordering::SeqCst)) {
            self.instance.call_on_main_thread_callback();
        }
    }

    fn take_restart(&self) -> bool {
        self.requests(|requests| requests.restart.swap(false, Ordering::SeqCst))
    }
}

impl Plugin for ClapPlugin {
    fn name(&self) -> &str {
        &self.name
    }

    fn inputs(&self) -> Result<Vec<Bus>> {
        self.buses(true)
    }

    fn outputs(&self) -> Result<Vec<Bus>> {
        self.buses(false)
    }

    fn parameters(&self) -> Result<Vec<Parameter>> {
        // SAFETY: structure and name belong together.
        let params: &clap_plugin_params = unsafe { self.extension(CLAP_EXT_PARAMS)? };
        let (count, get) = params.count.zip(params.get_info).context("clap.params is incomplete")?;
        // SAFETY: on the main thread, with a living plugin.
        let count = unsafe { count(self.raw()) };
        (0..count)
            .map(|index| {
                let mut info = MaybeUninit::zeroed();
                // SAFETY: the plugin fills `info` when it returns true; all zeros is valid before.
                let info = unsafe {
                    ensure!(get(self.raw(), index, info.as_mut_ptr()), "no facts about parameter {index}");
                    info.assume_init()
                };
                Ok(Parameter {
                    id: info.id,
                    name: text(&info.name),
                    bypass: info.flags & CLAP_PARAM_IS_BYPASS != 0,
                    range: (info.min_value, info.max_value),
                })
            })
            .collect()
    }

    fn value(&self, parameter: &Parameter) -> Result<f64> {
        // SAFETY: structure and name belong together.
        let params: &clap_plugin_params = unsafe { self.extension(CLAP_EXT_PARAMS)? };
        let get = params.get_value.context("clap.params is incomplete")?;
        let mut value = 0.0;
        // SAFETY: on the main thread, with a living plugin.
        ensure!(unsafe { get(self.raw(), parameter.id, &mut value) }, "no value of {}", parameter.name);
        let (low, high) = parameter.range;
        Ok((value - low) / (high - low))
    }

    fn set(&mut self, parameter: &Parameter, value: f64) {
        let (low, high) = parameter.range;
        self.changes.push(parameter.id, low + value * (high - low));
    }

    fn save(&mut self) -> Result<Vec<u8>> {
        // SAFETY: structure and name belong together.
        let extension: &clap_plugin_state = unsafe { self.extension(CLAP_EXT_STATE)? };
        let save = extension.save.context("clap.state is incomplete")?;
        // SAFETY: on the main thread, with a living plugin and stream.
        state::write(|stream| unsafe { save(self.raw(), stream) })
            .context("the plugin does not save its state")
    }

    fn load(&mut self, bytes: &[u8]) -> Result<()> {
        // SAFETY: structure and name belong together.
        let extension: &clap_plugin_state = unsafe { self.extension(CLAP_EXT_STATE)? };
        let load = extension.load.context("clap.state is incomplete")?;
        // SAFETY: on the main thread, with a living plugin and stream.
        let loaded = state::read(bytes, |stream| unsafe { load(self.raw(), stream) });
        self.idle();
        ensure!(loaded, "the plugin refuses the state");
        Ok(())
    }

    fn activate(&mut self, setup: Setup) -> Result<()> {
        self.deactivate();
        self.choose_layout(setup)?;
        self.choose_render_mode(setup)?;
        let mut processor = self.start(setup)?;
        self.idle();
        // A plugin learns its rate on activation, and may ask for another one because its latency changed.
        if self.take_restart() {
            self.stop(processor);
            processor = self.start(setup)?;
            self.idle();
            ensure!(!self.take_restart(), "the plugin asks for one restart after another");
        }
        let input = self.inputs()?.into_iter().next().context("the plugin has no input")?;
        let buffers = Buffers::new(setup, &input, &self.outputs()?);
        let output_buffers = vec![audio_buffer((null_mut(), 0), 0); self.outputs()?.len()];
        self.active = Some(Active { processor, buffers, output_buffers, transport: Transport::new(setup) });
        Ok(())
    }

    fn deactivate(&mut self) {
        if let Some(active) = self.active.take() {
            self.stop(active.processor);
            self.idle();
        }
    }

    fn wants_restart(&mut self) -> bool {
        self.idle();
        self.take_restart()
    }

    fn latency(&self) -> Result<usize> {
        // SAFETY: structure and name belong together.
        let latency: &clap_plugin_latency = unsafe { self.extension(CLAP_EXT_LATENCY)? };
        let get = latency.get.context("clap.latency is incomplete")?;
        ensure!(self.active.is_some(), "CLAP plugins have a latency only while they are active");
        // SAFETY: on the main thread, active.
        Ok(unsafe { get(self.raw()) } as usize)
    }

    fn reset(&mut self) {
        if let Some(active) = &mut self.active {
            active.processor.reset();
            active.transport.rewind();
        }
    }

    fn process(&mut self, input: &[&[f32]]) -> Result<()> {
        let active = self.active.as_mut().context("an inactive plugin cannot process")?;
        active.buffers.fill(input)?;
        let frames = active.buffers.frames();
        let silent = active.buffers.silent_inputs();
        let input = audio_buffer(active.buffers.input_list(), silent);
        for (buffer, list) in active.output_buffers.iter_mut().zip(active.buffers.output_lists()) {
            // A mask left over from another plugin in the host's buffer: to be overwritten.
            *buffer = audio_buffer(list, u64::MAX);
        }
        let events = self.changes.events();
        let ignored = events::ignored();
        let process = clap_process {
            steady_time: active.transport.steady_time(),
            frames_count: frames as u32,
            transport: active.transport.event(),
            audio_inputs: &input,
            audio_outputs: active.output_buffers.as_mut_ptr(),
            audio_inputs_count: 1,
            audio_outputs_count: active.buffers.announced() as u32,
            in_events: &events,
            out_events: &ignored,
        };
        let plugin = active.processor.plugin_handle();
        let call = plugin.as_raw().process.context("the plugin has no process function")?;
        // SAFETY: the plugin is active and processing; every pointer outlives the call. Those that are null
        // are what hosts pass for buses that nobody has connected.
        let status = unsafe { call(plugin.as_raw(), &process) };
        ensure!(status != CLAP_PROCESS_ERROR, "the plugin reports an error");
        let forbidden = |requests: &Requests| requests.forbidden_latency_changes.load(Ordering::SeqCst);
        let forbidden = self.instance.access_shared_handler(forbidden);
        ensure!(forbidden == 0, "the plugin announces another latency while it is active");
        for (bus, buffer) in active.output_buffers[..active.buffers.connected()].iter().enumerate() {
            active.buffers.check_silence(bus, buffer.constant_mask)?;
        }
        self.changes.clear();
        active.transport.advance(frames);
        active.buffers.check()
    }

    fn output(&self, bus: usize, channel: usize) -> &[f32] {
        self.active.as_ref().map_or(&[], |active| active.buffers.output(bus, channel))
    }
}

impl Drop for ClapPlugin {
    fn drop(&mut self) {
        self.deactivate();
    }
}

/// The file to load: the bundle itself, or the binary inside on macOS.
fn binary(bundle: &Path) -> PathBuf {
    match bundle.file_stem() {
        Some(name) if bundle.is_dir() => bundle.join("Contents/MacOS").join(name),
        _ => bundle.to_owned(),
    }
}

/// A list of channel pointers as CLAP wants it.
fn audio_buffer((data32, channels): (*mut *mut f32, usize), constant_mask: u64) -> clap_audio_buffer {
    clap_audio_buffer {
        data32,
        data64: null_mut(),
        channel_count: channels as u32,
        latency: 0,
        constant_mask,
    }
}

/// A C string in an array.
fn text(characters: &[std::ffi::c_char]) -> String {
    let bytes: Vec<u8> = characters.iter().take_while(|c| **c != 0).map(|c| c.cast_unsigned()).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
