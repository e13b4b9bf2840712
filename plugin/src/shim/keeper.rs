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
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nice_plug::prelude::AsyncExecutor;
use nice_plug::wrapper::vst3::Wrapper;

use crate::Tributary;

/// Longer than any task takes; the host is not kept waiting for ever.
const PATIENCE: Duration = Duration::from_secs(5);

/// The only task that we ever give to the background thread.
pub struct Barrier(SyncSender<()>);

impl Barrier {
    /// Says that all earlier tasks are done.
    pub fn reached(self) {
        // The one who waited may have lost patience.
        let _ = self.0.try_send(());
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
static OFFERED: Mutex<Option<AsyncExecutor<Tributary>>> = Mutex::new(None);

#[expect(clippy::disallowed_methods, reason = "instances are made and dropped on the main thread")]
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Every instance offers its way to the background thread when it is made; the hidden one's is kept.
pub fn offer_executor(executor: AsyncExecutor<Tributary>) {
    *lock(&OFFERED) = Some(executor);
}

/// Makes an instance, and the hidden one before the first.
pub fn make() -> Wrapper<Tributary> {
    let mut hidden = lock(&HIDDEN);
    if cfg!(target_os = "linux") && hidden.is_none() {
        let wrapper = Wrapper::new();
        *hidden = lock(&OFFERED).take().map(|executor| Hidden { executor, _wrapper: wrapper });
    }
    // Under the same lock, so that nobody else's executor is taken for the hidden one's.
    Wrapper::new()
}

/// Waits until the background thread has done what was asked of it before. Call it before an
/// instance is dropped.
#[expect(clippy::disallowed_methods, reason = "before an instance is dropped, on the main thread")]
pub fn settle() {
    let Some(executor) = lock(&HIDDEN).as_ref().map(|hidden| hidden.executor.clone()) else { return };
    let (reached, wait) = mpsc::sync_channel(1);
    executor.execute_background(Barrier(reached));
    let _ = wait.recv_timeout(PATIENCE);
}
