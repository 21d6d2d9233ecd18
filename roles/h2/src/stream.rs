//! Streams: their states (RFC 9113 5.1), where their messages are at, and the table of those that live.

use crate::flow::{Credit, Window};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;

/// Names a stream of a connection; never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(crate) u32);

impl StreamId {
    /// The number on the wire.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The states of RFC 9113 5.1. Those of pushed streams are not there: nobody may push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Idle,
    Open,
    HalfClosedLocal,
    HalfClosedRemote,
    Closed,
}

/// What moves a stream from state to state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// HEADERS that begin it, from either side.
    Begin,
    /// `END_STREAM` from us.
    SendEnd,
    /// `END_STREAM` from the peer.
    RecvEnd,
    /// `RST_STREAM`, from either side.
    Reset,
}

impl State {
    /// The whole table: where a step leads; `None` when it cannot be taken.
    pub(crate) const fn after(self, step: Step) -> Option<Self> {
        match (self, step) {
            (Self::Idle, Step::Begin) => Some(Self::Open),
            (Self::Open, Step::SendEnd) => Some(Self::HalfClosedLocal),
            (Self::Open, Step::RecvEnd) => Some(Self::HalfClosedRemote),
            (Self::HalfClosedLocal, Step::RecvEnd)
            | (Self::HalfClosedRemote, Step::SendEnd)
            | (Self::Open | Self::HalfClosedLocal | Self::HalfClosedRemote, Step::Reset) => {
                Some(Self::Closed)
            }
            _ => None,
        }
    }

    /// The peer may send heads and data on it.
    pub(crate) const fn may_receive(self) -> bool {
        self.after(Step::RecvEnd).is_some()
    }

    /// We may.
    pub(crate) const fn may_send(self) -> bool {
        self.after(Step::SendEnd).is_some()
    }
}

/// Where the message that arrives on a stream is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// A response is awaited; so many interim ones have come.
    Head { interim: u8 },
    /// So many bytes are to come, where that is known.
    Body { left: Option<u64> },
}

/// Where the message that goes out is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outgoing {
    Head,
    Body { left: Option<u64> },
}

/// A stream that lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    pub(crate) id: u32,
    pub(crate) state: State,
    pub(crate) incoming: Incoming,
    pub(crate) outgoing: Outgoing,
    pub(crate) window: Window,
    pub(crate) credit: Credit,
    /// The request is a HEAD: the response has no body.
    pub(crate) is_head: bool,
    /// Extended CONNECT that was not refused: what follows the heads is another protocol's, and has no length.
    pub(crate) is_tunnel: bool,
    /// The client waits for leave to send its body (RFC 9110 10.1.1).
    pub(crate) expects_continue: bool,
}

/// Streams whose end was our doing: what is still on its way to them is dropped, not an error (RFC 9113 5.1).
const REMEMBERED: usize = 128;

/// The streams that live, in the order of their identifiers, and what is known of those that do not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams {
    rows: Vec<Stream>,
    /// Reset by us, oldest first.
    reset: VecDeque<u32>,
    /// Up to this one, whether we reset it is not known any more.
    forgotten: u32,
    /// The largest that has begun.
    last: u32,
    /// Identifiers that the peer left out, last time it did: never to be used (RFC 9113 5.1.1).
    skipped: (u32, u32),
}

/// What became of a stream that does not live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Past {
    /// It has not begun.
    Idle,
    /// It was left out, and cannot begin any more.
    Skipped,
    /// We ended it, or may have.
    Reset,
    /// Both sides ended it, or the peer did.
    Closed,
}

impl Streams {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table's memory.
    pub(crate) fn rows_mut(&mut self) -> &mut Vec<Stream> {
        &mut self.rows
    }

    pub(crate) fn last(&self) -> u32 {
        self.last
    }

