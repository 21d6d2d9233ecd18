#![no_main]

#[path = "../bodies/h1.rs"]
#[allow(dead_code)]
mod h1;

libfuzzer_sys::fuzz_target!(|data: &[u8]| h1::h1_response(data));
