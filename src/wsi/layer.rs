//! Connections whose bytes are the payload of another's: MQTT over WebSockets (MQTT 5, 6). There are two rows. The upper one has
//! a role and users as ever, and no socket; the lower one is a client connection like any other, and the upper one is its
//! user: it takes what is received, and gives what is sent. Nothing else tells either that the other is there.

use super::{Binding, ClientInfo, ClientRole, Flags, Validity, Wsi, WsiId, WsiState};
use crate::cause::{Cause, Phase};
use crate::context::{Context, Core, WsiEvent};
use crate::http::Head;
use crate::role::{Role, WsInfo};
use crate::secure_stream::{Tx, TxFlow};
use std::rc::Rc;

/// The websocket that a connection of another role goes through.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OverWs {
    /// What the request is for: the path, with its query.
    pub target: String,
    /// The Host header.
    pub host: String,
    /// Subprotocols, with commas between them. The server has to choose one of them ([MQTT-6.0.0-4]).
    pub protocols: String,
}

/// Room that is left in front of a payload for what the upper role puts there. More costs a copy.
const HEAD_ROOM: usize = 1024;

/// Payload that is worth asking for.
const LEAST: usize = 1024;

impl Core {
    /// Makes a connection, and what carries it.
    pub(super) fn connect_over(&mut self, info: &Rc<ClientInfo>, binding: Binding) -> WsiId {
        let mut wsi = Wsi::new(None, Role::for_client(info.role), binding, WsiState::Connecting);
        // It can always be served: what it has to send waits for the other.
        wsi.flags.set(Flags::WRITABLE);
        wsi.rare().pool_key = Some(Rc::clone(info));
        let upper = self.wsis.insert(wsi);
        self.children += 1;
        // Signs of life are the upper role's to ask for.
        let below = ClientInfo {
            role: ClientRole::Ws,
            over_ws: None,
            mqtt: None,
            validity: Some(Validity::NEVER),
            ..(**info).clone()
        };
        let lower = self.client_connect(&Rc::new(below), Binding::Upper(upper), false);
        if let Some(wsi) = self.wsis.get_mut(upper) {
            wsi.rare().lower = Some(lower);
        }
        log::debug!(target: "millstream::wsi", "{upper}: goes through {lower}");
        upper
    }

    /// What carries this connection.
    pub(crate) fn lower(&self, upper: WsiId) -> Option<WsiId> {
        self.wsis.get(upper)?.rare.as_ref()?.lower
    }

    /// It carries another.
    pub(crate) fn is_lower(&self, id: WsiId) -> bool {
        matches!(self.wsis.get(id).map(|wsi| wsi.binding), Some(Binding::Upper(_)))
    }

    /// The upper row has gone, and what it went through has nobody any more.
    pub(super) fn leave_lower(&mut self, upper: WsiId, lower: WsiId) {
        self.children = self.children.saturating_sub(1);
        if let Some(wsi) = self.wsis.get_mut(lower).filter(|wsi| wsi.binding == Binding::Upper(upper)) {
            wsi.binding = Binding::None;
            self.close_flushed(lower, None);
        }
    }

    /// A connection to carry the other is up: it is asked to speak websocket.
    fn lower_established(&mut self, upper: WsiId, lower: WsiId) {
        let info = self.wsis.get(upper).and_then(|wsi| wsi.rare.as_ref()?.pool_key.clone());
        let Some(over) = info.as_ref().and_then(|info| info.over_ws.as_deref()) else { return };
        let terms = WsInfo { protocols: &over.protocols, is_binary: true, ..WsInfo::default() };
        let (target, host) = (over.target.as_bytes(), over.host.as_bytes());
        if let Err(error) = self.ws_request(lower, target, host, std::iter::empty(), &terms) {
            self.close(upper, Some(Cause::policy(&error.to_string())));
        }
    }

    /// The server grants it, or does not.
    fn lower_answered(&mut self, upper: WsiId, lower: WsiId, head: &Head) {
        let Some(status) = head.status() else { return };
        if !self.speaks_ws(lower) {
            if !status.is_informational() {
                self.close(upper, Some(Cause::http_status(status.code())));
            }
            return;
        }
        if head.get("sec-websocket-protocol").is_none() {
            let why = "the server speaks websocket, and none of the subprotocols that it was asked for";
            return self.close(upper, Some(Cause::protocol(why)));
        }
        let Some(wsi) = self.wsis.get_mut(upper).filter(|wsi| wsi.state() == WsiState::Connecting) else {
            return;
        };
        wsi.enter(upper, WsiState::Open);
        self.wsi_opened(upper);
    }
}

impl Context {
    /// What carries the other has something to tell.
    pub(crate) fn lower_event(&mut self, upper: WsiId, lower: WsiId, event: WsiEvent<'_>) {
        match event {
            WsiEvent::Established => self.core.lower_established(upper, lower),
            WsiEvent::Response(head) => self.core.lower_answered(upper, lower, head),
            WsiEvent::Message(bytes, _) => self.upper_received(upper, bytes),
            _ => {}
        }
    }

