//! Heads of requests and responses, and whose turn it is to send payload. Those that want to are asked in turn, each for as
//! much as its window and the connection's have room for (RFC 9113 5.2).

use super::{Exchange, Incoming, Place};
use crate::context::scratch::{Scratch, TX_SIZE};
use crate::context::{Context, Core};
use crate::error::Error;
use crate::http::{BodyLength, Status};
use crate::role::h1::dated;
use crate::role::{Framed, Role};
use crate::secure_stream::{Tx, TxFlow, TxState};
use crate::wsi::{Flags, Wait, WsiId, WsiState};
use h2::{EncodeError, Request, StreamId};
use std::cell::Cell;

/// A frame that fits into one TLS record, its head included.
const ROOM_MOST: usize = TX_SIZE - 9;

impl Core {
    /// Sends the head of a request, and begins a stream for it.
    pub(in crate::role) fn h2_request<'a>(
        &mut self,
        child: WsiId,
        request: Request<'_>,
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        body: BodyLength,
    ) -> Result<(), Error> {
        let row = self.wsis.get(child).ok_or(Error::Stale)?;
        let (state, flags) = (row.state(), row.flags);
        let Role::Child(id) = row.role else { return Err(Error::WrongRole) };
        #[cfg(feature = "ws")]
        if request.protocol.is_none() && row.rare.as_ref().is_some_and(|rare| rare.upgrade.is_some()) {
            // It may still wait for the server's settings.
            return Err(Error::Http("the request before this one is not over".into()));
        }
        self.h2_furnish(id);
        let wsi = self.wsis.get_mut(id).ok_or(Error::NotConnected)?;
        let is_tls = wsi.is_tls();
        let Role::H2(h2) = &mut wsi.role else { return Err(Error::WrongRole) };
        let Some(exchange) = h2.exchanges.get_mut(child).filter(|_| state == WsiState::Open) else {
            return Err(Error::NotConnected);
        };
        if exchange.stream.is_some_and(|stream| !h2.engine.rx_done(stream) || !h2.engine.tx_done(stream)) {
            return Err(Error::Http("the request before this one is not over".into()));
        }
        let scheme: &[u8] = if is_tls { b"https" } else { b"http" };
        let request = Request { scheme, credit: exchange.wish.credit, ..request };
        let (body, half_close_due) = exchange.body_of_request(body);
        self.spares.lend(&mut wsi.front);
        let stream = h2
            .engine
            .encode_request(&request, fields, body, &mut wsi.front)
            .map_err(|error| Error::Http(error.to_string()))?;
        match exchange.stream {
            Some(old) => drop(h2.children.remove(old)),
            None => h2.unasked = h2.unasked.saturating_sub(1),
        }
        let is_last = h2.engine.can_open() == Err(EncodeError::Ending);
        let is_tunnel = request.protocol.is_some();
        *exchange = Exchange { is_tunnel, ..exchange.next(stream, half_close_due) };
        h2.children.insert(stream, child);
        if flags.has(Flags::RX_FLOW_OFF) {
            h2.engine.hold_credit(stream);
        }
        // The server may have left this connection while the request was on its way (RFC 9113 8.7).
        if h2.is_proven
            && let Some(row) = self.wsis.get_mut(child)
        {
            row.flags.set(Flags::REUSED);
        }
        self.role_wait(child, Wait::Response, self.timeouts.response);
        if flags.has(Flags::WANT_TX) {
            self.h2_child_wants_tx(id, child);
        }
        self.h2_expect_acknowledgement(id);
        self.wsi_request_flush(id);
        if is_last {
            // Who waits for a place would wait for those that are open, which may take for ever (RFC 9113 5.1.1).
            self.h2_admit(id);
        }
        Ok(())
    }

    /// Sends the head of a response. Where that is all, the stream ends when its user has had its say.
    pub(in crate::role) fn h2_respond<'a>(
        &mut self,
        child: WsiId,
        status: Status,
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        body: BodyLength,
    ) -> Result<(), Error> {
        let Role::Child(id) = self.wsis.get(child).ok_or(Error::Stale)?.role else {
            return Err(Error::WrongRole);
        };
        let wsi = self.wsis.get_mut(id).ok_or(Error::NotConnected)?;
        let Role::H2(h2) = &mut wsi.role else { return Err(Error::WrongRole) };
        let Some(exchange) = h2.exchanges.get_mut(child) else { return Err(Error::NotConnected) };
        let Some(stream) = exchange.stream else {
            return Err(Error::Http("there is no request to answer".into()));
        };
        if exchange.is_tunnel && status.is_success() {
            return Err(Error::Http("a success would grant what the request asks for".into()));
        }
        self.spares.lend(&mut wsi.front);
        let (date, has_date) = (self.date.at(self.wall_secs), Cell::new(false));
        h2.engine
            .encode_response(stream, status, dated(fields, date, &has_date), body, &mut wsi.front)
            .map_err(|error| Error::Http(error.to_string()))?;
        let was_tunnel = std::mem::take(&mut exchange.is_tunnel);
        if h2.engine.tx_done(stream) {
            self.schedule(child);
        }
        self.wsi_request_flush(id);
        if was_tunnel {
            self.h2_refused_tunnel(id, child);
        }
        Ok(())
    }

    /// What is sent to a websocket that there is not, nobody waits for. The refusal may have a body, which may have been asked
    /// for before.
    fn h2_refused_tunnel(&mut self, id: WsiId, child: WsiId) {
        if let Some(exchange) = self.h2_mut(id).and_then(|h2| h2.exchanges.get_mut(child)) {
            exchange.incoming = Incoming::Ended;
        }
        let Some(wsi) = self.wsis.get_mut(child) else { return };
        self.spares.take_back(&mut wsi.rest);
        if wsi.flags.has(Flags::WANT_TX) {
            self.h2_child_wants_tx(id, child);
        }
    }

    /// RFC 9110 10.1.1: a client that waits for leave to send its body gets it, unless the response is there already.
    pub(super) fn h2_continue(&mut self, id: WsiId, stream: StreamId) {
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        let Role::H2(h2) = &mut wsi.role else { return };
        if h2.engine.expects_continue(stream)
            && h2.engine.encode_informational(stream, Status::CONTINUE, &mut wsi.front).is_ok()
        {
            self.wsi_request_flush(id);
        }
    }

    /// Frames the payload of whose turn it is.
    pub(in crate::role) fn h2_frame(
        &mut self,
        id: WsiId,
        payload: &mut [u8],
        state: TxState,
        scratch: &mut Scratch,
    ) -> Framed {
        #[cfg(feature = "ws")]
        if let Some(framed) = self.h2_frame_message(id, payload, state, scratch) {
            return framed;
        }
        let _ = scratch;
        let Some(h2) = self.h2_mut(id) else { return Framed::NOTHING };
        h2.frame(payload.len(), state.is_eom).unwrap_or_else(|error| {
            self.h2_cannot_send(id, error);
            Framed::NOTHING
        })
    }

    /// The message that a child sends is complete.
    pub(in crate::role) fn h2_tx_done(&self, child: WsiId) -> bool {
        let Some(id) = self.parent(child) else { return true };
        let Some(Role::H2(h2)) = self.wsis.get(id).map(|wsi| &wsi.role) else { return true };
        h2.stream_of(child).is_some_and(|stream| h2.engine.tx_done(stream))
    }

    pub(in crate::role) fn h2_child_wants_tx(&mut self, id: WsiId, child: WsiId) {
        let Some(h2) = self.h2_mut(id) else { return };
        if let Some(exchange) = h2.exchanges.get_mut(child)
            && exchange.place == Place::Away
        {
            exchange.place = Place::Queued;
            h2.queue.push_back(child);
        }
        self.wsi_request_tx(id);
    }

    /// Whose turn it is, and how much there is room for.
    fn h2_next_sender(&mut self, id: WsiId) -> Option<(WsiId, usize)> {
        loop {
            let h2 = self.h2_mut(id)?;
            h2.sending = None;
            let child = h2.pop_sender()?;
            let Some(exchange) = h2.exchanges.get_mut(child) else { continue };
            exchange.place = Place::Away;
            let is_tunnel = exchange.is_tunnel;
            // One without a stream is in the queue again when it has sent its request.
            let Some(stream) = exchange.stream else { continue };
            let Some(wsi) = self.wsis.get_mut(child) else { continue };
            let is_bare = matches!(wsi.role, Role::Child(_));
            // And one that has asked for a websocket, when it has got it.
            if (is_tunnel && is_bare) || !wsi.flags.any(Flags::WANT_TX | Flags::WANT_FLUSH) {
                continue;
            }
            let h2 = self.h2_mut(id)?;
            let is_done = h2.engine.tx_done(stream);
            let room = if h2.has_room() { h2.engine.tx_room(stream) } else { 0 };
            let left = h2.engine.tx_left(stream).and_then(|left| usize::try_from(left).ok());
            if room == 0 && !is_done {
                self.h2_block(id, child, stream);
                continue;
            }
            h2.sending = Some((child, stream));
            if is_bare && let Some(wsi) = self.wsis.get_mut(child) {
                wsi.flags.clear(Flags::WANT_TX);
            }
            if !is_done {
                return Some((child, room.min(left.unwrap_or(ROOM_MOST)).min(ROOM_MOST)));
            }
        }
    }

    pub(super) fn h2_more_tx(&mut self, id: WsiId) {
        if self.h2_mut(id).is_some_and(|h2| h2.has_sender()) {
            self.wsi_request_tx(id);
        }
    }
}

