//! The CLAP entry point.
//!
//! nice-plug's `clap_plugin` is copied into a box of ours, with the functions replaced that need
//! care. The others keep working on the copy, because they only look at its `plugin_data`.

use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use clap_sys::audio_buffer::clap_audio_buffer;
use clap_sys::entry::clap_plugin_entry;
use clap_sys::ext::audio_ports::{CLAP_EXT_AUDIO_PORTS, clap_audio_port_info, clap_plugin_audio_ports};
use clap_sys::ext::state::{CLAP_EXT_STATE, clap_plugin_state};
use clap_sys::factory::plugin_factory::{CLAP_PLUGIN_FACTORY_ID, clap_plugin_factory};
use clap_sys::host::clap_host;
use clap_sys::plugin::{clap_plugin, clap_plugin_descriptor};
use clap_sys::process::{CLAP_PROCESS_ERROR, clap_process, clap_process_status};
use clap_sys::stream::{clap_istream, clap_ostream};
use clap_sys::version::CLAP_VERSION;
use nice_plug::wrapper::clap::{PluginDescriptor, Wrapper};
use nice_plug::wrapper::setup_logger;

use super::keeper;
use super::scratch::{Channels, Layout, MAX_BUSES, Scratch};
use crate::restart::Restart;
use crate::{MAX_BLOCK, Tributary};

/// No state of ours is near this long. A longer one is damaged, and is not given memory.
const MAX_STATE_BYTES: u64 = 1 << 20;

/// The symbol that CLAP hosts look for.
#[allow(non_upper_case_globals)]
#[unsafe(no_mangle)]
#[used]
pub static clap_entry: clap_plugin_entry = clap_plugin_entry {
    clap_version: CLAP_VERSION,
    init: Some(init),
    deinit: Some(deinit),
    get_factory: Some(get_factory),
};

unsafe extern "C" fn init(_path: *const c_char) -> bool {
    setup_logger::<Tributary>();
    true
}

unsafe extern "C" fn deinit() {}

unsafe extern "C" fn get_factory(id: *const c_char) -> *const c_void {
    // SAFETY: the host passes null or a string.
    if !id.is_null() && unsafe { CStr::from_ptr(id) } == CLAP_PLUGIN_FACTORY_ID {
        ptr::from_ref(&FACTORY).cast()
    } else {
        ptr::null()
    }
}

static FACTORY: clap_plugin_factory = clap_plugin_factory {
    get_plugin_count: Some(get_plugin_count),
    get_plugin_descriptor: Some(get_plugin_descriptor),
    create_plugin: Some(create_plugin),
};

fn descriptor() -> &'static PluginDescriptor {
    static DESCRIPTOR: OnceLock<PluginDescriptor> = OnceLock::new();
    DESCRIPTOR.get_or_init(PluginDescriptor::for_plugin::<Tributary>)
}

unsafe extern "C" fn get_plugin_count(_factory: *const clap_plugin_factory) -> u32 {
    1
}

unsafe extern "C" fn get_plugin_descriptor(
    _factory: *const clap_plugin_factory,
    index: u32,
) -> *const clap_plugin_descriptor {
    if index == 0 { descriptor().clap_plugin_descriptor() } else { ptr::null() }
}

unsafe extern "C" fn create_plugin(
    _factory: *const clap_plugin_factory,
    host: *const clap_host,
    id: *const c_char,
) -> *const clap_plugin {
    // SAFETY: the host passes null or a string.
    if host.is_null() || id.is_null() || unsafe { CStr::from_ptr(id) } != descriptor().clap_id() {
        return ptr::null();
    }
    // SAFETY: the host outlives the plugins that it makes.
    let (wrapper, restart) = keeper::make(|| unsafe { Wrapper::<Tributary>::new(host) });
    let Some(restart) = restart else { return ptr::null() };
    let host = Host(host);
    restart.set_host(Box::new(move || host.request_restart()));
    let wrapper = Arc::into_raw(wrapper);
    // SAFETY: `into_raw` keeps the wrapper alive until its own `destroy` takes the pointer back.
    let inner = unsafe { (*wrapper).clap_plugin.as_ptr() };
    // SAFETY: nobody else uses the table at this point.
    let mut plugin = unsafe { *inner };
    plugin.activate = Some(activate);
    plugin.deactivate = Some(deactivate);
    plugin.process = Some(process);
    plugin.get_extension = Some(get_extension);
    plugin.destroy = Some(destroy);
    Box::into_raw(Box::new(Shim { plugin, inner, restart, scratch: Mutex::new(None) })).cast()
}

