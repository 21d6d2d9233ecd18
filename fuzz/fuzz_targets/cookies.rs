#![no_main]

#[path = "../bodies/cookies.rs"]
mod body;
#[path = "../../src/secure_stream/cookies/mod.rs"]
#[allow(dead_code)]
mod cookies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::cookies(data));
