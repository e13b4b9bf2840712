//! Tests of the built bundle through real CLAP and VST3 hosts.
//!
//! All of them run on the development bundle, which ends the program at any allocation in `process`, so each is
//! a test of that as well. Most render offline: then the plugin waits for its network, and the result does not
//! depend on how busy the machine is.

mod alignment;
mod audio_thread;
mod bypass;
mod host_mistakes;
mod input;
mod layouts;
mod life;
mod models;
mod offline;
mod overload;
mod parameters;
mod program;
mod state;
mod support;
