//! Streams as children: how they begin, how they end, and what they take in meanwhile.

use super::{Exchange, Incoming};
use crate::cause::Cause;
use crate::context::{Context, Core, Effect, WsiEvent};
use crate::http::{BodyLength, Head, Status};
use crate::role::Role;
use crate::wsi::{Binding, Flags, Wait, Wsi, WsiId, WsiState};
use h2::{Code, EncodeError, Limits, StreamId};
use std::time::Duration;

/// Of what was kept, so much is given out at a time, as if it came now: as much as a frame has.
const PIECE: usize = 16 * 1024;

/// Why the streams end of a connection that its peer has left for an error.
pub(super) fn left_for(code: Code) -> Cause {
    Cause::protocol(&format!("the peer leaves: {code}"))
}

impl Core {
    /// Whose stream this is.
    pub(super) fn h2_child(&mut self, id: WsiId, stream: StreamId) -> Option<WsiId> {
        self.h2_mut(id)?.children.get(stream).copied()
    }

    /// A user comes to share the connection.
    pub(in crate::role) fn h2_child_joined(&mut self, id: WsiId, child: WsiId) {
        self.h2_furnish(id);
        if let Some(Role::H2(h2)) = self.wsis.get_mut(id).map(|wsi| &mut wsi.role) {
            h2.waiting.push_back(child);
            self.h2_admit(id);
        }
    }

    /// Opens those that wait, as many as the server takes (RFC 9113 5.1.2). What cannot come here any more goes elsewhere.
    pub(in crate::role) fn h2_admit(&mut self, id: WsiId) {
        #[cfg(feature = "ws")]
        self.h2_connect_waiting(id);
        let Some(h2) = self.h2_mut(id).filter(|h2| h2.is_started && !h2.is_server) else { return };
        if h2.engine.can_open() == Err(EncodeError::Ending) {
            // Each of those that go asks this again: there must be an end to it.
            if !h2.waiting.is_empty() {
                self.h2_move_on(id, u32::MAX, &Cause::by_peer());
            }
            return;
        }
        for _ in 0..h2.places() {
            let Some(h2) = self.h2_mut(id) else { return };
            let Some(child) = h2.waiting.pop_front() else { return };
            h2.unasked += 1;
            h2.exchanges.insert(child, Exchange::default());
            self.child_open(child);
        }
    }

    /// The row of a stream that a client has begun; none when there is nobody it could be for.
    pub(super) fn h2_new_child(&mut self, id: WsiId, stream: StreamId, head: &Head) -> Option<WsiId> {
        let asked = head.authority().and_then(|name| str::from_utf8(name).ok());
        let Some(vhost) = self.vhost_of_request(id, asked) else {
            self.h2_answer(id, stream, Status::MISDIRECTED_REQUEST);
            return None;
        };
        let protocol = head.get(":protocol");
        if protocol.is_some_and(|protocol| !self.takes_tunnel(vhost, protocol)) {
            self.h2_answer(id, stream, Status::NOT_IMPLEMENTED);
            return None;
        }
        let h2 = self.h2_mut(id)?;
        // A user may hold on to a stream that is over for its client, who could begin others without end.
        if h2.exchanges.len() >= Limits::default().streams as usize {
            h2.engine.reset(stream, Code::REFUSED_STREAM);
            return None;
        }
        let mut wsi = Wsi::new(None, Role::Child(id), Binding::None, WsiState::Open);
        wsi.vhost = Some(vhost);
        let is_tunnel = protocol.is_some();
        if is_tunnel {
            wsi.flags.set(Flags::UNDECIDED);
        }
        // The stream before this one may have ended in the same read, and left the connection at rest.
        self.h2_furnish(id);
        let child = self.child_add(id, wsi);
        self.role_wait(id, Wait::Nothing, Duration::ZERO);
        let h2 = self.h2_mut(id)?;
        h2.children.insert(stream, child);
        h2.exchanges.insert(child, Exchange { stream: Some(stream), is_tunnel, ..Exchange::default() });
        if is_tunnel {
            h2.engine.hold_credit(stream);
        } else {
            self.h2_grant_request(id, child, stream);
        }
        self.effects.push_back(Effect::Accept(child));
        Some(child)
    }

    /// A whole response without a body, to a request that nobody is told of.
    fn h2_answer(&mut self, id: WsiId, stream: StreamId, status: Status) {
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        let Role::H2(h2) = &mut wsi.role else { return };
        self.spares.lend(&mut wsi.front);
        let body = BodyLength::Known(0);
        if h2.engine.encode_response(stream, status, std::iter::empty(), body, &mut wsi.front).is_err() {
            return;
        }
        h2.engine.reset(stream, Code::NO_ERROR);
        self.wsi_request_flush(id);
    }

