#![no_main]

#[path = "../bodies/mqtt.rs"]
#[allow(dead_code)]
mod mqtt;

libfuzzer_sys::fuzz_target!(|data: &[u8]| mqtt::mqtt_v4(data));
