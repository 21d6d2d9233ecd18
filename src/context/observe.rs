//! What can be seen from outside: counters, and how long each step took (README.detailed-latency.md).

use super::{Context, Core};
use crate::Us;
use crate::wsi::WsiId;
use std::collections::HashMap;
use std::fmt;

/// What a context has done since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Connections that listeners have accepted.
    pub accepted: u64,
    /// Client connections that were up, TLS included.
    pub connected: u64,
    /// Client connections that came to nothing.
    pub failed: u64,
    /// Client connections that were taken up again by another user.
    pub reused: u64,
    /// TLS handshakes that were completed, either side.
    pub handshakes: u64,
    /// Bytes from sockets, those of TLS and datagrams included.
    pub rx_bytes: u64,
    /// Bytes that sockets have taken.
    pub tx_bytes: u64,
    /// Names that were looked up.
    pub names: u64,
    /// Calls of user code.
    pub callbacks: u64,
    /// Waits for the poller.
    pub waits: u64,
}

/// A step that took time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LatencyKind {
    /// A name was looked up.
    Name,
    /// A socket was connected.
    Connect,
    /// TLS was negotiated, as the server.
    TlsServer,
    /// TLS was negotiated, as the client.
    TlsClient,
    /// Something was received, and given to user code.
    Read,
    /// Something was sent that user code had been asked for.
    Write,
}

impl LatencyKind {
    /// Its letter in a line of text.
    pub const fn letter(self) -> char {
        match self {
            Self::Name => 'N',
            Self::Connect => 'C',
            Self::TlsServer => 'T',
            Self::TlsClient => 't',
            Self::Read => 'r',
            Self::Write => 'w',
        }
    }
}

/// One measurement. Printed, it is a line of nine columns, as `lws_det_lat_plot_cb` writes them.
///
/// ```
/// use millstream::{Latency, LatencyKind};
///
/// let read = Latency { at_us: 728_239_234_998, kind: LatencyKind::Read, took_us: 0, callback_us: 271, actual: 172, requested: 256 };
/// assert_eq!(read.to_string(), "728239234998 r 0 0 0 0 271 172 256");
/// let name = Latency { at_us: 728_239_173_547, kind: LatencyKind::Name, took_us: 23_062, callback_us: 0, actual: 0, requested: 0 };
/// assert_eq!(name.to_string(), "728239173547 N 23062 0 0 23062 0 0 0");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// When it ended: microseconds since 1970.
    pub at_us: u64,
    /// What it was.
    pub kind: LatencyKind,
    /// How long it took, in microseconds; of a write, how long it was waited for.
    pub took_us: u64,
    /// How long user code took, in microseconds.
    pub callback_us: u64,
    /// Bytes that came, or that were made ready to go: one write takes all of a turn.
    pub actual: usize,
    /// Bytes that there was room for; of a write, the same as came of it.
    pub requested: usize,
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at_us, kind, took_us, callback_us, actual, requested } = self;
        // The third and the fourth duration are those of a proxy's.
        write!(f, "{at_us} {} {took_us} 0 0 {took_us} {callback_us} {actual} {requested}", kind.letter())
    }
}

/// Who is told of measurements.
pub(crate) type LatencySink = Box<dyn FnMut(&Latency)>;

/// What was measured and not yet told. Told after each connection is served, and so as bounded as what one does in a turn.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    is_on: bool,
    pub(super) records: Vec<Latency>,
    /// When a write was asked for, or a handshake begun.
    since: HashMap<WsiId, Us>,
}

impl Latencies {
    pub(super) fn new(is_on: bool) -> Self {
        Self { is_on, ..Self::default() }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }
}

impl Core {
    /// Something begins that will be measured by [`Self::latency_since`].
    pub(crate) fn latency_begin(&mut self, id: WsiId) {
        if self.latencies.is_on {
            let now = self.plat.now();
            self.latencies.since.entry(id).or_insert(now);
        }
    }

    /// How long ago that was, in microseconds.
    pub(crate) fn latency_since(&mut self, id: WsiId) -> u64 {
        let begun = self.latencies.since.remove(&id);
        begun.map_or(0, |begun| us(self.plat.now().saturating_sub(begun)))
    }

    pub(crate) fn latency(&mut self, kind: LatencyKind, took_us: u64) {
        self.latency_of_payload(kind, took_us, 0, [0, 0]);
    }

    pub(crate) fn latency_of_payload(
        &mut self,
        kind: LatencyKind,
        took_us: u64,
        callback_us: u64,
        [actual, requested]: [usize; 2],
    ) {
        if self.latencies.is_on {
            let at_us = self.plat.wall_us();
            self.latencies.records.push(Latency { at_us, kind, took_us, callback_us, actual, requested });
        }
    }

    pub(crate) fn latency_forget(&mut self, id: WsiId) {
        if self.latencies.is_on {
            self.latencies.since.remove(&id);
        }
    }
}

/// In microseconds.
pub(crate) fn us(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Context {
    /// What the context has done so far.
    pub fn counters(&self) -> Counters {
        Counters { waits: self.waits(), ..self.core.counters }
    }
}