    /// The peer has some time for its next piece, if there is to be one.
    pub(super) fn h2_wait_for_more(&mut self, child: WsiId) {
        if self.h2_is_blocked(child) {
            return;
        }
        #[cfg(feature = "ws")]
        if let Some(Role::Ws(_)) = self.wsis.get(child).map(|wsi| &wsi.role) {
            return self.h2_ws_waits(child);
        }
        let is_off = self.wsis.get(child).is_some_and(|wsi| wsi.flags.has(Flags::RX_FLOW_OFF));
        let Some(h2) = self.parent(child).and_then(|id| self.h2_mut(id)) else { return };
        let is_server = h2.is_server;
        if h2.may_be_silent(child, is_off) {
            self.role_wait(child, Wait::Nothing, Duration::ZERO);
        } else if is_server {
            self.role_wait(child, Wait::Request, self.timeouts.request);
        } else {
            self.role_wait(child, Wait::Response, self.timeouts.response);
        }
    }

    /// Nothing that comes from the peer is of use to the child any more.
    pub(super) fn h2_has_all(&mut self, child: WsiId) -> bool {
        let exchange = self.parent(child).and_then(|id| self.h2_mut(id)?.exchanges.get(child));
        exchange.is_some_and(|exchange| matches!(exchange.incoming, Incoming::Ended))
    }

    /// A server's stream is over when both messages are.
    pub(super) fn h2_child_progress(&mut self, child: WsiId) {
        let Some(id) = self.parent(child) else { return };
        let Some(h2) = self.h2_mut(id).filter(|h2| h2.is_server) else { return };
        let Some(Exchange { stream: Some(stream), incoming: Incoming::Ended, .. }) = h2.exchanges.get(child)
        else {
            return;
        };
        if h2.engine.tx_done(*stream) {
            self.close(child, None);
        }
    }

    /// A child's row has gone: what is left of its stream is of no use to anybody.
    pub(in crate::role) fn h2_child_left(&mut self, id: WsiId, child: WsiId) {
        let Some(h2) = self.h2_mut(id) else { return };
        h2.leave_place(child);
        match h2.exchanges.remove(child) {
            None => h2.waiting.retain(|other| *other != child),
            Some(exchange) => match exchange.stream {
                Some(stream) => {
                    h2.children.remove(stream);
                    // RFC 9113 8.1: after a whole response the rest of the request is just not wanted.
                    let is_answered = h2.is_server && h2.engine.tx_done(stream);
                    let code = if is_answered { Code::NO_ERROR } else { Code::CANCEL };
                    h2.engine.reset(stream, code);
                }
                None => h2.unasked = h2.unasked.saturating_sub(1),
            },
        }
        #[cfg(feature = "ws")]
        h2.tunnels.forget(child);
        h2.sending = h2.sending.filter(|(sender, _)| *sender != child);
        let is_over = (h2.engine.is_drained() || h2.is_half_closed) && h2.exchanges.is_empty();
        self.h2_flush(id);
        self.h2_rests(id);
        if is_over && self.families.is_lonely(id) {
            return self.close_flushed(id, None);
        }
        self.h2_admit(id);
    }

    /// `RST_STREAM`.
    pub(super) fn h2_was_reset(&mut self, id: WsiId, stream: StreamId, code: Code) {
        let Some(child) = self.h2_child(id, stream) else { return };
        let Some(h2) = self.h2_mut(id) else { return };
        let is_server = h2.is_server;
        let is_whole =
            h2.exchanges.get(child).is_some_and(|exchange| !matches!(exchange.incoming, Incoming::Arriving));
        if !is_server && is_whole && code == Code::NO_ERROR {
            // There is no window to wait for any more.
            return self.h2_unblock(id, child);
        }
        if !is_server && code == Code::REFUSED_STREAM {
            // Who is too busy is not to be asked without end.
            self.h2_may_go_again(child, false);
        }
        let is_cancelled = is_server && matches!(code, Code::CANCEL | Code::NO_ERROR);
        let cause = if is_cancelled {
            Cause::by_peer()
        } else {
            Cause::protocol(&format!("the peer reset the stream: {}", code.name()))
        };
        self.close(child, Some(cause));
    }

    /// `GOAWAY`: who comes now goes to another connection, and so do those that the server has not looked at (RFC 9113
    /// 6.8).
    pub(super) fn h2_went_away(&mut self, id: WsiId, last: u32, code: Code) {
        let Some(h2) = self.h2_mut(id).filter(|h2| !h2.is_server) else { return };
        let is_over = h2.exchanges.is_empty();
        h2.goodbye = Some(code).filter(|code| *code != Code::NO_ERROR).or(h2.goodbye);
        let cause = h2.goodbye.map_or_else(Cause::by_peer, left_for);
        self.carrier_hides(id);
        self.h2_move_on(id, last, &cause);
        if is_over && self.h2_mut(id).is_some() {
            self.close_flushed(id, Some(cause));
        }
    }

