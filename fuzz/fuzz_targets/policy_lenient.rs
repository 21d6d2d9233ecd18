#![no_main]

#[path = "../bodies/policy.rs"]
#[allow(dead_code)]
mod policy;

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::policy_lenient(data));