/// The host that an instance was made for.
struct Host(*const clap_host);

// SAFETY: only used for what CLAP lets any thread do.
unsafe impl Send for Host {}
// SAFETY: as above.
unsafe impl Sync for Host {}

impl Host {
    /// For any thread.
    fn request_restart(&self) {
        // SAFETY: the host outlives the plugins that it makes, and CLAP lets any thread call this.
        unsafe {
            if let Some(request_restart) = (*self.0).request_restart {
                request_restart(self.0);
            }
        }
    }
}

/// One instance. The host sees its first field.
#[repr(C)]
struct Shim {
    plugin: clap_plugin,
    /// nice-plug's table. Lives until `destroy`.
    inner: *const clap_plugin,
    /// The instance's way to the host. Outlives the instance: the editor may hold it, too.
    restart: Arc<Restart>,
    /// Made by `activate`, used by `process`, which the host never calls at the same time.
    scratch: Mutex<Option<Scratch>>,
}

impl Shim {
    /// # Safety
    /// `plugin` comes from [`create_plugin`] and has not been destroyed.
    unsafe fn of<'a>(plugin: *const clap_plugin) -> &'a Shim {
        // SAFETY: `Shim` is `repr(C)` and starts with the table that the host holds.
        unsafe { &*plugin.cast() }
    }

    /// Asks for a restart if one is due. For any thread.
    fn restart_if_due(&self) {
        if self.restart.take_due() {
            self.restart.ask();
        }
    }

    /// nice-plug's own table.
    fn inner(&self) -> &clap_plugin {
        // SAFETY: it lives until `destroy`.
        unsafe { &*self.inner }
    }

    #[expect(clippy::disallowed_methods, reason = "activation and its end, on the main thread")]
    fn set_scratch(&self, scratch: Option<Scratch>) {
        *self.scratch.lock().unwrap_or_else(PoisonError::into_inner) = scratch;
    }

    /// One of nice-plug's extensions.
    fn inner_extension<T>(&self, id: &CStr) -> Option<&T> {
        let get = self.inner().get_extension?;
        // SAFETY: nice-plug returns null or a table of the extension's type that lives as long as
        // the instance.
        unsafe { get(self.inner, id.as_ptr()).cast::<T>().as_ref() }
    }

    /// The layout that nice-plug has at present.
    fn layout(&self) -> Option<Layout> {
        let ports = self.inner_extension::<clap_plugin_audio_ports>(CLAP_EXT_AUDIO_PORTS)?;
        let (count, get) = (ports.count?, ports.get?);
        let channels = |is_input, port| {
            // SAFETY: plain data, for which zeros are valid.
            let mut info: clap_audio_port_info = unsafe { std::mem::zeroed() };
            // SAFETY: nice-plug's own function, on its own table.
            unsafe { get(self.inner, port, is_input, &mut info) }.then_some(info.channel_count as usize)
        };
        // SAFETY: as above.
        let buses = unsafe { count(self.inner, false) };
        let mut layout = Layout { input: channels(true, 0)?, ..Layout::default() };
        for port in 0..buses {
            *layout.outputs.get_mut(port as usize)? = channels(false, port)?;
        }
        layout.is_sound().then_some(layout)
    }
}

unsafe extern "C" fn activate(
    plugin: *const clap_plugin,
    sample_rate: f64,
    min_frames: u32,
    max_frames: u32,
) -> bool {
    // SAFETY: the host passes the pointer that it was given.
    let shim = unsafe { Shim::of(plugin) };
    let Some(layout) = shim.layout() else { return false };
    let Some(inner) = shim.inner().activate else { return false };
    shim.set_scratch(Some(Scratch::new(layout, (max_frames as usize).min(MAX_BLOCK))));
    shim.restart.set_active(false);
    // SAFETY: forwarded.
    let active = unsafe { inner(shim.inner, sample_rate, min_frames, max_frames) };
    shim.restart.set_active(active);
    active
}

