//! Keeps nice-plug's background thread alive and in order.
//!
//! All VST3 instances share one background thread on Linux. It ends for good when it meets a task
//! of an instance that is gone, and later the last instance to go panics because of that, which
//! takes the host down. So one hidden instance is made that never goes, and an instance only goes
//! after the thread has done everything that was asked of it before.
//!
//! Not even unloading the module ends the hidden instance: the thread holds on to it for a moment
//! after it has said that a barrier is reached, and would then wait for its own end. Asleep, it needs
//! none of the module's code.

use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nice_plug::prelude::AsyncExecutor;
use nice_plug::wrapper::vst3::Wrapper;

use crate::Tributary;
use crate::restart::Restart;

/// Longer than any task takes; the host is not kept waiting for ever.
const PATIENCE: Duration = Duration::from_secs(5);

/// What nice-plug's threads are given to do.
pub enum Task {
    /// For the background thread: says that all earlier tasks are done.
    Barrier(SyncSender<()>),
    /// For the main thread: asks the host for a restart.
    Restart,
}

impl Task {
    /// Does it. `restart` is that of the instance whose task it is.
    pub fn run(self, restart: &Restart) {
        match self {
            // The one who waited may have lost patience.
            Task::Barrier(reached) => drop(reached.try_send(())),
            Task::Restart => restart.ask(),
        }
    }
}

/// The hidden instance, and the way to its background thread.
struct Hidden {
    executor: AsyncExecutor<Tributary>,
    _wrapper: Wrapper<Tributary>,
}

// SAFETY: nice-plug's wrapper is shared between threads by every host. This one is only made, and
// never touched again.
unsafe impl Send for Hidden {}

static HIDDEN: Mutex<Option<Hidden>> = Mutex::new(None);
/// Held while an instance is made, so that nobody else's offer is taken for its own.
static MAKING: Mutex<()> = Mutex::new(());
static OFFERED: Mutex<Option<Offer>> = Mutex::new(None);

/// What nice-plug's wrappers keep to themselves.
struct Offer {
    executor: AsyncExecutor<Tributary>,
    restart: Arc<Restart>,
}

#[expect(clippy::disallowed_methods, reason = "instances are made and dropped on the main thread")]
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Every instance offers its way to nice-plug's threads, and to its host, while it is made.
pub fn offer(executor: AsyncExecutor<Tributary>, restart: Arc<Restart>) {
    *lock(&OFFERED) = Some(Offer { executor, restart });
}

/// Makes an instance by `make`, and hands over its way to the host. nice-plug asks for the editor, and so
/// makes the offer, before `make` returns; `None` if it did not.
pub fn make<T>(make: impl FnOnce() -> T) -> (T, Option<Arc<Restart>>) {
    let _making = lock(&MAKING);
    let made = make();
    let offer = lock(&OFFERED).take();
    (made, offer.map(|offer| offer.restart))
}

/// Makes a VST3 instance, and the hidden one before the first.
pub fn make_vst3() -> (Wrapper<Tributary>, Option<Arc<Restart>>) {
    if cfg!(target_os = "linux") {
        let _making = lock(&MAKING);
        let mut hidden = lock(&HIDDEN);
        if hidden.is_none() {
            let wrapper = Wrapper::new();
            let offer = lock(&OFFERED).take();
            *hidden = offer.map(|offer| Hidden { executor: offer.executor, _wrapper: wrapper });
        }
    }
    make(Wrapper::new)
}

/// Waits until the background thread has done what was asked of it before. Call it before an
/// instance is dropped.
#[expect(clippy::disallowed_methods, reason = "before an instance is dropped, on the main thread")]
pub fn settle() {
    let Some(executor) = lock(&HIDDEN).as_ref().map(|hidden| hidden.executor.clone()) else { return };
    let (reached, wait) = mpsc::sync_channel(1);
    executor.execute_background(Task::Barrier(reached));
    let _ = wait.recv_timeout(PATIENCE);
}
