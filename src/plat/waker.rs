//! Being woken from other threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Who rings, as bits: the loop answers each in its own way.
pub(crate) mod ring {
    /// The application, to be told to the streams.
    pub(crate) const WAKE: u8 = 1;
    /// Somebody has left a call.
    pub(crate) const CALL: u8 = 2;
}

/// What other threads ring to end a wait. Only the first ring since the loop last listened makes a system call.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: AtomicU8,
    /// A simulated loop looks for itself.
    poller: Option<mio::Waker>,
}

impl Bell {
    pub(super) fn new(poller: mio::Waker) -> Self {
        Self { rung: AtomicU8::new(0), poller: Some(poller) }
    }

    pub(crate) fn ring(&self, why: u8) {
        if self.rung.fetch_or(why, Ordering::AcqRel) == 0
            && let Some(poller) = &self.poller
        {
            // Without a poller there is no loop to wake.
            let _ = poller.wake();
        }
    }

    /// Who has rung since the last time. What they did before they rang can be seen after this.
    pub(super) fn answer(&self) -> u8 {
        self.rung.swap(0, Ordering::AcqRel)
    }

    pub(super) fn is_rung(&self) -> bool {
        self.rung.load(Ordering::Acquire) != 0
    }
}

/// Wakes a context's loop from any thread (`lws_cancel_service`). Cheap, and waking twice is waking once.
#[derive(Debug, Clone)]
pub struct Waker(Arc<Bell>);

impl Waker {
    pub(super) fn new(bell: &Arc<Bell>) -> Self {
        Self(Arc::clone(bell))
    }

    /// The loop's present wait ends, or its next one does not begin.
    pub fn wake(&self) {
        self.0.ring(ring::WAKE);
    }

    pub(crate) fn ring(&self, why: u8) {
        self.0.ring(why);
    }
}
