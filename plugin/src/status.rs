//! What the editor shows of the running plugin. Written by the audio thread, the worker and the
//! host's main thread, read by the editor.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use atomic_float::AtomicF32;
use engine::STEMS;
use engine::realtime::{LatencyBudget, Monitor};

use crate::mixer::Peaks;
use crate::params::Choice;

/// Shared by the plugin and its editor.
#[derive(Debug, Default)]
pub struct Status {
    /// The audio thread's part.
    pub meters: Meters,
    /// The main thread's part: never touched while processing audio.
    session: Mutex<Session>,
}

/// What is fixed from one activation to the next.
#[derive(Debug, Clone, Default)]
pub struct Session {
    /// The host's rate, Hz; 0 before the first activation.
    pub sample_rate: u32,
    /// What runs; `None` while nothing does.
    pub choice: Option<Choice>,
    /// Where it was begun, and why there.
    pub device: String,
    /// The latency, part by part.
    pub latency: LatencyBudget,
    /// Bouncing: the audio thread waits for the worker.
    pub offline: bool,
    /// What the stream says of itself; `None` while none runs.
    pub monitor: Option<Arc<Monitor>>,
    /// Why no stream runs though it should.
    pub error: Option<String>,
}

impl Status {
    /// The current session. Not for the audio thread.
    #[expect(clippy::disallowed_methods, reason = "the editor's and the main thread only")]
    pub fn session(&self) -> Session {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the current session. Not for the audio thread.
    #[expect(clippy::disallowed_methods, reason = "activation and its end, on the main thread")]
    pub fn set_session(&self, session: Session) {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = session;
    }
}

/// Highest magnitudes since they were last taken.
#[derive(Debug, Default)]
pub struct Meters {
    main: [AtomicF32; 2],
    stems: [[AtomicF32; 2]; STEMS],
}

impl Meters {
    /// Adds one block's peaks. For the audio thread: no lock, no wait.
    pub fn add(&self, peaks: &Peaks) {
        for (meter, &peak) in self.channels().zip(peaks.main.iter().chain(peaks.stems.iter().flatten())) {
            meter.fetch_max(peak, Ordering::Relaxed);
        }
    }

    /// The peaks since the last call.
    pub fn take(&self) -> Peaks {
        let take = |channel: &[AtomicF32; 2]| [0, 1].map(|c| channel[c].swap(0.0, Ordering::Relaxed));
        Peaks { main: take(&self.main), stems: std::array::from_fn(|stem| take(&self.stems[stem])) }
    }

    fn channels(&self) -> impl Iterator<Item = &AtomicF32> {
        self.main.iter().chain(self.stems.iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meters_keep_the_highest_peak_until_it_is_taken() {
        let meters = Meters::default();
        let peaks = |level: f32| Peaks { main: [level, 0.1], stems: [[level; 2]; STEMS] };
        meters.add(&peaks(0.8));
        meters.add(&peaks(0.2));
        assert_eq!(meters.take(), peaks(0.8));
        assert_eq!(meters.take(), Peaks::default());
    }
}
