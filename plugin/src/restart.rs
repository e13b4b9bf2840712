//! Asking the host to restart the plugin, so that another model can begin, or the same one on another device.
//!
//! A model brings its latency with it, and hosts take a latency on activation only. So a choice waits until the
//! host activates the plugin again; meanwhile the old model goes on.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use crate::params::{Choice, TributaryParams};

/// No choice, where a number stands for one.
const NONE: u8 = u8::MAX;

/// Knows what runs, what is wanted, and how to ask the host. Shared by the plugin, the editor and
/// the shim of its format.
pub struct Restart {
    params: Arc<TributaryParams>,
    /// The host has activated the plugin. Written by the shim, on the main thread.
    active: AtomicBool,
    /// The code of what runs, or [`NONE`]. Written on the main thread.
    running: AtomicU8,
    /// The code of what the host was last asked to make room for, or [`NONE`]. Any thread's.
    asked: AtomicU8,
    /// Asks the host: in CLAP from any thread, in VST3 from the main thread only. Set once, by the shim.
    host: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Restart {
    /// Nothing runs, and there is no host yet.
    pub fn new(params: Arc<TributaryParams>) -> Self {
        Self {
            params,
            active: AtomicBool::new(false),
            running: AtomicU8::new(NONE),
            asked: AtomicU8::new(NONE),
            host: OnceLock::new(),
        }
    }

    /// The plugin's parameters.
    pub fn params(&self) -> &TributaryParams {
        &self.params
    }

    /// How to ask the host. Only the first call counts.
    pub fn set_host(&self, ask: Box<dyn Fn() + Send + Sync>) {
        // Each instance has one host, so there is no second call.
        let _ = self.host.set(ask);
    }

    /// The shim's: whether the host has activated the plugin.
    pub fn set_active(&self, active: bool) {
        self.active.store(active, Ordering::SeqCst);
    }

    /// Whether the plugin is active, so that its latency must not change.
    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::SeqCst)
    }

    /// The plugin's: what runs from now on.
    pub fn set_running(&self, choice: Option<Choice>) {
        self.running.store(choice.map_or(NONE, Choice::code), Ordering::SeqCst);
        self.asked.store(NONE, Ordering::SeqCst);
    }

    /// True once for each choice that only a restart can bring: whoever gets it has to
    /// [`ask`](Self::ask). For any thread: no lock, no wait.
    pub fn take_due(&self) -> bool {
        let wanted = self.params.choice().code();
        let running = self.running.load(Ordering::SeqCst);
        if running == NONE || !self.is_active() {
            return false;
        }
        if wanted == running {
            self.asked.store(NONE, Ordering::SeqCst);
            return false;
        }
        self.asked.swap(wanted, Ordering::SeqCst) != wanted
    }

    /// Asks the host for a restart. From the threads that its format allows, see `host`.
    pub fn ask(&self) {
        if let Some(ask) = self.host.get() {
            ask();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use nice_plug::prelude::Param;

    use super::*;
    use crate::params::{Device, Model};

    fn choose(restart: &Restart, model: Model) {
        let param = &restart.params.model;
        // SAFETY: the parameters live as long as `restart`.
        unsafe { param.as_ptr()._internal_set_normalized_value(param.preview_normalized(model)) };
    }

    fn on(restart: &Restart, device: Device) {
        let param = &restart.params.device;
        // SAFETY: as above.
        unsafe { param.as_ptr()._internal_set_normalized_value(param.preview_normalized(device)) };
    }

    #[test]
    fn the_host_is_asked_once_for_each_choice_that_needs_it() {
        let restart = Restart::new(Arc::default());
        let asked = Arc::new(AtomicU32::new(0));
        let count = asked.clone();
        restart.set_host(Box::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
        }));
        let check = |expected: u32| {
            for _ in 0..3 {
                if restart.take_due() {
                    restart.ask();
                }
            }
            assert_eq!(asked.load(Ordering::SeqCst), expected);
        };
        choose(&restart, Model::Studio);
        // Nothing runs: the first activation brings the model.
        check(0);
        restart.set_running(Some(Choice { model: Model::Live, device: Device::Cpu }));
        check(0);
        restart.set_active(true);
        check(1);
        choose(&restart, Model::Live);
        check(1);
        choose(&restart, Model::Studio);
        check(2);
        restart.set_running(Some(Choice { model: Model::Studio, device: Device::Card }));
        check(2);
        on(&restart, Device::Cpu);
        check(3);
        on(&restart, Device::Card);
        check(3);
        choose(&restart, Model::Live);
        check(4);
        restart.set_running(Some(Choice { model: Model::Live, device: Device::Cpu }));
        // Live runs on the CPU anyway.
        on(&restart, Device::Cpu);
        check(4);
    }
}
