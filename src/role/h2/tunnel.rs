//! Websockets on streams (RFC 8441): a stream is to a websocket what a socket is elsewhere. DATA is its bytes, `END_STREAM` its
//! end, `RST_STREAM` its reset; windows are what a socket's buffers are.

use super::{H2, Incoming};
use crate::cause::Cause;
use crate::context::scratch::Scratch;
use crate::context::{Context, Core};
use crate::error::Error;
use crate::http::{BodyLength, Head, Method};
use crate::role::{Framed, Role, WsAsked};
use crate::secure_stream::{Tx, TxFlow, TxState};
use crate::wsi::{Closing, Flags, Wait, WsiId, WsiState};
use h2::{EncodeError, Request};
use std::collections::VecDeque;
use ws::handshake::Answer;

/// What a websocket puts before a payload at most (RFC 6455 5.2).
const PREFIX_MOST: usize = 14;

/// Payload that is asked for where the window is too small to hold it with its frame: it waits for the next.
const SMALL: usize = 1024;

const WEBSOCKET: &[u8] = b"websocket";

/// What the websockets of a connection share.
#[derive(Debug, Default)]
pub(super) struct Tunnels {
    /// Requests that wait for the server's settings, or for a place.
    asking: VecDeque<(WsiId, Box<Head>)>,
    /// What is being framed has been by its websocket before.
    is_framed: bool,
}

impl Tunnels {
    pub(super) fn forget(&mut self, child: WsiId) {
        self.asking.retain(|(other, _)| *other != child);
    }
}

impl H2 {
    /// A request for a websocket has its answer now: that of the server's settings, or by a stream for which there is a place.
    fn may_connect(&self) -> bool {
        let is_full = self.engine.can_open() == Err(EncodeError::Full);
        self.has_settings && !(is_full && self.engine.peer_takes_connect())
    }
}

