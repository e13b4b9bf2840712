//! The VST3 host, on the raw interfaces.

mod com;
mod module;

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::path::Path;
use std::ptr::null_mut;

use anyhow::{Context, Result, ensure};
use vst3::Steinberg::Vst::BusDirections_::{kInput, kOutput};
use vst3::Steinberg::Vst::ParameterInfo_::ParameterFlags_::kIsBypass;
use vst3::Steinberg::Vst::ProcessContext_::StatesAndFlags_::{kContTimeValid, kPlaying};
use vst3::Steinberg::Vst::ProcessModes_::{kOffline, kRealtime};
use vst3::Steinberg::Vst::SymbolicSampleSizes_::kSample32;
use vst3::Steinberg::Vst::*;
use vst3::Steinberg::*;
use vst3::{ComPtr, ComWrapper, Interface};

use crate::buffers::Buffers;
use crate::plugin::{Bus, Parameter, Plugin, Setup, Wiring};
use com::{Changes, Host, Stream, borrowed};
use module::Module;

const AUDIO: MediaType = MediaTypes_::kAudio as MediaType;

/// What exists only while the plugin is active.
struct Active {
    setup: Setup,
    buffers: Buffers,
    /// One for each announced output bus.
    outputs: Vec<AudioBusBuffers>,
    context: ProcessContext,
}

/// A plugin in a VST3 bundle.
pub struct Vst3Plugin {
    name: String,
    active: Option<Active>,
    component: ComPtr<IComponent>,
    processor: ComPtr<IAudioProcessor>,
    controller: ComPtr<IEditController>,
    changes: ComWrapper<Changes>,
    host: ComWrapper<Host>,
    // Last: the code must stay until the objects are gone.
    _module: Module,
}

impl Vst3Plugin {
    /// Loads the bundle and makes an instance of its first audio plugin.
    ///
    /// # Errors
    /// The bundle cannot be loaded, has no plugin, or one whose controller is an object of its own
    /// (which this host does not handle).
    pub fn load(bundle: &Path) -> Result<Self> {
        let module = Module::load(bundle)?;
        let factory = module.factory()?;
        let (name, class) = find_class(&factory)?;
        let mut object = null_mut();
        // SAFETY: `class` is one of the factory's own, and the interface's id has 16 bytes.
        let result =
            unsafe { factory.createInstance(class.as_ptr(), IComponent::IID.as_ptr().cast(), &mut object) };
        ensure!(result == kResultOk, "{name} cannot be made (error {result})");
        // SAFETY: the factory has made an IComponent, and the reference is ours.
        let component = unsafe { ComPtr::from_raw(object.cast::<IComponent>()) }.context("no component")?;
        let processor = component.cast::<IAudioProcessor>().context("the plugin processes no audio")?;
        let controller =
            component.cast::<IEditController>().context("the controller is a separate object")?;
        let host = ComWrapper::new(Host::new());
        // SAFETY: host and component live; the calls come in VST3's order.
        unsafe {
            let result = component.initialize(borrowed::<_, IHostApplication>(&host).cast());
            ensure!(result == kResultOk, "{name} does not initialise (error {result})");
            controller.setComponentHandler(borrowed(&host));
        }
        let changes = Changes::new();
        Ok(Self { name, active: None, component, processor, controller, changes, host, _module: module })
    }

    fn buses(&self, direction: BusDirection) -> Result<Vec<Bus>> {
        // SAFETY: the component is initialised.
        let count = unsafe { self.component.getBusCount(AUDIO, direction) };
        (0..count)
            .map(|index| {
                let mut info = MaybeUninit::<BusInfo>::zeroed();
                // SAFETY: the plugin fills `info` when it returns true; all zeros is valid before.
                let info = unsafe {
                    let result = self.component.getBusInfo(AUDIO, direction, index, info.as_mut_ptr());
                    ensure!(result == kResultOk, "no facts about bus {index}");
                    info.assume_init()
                };
                Ok(Bus { name: text(&info.name), channels: usize::try_from(info.channelCount)? })
            })
            .collect()
    }

    /// Asks for mono or stereo in, and for all outputs as they are.
    fn choose_layout(&self, setup: Setup) -> Result<()> {
        let mut input = [if setup.mono { SpeakerArr::kMono } else { SpeakerArr::kStereo }];
        let mut outputs = vec![SpeakerArr::kStereo; self.outputs()?.len()];
        // SAFETY: the arrays have as many elements as we say.
        let result = unsafe {
            self.processor.setBusArrangements(
                input.as_mut_ptr(),
                1,
                outputs.as_mut_ptr(),
                outputs.len() as i32,
            )
        };
        ensure!(
            result == kResultTrue,
            "the plugin has no layout with {} input channels and stereo outputs",
            if setup.mono { 1 } else { 2 }
        );
        Ok(())
    }

