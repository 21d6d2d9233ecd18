#![no_main]

#[path = "../bodies/hpack.rs"]
#[allow(dead_code)]
mod hpack;

libfuzzer_sys::fuzz_target!(|data: &[u8]| hpack::hpack(data));
