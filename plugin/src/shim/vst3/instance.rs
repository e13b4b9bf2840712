//! One VST3 instance: nice-plug's wrapper inside an object of ours.
//!
//! Every interface is forwarded; what needs care is written out.

use std::sync::{Arc, Mutex, PoisonError};

use nice_plug::wrapper::vst3::Wrapper;
use vst3::Steinberg::Vst::BusDirections_::{kInput, kOutput};
use vst3::Steinberg::Vst::CString;
use vst3::Steinberg::Vst::ChannelContext::{IInfoListener, IInfoListenerTrait};
use vst3::Steinberg::Vst::MediaTypes_::kAudio;
use vst3::Steinberg::Vst::*;
use vst3::Steinberg::*;
use vst3::{Class, ComPtr, ComRef};

use crate::params::{DEVICE_ID, MODEL_ID};
use crate::restart::Restart;
use crate::shim::keeper;
use crate::shim::scratch::{Channels, Layout, MAX_BUSES, Scratch};
use crate::{MAX_BLOCK, Tributary};

/// No state of ours is near this long. A longer one is damaged, and is not given memory.
const MAX_STATE_BYTES: i64 = 1 << 20;

/// nice-plug's numbers, hashes of their ids, for the parameters that choose what runs.
const RESTARTING: [(ParamID, &str); 2] = [(hash(MODEL_ID), MODEL_ID), (hash(DEVICE_ID), DEVICE_ID)];

/// nice-plug's own is private.
const fn hash(id: &str) -> ParamID {
    let (bytes, mut hash, mut index): (_, ParamID, _) = (id.as_bytes(), 0, 0);
    while index < bytes.len() {
        hash = hash.wrapping_mul(31).wrapping_add(bytes[index] as ParamID);
        index += 1;
    }
    // The rest is for parameters of the host's.
    hash & (ParamID::MAX >> 1)
}

/// What the host holds.
pub struct Instance {
    inner: Wrapper<Tributary>,
    /// The instance's way to the host; `None` if nice-plug kept it to itself.
    restart: Option<Arc<Restart>>,
    /// Where the host wants to hear of changes.
    handler: Arc<Handler>,
    /// The longest block that `setupProcessing` promised, frames.
    max_frames: Mutex<usize>,
    /// Made by `setActive`, used by `process`, which the host never calls at the same time.
    scratch: Mutex<Option<Scratch>>,
}

impl Class for Instance {
    type Interfaces =
        (IComponent, IEditController, IAudioProcessor, IProcessContextRequirements, IUnitInfo, IInfoListener);
}

impl Instance {
    /// An instance with nothing running.
    pub fn new() -> Self {
        let (inner, restart) = keeper::make_vst3();
        let handler = Arc::new(Handler::default());
        if let Some(restart) = &restart {
            let handler = handler.clone();
            restart.set_host(Box::new(move || handler.latency_will_change()));
        }
        Self { inner, restart, handler, max_frames: Mutex::new(0), scratch: Mutex::new(None) }
    }

    fn set_active_for_restart(&self, active: bool) {
        if let Some(restart) = &self.restart {
            restart.set_active(active);
        }
    }

    /// Asks for a restart if one is due. Main thread only.
    fn restart_if_due(&self) {
        if let Some(restart) = self.restart.as_ref().filter(|restart| restart.take_due()) {
            restart.ask();
        }
    }

    /// The layout that nice-plug has at present.
    fn layout(&self) -> Option<Layout> {
        let channels = |direction, bus| {
            // SAFETY: plain data, for which zeros are valid.
            let mut info: BusInfo = unsafe { std::mem::zeroed() };
            // SAFETY: our own place.
            let result = unsafe { self.inner.getBusInfo(kAudio as _, direction, bus, &mut info) };
            (result == kResultOk).then(|| usize::try_from(info.channelCount).ok()).flatten()
        };
        let mut layout = Layout { input: channels(kInput as _, 0)?, ..Layout::default() };
        // SAFETY: no pointers.
        for bus in 0..unsafe { self.inner.getBusCount(kAudio as _, kOutput as _) } {
            *layout.outputs.get_mut(bus as usize)? = channels(kOutput as _, bus)?;
        }
        layout.is_sound().then_some(layout)
    }