unsafe extern "C" fn deactivate(plugin: *const clap_plugin) {
    // SAFETY: the host passes the pointer that it was given.
    let shim = unsafe { Shim::of(plugin) };
    shim.restart.set_active(false);
    if let Some(inner) = shim.inner().deactivate {
        // SAFETY: forwarded.
        unsafe { inner(shim.inner) };
    }
    shim.set_scratch(None);
}

unsafe extern "C" fn destroy(plugin: *const clap_plugin) {
    // SAFETY: the host gives the pointer back, and does not use it again.
    let shim = unsafe { Box::from_raw(plugin.cast_mut().cast::<Shim>()) };
    if let Some(inner) = shim.inner().destroy {
        // SAFETY: forwarded; this frees nice-plug's wrapper and its table.
        unsafe { inner(shim.inner) };
    }
}

/// A host's channel, or null where it has none.
///
/// # Safety
/// `bus` is as the host made it.
unsafe fn channel(bus: &clap_audio_buffer, channel: usize) -> *mut f32 {
    if bus.data32.is_null() || channel >= bus.channel_count as usize {
        return ptr::null_mut();
    }
    // SAFETY: the host vouches for `channel_count` pointers.
    unsafe { *bus.data32.add(channel) }
}

unsafe extern "C" fn process(
    plugin: *const clap_plugin,
    process: *const clap_process,
) -> clap_process_status {
    // SAFETY: the host passes the pointer that it was given.
    let shim = unsafe { Shim::of(plugin) };
    // SAFETY: the host passes null or a block.
    let (Some(inner), Some(given)) = (shim.inner().process, unsafe { process.as_ref() }) else {
        return CLAP_PROCESS_ERROR;
    };
    let Ok(mut scratch) = shim.scratch.try_lock() else { return CLAP_PROCESS_ERROR };
    let Some(scratch) = scratch.as_mut() else { return CLAP_PROCESS_ERROR };
    if given.audio_outputs_count == 0 || given.audio_outputs.is_null() {
        // Parameters only.
        // SAFETY: forwarded.
        let status = unsafe { inner(shim.inner, process) };
        shim.restart_if_due();
        return status;
    }
    let layout = scratch.layout();
    let frames = given.frames_count as usize;
    // SAFETY: the host vouches for as many buses as it says.
    let outputs =
        unsafe { std::slice::from_raw_parts_mut(given.audio_outputs, given.audio_outputs_count as usize) };

    let mut channels = Channels::default();
    for (bus, index) in layout.output_channels() {
        if let Some(host_bus) = outputs.get(bus) {
            // SAFETY: as the host made it.
            channels.outputs[bus][index] = unsafe { channel(host_bus, index) };
        }
    }
    let mut input = clap_audio_buffer {
        data32: ptr::null_mut(),
        data64: ptr::null_mut(),
        channel_count: 0,
        latency: 0,
        constant_mask: 0,
    };
    if given.audio_inputs_count > 0 && !given.audio_inputs.is_null() {
        // SAFETY: the host vouches for its first bus.
        let host_bus = unsafe { &*given.audio_inputs };
        for index in 0..layout.input {
            // SAFETY: as the host made it.
            channels.inputs[index] = unsafe { channel(host_bus, index) };
        }
        input.latency = host_bus.latency;
        input.constant_mask = host_bus.constant_mask;
    }
    // SAFETY: the host's non-null channels hold the block's frames.
    if !unsafe { scratch.complete(&mut channels, frames) } {
        return CLAP_PROCESS_ERROR;
    }

    input.data32 = channels.inputs.as_mut_ptr();
    input.channel_count = layout.input as u32;
    let mut buses = [input; MAX_BUSES];
    for (bus, buffer) in buses.iter_mut().enumerate() {
        buffer.data32 = channels.outputs[bus].as_mut_ptr();
        buffer.channel_count = layout.outputs[bus] as u32;
        buffer.latency = 0;
        buffer.constant_mask = 0;
    }
    let mut block = *given;
    block.audio_inputs = &input;
    block.audio_inputs_count = 1;
    block.audio_outputs = buses.as_mut_ptr();
    block.audio_outputs_count = layout.buses() as u32;
    // SAFETY: forwarded, with complete tables that live until the call returns.
    let status = unsafe { inner(shim.inner, &block) };
    // nice-plug never clears what a host left there from the block before.
    outputs.iter_mut().for_each(|bus| bus.constant_mask = 0);
    shim.restart_if_due();
    status
}

