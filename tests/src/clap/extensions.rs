//! What this host offers to CLAP plugins: an ear for changes, and an answer to "which thread is this?".

use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, ThreadId};

use clack_host::extensions::prelude::*;
use clack_host::prelude::*;
use clap_sys::ext::latency::{CLAP_EXT_LATENCY, clap_host_latency};
use clap_sys::ext::params::{
    CLAP_EXT_PARAMS, clap_host_params, clap_param_clear_flags, clap_param_rescan_flags,
};
use clap_sys::ext::state::{CLAP_EXT_STATE, clap_host_state};
use clap_sys::ext::thread_check::{CLAP_EXT_THREAD_CHECK, clap_host_thread_check};
use clap_sys::id::clap_id;

/// What a plugin may ask of this host, or tell it; any thread may.
pub struct Requests {
    /// Deactivate and activate me.
    pub restart: AtomicBool,
    /// Call me on the main thread.
    pub callback: AtomicBool,
    /// Changes of the latency that were announced while the plugin was active, which CLAP forbids.
    pub forbidden_latency_changes: AtomicU32,
    /// Set by the host around `activate`, where such changes are announced.
    pub activating: AtomicBool,
    main_thread: ThreadId,
}

impl Requests {
    /// For a plugin whose main thread is the calling one.
    pub fn new() -> Self {
        Self {
            restart: AtomicBool::new(false),
            callback: AtomicBool::new(false),
            forbidden_latency_changes: AtomicU32::new(0),
            activating: AtomicBool::new(false),
            main_thread: thread::current().id(),
        }
    }
}

impl SharedHandler<'_> for Requests {
    fn request_restart(&self) {
        self.restart.store(true, Ordering::SeqCst);
    }

    fn request_process(&self) {}

    fn request_callback(&self) {
        self.callback.store(true, Ordering::SeqCst);
    }
}

/// The host, as a set of types.
pub struct Host;

impl HostHandlers for Host {
    type Shared<'a> = Requests;
    type MainThread<'a> = ();
    type AudioProcessor<'a> = ();

    fn declare_extensions(builder: &mut HostExtensions<Self>, _: &Requests) {
        builder.register::<Latency>().register::<Params>().register::<State>().register::<ThreadCheck>();
    }
}

/// Declares the host's side of an extension: a structure of function pointers under a name.
macro_rules! extension {
    ($name:ident, $id:expr, $structure:expr) => {
        #[derive(Clone, Copy)]
        struct $name;

        // SAFETY: the structure below is the one that CLAP has under this name.
        unsafe impl Extension for $name {
            const IDENTIFIERS: &[&CStr] = &[$id];
            type ExtensionSide = HostExtensionSide;

            unsafe fn from_raw(_: RawExtension<HostExtensionSide>) -> Self {
                Self
            }
        }

        // SAFETY: as above.
        unsafe impl ExtensionImplementation<Host> for $name {
            const IMPLEMENTATION: RawExtensionImplementation = RawExtensionImplementation::new(&$structure);
        }
    };
}

extension!(Latency, CLAP_EXT_LATENCY, clap_host_latency { changed: Some(latency_changed) });
extension!(
    Params,
    CLAP_EXT_PARAMS,
    clap_host_params { rescan: Some(rescan), clear: Some(clear), request_flush: Some(ignore) }
);
extension!(State, CLAP_EXT_STATE, clap_host_state { mark_dirty: Some(ignore) });
extension!(
    ThreadCheck,
    CLAP_EXT_THREAD_CHECK,
    clap_host_thread_check { is_main_thread: Some(is_main_thread), is_audio_thread: Some(is_audio_thread) }
);

/// Reads or sets something in the requests of the plugin that asks.
fn with_requests<T>(host: *const clap_host, work: impl FnOnce(&Requests) -> T) -> Option<T> {
    // SAFETY: the plugin hands back the pointer that it was given.
    unsafe { HostWrapper::<Host>::handle(host, |host| Ok(work(host.shared()))) }
}

unsafe extern "C" fn latency_changed(host: *const clap_host) {
    with_requests(host, |requests| {
        if !requests.activating.load(Ordering::SeqCst) {
            requests.forbidden_latency_changes.fetch_add(1, Ordering::SeqCst);
        }
    });
}

unsafe extern "C" fn rescan(_: *const clap_host, _: clap_param_rescan_flags) {}

unsafe extern "C" fn clear(_: *const clap_host, _: clap_id, _: clap_param_clear_flags) {}

unsafe extern "C" fn ignore(_: *const clap_host) {}

unsafe extern "C" fn is_main_thread(host: *const clap_host) -> bool {
    with_requests(host, |requests| thread::current().id() == requests.main_thread).unwrap_or(false)
}

/// Every thread but the main one may be the audio thread; so may the main one while it processes offline.
unsafe extern "C" fn is_audio_thread(_: *const clap_host) -> bool {
    true
}
