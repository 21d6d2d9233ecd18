//! What lies between two hosts.

use std::time::Duration;

/// A link, the same both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// How long each byte is on its way.
    pub latency: Duration,
    /// Up to this much is added to the latency, at random; the order of bytes stays.
    pub jitter: Duration,
    /// Bytes a second; 0 is without limit.
    pub bandwidth: u64,
    /// The most that arrives at once; 0 is without limit. 1 makes every byte arrive alone.
    pub segment: usize,
    /// Of 100 datagrams, so many are lost. Byte streams lose nothing: what TCP would send again arrives.
    pub loss: u8,
    /// What one side may send before the other has read: the receive window.
    pub window: usize,
}

impl Default for Link {
    /// 1 ms, no jitter, no limit but a window of 64 KiB.
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(1),
            jitter: Duration::ZERO,
            bandwidth: 0,
            segment: 0,
            loss: 0,
            window: 64 * 1024,
        }
    }
}

impl Link {
    /// What lies between a host and itself.
    pub(super) const LOOPBACK: Self = Self {
        latency: Duration::from_micros(10),
        jitter: Duration::ZERO,
        bandwidth: 0,
        segment: 0,
        loss: 0,
        window: 64 * 1024,
    };

    /// A default link with this latency.
    pub fn with_latency(latency: Duration) -> Self {
        Self { latency, ..Self::default() }
    }
}
