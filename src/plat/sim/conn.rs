//! Connections: two ends, and what is between them.

use super::link::Link;
use crate::plat::{Address, Us};
use std::collections::VecDeque;
use std::io::ErrorKind;

/// One end of a connection.
#[derive(Debug, Default)]
pub(super) struct End {
    pub(super) host: usize,
    pub(super) address: Option<Address>,
    /// Under which its owner hears of it; sockets of tests have none.
    pub(super) token: Option<u64>,
    pub(super) state: EndState,
    /// Arrived, not read.
    pub(super) received: VecDeque<u8>,
    /// On its way to here.
    pub(super) in_flight: usize,
    /// The other side's end has arrived.
    pub(super) eof: bool,
    /// This side has said its end.
    pub(super) shut: bool,
    pub(super) error: Option<ErrorKind>,
    /// A write has met a full window: space is news.
    pub(super) wants_space: bool,
    /// When the last byte sent to here arrives: later ones do not overtake it.
    pub(super) last_arrival: Us,
    /// When the link is free for the next byte to here.
    pub(super) link_free: Us,
}

/// Whether somebody holds this end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum EndState {
    /// A connector that waits, or a connection that nobody has accepted yet.
    #[default]
    Opening,
    Open,
    /// Its holder has let go.
    Closed,
    /// Its host has crashed: it answers nothing.
    Gone,
}

/// A connection: end 0 has asked for it, end 1 was asked.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) ends: [End; 2],
    pub(super) link: Link,
    /// What the link has lost while it was down, to be sent again.
    pub(super) held: Vec<Packet>,
}

/// What travels.
#[derive(Clone, Debug)]
pub(super) enum Packet {
    /// End 0 asks to be connected to this address.
    Syn(Address),
    /// End 1's host agrees.
    SynAck,
    /// Nobody listens there.
    Refused,
    /// Bytes for this end.
    Data(usize, Vec<u8>),
    /// The end of the bytes for this end.
    Fin(usize),
    /// The connection is broken, tells this end.
    Reset(usize),
}

impl Packet {
    /// The end that this is for.
    pub(super) fn to(&self) -> usize {
        match self {
            Self::Syn(_) => 1,
            Self::SynAck | Self::Refused => 0,
            Self::Data(end, _) | Self::Fin(end) | Self::Reset(end) => *end,
        }
    }
}

impl Conn {
    pub(super) fn end(&mut self, end: usize) -> &mut End {
        let [first, second] = &mut self.ends;
        if end == 0 { first } else { second }
    }

    /// Nobody holds either end.
    pub(super) fn is_over(&self) -> bool {
        self.ends.iter().all(|end| matches!(end.state, EndState::Closed | EndState::Gone))
    }
}
