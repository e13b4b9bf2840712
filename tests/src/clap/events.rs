//! What goes to a CLAP plugin with each block: parameter changes and the transport.

use std::ffi::c_void;
use std::ptr::null_mut;

use clap_sys::events::*;
use clap_sys::fixedpoint::CLAP_SECTIME_FACTOR;

use crate::plugin::Setup;

/// Room for changes; pushing does not allocate.
const CAPACITY: usize = 64;

/// Parameter changes for the next block, all at its first frame.
pub struct Changes {
    events: Vec<clap_event_param_value>,
}

impl Changes {
    pub fn new() -> Self {
        Self { events: Vec::with_capacity(CAPACITY) }
    }

    pub fn push(&mut self, param_id: u32, value: f64) {
        assert!(self.events.len() < CAPACITY, "at most {CAPACITY} changes a block");
        self.events.push(clap_event_param_value {
            header: clap_event_header {
                size: size_of::<clap_event_param_value>() as u32,
                time: 0,
                space_id: CLAP_CORE_EVENT_SPACE_ID,
                type_: CLAP_EVENT_PARAM_VALUE,
                flags: 0,
            },
            param_id,
            cookie: null_mut(),
            note_id: -1,
            port_index: -1,
            channel: -1,
            key: -1,
            value,
        });
    }

    pub fn clear(&mut self) {
        self.events.clear();
    }

    /// The list as CLAP wants it. Valid while `self` is neither moved nor changed.
    pub fn events(&self) -> clap_input_events {
        clap_input_events {
            ctx: (&raw const self.events).cast_mut().cast(),
            size: Some(size),
            get: Some(get),
        }
    }
}

unsafe extern "C" fn size(list: *const clap_input_events) -> u32 {
    // SAFETY: `ctx` was made by `Changes::events` and the events outlive the call to `process`.
    unsafe { (*(*list).ctx.cast::<Vec<clap_event_param_value>>()).len() as u32 }
}

unsafe extern "C" fn get(list: *const clap_input_events, index: u32) -> *const clap_event_header {
    // SAFETY: as in `size`.
    let events = unsafe { &*(*list).ctx.cast::<Vec<clap_event_param_value>>() };
    events.get(index as usize).map_or(std::ptr::null(), |event| &raw const event.header)
}

/// A list that takes every event from the plugin and forgets it.
pub fn ignored() -> clap_output_events {
    unsafe extern "C" fn try_push(_: *const clap_output_events, _: *const clap_event_header) -> bool {
        true
    }
    clap_output_events { ctx: null_mut::<c_void>(), try_push: Some(try_push) }
}

/// A transport that plays from the start.
pub struct Transport {
    sample_rate: u32,
    position: u64,
    steady_time: u64,
    event: clap_event_transport,
}

impl Transport {
    pub fn new(setup: Setup) -> Self {
        let header = clap_event_header {
            size: size_of::<clap_event_transport>() as u32,
            time: 0,
            space_id: CLAP_CORE_EVENT_SPACE_ID,
            type_: CLAP_EVENT_TRANSPORT,
            flags: 0,
        };
        let event = clap_event_transport {
            header,
            flags: CLAP_TRANSPORT_IS_PLAYING | CLAP_TRANSPORT_HAS_SECONDS_TIMELINE,
            song_pos_beats: 0,
            song_pos_seconds: 0,
            tempo: 0.0,
            tempo_inc: 0.0,
            loop_start_beats: 0,
            loop_end_beats: 0,
            loop_start_seconds: 0,
            loop_end_seconds: 0,
            bar_start: 0,
            bar_number: 0,
            tsig_num: 0,
            tsig_denom: 0,
        };
        Self { sample_rate: setup.sample_rate, position: 0, steady_time: 0, event }
    }

    pub fn event(&self) -> *const clap_event_transport {
        &self.event
    }

    pub fn steady_time(&self) -> i64 {
        self.steady_time.cast_signed()
    }

    pub fn advance(&mut self, frames: usize) {
        self.steady_time += frames as u64;
        self.position += frames as u64;
        let seconds = self.position as f64 / f64::from(self.sample_rate);
        self.event.song_pos_seconds = (seconds * CLAP_SECTIME_FACTOR as f64) as i64;
    }

    /// The user has jumped to the start.
    pub fn rewind(&mut self) {
        self.position = 0;
        self.event.song_pos_seconds = 0;
    }
}
