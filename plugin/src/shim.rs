//! Our own CLAP and VST3 entry points, between the host and nice-plug's wrappers.
//!
//! nice-plug's wrappers expect hosts to hand over every buffer that a layout promises, and trust
//! lengths that come from files. Hosts leave buses out, pass null pointers and load damaged projects.
//! The shim makes good what is missing and forwards everything else.
//!
//! * [`scratch`]: stands in for missing buffers
//! * [`clap`], [`vst3`]: the two formats

mod clap;
mod keeper;
mod scratch;
mod vst3;

pub use keeper::{Task, offer};