impl Core {
    /// Asks for a websocket, as soon as it is known whether the server takes such (RFC 8441 3).
    pub(in crate::role) fn h2_ask_ws<'f>(
        &mut self,
        (id, child): (WsiId, WsiId),
        target: &[u8],
        host: &[u8],
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
        asked: WsAsked,
    ) -> Result<(), Error> {
        let is_under_way = self.wsis.get(child).and_then(|wsi| wsi.rare.as_ref()?.upgrade.as_ref()).is_some();
        let Some(h2) = self.h2_mut(id) else { return Err(Error::WrongRole) };
        if h2.is_server {
            return Err(Error::Http("a server has nothing to ask for".into()));
        }
        if is_under_way || h2.stream_of(child).is_some_and(|stream| !h2.engine.rx_done(stream)) {
            return Err(Error::Http("the request before this one is not over".into()));
        }
        let mut head = Head::new();
        head.set_request(Method::Connect, target);
        head.push(b"host", host);
        fields.for_each(|(name, value)| head.push(name, value));
        asked.offer().fields().for_each(|(name, value)| head.push(name, value));
        if h2.may_connect() {
            self.h2_connect(id, child, &head)?;
        } else {
            h2.tunnels.asking.push_back((child, Box::new(head)));
            self.role_wait(child, Wait::Response, self.timeouts.response);
        }
        if let Some(wsi) = self.wsis.get_mut(child) {
            wsi.rare().upgrade = Some(Box::new(asked));
        }
        Ok(())
    }

    fn h2_connect(&mut self, id: WsiId, child: WsiId, head: &Head) -> Result<(), Error> {
        if self.h2_mut(id).is_some_and(|h2| !h2.engine.peer_takes_connect()) {
            self.h2_has_no_tunnel(child);
            self.close(child, Some(Cause::protocol("the server takes no websockets over HTTP/2")));
            return Ok(());
        }
        let authority = head.authority().unwrap_or_default();
        let request = Request::connect(WEBSOCKET, b"", authority, head.target());
        self.h2_request(child, request, head.iter().skip(1), BodyLength::Unknown)
    }

    fn h2_has_no_tunnel(&mut self, child: WsiId) {
        if let Some(wsi) = self.wsis.get_mut(child) {
            wsi.flags.set(Flags::NO_TUNNEL);
        }
    }

    /// The peer does not speak HTTP/2 at all.
    pub(crate) fn h2_takes_no_ws(&mut self, id: WsiId) {
        for child in self.families.members(id) {
            self.h2_has_no_tunnel(child);
        }
    }

    /// Those that have waited for settings, or for a place, go on.
    pub(super) fn h2_connect_waiting(&mut self, id: WsiId) {
        loop {
            let Some(h2) = self.h2_mut(id).filter(|h2| h2.may_connect()) else { return };
            let Some((child, head)) = h2.tunnels.asking.pop_front() else { return };
            if let Err(error) = self.h2_connect(id, child, &head) {
                self.close(child, Some(Cause::policy(&error.to_string())));
            }
        }
    }

    /// The response to a child's request. False when nobody is to hear of it, because it grants a websocket as it may not.
    pub(super) fn h2_ws_answered(&mut self, child: WsiId, head: &Head) -> bool {
        let Some(wsi) = self.wsis.get_mut(child) else { return false };
        let Some(rare) = wsi.rare.as_mut().filter(|rare| rare.upgrade.is_some()) else { return true };
        match head.status() {
            Some(status) if status.is_success() => self.ws_agree(child, head) && self.h2_ws_wants_tx(child),
            Some(status) if status.is_informational() => true,
            _ => {
                rare.upgrade = None;
                true
            }
        }
    }

    /// What was asked for before there was a websocket.
    fn h2_ws_wants_tx(&mut self, child: WsiId) -> bool {
        if let Some(wsi) = self.wsis.get(child)
            && let Some(carrier) = wsi.role.carrier()
            && wsi.flags.has(Flags::WANT_TX)
        {
            self.h2_child_wants_tx(carrier, child);
        }
        true
    }

    /// Grants the websocket that a client asks for.
    pub(in crate::role) fn h2_accept_ws(
        &mut self,
        (id, child): (WsiId, WsiId),
        answer: &Answer<'_>,
    ) -> Result<(), Error> {
        let wsi = self.wsis.get_mut(id).ok_or(Error::Stale)?;
        let Role::H2(h2) = &mut wsi.role else { return Err(Error::WrongRole) };
        let Some(exchange) = h2.exchanges.get_mut(child).filter(|exchange| exchange.is_tunnel) else {
            return Err(Error::Http("no websocket is asked for".into()));
        };
        let Some(stream) = exchange.stream else { return Err(Error::NotConnected) };
        self.spares.lend(&mut wsi.front);
        h2.engine
            .encode_response(stream, answer.status(), answer.fields(), BodyLength::Unknown, &mut wsi.front)
            .map_err(|error| Error::Http(error.to_string()))?;
        let has_ended = matches!(exchange.incoming, Incoming::Held(_));
        self.wsi_request_flush(id);
        if let Some(wsi) = self.wsis.get_mut(child) {
            wsi.flags.clear(Flags::UNDECIDED);
            if has_ended {
                wsi.flags.set(Flags::EOF);
            }
            if wsi.flags.has(Flags::WANT_TX) {
                self.h2_child_wants_tx(id, child);
            }
        }
        Ok(())
    }

    /// Nothing, but for what an unread window makes it wait for.
    pub(super) fn h2_ws_waits(&mut self, child: WsiId) {
        if self.wsis.get(child).is_some_and(|wsi| wsi.state() == WsiState::Open) {
            self.wait_no_more(child);
        }
    }

    /// `END_STREAM`: the peer's side is over, as that of a socket is (RFC 8441 5.1).
    pub(super) fn h2_ws_ended(&mut self, child: WsiId) {
        let Some(wsi) = self.wsis.get_mut(child) else { return };
        wsi.flags.set(Flags::EOF);
        match wsi.state() {
            WsiState::Lingering => self.remove(child),
            _ => self.schedule(child),
        }
    }

    /// Frames a message of the websocket whose turn it is. `None` when it is another kind of turn.
    pub(super) fn h2_frame_message(
        &mut self,
        id: WsiId,
        payload: &mut [u8],
        state: TxState,
        scratch: &mut Scratch,
    ) -> Option<Framed> {
        let h2 = self.h2_mut(id)?;
        let (child, stream) = h2.sending?;
        let (is_server, room) = (h2.is_server, h2.engine.tx_room(stream));
        if h2.tunnels.is_framed {
            return None;
        }
        if !self.speaks_ws(child) {
            return None;
        }
        let key = if is_server { [0; 4] } else { self.plat.mask_key() };
        let wsi = self.wsis.get_mut(child)?;
        let Role::Ws(ws) = &mut wsi.role else { return None };
        let framed = match ws.frame(payload, state, key, &mut wsi.front, &mut self.spares, scratch) {
            Ok(framed) => framed,
            Err(error) => {
                self.close_flushed(child, Some(Cause::policy(&error.to_string())));
                return Some(Framed::NOTHING);
            }
        };
        let prefix = framed.prefix.get(..framed.prefix_len).unwrap_or_default();
        if framed.keep && prefix.len() + payload.len() <= room {
            return Some(self.h2_frame_around(id, prefix, payload.len()));
        }
        if framed.keep {
            self.spares.lend(&mut wsi.front);
            wsi.front.extend_from_slice(prefix);
            wsi.front.extend_from_slice(payload);
        }
        Some(Framed::NOTHING)
    }

    /// A DATA frame around a frame of a websocket, which stands behind `prefix`.
    fn h2_frame_around(&mut self, id: WsiId, prefix: &[u8], len: usize) -> Framed {
        let Some(h2) = self.h2_mut(id) else { return Framed::NOTHING };
        let mut framed = h2.frame(prefix.len() + len, false).unwrap_or(Framed::NOTHING);
        let place = framed.prefix.get_mut(framed.prefix_len..framed.prefix_len + prefix.len());
        if let Some(place) = place.filter(|_| framed.keep) {
            place.copy_from_slice(prefix);
            framed.prefix_len += prefix.len();
        }
        framed
    }

    /// Takes what a websocket has framed, and its end, as far as there is room. False when there is nothing of the kind.
    fn h2_ws_framed(&mut self, child: WsiId, room: usize, tx: &mut Tx<'_>) -> bool {
        let Some(wsi) = self.wsis.get_mut(child) else { return false };
        if wsi.unsent_at >= wsi.unsent.len() {
            self.spares.take_back(&mut wsi.unsent);
            (wsi.unsent, wsi.unsent_at) = (std::mem::take(&mut wsi.front), 0);
        }
        wsi.flags.clear(Flags::WANT_FLUSH);
        let is_ending = wsi.state() == WsiState::Flushing;
        let waiting = wsi.unsent.get(wsi.unsent_at..).unwrap_or_default();
        if waiting.is_empty() && !is_ending {
            return false;
        }
        tx.narrow(room);
        wsi.unsent_at += tx.write(waiting);
        if is_ending && wsi.unsent_at >= wsi.unsent.len() && wsi.front.is_empty() {
            tx.end_message();
        }
        true
    }

    /// A websocket has had its turn. One that has nothing more to say, and no user, ends its side.
    pub(super) fn h2_ws_sent(&mut self, id: WsiId, child: WsiId, scratch: &mut Scratch) {
        if self.h2_mut(id).is_some_and(|h2| !h2.tunnels.is_framed) {
            self.ws_framed(child);
        }
        let Some(h2) = self.h2_mut(id) else { return };
        h2.tunnels.is_framed = false;
        let is_over = h2.stream_of(child).is_none_or(|stream| h2.engine.tx_done(stream));
        self.h2_ws_waits(child);
        self.h2_more_tx(id);
        let Some(wsi) = self.wsis.get_mut(child) else { return };
        let has_more = !wsi.front.is_empty() || wsi.unsent_at < wsi.unsent.len();
        if wsi.state() == WsiState::Flushing {
            let closing = wsi.rare.as_ref().and_then(|rare| rare.closing);
            match closing {
                _ if !is_over => self.wsi_request_flush(child),
                Some(Closing::Linger) if !wsi.flags.has(Flags::EOF) => wsi.enter(child, WsiState::Lingering),
                _ => self.remove(child),
            }
        } else if has_more {
            self.wsi_request_flush(child);
        } else if wsi.flags.has(Flags::WANT_TX) {
            self.h2_child_wants_tx(id, child);
        } else {
            self.ws_output(child, scratch);
        }
    }
}

