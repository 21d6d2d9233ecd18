//! Bytes as they come. What such a connection has beside its bytes is two ends: each side says for itself that nothing more
//! will come from it, and may go on listening to the other (RFC 9293 3.6; "half-closed").
//!
//! ```
//! use millstream_raw::{Engine, Event};
//!
//! let mut engine = Engine::new();
//! assert_eq!(engine.input(b"hello"), Ok((5, Some(Event::Payload(0..5)))));
//! engine.frame(3, true).unwrap();
//! assert!(engine.frame(1, false).is_err(), "we have said that nothing more will come");
//! assert_eq!(engine.input(b"!"), Ok((1, Some(Event::Payload(0..1)))), "the peer has not");
//! assert_eq!(engine.input_eof(), Some(Event::End));
//! assert!(engine.is_over());
//! ```
#![no_std]
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

use core::fmt;
use core::ops::Range;

/// Who may still send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Both,
    /// The peer has ended.
    We,
    /// We have ended.
    Peer,
    Nobody,
}

impl State {
    const fn we_ended(self) -> Self {
        match self {
            Self::Both | Self::Peer => Self::Peer,
            Self::We | Self::Nobody => Self::Nobody,
        }
    }

    const fn peer_ended(self) -> Self {
        match self {
            Self::Both | Self::We => Self::We,
            Self::Peer | Self::Nobody => Self::Nobody,
        }
    }

    const fn may_we(self) -> bool {
        matches!(self, Self::Both | Self::We)
    }

    const fn may_peer(self) -> bool {
        matches!(self, Self::Both | Self::Peer)
    }
}

/// What has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// These bytes of the input.
    Payload(Range<usize>),
    /// Nothing more will come from the peer.
    End,
}

/// Bytes after their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The peer's end was reported before.
    AfterPeersEnd,
    /// This side has said that nothing more will come from it.
    AfterOurEnd,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AfterPeersEnd => "bytes after the end of the connection",
            Self::AfterOurEnd => "this side has ended its part of the connection",
        })
    }
}

impl core::error::Error for Error {}

/// One connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Engine(State);

impl Engine {
    /// Both sides may send.
    pub const fn new() -> Self {
        Self(State::Both)
    }

    /// Takes what has come: how many bytes, and what they are. Nothing at all is no event.
    ///
    /// # Errors
    /// [`Error::AfterPeersEnd`].
    pub const fn input(&mut self, bytes: &[u8]) -> Result<(usize, Option<Event>), Error> {
        match (bytes.len(), self.0.may_peer()) {
            (0, _) => Ok((0, None)),
            (len, true) => Ok((len, Some(Event::Payload(0..len)))),
            (_, false) => Err(Error::AfterPeersEnd),
        }
    }

    /// The peer has ended its side. An event the first time.
    pub const fn input_eof(&mut self) -> Option<Event> {
        let is_news = self.0.may_peer();
        self.0 = self.0.peer_ended();
        if is_news { Some(Event::End) } else { None }
    }

    /// `len` bytes are to go out, the last ones when `is_end`. They go as they are.
    ///
    /// # Errors
    /// [`Error::AfterOurEnd`].
    pub const fn frame(&mut self, len: usize, is_end: bool) -> Result<(), Error> {
        if !self.0.may_we() && (len > 0 || is_end) {
            return Err(Error::AfterOurEnd);
        }
        if is_end {
            self.0 = self.0.we_ended();
        }
        Ok(())
    }

    /// Nothing more will come from the peer.
    pub const fn rx_done(&self) -> bool {
        !self.0.may_peer()
    }

    /// This side has said that nothing more will come from it.
    pub const fn tx_done(&self) -> bool {
        !self.0.may_we()
    }

    /// Neither side has anything more to say.
    pub const fn is_over(&self) -> bool {
        self.rx_done() && self.tx_done()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_side_may_end_first_and_only_once() {
        for we_first in [true, false] {
            let mut engine = Engine::new();
            let end_ours = |engine: &mut Engine| assert_eq!(engine.frame(0, true), Ok(()));
            let end_theirs = |engine: &mut Engine| assert_eq!(engine.input_eof(), Some(Event::End));
            if we_first {
                end_ours(&mut engine);
                assert!(engine.tx_done() && !engine.rx_done() && !engine.is_over());
                end_theirs(&mut engine);
            } else {
                end_theirs(&mut engine);
                assert!(engine.rx_done() && !engine.tx_done() && !engine.is_over());
                end_ours(&mut engine);
            }
            assert!(engine.is_over());
            assert_eq!(engine.frame(0, true), Err(Error::AfterOurEnd));
            assert_eq!(engine.frame(0, false), Ok(()));
            assert_eq!(engine.input_eof(), None);
            assert_eq!(engine.input(b"x"), Err(Error::AfterPeersEnd));
        }
    }

    #[test]
    fn the_events_are_the_same_however_the_bytes_are_cut() {
        let bytes = b"some bytes";
        for cut in 0..=bytes.len() {
            let mut engine = Engine::new();
            let (head, tail) = bytes.split_at(cut);
            let taken: usize = [head, tail].iter().map(|piece| engine.input(piece).unwrap().0).sum();
            assert_eq!(taken, bytes.len());
        }
    }
}