    #[expect(clippy::disallowed_methods, reason = "activation and its end, on the main thread")]
    fn set_scratch(&self, scratch: Option<Scratch>) {
        *self.scratch.lock().unwrap_or_else(PoisonError::into_inner) = scratch;
    }
}

/// The host's ear for changes.
#[derive(Default)]
struct Handler(Mutex<Option<ComPtr<IComponentHandler>>>);

impl Handler {
    #[expect(clippy::disallowed_methods, reason = "the main thread only")]
    fn set(&self, handler: Option<ComPtr<IComponentHandler>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = handler;
    }

    /// VST3's way to ask for a restart: the host has to deactivate and activate the plugin before it asks for
    /// the new latency. Some hosts ask at once, and are told the old one.
    #[expect(clippy::disallowed_methods, reason = "the main thread only")]
    fn latency_will_change(&self) {
        // Not under the lock: the host may do all of it before it returns.
        let handler = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(handler) = handler {
            // SAFETY: the host's object, to which we hold a reference; on the main thread. A host that cannot
            // do it leaves us as we are.
            unsafe { handler.restartComponent(RestartFlags_::kLatencyChanged as _) };
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // Some hosts drop what is still active, and an inactive instance may have been prepared by
        // a state. nice-plug's part may live on (a loop of references, once its editor has been
        // opened); the stream in it must not.
        // SAFETY: no pointers; the host has let go of the instance.
        unsafe { self.inner.setActive(0) };
        keeper::settle();
    }
}

/// Methods that go to nice-plug as they are.
macro_rules! forward {
    ($interface:ident: $($method:ident($($argument:ident: $kind:ty),*) -> $result:ty;)*) => {
        $(
            unsafe fn $method(&self, $($argument: $kind),*) -> $result {
                // SAFETY: the host's arguments, for the same method.
                unsafe { $interface::$method(&self.inner, $($argument),*) }
            }
        )*
    };
}

impl IPluginBaseTrait for Instance {
    forward! { IPluginBaseTrait:
        initialize(context: *mut FUnknown) -> tresult;
        terminate() -> tresult;
    }
}

impl IComponentTrait for Instance {
    forward! { IComponentTrait:
        getControllerClassId(class_id: *mut TUID) -> tresult;
        setIoMode(mode: IoMode) -> tresult;
        getBusCount(media: MediaType, direction: BusDirection) -> int32;
        getBusInfo(media: MediaType, direction: BusDirection, index: int32, info: *mut BusInfo) -> tresult;
        getRoutingInfo(input: *mut RoutingInfo, output: *mut RoutingInfo) -> tresult;
        activateBus(media: MediaType, direction: BusDirection, index: int32, state: TBool) -> tresult;
        getState(state: *mut IBStream) -> tresult;
    }

    #[expect(clippy::disallowed_methods, reason = "activation, on the main thread")]
    unsafe fn setActive(&self, state: TBool) -> tresult {
        if state != 0 {
            // Hosts may set the bus arrangement as late as between `setupProcessing` and this.
            let frames = *self.max_frames.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(layout) = self.layout() else { return kResultFalse };
            self.set_scratch(Some(Scratch::new(layout, frames.min(MAX_BLOCK))));
        }
        self.set_active_for_restart(false);
        // SAFETY: no pointers.
        let result = unsafe { self.inner.setActive(state) };
        self.set_active_for_restart(state != 0 && result == kResultOk);
        if state == 0 {
            self.set_scratch(None);
        }
        result
    }

    /// nice-plug makes room for as many bytes as the stream says it has.
    unsafe fn setState(&self, state: *mut IBStream) -> tresult {
        // SAFETY: null, or the host's stream for the length of this call.
        let Some(stream) = (unsafe { ComRef::from_raw(state) }) else { return kInvalidArgument };
        let (mut position, mut end) = (0, 0);
        // SAFETY: our own places.
        let known = unsafe {
            stream.tell(&mut position) == kResultOk
                && stream.seek(0, IBStream_::IStreamSeekMode_::kIBSeekEnd as _, &mut end) == kResultOk
                && stream.seek(position, IBStream_::IStreamSeekMode_::kIBSeekSet as _, std::ptr::null_mut())
                    == kResultOk
        };
        if !known || !(position..=position.saturating_add(MAX_STATE_BYTES)).contains(&end) {
            return kResultFalse;
        }
        // SAFETY: forwarded.
        let result = unsafe { IComponentTrait::setState(&self.inner, state) };
        self.restart_if_due();
        result
    }
}

impl IEditControllerTrait for Instance {
    forward! { IEditControllerTrait:
        setComponentState(state: *mut IBStream) -> tresult;
        setState(state: *mut IBStream) -> tresult;
        getState(state: *mut IBStream) -> tresult;
        getParameterCount() -> int32;
        getParamStringByValue(id: ParamID, value: ParamValue, string: *mut String128) -> tresult;
        getParamValueByString(id: ParamID, string: *mut TChar, value: *mut ParamValue) -> tresult;
        normalizedParamToPlain(id: ParamID, value: ParamValue) -> ParamValue;
        plainParamToNormalized(id: ParamID, value: ParamValue) -> ParamValue;
        getParamNormalized(id: ParamID) -> ParamValue;
        createView(name: FIDString) -> *mut IPlugView;
    }