impl Context {
    /// Bytes of a websocket.
    pub(super) fn h2_ws_input(&mut self, child: WsiId, piece: &mut [u8], scratch: &mut Scratch) {
        // What comes behind its end is read by nobody, as on a socket.
        if self.core.wsis.get(child).is_some_and(|wsi| wsi.state() == WsiState::Open) {
            self.take_in(child, piece, scratch);
            self.core.ws_leave_if_idle(child);
        }
    }

    /// A websocket has something to do without a word from its peer: give out what was held back, hear of the end, or end
    /// its own side.
    pub(super) fn h2_serve_ws(&mut self, id: WsiId, child: WsiId) {
        self.with_scratch(|context, scratch| context.h2_serve_ws_with(child, scratch));
        let Some(wsi) = self.core.wsis.get(child) else { return };
        let (state, is_off) = (wsi.state(), wsi.flags.has(Flags::RX_FLOW_OFF));
        if state == WsiState::Flushing {
            self.core.wsi_request_flush(child);
        }
        if is_off {
            return self.core.h2_refill_credit(id, child);
        }
        let Some(h2) = self.core.h2_mut(id) else { return };
        if let Some(stream) = h2.stream_of(child) {
            h2.engine.release_credit(stream);
            self.core.h2_flush(id);
        }
    }

