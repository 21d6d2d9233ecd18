#![no_main]

#[path = "../bodies/dns.rs"]
#[allow(dead_code)]
mod dns;

libfuzzer_sys::fuzz_target!(|data: &[u8]| dns::dns_answer(data));