    pub(crate) fn get(&self, id: u32) -> Option<&Stream> {
        self.rows.get(self.find(id)?)
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut Stream> {
        let at = self.find(id)?;
        self.rows.get_mut(at)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.rows.iter_mut()
    }

    /// Identifiers grow, so the newest belongs at the end, and the oldest is the one asked for most.
    fn find(&self, id: u32) -> Option<usize> {
        self.rows.binary_search_by_key(&id, |stream| stream.id).ok()
    }

    /// An identifier is used, whether the stream comes to life or not.
    pub(crate) fn begin(&mut self, id: u32) {
        if self.last.checked_add(2).is_some_and(|next| id > next) && self.last > 0 {
            self.skipped = (self.last, id);
        }
        self.last = id;
    }

    /// Adds the stream that has just begun.
    pub(crate) fn insert(&mut self, stream: Stream) {
        self.rows.push(stream);
    }

    /// Moves a stream on; it is gone when that was the end of it. `None` when it cannot take that step.
    pub(crate) fn step(&mut self, id: u32, step: Step) -> Option<State> {
        let at = self.find(id)?;
        let row = self.rows.get_mut(at)?;
        let state = row.state.after(step)?;
        row.state = state;
        if state == State::Closed {
            self.rows.remove(at);
        }
        Some(state)
    }

    /// We have reset this one, or refused it.
    pub(crate) fn remember_reset(&mut self, id: u32) {
        if self.reset.len() >= REMEMBERED
            && let Some(oldest) = self.reset.pop_front()
        {
            self.forgotten = self.forgotten.max(oldest);
        }
        self.reset.push_back(id);
    }

    /// Drops all above `last`: the peer has not looked at them (RFC 9113 6.8).
    pub(crate) fn drop_above(&mut self, last: u32) {
        let keep = self.rows.partition_point(|stream| stream.id <= last);
        if keep < self.rows.len() {
            self.rows.truncate(keep);
            self.forgotten = self.last;
        }
    }

    /// What became of a stream that is not in the table. Clients begin those with odd numbers (RFC 9113 5.1.1).
    pub(crate) fn past(&self, id: u32) -> Past {
        if id > self.last || id.is_multiple_of(2) {
            Past::Idle
        } else if id > self.skipped.0 && id < self.skipped.1 {
            Past::Skipped
        } else if id <= self.forgotten || self.reset.contains(&id) {
            Past::Reset
        } else {
            Past::Closed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_states_is_that_of_rfc_9113_5_1() {
        use State::{Closed, HalfClosedLocal, HalfClosedRemote, Idle, Open};
        let table = [
            (Idle, [Some(Open), None, None, None]),
            (Open, [None, Some(HalfClosedLocal), Some(HalfClosedRemote), Some(Closed)]),
            (HalfClosedLocal, [None, None, Some(Closed), Some(Closed)]),
            (HalfClosedRemote, [None, Some(Closed), None, Some(Closed)]),
            (Closed, [None; 4]),
        ];
        for (state, row) in table {
            let steps = [Step::Begin, Step::SendEnd, Step::RecvEnd, Step::Reset];
            assert_eq!(steps.map(|step| state.after(step)), row, "{state:?}");
        }
    }

    #[test]
    fn what_became_of_a_stream_is_known_as_long_as_it_matters() {
        use Past::{Closed, Idle, Reset, Skipped};
        let mut streams = Streams::default();
        for id in [1, 3, 9] {
            streams.begin(id);
        }
        streams.remember_reset(3);
        let pasts = [1, 2, 3, 5, 7, 9, 11].map(|id| streams.past(id));
        assert_eq!(pasts, [Closed, Idle, Reset, Skipped, Skipped, Closed, Idle]);
        for id in (11..11 + 2 * REMEMBERED as u32).step_by(2) {
            streams.begin(id);
            streams.remember_reset(id);
        }
        assert_eq!((streams.past(1), streams.past(3), streams.reset.len()), (Reset, Reset, REMEMBERED));
    }

    #[test]
    fn a_row_is_small() {
        assert!(size_of::<Stream>() <= 80, "{}", size_of::<Stream>());
    }
}