    fn h2_serve_ws_with(&mut self, child: WsiId, scratch: &mut Scratch) {
        let is_open = |core: &Core| core.wsis.get(child).is_some_and(|wsi| wsi.state() == WsiState::Open);
        if !self.settle() {
            return self.core.schedule(child);
        }
        if !is_open(&self.core) || !self.feed_rest(child, scratch) {
            return;
        }
        if !self.settle() {
            return self.core.schedule(child);
        }
        let Some(wsi) = self.core.wsis.get(child).filter(|wsi| wsi.state() == WsiState::Open) else { return };
        if wsi.flags.has(Flags::EOF) && !wsi.is_rx_paused() {
            return self.role_eof(child, scratch);
        }
        self.core.ws_leave_if_idle(child);
    }

    /// What a websocket has to send: frames that wait, then payload that its user is asked for, at last its end.
    pub(super) fn h2_ws_turn(&mut self, id: WsiId, child: WsiId, room: usize, tx: &mut Tx<'_>) -> TxFlow {
        let is_framed = self.core.h2_ws_framed(child, room, tx);
        if let Some(h2) = self.core.h2_mut(id) {
            h2.tunnels.is_framed = is_framed;
        }
        if is_framed {
            return TxFlow::Send;
        }
        let Some(wsi) = self.core.wsis.get_mut(child) else { return TxFlow::DontSend };
        if wsi.state() != WsiState::Open || !wsi.flags.has(Flags::WANT_TX) {
            return TxFlow::DontSend;
        }
        wsi.flags.clear(Flags::WANT_TX);
        tx.narrow(if room > PREFIX_MOST { room - PREFIX_MOST } else { SMALL });
        let flow = self.ask_tx(child, tx);
        if flow == TxFlow::DontSend {
            self.core.ws_leave_if_idle(child);
        }
        flow
    }
}
