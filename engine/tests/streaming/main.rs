//! Tests of the stream's parts against a separator whose every sample is known.

mod realtime;
mod support;
