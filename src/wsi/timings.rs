//! How long each step of a client connection took.

use super::WsiId;
use crate::LatencyKind;
use crate::Us;
use crate::context::Core;
use std::net::IpAddr;

/// The steps, as times; what has not happened is 0, and so is what did not have to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Timings {
    /// When the present step has begun.
    since: Us,
    pub(crate) dns_us: u32,
    pub(crate) connect_us: u32,
    pub(crate) tls_us: u32,
    /// From the end of a request's head to the response's.
    pub(crate) response_us: u32,
    /// What the name was found to mean; none for addresses.
    pub(crate) addresses: Vec<IpAddr>,
}

impl Timings {
    pub(super) fn begun(now: Us) -> Self {
        Self { since: now, ..Self::default() }
    }

    fn step(&mut self, now: Us) -> u32 {
        let took = now.saturating_sub(self.since);
        self.since = now;
        u32::try_from(took.as_micros()).unwrap_or(u32::MAX)
    }

    pub(super) fn connected(&mut self, now: Us) {
        self.connect_us = self.step(now);
    }

    /// Another user takes over what is there.
    pub(super) fn reused(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn requested(&mut self, now: Us) {
        self.since = now;
    }

    pub(crate) fn responded(&mut self, now: Us) {
        self.response_us = self.step(now);
    }

    /// TLS was the last step, if there was TLS.
    pub(super) fn opened(&mut self, now: Us) {
        self.tls_us = self.step(now);
    }
}

impl Core {
    /// The first addresses of a name are known.
    pub(super) fn note_resolved(&mut self, id: WsiId, addresses: &[IpAddr]) {
        let now = self.now;
        let Some(connecting) = self.connecting_mut(id) else { return };
        let timings = &mut connecting.timings;
        if timings.addresses.is_empty() {
            timings.dns_us = timings.step(now);
            let took = u64::from(timings.dns_us);
            timings.addresses.extend_from_slice(addresses);
            return self.latency(LatencyKind::Name, took);
        }
        timings.addresses.extend_from_slice(addresses);
    }
}