unsafe extern "C" fn get_extension(plugin: *const clap_plugin, id: *const c_char) -> *const c_void {
    // SAFETY: the host passes the pointer that it was given, and null or a string.
    let (shim, known) = unsafe { (Shim::of(plugin), (!id.is_null()).then(|| CStr::from_ptr(id))) };
    match (known, shim.inner().get_extension) {
        (Some(id), _) if id == CLAP_EXT_STATE => ptr::from_ref(&STATE).cast(),
        // SAFETY: forwarded.
        (Some(_), Some(inner)) => unsafe { inner(shim.inner, id) },
        _ => ptr::null(),
    }
}

static STATE: clap_plugin_state = clap_plugin_state { save: Some(save), load: Some(load) };

unsafe extern "C" fn save(plugin: *const clap_plugin, stream: *const clap_ostream) -> bool {
    // SAFETY: the host passes the pointer that it was given.
    let shim = unsafe { Shim::of(plugin) };
    let state = shim.inner_extension::<clap_plugin_state>(CLAP_EXT_STATE);
    // SAFETY: forwarded.
    state.and_then(|state| state.save).is_some_and(|save| unsafe { save(shim.inner, stream) })
}

/// nice-plug makes room for as many bytes as the first eight say, and aborts when there is no such
/// room. So the stream is read here, as far as it is plausible, and handed on from memory.
unsafe extern "C" fn load(plugin: *const clap_plugin, stream: *const clap_istream) -> bool {
    // SAFETY: the host passes the pointer that it was given.
    let shim = unsafe { Shim::of(plugin) };
    let state = shim.inner_extension::<clap_plugin_state>(CLAP_EXT_STATE);
    let Some(inner) = state.and_then(|state| state.load) else { return false };
    // SAFETY: the host's stream, for the length of this call.
    let Some(bytes) = (unsafe { read_state(stream) }) else { return false };
    let mut reader = Reader { bytes: &bytes };
    let stream = clap_istream { ctx: ptr::from_mut(&mut reader).cast(), read: Some(read_from_memory) };
    // SAFETY: forwarded; the reader outlives the call.
    let loaded = unsafe { inner(shim.inner, &stream) };
    shim.restart_if_due();
    loaded
}

/// Length and body of a state; `None` when it is cut short or too long.
///
/// # Safety
/// `stream` is null or the host's.
unsafe fn read_state(stream: *const clap_istream) -> Option<Vec<u8>> {
    // SAFETY: see above.
    let stream = unsafe { stream.as_ref() }?;
    let read = stream.read?;
    let fill = |bytes: &mut [u8]| {
        let mut done = 0;
        while done < bytes.len() {
            let rest = &mut bytes[done..];
            // SAFETY: the host writes at most the length that it is given.
            let count = unsafe { read(stream, rest.as_mut_ptr().cast(), rest.len() as u64) };
            match usize::try_from(count) {
                Ok(count) if (1..=rest.len()).contains(&count) => done += count,
                _ => return false,
            }
        }
        true
    };
    let mut bytes = vec![0; size_of::<u64>()];
    if !fill(&mut bytes) {
        return None;
    }
    let length = u64::from_le_bytes(bytes.as_slice().try_into().ok()?);
    if length > MAX_STATE_BYTES {
        return None;
    }
    bytes.resize(size_of::<u64>() + length as usize, 0);
    fill(&mut bytes[size_of::<u64>()..]).then_some(bytes)
}

struct Reader<'a> {
    bytes: &'a [u8],
}

unsafe extern "C" fn read_from_memory(stream: *const clap_istream, buffer: *mut c_void, size: u64) -> i64 {
    // SAFETY: `load` put a reader there and gave the stream to nice-plug alone.
    let reader = unsafe { &mut *(*stream).ctx.cast::<Reader>() };
    let count = reader.bytes.len().min(usize::try_from(size).unwrap_or(usize::MAX));
    let (head, tail) = reader.bytes.split_at(count);
    // SAFETY: nice-plug's buffer has room for `size` bytes.
    unsafe { ptr::copy_nonoverlapping(head.as_ptr(), buffer.cast(), count) };
    reader.bytes = tail;
    count as i64
}
