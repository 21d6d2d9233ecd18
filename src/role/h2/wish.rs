//! What a user wants of its streams beyond what HTTP/1.1 knows: that the peer sends only what it is granted, and that the
//! stream stays open for what the peer may send (README.h2-long-poll.md).

use super::{Exchange, H2, Incoming, Place};
use crate::context::Core;
use crate::error::Error;
use crate::http::BodyLength;
use crate::role::Role;
use crate::wsi::{Flags, WsiId};
use h2::{EncodeError, StreamId};

/// When a stream that polls tells the server that its request is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HalfClose {
    /// With the request's head, as all others do: some servers answer only then (`nghttp2_quirk_end_stream`).
    WithRequest,
    /// With an empty DATA frame, once the response is there: this is what makes a stream immortal to a server of lws.
    AfterResponse,
}

/// What a user has asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StreamWish {
    /// What the peer may send before its user grants more. `None`: it is granted as it arrives.
    pub(crate) credit: Option<u32>,
    /// The response may take for ever.
    pub(crate) long_poll: Option<HalfClose>,
}

impl Exchange {
    /// The exchange after this one on the same connection.
    pub(super) fn next(&self, stream: StreamId, half_close_due: bool) -> Self {
        // A window that the stream before this one has waited for opens no more.
        let place = if self.place == Place::Blocked { Place::Away } else { self.place };
        let incoming = Incoming::Arriving;
        Self { stream: Some(stream), incoming, half_close_due, has_head: false, place, ..*self }
    }

    /// No bound is set to how long the peer may be silent.
    pub(super) fn is_immortal(&self) -> bool {
        self.has_head && self.wish.long_poll.is_some()
    }

    /// How long a request's body is that is none.
    pub(super) fn body_of_request(&self, body: BodyLength) -> (BodyLength, bool) {
        let waits = self.wish.long_poll == Some(HalfClose::AfterResponse) && body == BodyLength::None;
        if waits { (BodyLength::Unknown, true) } else { (body, false) }
    }
}

impl H2 {
    /// Nothing has to come from the peer at present: it has said all, may take for ever, has sent what it was granted, or asks
    /// our user for a websocket. `is_off`: our user takes nothing.
    pub(super) fn may_be_silent(&self, child: WsiId, is_off: bool) -> bool {
        let Some(exchange) = self.exchanges.get(child) else { return true };
        let Some(stream) = exchange.stream else { return true };
        // Heads need no credit (RFC 9113 5.2.1).
        let has_credit = exchange.wish.credit.is_none() || self.engine.rx_credit(stream) != Some(0);
        let is_granted = has_credit && !is_off;
        let waits_for_body = self.is_server || exchange.has_head;
        let has_all = self.engine.rx_done(stream) || matches!(exchange.incoming, Incoming::Ended);
        let is_asking = self.is_server && exchange.is_tunnel;
        has_all || is_asking || exchange.is_immortal() || (waits_for_body && !is_granted)
    }
}

impl Core {
    /// Says what a client wants of its next request; nothing, to a connection that is no stream of HTTP/2.
    pub(crate) fn h2_wish(&mut self, child: WsiId, wish: StreamWish) {
        let Some(id) = self.parent(child) else { return };
        let exchange = self.h2_mut(id).and_then(|h2| h2.exchanges.get_mut(child));
        if let Some(exchange) = exchange {
            exchange.wish = wish;
        }
    }

    /// What is granted to a request that has just come, by the vhost that it is for.
    pub(super) fn h2_grant_request(&mut self, id: WsiId, child: WsiId, stream: StreamId) {
        let vhost = self.wsis.get(child).and_then(|wsi| wsi.vhost);
        let credit = vhost.and_then(|vhost| self.vhosts.get(vhost)?.tx_credit);
        let Some(h2) = self.h2_mut(id) else { return };
        let Some(credit) = credit else { return h2.engine.release_credit(stream) };
        // A connection that began before the vhost had such a user grants by itself until here.
        h2.engine.hold_credit(stream);
        let missing = credit.saturating_sub(h2.engine.rx_credit(stream).unwrap_or(0));
        // Of a stream that is over there is nothing to grant.
        let _ = h2.engine.add_credit(stream, missing);
        if let Some(exchange) = h2.exchanges.get_mut(child) {
            exchange.wish.credit = Some(credit);
        }
    }

    /// A user that takes no more for now may have taken some of what was kept: however slow it is, the peer sees that it goes
    /// on. Nothing where the user says itself how much there may be.
    pub(super) fn h2_refill_credit(&mut self, id: WsiId, child: WsiId) {
        let kept = self.wsis.get(child).map_or(0, |wsi| wsi.rest.len());
        let Some(h2) = self.h2_mut(id) else { return };
        let Some(exchange) = h2.exchanges.get(child).filter(|at| at.wish.credit.is_none()) else { return };
        if let Some(stream) = exchange.stream {
            h2.engine.refill_credit(stream, kept);
            self.h2_flush(id);
        }
    }

    /// Lets the peer of a stream send more.
    pub(in crate::role) fn h2_add_credit(&mut self, id: WsiId, child: WsiId, add: u32) -> Result<(), Error> {
        let is_off = self.wsis.get(child).is_some_and(|wsi| wsi.flags.has(Flags::RX_FLOW_OFF));
        let h2 = self.h2_mut(id).ok_or(Error::NotConnected)?;
        let stream = h2.stream_of(child).ok_or(Error::NotConnected)?;
        match h2.engine.add_credit(stream, add) {
            Ok(()) => {}
            // Both messages are complete.
            Err(EncodeError::Stream) => return Ok(()),
            Err(error) => return Err(Error::Http(error.to_string())),
        }
        if !is_off {
            self.h2_wait_for_more(child);
        }
        self.h2_flush(id);
        Ok(())
    }

    /// What the peer of a stream may still send.
    pub(in crate::role) fn h2_credit(&self, id: WsiId, child: WsiId) -> Result<u32, Error> {
        let Some(Role::H2(h2)) = self.wsis.get(id).map(|wsi| &wsi.role) else {
            return Err(Error::NotConnected);
        };
        let stream = h2.stream_of(child).ok_or(Error::NotConnected)?;
        Ok(h2.engine.rx_credit(stream).unwrap_or(0))
    }

    /// The head of a response is there. A request that has waited for that is complete now.
    pub(super) fn h2_answered(&mut self, id: WsiId, child: WsiId) {
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        let Role::H2(h2) = &mut wsi.role else { return };
        let Some(exchange) = h2.exchanges.get_mut(child) else { return };
        exchange.has_head = true;
        let Some(stream) = exchange.stream.filter(|_| std::mem::take(&mut exchange.half_close_due)) else {
            return;
        };
        if let Ok(frame) = h2.engine.frame(stream, 0, true) {
            self.spares.lend(&mut wsi.front);
            wsi.front.extend_from_slice(frame.prefix());
            self.wsi_request_flush(id);
        }
    }

    /// A client's user has not sent all of its request yet.
    pub(in crate::role) fn h2_is_sending(&self, child: WsiId) -> bool {
        let Some(Role::H2(h2)) = self.with_socket(child).map(|wsi| &wsi.role) else { return false };
        let is_due = h2.exchanges.get(child).is_some_and(|exchange| exchange.half_close_due);
        !is_due && !self.h2_tx_done(child)
    }
}