    /// Ends the children whose requests can be sent again, because nobody has seen them: first those that were sent, then
    /// those that waited, as they came. That is no failed try, if there were others that the connection served.
    fn h2_move_on(&mut self, id: WsiId, last: u32, cause: &Cause) {
        self.carrier_hides(id);
        let Some(h2) = self.h2_mut(id) else { return };
        let is_unseen = |exchange: &Exchange| exchange.stream.is_none_or(|stream| stream.get() > last);
        let moving = h2.children_that(is_unseen);
        let (waiting, is_proven) = (std::mem::take(&mut h2.waiting), h2.is_proven);
        for child in moving.into_iter().chain(waiting) {
            self.h2_may_go_again(child, is_proven);
            self.close(child, Some(cause.clone()));
        }
    }

    /// The server has done nothing about the request (RFC 9113 8.7).
    fn h2_may_go_again(&mut self, child: WsiId, is_proven: bool) {
        // A websocket has been granted, whatever is said of it afterwards.
        let is_request = |wsi: &&mut Wsi| matches!(wsi.role, Role::Child(_));
        if let Some(wsi) = self.wsis.get_mut(child).filter(is_request) {
            wsi.flags.set(Flags::UNSEEN);
            wsi.flags.clear(Flags::GOT_RX | Flags::REUSED);
            if is_proven {
                wsi.flags.set(Flags::REUSED);
            }
        }
    }

    /// A user takes payload again, or none for now: then its stream is granted nothing more, and the others go on.
    pub(in crate::role) fn h2_child_rx_flow(&mut self, id: WsiId, child: WsiId) {
        let Some(wsi) = self.wsis.get(child) else { return };
        let (is_off, has_rest) = (wsi.flags.has(Flags::RX_FLOW_OFF), !wsi.rest.is_empty());
        let is_ws = !matches!(wsi.role, Role::Child(_));
        // The connection may be gone.
        if wsi.flags.has(Flags::EOF) && !is_off {
            return self.schedule(child);
        }
        // It has been granted what is kept for a websocket, and no more before there is one.
        if wsi.flags.has(Flags::UNDECIDED) {
            return;
        }
        let Some(h2) = self.h2_mut(id) else { return };
        let Some(exchange) = h2.exchanges.get(child) else { return };
        let has_end = matches!(exchange.incoming, Incoming::Held(_));
        let by_hand = exchange.wish.credit.is_some();
        let Some(stream) = exchange.stream else { return };
        if is_off {
            h2.engine.hold_credit(stream);
            // It is not the peer who is slow.
            return self.h2_wait(child, Wait::Nothing, Duration::ZERO);
        }
        if has_rest || has_end || is_ws {
            return self.schedule(child);
        }
        if !by_hand {
            h2.engine.release_credit(stream);
        }
        self.h2_wait_for_more(child);
        self.h2_flush(id);
    }
}

impl Context {
    /// A child has something to do without a word from its peer: give out what was held back, or go.
    pub(in crate::role) fn h2_serve_child(&mut self, id: WsiId, child: WsiId) {
        let Some(wsi) = self.core.wsis.get(child) else { return };
        #[cfg(feature = "ws")]
        if matches!(wsi.role, Role::Ws(_)) {
            return self.h2_serve_ws(id, child);
        }
        if wsi.state() != WsiState::Open {
            return;
        }
        if wsi.flags.has(Flags::UNDECIDED) {
            return self.core.h2_child_progress(child);
        }
        loop {
            if !self.settle() {
                return self.core.schedule(child);
            }
            let Some(wsi) = self.core.wsis.get_mut(child) else { return };
            if wsi.flags.has(Flags::RX_FLOW_OFF) {
                self.core.h2_refill_credit(id, child);
                return self.core.h2_child_progress(child);
            }
            if wsi.rest.is_empty() {
                break;
            }
            let mut rest = std::mem::take(&mut wsi.rest);
            let len = rest.len().min(PIECE);
            self.wsi_event(child, WsiEvent::Rx(rest.get(..len).unwrap_or_default()));
            rest.drain(..len);
            match self.core.wsis.get_mut(child) {
                Some(wsi) if !rest.is_empty() => wsi.rest = rest,
                _ => self.core.spares.take_back(&mut rest),
            }
        }
        let Some(h2) = self.core.h2_mut(id) else { return self.h2_end_alone(child) };
        let Some(exchange) = h2.exchanges.get_mut(child) else { return };
        if let Some(trailers) = exchange.take_held() {
            return self.h2_tell_end(child, &trailers);
        }
        self.core.h2_child_rx_flow(id, child);
        self.core.h2_child_progress(child);
    }
}
