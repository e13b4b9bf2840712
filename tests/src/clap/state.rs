//! Streams of state, as slow as CLAP allows a host to be: each call moves a few bytes only.

use std::ffi::c_void;

use clap_sys::stream::{clap_istream, clap_ostream};

/// At most so many bytes move with one call.
const PORTION: usize = 61;

/// What the plugin writes; `None` when it reports a failure.
pub fn write(save: impl FnOnce(*const clap_ostream) -> bool) -> Option<Vec<u8>> {
    let mut bytes: Vec<u8> = Vec::new();
    let stream = clap_ostream { ctx: (&raw mut bytes).cast(), write: Some(take) };
    save(&stream).then_some(bytes)
}

/// Lets the plugin read `bytes`; whether it reports success.
pub fn read(bytes: &[u8], load: impl FnOnce(*const clap_istream) -> bool) -> bool {
    let mut rest = bytes;
    let stream = clap_istream { ctx: (&raw mut rest).cast(), read: Some(give) };
    load(&stream)
}

unsafe extern "C" fn take(stream: *const clap_ostream, buffer: *const c_void, size: u64) -> i64 {
    let count = (size as usize).min(PORTION);
    // SAFETY: `ctx` is the vector in `write`, which outlives the call; the plugin vouches for the buffer.
    unsafe {
        let bytes = &mut *(*stream).ctx.cast::<Vec<u8>>();
        bytes.extend_from_slice(std::slice::from_raw_parts(buffer.cast(), count));
    }
    count as i64
}

unsafe extern "C" fn give(stream: *const clap_istream, buffer: *mut c_void, size: u64) -> i64 {
    // SAFETY: `ctx` is the slice in `read`, which outlives the call.
    let rest = unsafe { &mut *(*stream).ctx.cast::<&[u8]>() };
    let count = (size as usize).min(PORTION).min(rest.len());
    let (portion, remainder) = rest.split_at(count);
    // SAFETY: the plugin vouches for `size` bytes at `buffer`, and `count` is at most that.
    unsafe { std::ptr::copy_nonoverlapping(portion.as_ptr(), buffer.cast(), count) };
    *rest = remainder;
    count as i64
}
