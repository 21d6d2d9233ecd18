#![no_main]

// The name that the tests of the engine know it by.
extern crate millstream_hpack as hpack;

#[path = "../bodies/h2.rs"]
#[allow(dead_code)]
mod h2;

libfuzzer_sys::fuzz_target!(|data: &[u8]| h2::h2_client(data));
