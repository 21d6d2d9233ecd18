#![no_main]

#[path = "../bodies/multipart.rs"]
#[allow(dead_code)]
mod multipart;

libfuzzer_sys::fuzz_target!(|data: &[u8]| multipart::multipart(data));
