//! Tests of the stream's parts against separators and networks whose every sample is known.

mod chunked;
mod networks;
mod realtime;
mod support;
