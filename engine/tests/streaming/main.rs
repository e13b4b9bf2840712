//! Tests of the stream's parts against separators and networks whose every sample is known.

mod chunked;
mod files;
mod networks;
mod realtime;
mod resampling;
mod support;