    /// Switches buses on and off; a bus that a host does not use is off.
    fn activate_buses(&self, setup: Setup) -> Result<()> {
        for (direction, count) in
            [(kInput as BusDirection, self.inputs()?.len()), (kOutput as BusDirection, self.outputs()?.len())]
        {
            for index in 0..count {
                let used = match setup.wiring {
                    Wiring::First(used) if direction == kOutput as BusDirection => index < used,
                    _ => true,
                };
                // SAFETY: the component is initialised and inactive, the bus exists.
                unsafe { self.component.activateBus(AUDIO, direction, index as i32, TBool::from(used)) };
            }
        }
        Ok(())
    }
}

impl Plugin for Vst3Plugin {
    fn name(&self) -> &str {
        &self.name
    }

    fn inputs(&self) -> Result<Vec<Bus>> {
        self.buses(kInput as BusDirection)
    }

    fn outputs(&self) -> Result<Vec<Bus>> {
        self.buses(kOutput as BusDirection)
    }

    fn parameters(&self) -> Result<Vec<Parameter>> {
        // SAFETY: the controller is initialised.
        let count = unsafe { self.controller.getParameterCount() };
        (0..count)
            .map(|index| {
                let mut info = MaybeUninit::<ParameterInfo>::zeroed();
                // SAFETY: the plugin fills `info` when it returns true; all zeros is valid before.
                let info = unsafe {
                    let result = self.controller.getParameterInfo(index, info.as_mut_ptr());
                    ensure!(result == kResultOk, "no facts about parameter {index}");
                    info.assume_init()
                };
                Ok(Parameter {
                    id: info.id,
                    name: text(&info.title),
                    bypass: info.flags & kIsBypass != 0,
                    range: (0.0, 1.0),
                })
            })
            .collect()
    }

    fn value(&self, parameter: &Parameter) -> Result<f64> {
        // SAFETY: the controller is initialised.
        Ok(unsafe { self.controller.getParamNormalized(parameter.id) })
    }

    fn set(&mut self, parameter: &Parameter, value: f64) {
        // SAFETY: the controller is initialised. Hosts tell the controller and the processor.
        unsafe { self.controller.setParamNormalized(parameter.id, value) };
        self.changes.push(parameter.id, value);
    }

    fn save(&mut self) -> Result<Vec<u8>> {
        let stream = Stream::new(&[]);
        // SAFETY: component and stream live.
        let result = unsafe { self.component.getState(borrowed(&stream)) };
        ensure!(result == kResultOk, "the plugin does not save its state (error {result})");
        Ok(stream.bytes())
    }

    fn load(&mut self, state: &[u8]) -> Result<()> {
        let stream = Stream::new(state);
        // SAFETY: component, controller and stream live.
        let result = unsafe { self.component.setState(borrowed(&stream)) };
        ensure!(result == kResultOk, "the plugin refuses the state (error {result})");
        let stream = Stream::new(state);
        // SAFETY: as above. Hosts show the controller what the component has got.
        unsafe { self.controller.setComponentState(borrowed(&stream)) };
        Ok(())
    }

    fn activate(&mut self, setup: Setup) -> Result<()> {
        self.deactivate();
        self.choose_layout(setup)?;
        self.activate_buses(setup)?;
        let mut process_setup = ProcessSetup {
            processMode: if setup.offline { kOffline } else { kRealtime } as i32,
            symbolicSampleSize: kSample32 as i32,
            maxSamplesPerBlock: i32::try_from(setup.promised_block)?,
            sampleRate: f64::from(setup.sample_rate),
        };
        // SAFETY: the component is initialised; the calls come in VST3's order.
        unsafe {
            let result = self.processor.setupProcessing(&mut process_setup);
            ensure!(result == kResultOk, "{} refuses the setup (error {result})", self.name);
            let result = self.component.setActive(1);
            ensure!(result == kResultOk, "{} cannot be activated (error {result})", self.name);
            // Changes of latency are part of the activation and looked at after it.
            self.host.take_restart_flags();
            self.processor.setProcessing(1);
        }
        let input = self.inputs()?.into_iter().next().context("the plugin has no input")?;
        let offered = self.outputs()?;
        let buffers = Buffers::new(setup, &input, &offered);
        let outputs = vec![audio_bus((null_mut(), 0), 0); offered.len()];
        // SAFETY: all zeros is a valid context: nothing is known but what is set here.
        let mut context: ProcessContext = unsafe { std::mem::zeroed() };
        context.state = (kPlaying | kContTimeValid) as _;
        context.sampleRate = f64::from(setup.sample_rate);
        self.active = Some(Active { setup, buffers, outputs, context });
        Ok(())
    }

    fn deactivate(&mut self) {
        if self.active.take().is_some() {
            // SAFETY: the component is active; the calls come in VST3's order.
            unsafe {
                self.processor.setProcessing(0);
                self.component.setActive(0);
            }
        }
    }

