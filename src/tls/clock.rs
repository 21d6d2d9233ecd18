//! The time by which certificates are judged: the loop's, so that a simulation can move it.

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Seconds since 1970, as the loop last read them.
#[derive(Debug, Clone)]
pub(crate) struct TlsClock(Arc<AtomicU64>);

impl TlsClock {
    pub(crate) fn new(secs: u64) -> Self {
        Self(Arc::new(AtomicU64::new(secs)))
    }

    pub(crate) fn set(&self, secs: u64) {
        self.0.store(secs, Ordering::Relaxed);
    }
}

impl TimeProvider for TlsClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.load(Ordering::Relaxed))))
    }
}