    /// While it plays, nice-plug leaves changes to `process`. But what runs is chosen here, on the main thread, where a
    /// restart can be asked for, and must be known when the host restarts.
    unsafe fn setParamNormalized(&self, id: ParamID, value: ParamValue) -> tresult {
        // SAFETY: no pointers.
        let result = unsafe { self.inner.setParamNormalized(id, value) };
        if let Some((_, name)) = RESTARTING.iter().find(|(known, _)| *known == id)
            && let Some(restart) = &self.restart
            && let Some(param) = restart.params().restarting(name)
        {
            // SAFETY: the parameters live as long as `restart`; this stores a number.
            unsafe { param._internal_set_normalized_value((value as f32).clamp(0.0, 1.0)) };
            self.restart_if_due();
        }
        result
    }

    unsafe fn setComponentHandler(&self, handler: *mut IComponentHandler) -> tresult {
        // SAFETY: null, or the host's object.
        self.handler.set(unsafe { ComRef::from_raw(handler) }.map(|handler| handler.to_com_ptr()));
        // SAFETY: forwarded.
        unsafe { self.inner.setComponentHandler(handler) }
    }

    /// nice-plug panics for the index after the last.
    unsafe fn getParameterInfo(&self, index: int32, info: *mut ParameterInfo) -> tresult {
        // SAFETY: forwarded.
        unsafe {
            if !(0..self.inner.getParameterCount()).contains(&index) {
                return kInvalidArgument;
            }
            self.inner.getParameterInfo(index, info)
        }
    }
}

/// A host's channel, or null where it has none.
///
/// # Safety
/// `bus` is as the host made it.
unsafe fn channel(bus: &AudioBusBuffers, channel: usize) -> *mut f32 {
    // SAFETY: both variants of the union are pointers.
    let buffers = unsafe { bus.__field0.channelBuffers32 };
    if buffers.is_null() || !usize::try_from(bus.numChannels).is_ok_and(|count| channel < count) {
        return std::ptr::null_mut();
    }
    // SAFETY: the host vouches for `numChannels` pointers.
    unsafe { *buffers.add(channel) }
}

impl IAudioProcessorTrait for Instance {
    forward! { IAudioProcessorTrait:
        getBusArrangement(direction: BusDirection, index: int32, arrangement: *mut SpeakerArrangement) -> tresult;
        canProcessSampleSize(size: int32) -> tresult;
        getLatencySamples() -> uint32;
        setProcessing(state: TBool) -> tresult;
        getTailSamples() -> uint32;
    }

    unsafe fn setBusArrangements(
        &self,
        inputs: *mut SpeakerArrangement,
        input_count: int32,
        outputs: *mut SpeakerArrangement,
        output_count: int32,
    ) -> tresult {
        // nice-plug looks at the first of each before it looks at the counts.
        if input_count < 1 || output_count < 1 {
            return kResultFalse;
        }
        // SAFETY: forwarded.
        unsafe { self.inner.setBusArrangements(inputs, input_count, outputs, output_count) }
    }

    #[expect(clippy::disallowed_methods, reason = "before activation, on the main thread")]
    unsafe fn setupProcessing(&self, setup: *mut ProcessSetup) -> tresult {
        // SAFETY: null or the host's.
        let Some(given) = (unsafe { setup.as_ref() }) else { return kInvalidArgument };
        let Ok(frames) = usize::try_from(given.maxSamplesPerBlock) else { return kInvalidArgument };
        *self.max_frames.lock().unwrap_or_else(PoisonError::into_inner) = frames;
        // nice-plug notes the mode after it has noted the rest, so it takes two calls for the
        // rest to come with the right mode.
        // SAFETY: forwarded.
        unsafe {
            self.inner.setupProcessing(setup);
            self.inner.setupProcessing(setup)
        }
    }

