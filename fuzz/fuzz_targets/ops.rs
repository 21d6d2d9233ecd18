#![no_main]

#[path = "../bodies/ops.rs"]
mod ops;

libfuzzer_sys::fuzz_target!(|data: &[u8]| ops::ops(data));
