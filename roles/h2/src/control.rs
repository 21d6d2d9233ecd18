//! Frames about streams and the connection, our answers to them, and what the caller may say about either.

use crate::frame::{FrameHead, Kind, flag, put, put_go_away, put_rst_stream, put_window_update};
use crate::input::{Receiving, id_and_code, skip};
use crate::settings::{MAX_WINDOW, Peer};
use crate::stream::{Past, State, Step};
use crate::{Code, EncodeError, Engine, Error, Event, StreamId};
use http::Status;

/// Whether this side takes new streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    No,
    /// The client has been told that the end is near; those of its requests that are on their way are served.
    Announced,
    /// It is told which was the last.
    Told {
        last: u32,
    },
}

/// The ping that finds out when a client has seen that the end is near (RFC 9113 6.8).
const FAREWELL: [u8; 8] = *b"farewell";

impl Engine {
    /// A frame of fixed length, or one that is ignored.
    pub(crate) fn control_frame(
        &mut self,
        now: u64,
        frame: FrameHead,
        fixed: &[u8],
    ) -> Result<Option<Event>, Error> {
        // RFC 9113 6.6: this side never allowed any.
        if frame.kind == Kind::PushPromise {
            return Err(Error::Push);
        }
        self.receiving = skip(frame.len - frame.fixed());
        let (number, code) = id_and_code(fixed);
        match frame.kind {
            Kind::RstStream => self.rst_stream(now, frame.stream, Code(number_with_reserved(fixed))),
            Kind::WindowUpdate => {
                self.charge(now)?;
                self.window_update(now, frame.stream, number)
            }
            Kind::Ping => self.pinged(now, frame, fixed),
            Kind::GoAway => {
                self.charge(now)?;
                Ok(Some(self.go_away_received(number, code)))
            }
            Kind::Priority if frame.len != 5 => self.bad_priority(now, frame.stream),
            _ => {
                self.charge(now)?;
                Ok(None)
            }
        }
    }

    /// RFC 9113 6.3: an error of the stream; where there is none that could be reset, of the connection.
    fn bad_priority(&mut self, now: u64, stream: u32) -> Result<Option<Event>, Error> {
        match self.streams.get(stream) {
            Some(_) => self.stream_fault(now, stream, Error::FrameSize),
            None => Err(Error::FrameSize),
        }
    }

    fn rst_stream(&mut self, now: u64, stream: u32, code: Code) -> Result<Option<Event>, Error> {
        if self.streams.step(stream, Step::Reset).is_some() {
            if self.is_server && !self.resets.take(now) {
                return Err(Error::Resets);
            }
            return Ok(Some(Event::Reset { stream: StreamId(stream), code }));
        }
        self.not_idle(stream)?;
        self.charge(now)?;
        Ok(None)
    }

    fn window_update(&mut self, now: u64, stream: u32, increment: u32) -> Result<Option<Event>, Error> {
        let saturates = self.limits.saturates;
        let window = match self.streams.get_mut(stream) {
            Some(row) => &mut row.window,
            None if stream == 0 => &mut self.window,
            None => {
                self.not_idle(stream)?;
                return Ok(None);
            }
        };
        let grown = match increment {
            0 => Err(Error::WindowUpdate),
            _ if saturates => Ok(window.add_saturating(increment)),
            _ => window.add(i64::from(increment)),
        };
        let which = Some(StreamId(stream)).filter(|_| stream != 0);
        match (grown, which) {
            (Ok(true), stream) => Ok(Some(Event::Window { stream })),
            (Ok(false), _) => Ok(None),
            (Err(error), None) => Err(error),
            (Err(error), Some(stream)) => self.stream_fault(now, stream.0, error),
        }
    }

    /// RFC 9113 5.1: of a stream that has not begun, nothing can be said.
    fn not_idle(&self, stream: u32) -> Result<(), Error> {
        match self.streams.past(stream) {
            Past::Idle => Err(Error::IdleStream),
            Past::Skipped | Past::Reset | Past::Closed => Ok(()),
        }
    }

    fn pinged(&mut self, now: u64, frame: FrameHead, fixed: &[u8]) -> Result<Option<Event>, Error> {
        self.charge(now)?;
        let payload = fixed.first_chunk::<8>().copied().unwrap_or_default();
        if !frame.has(flag::ACK) {
            put(&mut self.control, Kind::Ping, flag::ACK, 0, &payload);
            self.check_output()?;
            return Ok(None);
        }
        if payload == FAREWELL && self.ending == Ending::Announced {
            self.go_away(Code::NO_ERROR);
            return Ok(None);
        }
        Ok(Some(Event::Pong { payload }))
    }

