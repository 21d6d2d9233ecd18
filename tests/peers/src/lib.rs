//! What the tests against hyper, tungstenite, MQTT brokers and a browser share: certificates, a digest, hyper as a server, brokers, streams that
//! remember.

pub mod certificates;
pub mod chromium;
pub mod client_stream;
pub mod h2_server;
pub mod hyper_server;
pub mod mosquitto;
pub mod mqtt;
pub mod rumqttd;
pub mod server_stream;
pub mod ws_echo;

/// How long anything may take before a test is called stuck. Never waited for when all is well.
pub const WATCHDOG: std::time::Duration = std::time::Duration::from_secs(60);

/// FNV-1a, the same however the bytes are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(pub u64, pub u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325, 0)
    }
}

impl Digest {
    pub fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
        self.1 += bytes.len() as u64;
    }

    /// Of the first `len` bytes of [`pattern`].
    pub fn of_pattern(len: u64) -> Self {
        let mut digest = Self::default();
        (0..len).for_each(|at| digest.add(&[pattern(at)]));
        digest
    }
}

/// The byte at a place of the payload that is sent: without a period that a buffer's size could hide.
pub fn pattern(at: u64) -> u8 {
    (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}
