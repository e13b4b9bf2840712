//! Tributary's engine: a stereo mixture becomes four stems.
//!
//! It knows nothing of plugins or training loops. Audio flows one way:
//! host block -> input ring -> worker thread ([`Separator`], hop by hop) -> output ring -> host buses.
//!
//! * [`audio`]: planar buffers, files, resampling
//! * [`model`]: networks (candle) and the layers that they share
//! * [`checkpoint`]: the file that holds a network, and the import of foreign ones
//! * `kernels`: what streaming separators run on
//! * [`separator`]: a network made into a stream
//! * [`device`]: the processor or card that networks run on
//! * [`realtime`]: rings, worker thread, latency budget
//! * [`files`]: writing without leaving halves

pub mod audio;
pub mod checkpoint;
pub mod device;
mod error;
pub mod files;
mod kernels;
pub mod model;
pub mod realtime;
pub mod separator;
mod stem;

pub use error::{Error, Result};
pub use kernels::peak::PeakProduct;
pub use separator::{Separator, SeparatorSpec};
pub use stem::{STEMS, Stem};