    unsafe fn process(&self, data: *mut ProcessData) -> tresult {
        // SAFETY: null or the host's.
        let Some(given) = (unsafe { data.as_ref() }) else { return kInvalidArgument };
        let Ok(mut scratch) = self.scratch.try_lock() else { return kResultFalse };
        let Some(scratch) = scratch.as_mut() else { return kNotInitialized };
        let Ok(frames) = usize::try_from(given.numSamples) else { return kInvalidArgument };
        if frames == 0 || given.numOutputs <= 0 || given.outputs.is_null() {
            // Parameters only.
            // SAFETY: forwarded.
            return unsafe { self.inner.process(data) };
        }
        let layout = scratch.layout();
        // SAFETY: the host vouches for as many buses as it says.
        let outputs = unsafe { std::slice::from_raw_parts_mut(given.outputs, given.numOutputs as usize) };

        let mut channels = Channels::default();
        for (bus, index) in layout.output_channels() {
            if let Some(host_bus) = outputs.get(bus) {
                // SAFETY: as the host made it.
                channels.outputs[bus][index] = unsafe { channel(host_bus, index) };
            }
        }
        if given.numInputs > 0 && !given.inputs.is_null() {
            for index in 0..layout.input {
                // SAFETY: the host vouches for its first bus.
                channels.inputs[index] = unsafe { channel(&*given.inputs, index) };
            }
        }
        // SAFETY: the host's non-null channels hold the block's frames.
        if !unsafe { scratch.complete(&mut channels, frames) } {
            return kResultFalse;
        }

        let bus = |count: usize, pointers: &mut [*mut f32; 2]| AudioBusBuffers {
            numChannels: count as int32,
            silenceFlags: 0,
            __field0: AudioBusBuffers__type0 { channelBuffers32: pointers.as_mut_ptr() },
        };
        let mut input = bus(layout.input, &mut channels.inputs);
        let mut buses: [AudioBusBuffers; MAX_BUSES] =
            std::array::from_fn(|index| bus(layout.outputs[index], &mut channels.outputs[index]));
        let mut block = *given;
        block.inputs = &mut input;
        block.numInputs = 1;
        block.outputs = buses.as_mut_ptr();
        block.numOutputs = layout.buses() as int32;
        // SAFETY: forwarded, with complete tables that live until the call returns.
        let result = unsafe { self.inner.process(&mut block) };
        // nice-plug never clears what a host left there from the block before.
        outputs.iter_mut().for_each(|bus| bus.silenceFlags = 0);
        result
    }
}

impl IProcessContextRequirementsTrait for Instance {
    forward! { IProcessContextRequirementsTrait: getProcessContextRequirements() -> uint32; }
}

impl IUnitInfoTrait for Instance {
    forward! { IUnitInfoTrait:
        getUnitCount() -> int32;
        getUnitInfo(index: int32, info: *mut UnitInfo) -> tresult;
        getProgramListCount() -> int32;
        getProgramListInfo(index: int32, info: *mut ProgramListInfo) -> tresult;
        getProgramName(list: ProgramListID, index: int32, name: *mut String128) -> tresult;
        getProgramInfo(list: ProgramListID, index: int32, attribute: CString, value: *mut String128) -> tresult;
        hasProgramPitchNames(list: ProgramListID, index: int32) -> tresult;
        getProgramPitchName(list: ProgramListID, index: int32, pitch: int16, name: *mut String128) -> tresult;
        getSelectedUnit() -> UnitID;
        selectUnit(unit: UnitID) -> tresult;
        getUnitByBus(media: MediaType, direction: BusDirection, bus: int32, channel: int32, unit: *mut UnitID) -> tresult;
        setUnitProgramData(list_or_unit: int32, index: int32, data: *mut IBStream) -> tresult;
    }
}

impl IInfoListenerTrait for Instance {
    forward! { IInfoListenerTrait: setChannelContextInfos(list: *mut IAttributeList) -> tresult; }
}