    fn go_away_received(&mut self, last: u32, code: Code) -> Event {
        self.is_leaving = true;
        if !self.is_server {
            self.streams.drop_above(last);
        }
        Event::GoAway { last, code }
    }

    pub(crate) fn settings_head(&mut self, now: u64, frame: FrameHead) -> Result<Option<Event>, Error> {
        self.charge(now)?;
        if frame.has(flag::ACK) {
            self.acknowledged()?;
            return Ok(None);
        }
        self.has_settings = true;
        if frame.len == 0 {
            return self.settings_done(self.peer).map(Some);
        }
        self.receiving = Receiving::Settings { left: frame.len, peer: self.peer };
        Ok(None)
    }

    /// The peer goes by our settings from here on (RFC 9113 6.5.3).
    fn acknowledged(&mut self) -> Result<(), Error> {
        self.beginning.acknowledge()?;
        self.decoder.set_max_table_size(self.limits.header_table);
        Ok(())
    }

    /// One of the settings of a frame, behind those that `peer` has.
    pub(crate) fn setting(&mut self, peer: &mut Peer, entry: [u8; 6]) -> Result<(), Error> {
        peer.apply(entry, !self.is_server)?;
        // Of several sizes the smallest counts as well (RFC 7541 4.2); a larger one than before is of use to the peer only
        // behind our acknowledgement.
        self.encoder.set_max_table_size(peer.header_table.min(self.peer.header_table));
        Ok(())
    }

    /// All of a SETTINGS frame has been taken.
    pub(crate) fn settings_done(&mut self, peer: Peer) -> Result<Event, Error> {
        self.settle(peer)?;
        put(&mut self.control, Kind::Settings, flag::ACK, 0, &[]);
        self.check_output()?;
        Ok(Event::Settings)
    }

    /// From here on we go by what the peer has said (RFC 9113 6.5.3).
    pub(crate) fn settle(&mut self, peer: Peer) -> Result<(), Error> {
        let change = i64::from(peer.window) - i64::from(self.peer.window);
        self.peer = peer;
        self.encoder.set_max_table_size(peer.header_table);
        if change != 0 {
            // RFC 9113 6.9.2: windows of streams that have begun change by the same; that of the connection does not.
            for row in self.streams.iter_mut() {
                row.window.add(change)?;
            }
        }
        Ok(())
    }

    /// Counts a frame that carries nothing.
    pub(crate) fn charge(&mut self, now: u64) -> Result<(), Error> {
        if self.frames.take(now) { Ok(()) } else { Err(Error::Flood) }
    }

    /// What a peer makes us say must not pile up.
    pub(crate) fn check_output(&self) -> Result<(), Error> {
        if self.control.len() > self.limits.output as usize { Err(Error::Output) } else { Ok(()) }
    }

    /// Ends a stream for what the peer did on it.
    pub(crate) fn stream_fault(
        &mut self,
        now: u64,
        stream: u32,
        error: Error,
    ) -> Result<Option<Event>, Error> {
        self.refuse(now, stream, error.code())?;
        Ok(Some(Event::Failed { stream: StreamId(stream), error }))
    }

    /// Resets a stream because of its peer.
    pub(crate) fn refuse(&mut self, now: u64, stream: u32, code: Code) -> Result<(), Error> {
        if !self.resets.take(now) {
            return Err(Error::Resets);
        }
        self.put_reset(stream, code);
        self.check_output()
    }

    pub(crate) fn put_reset(&mut self, stream: u32, code: Code) {
        let _ = self.streams.step(stream, Step::Reset);
        self.streams.remember_reset(stream);
        put_rst_stream(&mut self.control, stream, code);
    }

    /// A whole response without a body, for a request that nobody is told of.
    pub(crate) fn answer(&mut self, stream: u32, status: Status) {
        let mut control = core::mem::take(&mut self.control);
        self.staging.clear();
        self.put_status(stream, status, true, &mut control);
        self.control = control;
    }

    pub(crate) fn grant(&mut self, stream: u32, increment: u32) {
        put_window_update(&mut self.control, stream, increment);
    }

    /// Grants a stream that has just begun what it is to have beyond what all have.
    pub(crate) fn grant_new(&mut self, stream: u32, increment: u32) {
        let row = self.streams.get_mut(stream).filter(|_| increment > 0);
        if row.is_some_and(|row| row.credit.grant(increment).is_ok()) {
            self.grant(stream, increment);
        }
    }