impl Context {
    /// One of those who share the connection fills the buffer.
    pub(in crate::role) fn h2_tx_turn(&mut self, id: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        let Some((child, room)) = self.core.h2_next_sender(id) else { return TxFlow::DontSend };
        let flow = self.h2_ask(id, child, room, tx);
        if flow != TxFlow::Send {
            if let Some(h2) = self.core.h2_mut(id) {
                h2.sending = None;
            }
            self.core.h2_more_tx(id);
        }
        flow
    }

    fn h2_ask(&mut self, id: WsiId, child: WsiId, room: usize, tx: &mut Tx<'_>) -> TxFlow {
        #[cfg(feature = "ws")]
        if self.core.speaks_ws(child) {
            return self.h2_ws_turn(id, child, room, tx);
        }
        let _ = id;
        tx.narrow(room);
        self.ask_tx(child, tx)
    }

    /// A piece of a message is on its way.
    pub(in crate::role) fn h2_framed(&mut self, id: WsiId, scratch: &mut Scratch) {
        let sent = self.core.h2_mut(id).and_then(|h2| h2.sending.take());
        if let Some((child, _)) = sent {
            #[cfg(feature = "ws")]
            if self.core.speaks_ws(child) {
                self.core.h2_ws_sent(id, child, scratch);
                return self.core.h2_progress(id);
            }
            let _ = &scratch;
            if self.core.h2_mut(id).is_some_and(|h2| h2.is_server) {
                self.core.h2_child_progress(child);
            } else {
                self.core.h2_wait_for_more(child);
            }
        }
        self.core.h2_more_tx(id);
        self.core.h2_progress(id);
    }
}