    /// A piece of a message, which may hold any part of the upper role's packets ([MQTT-6.0.0-2]).
    fn upper_received(&mut self, upper: WsiId, bytes: &[u8]) {
        let Some(wsi) = self.core.wsis.get_mut(upper).filter(|wsi| wsi.state() == WsiState::Open) else {
            return;
        };
        wsi.flags.set(Flags::GOT_RX);
        let is_new = wsi.rest.is_empty() && !wsi.is_rx_paused();
        let taken = if is_new { self.role_carried_input(upper, bytes) } else { 0 };
        let Some(wsi) = self.core.wsis.get_mut(upper).filter(|wsi| wsi.state() == WsiState::Open) else {
            return;
        };
        let left = bytes.get(taken..).unwrap_or_default();
        if !left.is_empty() {
            self.core.spares.lend(&mut wsi.rest);
            wsi.rest.extend_from_slice(left);
        }
        if !is_new {
            self.upper_take_rest(upper);
        }
        self.core.hold_lower(upper);
    }

    /// What was received and not taken before.
    fn upper_take_rest(&mut self, upper: WsiId) {
        let Some(wsi) = self.core.wsis.get_mut(upper) else { return };
        if wsi.is_rx_paused() || (wsi.rest.is_empty() && !wsi.role.has_event()) {
            return;
        }
        let mut rest = std::mem::take(&mut wsi.rest);
        let taken = self.role_carried_input(upper, &rest);
        rest.drain(..taken.min(rest.len()));
        match self.core.wsis.get_mut(upper) {
            Some(wsi) if !rest.is_empty() && wsi.state() == WsiState::Open => wsi.rest = rest,
            _ => self.core.spares.take_back(&mut rest),
        }
    }

    /// The upper one's turn: what it has not taken yet, and what it wants to send.
    pub(super) fn serve_upper(&mut self, upper: WsiId, lower: WsiId) {
        self.upper_take_rest(upper);
        self.core.hold_lower(upper);
        let Some(wsi) = self.core.wsis.get(upper) else { return };
        if wsi.state() == WsiState::Flushing && wsi.front.is_empty() {
            return self.core.remove(upper);
        }
        self.core.upper_goes_on(upper, lower);
    }

    /// The lower one can send: what stands in front above, or else payload and what the role puts in front of that.
    pub(crate) fn lower_tx(&mut self, upper: WsiId, lower: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        self.core.role_progress(upper);
        self.core.upper_write_front(upper, tx);
        let Some(wsi) = self.core.wsis.get_mut(upper) else { return TxFlow::DontSend };
        wsi.flags.clear(Flags::WANT_FLUSH);
        let is_asked = wsi.flags.has(Flags::WANT_TX) && wsi.state() == WsiState::Open;
        if is_asked && wsi.front.is_empty() && tx.room() >= HEAD_ROOM + LEAST {
            wsi.flags.clear(Flags::WANT_TX);
            let (flow, payload) = tx.behind(HEAD_ROOM, |tx| self.role_carrier_tx(upper, tx));
            if flow == TxFlow::Send {
                self.core.upper_frame(upper, tx, payload.len);
                self.role_carried_sent(upper);
            } else {
                self.core.upper_write_front(upper, tx);
            }
        }
        self.core.upper_goes_on(upper, lower);
        let is_open = self.core.wsis.get(lower).is_some_and(|wsi| wsi.state() == WsiState::Open);
        if tx.is_empty() || !is_open {
            return TxFlow::DontSend;
        }
        tx.end_message();
        TxFlow::Send
    }
}

impl Core {
    /// While the upper one takes nothing, nothing is read for it.
    fn hold_lower(&mut self, upper: WsiId) {
        let Some(wsi) = self.wsis.get(upper) else { return };
        let (is_paused, Some(lower)) = (wsi.is_rx_paused(), self.lower(upper)) else { return };
        let Some(wsi) = self.wsis.get(lower) else { return };
        if is_paused != wsi.flags.has(Flags::RX_FLOW_OFF) && wsi.state() == WsiState::Open {
            self.set_rx_flow(lower, !is_paused);
        }
    }

    /// Asks for the way out if there is something to send. What only waited for that is told that it is done.
    fn upper_goes_on(&mut self, upper: WsiId, lower: WsiId) {
        let Some(wsi) = self.wsis.get(upper) else { return };
        if !wsi.front.is_empty() || wsi.flags.any(Flags::WANT_TX | Flags::WANT_FLUSH) {
            self.wsi_request_tx(lower);
        } else if wsi.state() == WsiState::Flushing {
            self.schedule(upper);
        }
    }

    fn upper_write_front(&mut self, upper: WsiId, tx: &mut Tx<'_>) {
        let Some(wsi) = self.wsis.get_mut(upper) else { return };
        let written = tx.write(&wsi.front);
        wsi.front.drain(..written);
        if wsi.front.is_empty() {
            self.spares.take_back(&mut wsi.front);
        }
    }

    /// Puts what stands in front of a payload there, and closes the gap.
    fn upper_frame(&mut self, upper: WsiId, tx: &mut Tx<'_>, len: usize) {
        self.role_carried_written(upper, len);
        let Some(wsi) = self.wsis.get_mut(upper) else { return };
        if !tx.fill_gap(HEAD_ROOM, &wsi.front, len) {
            // A head beyond all expectation: the payload waits behind it for the next turns.
            tx.peek_behind(HEAD_ROOM, len, |payload| wsi.front.extend_from_slice(payload));
            return self.upper_write_front(upper, tx);
        }
        self.spares.take_back(&mut wsi.front);
    }

    /// The server has closed the websocket, or it came to nothing.
    pub(crate) fn lower_closed(&mut self, upper: WsiId, cause: Option<Cause>) {
        if let Some(wsi) = self.wsis.get_mut(upper) {
            wsi.rare().lower = None;
            self.children = self.children.saturating_sub(1);
            self.close(upper, cause.or_else(|| Some(Cause::closed(Phase::Established))));
        }
    }
}