    /// A stream that came to its end as it should is worth something.
    pub(crate) fn note(&mut self, state: State) {
        if state == State::Closed {
            self.resets.give(1);
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.streams.len() >= self.limits.streams as usize || matches!(self.ending, Ending::Told { .. })
    }

    /// Ends a stream before its time, with the reason that the peer is told. What still arrives for it is dropped. Of a
    /// stream that is over, nothing is said.
    pub fn reset(&mut self, stream: StreamId, code: Code) {
        if self.streams.get(stream.0).is_some() {
            self.put_reset(stream.0, code);
        }
    }

    /// Asks whether the peer is still there: [`Event::Pong`] brings the same octets back.
    pub fn ping(&mut self, payload: [u8; 8]) {
        put(&mut self.control, Kind::Ping, 0, 0, &payload);
    }

    /// Begins to end the connection. A server serves what is open and what is on its way to it, and takes nothing that is
    /// begun after the client has been told (RFC 9113 6.8); a client begins nothing any more. The connection is of no
    /// use once [`Self::is_drained`].
    pub fn shutdown(&mut self) {
        if self.ending != Ending::No {
            return;
        }
        if self.is_server {
            self.ending = Ending::Announced;
            put_go_away(&mut self.control, MAX_WINDOW, Code::NO_ERROR);
            self.ping(FAREWELL);
        } else {
            self.go_away(Code::NO_ERROR);
        }
    }

    /// Says that no more streams are taken, and why. Those that are open go on.
    pub fn go_away(&mut self, code: Code) {
        let last = self.last_taken();
        self.ending = Ending::Told { last };
        put_go_away(&mut self.control, last, code);
    }

    /// The last of the peer's streams that was looked at. RFC 9113 6.8: never more than it was told before, since those
    /// above may be on their way elsewhere by now.
    pub(crate) fn last_taken(&self) -> u32 {
        match self.ending {
            Ending::Told { last } => last,
            Ending::No | Ending::Announced if self.is_server => self.streams.last(),
            Ending::No | Ending::Announced => 0,
        }
    }

    /// One of the sides takes no new streams, and the last of those that were open is over.
    pub fn is_drained(&self) -> bool {
        (matches!(self.ending, Ending::Told { .. }) || self.is_leaving) && self.streams.is_empty()
    }

    /// What the peer may still send on a stream, by what it was granted and is told by our settings; the connection's
    /// window may be smaller.
    pub fn rx_credit(&self, stream: StreamId) -> Option<u32> {
        self.streams.get(stream.0).map(|row| row.credit.size())
    }

    /// Grants nothing more on a stream by itself: [`Self::add_credit`] does, or [`Self::release_credit`] ends this. What
    /// the peer may send meanwhile, and whoever holds the stream has to keep, is [`Self::rx_credit`]. The window of the
    /// connection is granted again all the same: a stream that is held does not hold up the others.
    pub fn hold_credit(&mut self, stream: StreamId) {
        if let Some(row) = self.streams.get_mut(stream.0) {
            row.credit.is_held = true;
        }
    }

    /// Grants what arrives on a stream by itself again, and at once what makes its window [`crate::Limits::window`].
    pub fn release_credit(&mut self, stream: StreamId) {
        let Some(row) = self.streams.get_mut(stream.0).filter(|row| row.credit.is_held) else { return };
        row.credit.is_held = false;
        if row.state.may_receive()
            && let Some(grant) = row.credit.restore()
        {
            self.grant(stream.0, grant);
        }
    }

    /// Whoever holds a stream has taken some of what it keeps: `kept` bytes are left. Grants as much as there is room for
    /// within [`crate::Limits::window`], as soon as that is worth a frame, so that the peer of a slow reader sees that it goes
    /// on. Nothing where the stream is not held.
    pub fn refill_credit(&mut self, stream: StreamId, kept: usize) {
        let (coming, least) = (self.coming(stream.0), self.limits.window.min(self.limits.frame) / 2);
        let Some(row) = self.streams.get_mut(stream.0).filter(|row| row.credit.is_held) else { return };
        let kept = i64::from(u32::try_from(kept).unwrap_or(u32::MAX)) + i64::from(coming);
        let may_receive = row.state.may_receive();
        if may_receive && let Some(grant) = row.credit.refill(kept, least) {
            self.grant(stream.0, grant);
        }
    }

    /// Lets the peer send `increment` more bytes on a stream.
    ///
    /// # Errors
    /// The stream is over, or its window would go beyond 2^31-1.
    pub fn add_credit(&mut self, stream: StreamId, increment: u32) -> Result<(), EncodeError> {
        let row = self.streams.get_mut(stream.0).ok_or(EncodeError::Stream)?;
        if increment > 0 && row.state.may_receive() {
            row.credit.grant(increment).map_err(|_| EncodeError::Room)?;
            self.grant(stream.0, increment);
        }
        Ok(())
    }
}

/// Four octets, all bits of them.
fn number_with_reserved(fixed: &[u8]) -> u32 {
    fixed.first_chunk::<4>().copied().map_or(0, u32::from_be_bytes)
}
