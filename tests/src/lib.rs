//! A headless host for CLAP and VST3, for tests and demonstrations.
//!
//! It knows the plugin only as a DAW does: by its built bundle. Some of what it does is what hosts should not
//! do, and do: null pointers for buses that nobody listens to, fewer buses than offered, states cut in half.
//!
//! * [`plugin`]: what both formats have in common
//! * [`clap`], [`vst3`]: the two formats
//! * [`model`]: one of the plugin's models, chosen as a user does
//! * [`play`]: a signal through a plugin, block by block
//! * [`signals`], [`measure`]: what goes in, and what is said about what comes out
//! * [`bundles`]: where the built bundles are

pub mod bundles;
pub mod clap;
pub mod measure;
pub mod model;
pub mod play;
pub mod plugin;
pub mod signals;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub mod syscalls;
pub mod vst3;

mod buffers;