    fn wants_restart(&mut self) -> bool {
        let latency_changed: i32 = RestartFlags_::kLatencyChanged as _;
        self.host.take_restart_flags() & latency_changed != 0
    }

    fn latency(&self) -> Result<usize> {
        ensure!(self.active.is_some(), "the plugin is not active");
        // SAFETY: the component is active.
        Ok(unsafe { self.processor.getLatencySamples() } as usize)
    }

    fn reset(&mut self) {
        if let Some(active) = &mut self.active {
            active.context.projectTimeSamples = 0;
            // SAFETY: the component is active. This is VST3's only way to say it.
            unsafe {
                self.processor.setProcessing(0);
                self.processor.setProcessing(1);
            }
        }
    }

    fn process(&mut self, input: &[&[f32]]) -> Result<()> {
        let active = self.active.as_mut().context("an inactive plugin cannot process")?;
        active.buffers.fill(input)?;
        let frames = active.buffers.frames();
        let silent = active.buffers.silent_inputs();
        let mut input = audio_bus(active.buffers.input_list(), silent);
        for (output, list) in active.outputs.iter_mut().zip(active.buffers.output_lists()) {
            // Flags left over from another plugin in the host's buffer: to be overwritten.
            *output = audio_bus(list, u64::MAX);
        }
        let mut data = ProcessData {
            processMode: if active.setup.offline { kOffline } else { kRealtime } as i32,
            symbolicSampleSize: kSample32 as i32,
            numSamples: frames as i32,
            numInputs: 1,
            numOutputs: active.buffers.announced() as i32,
            inputs: &mut input,
            outputs: active.outputs.as_mut_ptr(),
            inputParameterChanges: borrowed(&self.changes),
            outputParameterChanges: null_mut(),
            inputEvents: null_mut(),
            outputEvents: null_mut(),
            processContext: &mut active.context,
        };
        self.host.set_processing(true);
        // SAFETY: the plugin is active and processing; every pointer outlives the call. Those that are null
        // are what hosts pass for buses that nobody has connected, or are optional.
        let result = unsafe { self.processor.process(&mut data) };
        self.host.set_processing(false);
        ensure!(result == kResultOk, "the plugin reports error {result}");
        ensure!(
            self.host.forbidden_restarts() == 0,
            "a restart was asked for on another thread than the main one"
        );
        for (bus, output) in active.outputs[..active.buffers.connected()].iter().enumerate() {
            active.buffers.check_silence(bus, output.silenceFlags)?;
        }
        self.changes.clear();
        active.context.projectTimeSamples += frames as i64;
        active.context.continousTimeSamples += frames as i64;
        active.buffers.check()
    }

    fn output(&self, bus: usize, channel: usize) -> &[f32] {
        self.active.as_ref().map_or(&[], |active| active.buffers.output(bus, channel))
    }
}

impl Drop for Vst3Plugin {
    fn drop(&mut self) {
        self.deactivate();
        // SAFETY: the component is initialised and inactive; nothing is called after this but `release`.
        unsafe {
            self.controller.setComponentHandler(null_mut());
            self.component.terminate();
        }
    }
}

/// Name and id of the factory's first audio plugin.
fn find_class(factory: &ComPtr<IPluginFactory>) -> Result<(String, TUID)> {
    // SAFETY: the factory lives.
    let count = unsafe { factory.countClasses() };
    for index in 0..count {
        let mut info = MaybeUninit::<PClassInfo>::zeroed();
        // SAFETY: the factory fills `info` when it returns true; all zeros is valid before.
        let info = unsafe {
            if factory.getClassInfo(index, info.as_mut_ptr()) != kResultOk {
                continue;
            }
            info.assume_init()
        };
        if narrow_text(&info.category) == "Audio Module Class" {
            return Ok((narrow_text(&info.name), info.cid));
        }
    }
    anyhow::bail!("the bundle has no plugin")
}

/// A list of channel pointers as VST3 wants it.
fn audio_bus((channels, count): (*mut *mut f32, usize), silence_flags: u64) -> AudioBusBuffers {
    AudioBusBuffers {
        numChannels: count as i32,
        silenceFlags: silence_flags,
        __field0: AudioBusBuffers__type0 { channelBuffers32: channels },
    }
}

/// Text in an array that ends with a null.
fn text(characters: &[TChar]) -> String {
    let length = characters.iter().position(|c| *c == 0).unwrap_or(characters.len());
    String::from_utf16_lossy(&characters[..length])
}

fn narrow_text(characters: &[char8]) -> String {
    let bytes: Vec<u8> = characters.iter().map(|c| c.cast_unsigned()).collect();
    CStr::from_bytes_until_nul(&bytes)
        .map_or_else(|_| String::new(), |text| text.to_string_lossy().into_owned())
}
