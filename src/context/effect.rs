//! Effects: what is asked for in one place and ends in user code. They wait in a queue and run one after the other,
//! first asked first done. This is the only file that calls user code.

use super::observe::{LatencyKind, us};
use super::scratch::{RX_SIZE, TX_SIZE};
use super::{Call, Context, Core, Cx, Handlers, Newborn};
use crate::cause::Cause;
use crate::http::Head;
use crate::secure_stream::{Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow, TxState};
use crate::system::Step;
use crate::vhost::VhostUser;
use crate::wsi::{Binding, Flags, Protocol, WsiId};
use std::net::SocketAddr;

/// Something that waits for its turn to reach user code.
pub(crate) enum Effect {
    /// A stream has come to a state.
    State(StreamId, StreamState, u32),
    /// The peer has refused a stream's message, or lost it.
    #[cfg(feature = "mqtt")]
    Nack(StreamId, u32, Cause),
    /// A stream was asked to connect.
    Connect(StreamId),
    /// An idle stream was asked for tx.
    Poll(StreamId),
    /// A stream's handler wants its connection closed.
    Disconnect(StreamId),
    /// A stream was destroyed: it says its goodbyes.
    Destroy(StreamId),
    /// A client connection is ready for its user.
    Established(WsiId),
    /// A server connection is up: somebody has to take it.
    Accept(WsiId),
    /// A connection is gone.
    Closed { wsi: WsiId, binding: Binding, cause: Option<Cause>, flags: Flags },
    /// A stream that waited to share the connection `from` has `to` for itself, or makes one.
    FellBack { stream: StreamId, from: WsiId, to: Option<WsiId> },
    /// User code wants its connection closed.
    CloseWsi(WsiId),
    /// User code is asked to provoke a sign of life.
    Ping(WsiId),
    /// User code is done with its connection.
    Released(WsiId),
    /// The resolver has something to do, or to tell.
    Names,
    /// A source asks the sink of its type.
    JoinSink(StreamId),
    /// A stream whose peer is a stream may send.
    PeerTx(StreamId),
    /// The system state goes a step on, if the notifiers let it.
    SystemStep,
    /// A stream is told how its connection performs.
    Performance(StreamId),
    /// A closure whose time has come.
    Call(Call),
}

/// What a connection has to tell to whomever it serves.
#[derive(Debug, Clone, Copy)]
pub(crate) enum WsiEvent<'a> {
    Established,
    Request(&'a Head),
    Response(&'a Head),
    Rx(&'a [u8]),
    Datagram(SocketAddr, &'a [u8]),
    /// A piece of a message, where the role has messages.
    Message(&'a [u8], RxFlags),
    End(&'a Head),
    /// The peer of a raw connection will send nothing more.
    HalfClosed,
    #[cfg(feature = "mqtt")]
    Mqtt(crate::role::MqttEvent<'a>),
}

impl Context {
    /// Delivers what is queued, and what that leads to. False when the turn has had its share and something is left:
    /// then nothing else may reach user code before the next turn.
    pub(crate) fn settle(&mut self) -> bool {
        self.is_settled() || self.deliver_all()
    }

    /// Asked many times for each message, and most often there is nothing.
    fn is_settled(&self) -> bool {
        self.core.effects.is_empty() && !self.has_newborn() && self.core.latencies.records.is_empty()
    }

    fn has_newborn(&self) -> bool {
        !self.core.newborn.is_empty() || !self.core.dead_vhosts.is_empty()
    }

    fn deliver_all(&mut self) -> bool {
        while let Some(effect) = self.core.effects.pop_front() {
            if self.core.effects_left == 0 {
                self.core.effects.push_front(effect);
                return false;
            }
            self.core.effects_left -= 1;
            self.adopt();
            self.deliver(effect);
        }
        self.adopt();
        self.tell_latencies();
        true
    }

    fn tell_latencies(&mut self) {
        if let Some(sink) = &mut self.handlers.latency {
            self.core.latencies.records.drain(..).for_each(|latency| sink(&latency));
        }
    }

    /// Handlers that came with a callback take their places, in the order in which they were given. Those they replace
    /// are dropped here, outside of any call.
    fn adopt(&mut self) {
        if self.has_newborn() {
            self.adopt_all();
        }
    }

    fn adopt_all(&mut self) {
        for newborn in self.core.newborn.drain(..) {
            match newborn {
                Newborn::Stream(id, handler) if self.core.streams.get(id).is_some() => {
                    self.handlers.streams.insert(id, handler);
                }
                Newborn::Protocol(id, handler) if self.core.wsis.get(id).is_some() => {
                    // The row's last user may still have to hear that it is closed.
                    let last = self.handlers.protocols.insert(id, handler);
                    self.handlers.orphans.extend(last);
                }
                // That it is closed waits to be told.
                Newborn::Protocol(id, handler) => self.handlers.orphans.push((id, handler)),
                Newborn::Acceptor(id, handler) if self.core.vhosts.get(id).is_some() => {
                    self.handlers.acceptors.insert(id, handler);
                }
                _ => {}
            }
        }
        while let Some(vhost) = self.core.dead_vhosts.pop() {
            drop(self.handlers.acceptors.remove(vhost));
        }
    }

    fn deliver(&mut self, effect: Effect) {
        match effect {
            Effect::State(id, state, ack) => self.deliver_state(id, state, ack),
            #[cfg(feature = "mqtt")]
            Effect::Nack(id, ordinal, cause) => {
                if let Some(stream) = self.core.streams.get_mut(id) {
                    stream.cause = Some(Box::new(cause));
                }
                self.deliver_state(id, StreamState::QosNackRemote, ordinal);
            }
            Effect::Connect(id) => self.core.stream_connect(id),
            Effect::Poll(id) => self.core.stream_poll(id),
            Effect::Disconnect(id) => self.core.stream_disconnect(id),
            Effect::Destroy(id) => self.destroy_now(id),
            Effect::Established(id) => self.wsi_event(id, WsiEvent::Established),
            Effect::Accept(id) => self.accept(id),
            Effect::Closed { wsi, binding: Binding::Stream(id), cause, flags } => {
                self.core.stream_closed(id, wsi, cause, flags);
            }
            Effect::Closed { wsi, binding: Binding::Protocol, cause, .. } => {
                if let Some(mut protocol) = self.handlers.take_protocol(wsi) {
                    protocol.closed(&mut self.core.enter_user(), wsi, cause.as_ref());
                }
            }
            Effect::Closed { wsi, binding: Binding::Names, .. } => self.core.dns_closed(wsi),
            #[cfg(all(feature = "mqtt", feature = "ws"))]
            Effect::Closed { binding: Binding::Upper(upper), cause, .. } => {
                self.core.lower_closed(upper, cause);
            }
            Effect::Closed { wsi, binding: Binding::Carrier, cause, .. } => {
                self.core.carrier_closed(wsi, cause.as_ref());
            }
            Effect::Closed { .. } => {}
            Effect::FellBack { stream, from, to } => self.core.stream_fell_back(stream, from, to),
            Effect::CloseWsi(id) => self.core.close_flushed(id, None),
            Effect::Ping(id) => {
                if let Some(protocol) = self.handlers.protocols.get_mut(id) {
                    protocol.ping(&mut self.core.enter_user(), id);
                }
            }
            Effect::Released(id) => {
                self.core.release(id);
                drop(self.handlers.protocols.remove(id));
            }
            Effect::Names => self.core.serve_names(),
            Effect::JoinSink(id) => self.join_sink(id),
            Effect::PeerTx(id) => self.peer_tx(id),
            Effect::Performance(id) => self.tell_performance(id),
            Effect::SystemStep => self.system_step(),
            Effect::Call(call) => call(&mut self.core.enter_user()),
        }
    }

    /// A state that the table lets follow reaches the handler; one that it does not is a bug of ours, and is not
    /// passed on.
    fn deliver_state(&mut self, id: StreamId, state: StreamState, ack: u32) {
        let Some(stream) = self.core.streams.get_mut(id) else { return };
        if stream.is_dying() && state != StreamState::Creating {
            return;
        }
        if !stream.enter(id, state) {
            self.core.illegal_states += 1;
            return;
        }
        let flow = self.call_stream(id, |handler, cx| handler.state(cx, id, state, ack));
        self.core.follow(id, flow);
    }

    fn call_stream<R>(
        &mut self,
        id: StreamId,
        call: impl FnOnce(&mut dyn StreamHandler, &mut Cx<'_>) -> R,
    ) -> Option<R> {
        let handler = self.handlers.streams.get_mut(id)?;
        Some(call(&mut **handler, &mut self.core.enter_user()))
    }

    /// Payload for a stream's handler. The caller has settled before.
    pub(crate) fn call_rx(&mut self, id: StreamId, payload: &[u8], flags: RxFlags) {
        if let Ok(stream) = self.core.live_mut(id) {
            (stream.txn.exchanged, stream.txn.heard) = (true, true);
            let flow = self.call_stream(id, |handler, cx| handler.rx(cx, id, payload, flags));
            self.core.follow(id, flow);
        }
    }

    pub(crate) fn call_tx(&mut self, id: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let flow = self.call_stream(id, |handler, cx| handler.tx(cx, id, tx));
        self.after_tx(id, flow.unwrap_or(TxFlow::DontSend))
    }

    #[cfg(feature = "mqtt")]
    pub(crate) fn call_resend(&mut self, id: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let flow = self.call_stream(id, |handler, cx| handler.resend(cx, id, tx));
        self.after_tx(id, flow.unwrap_or(TxFlow::DontSend))
    }

    fn after_tx(&mut self, id: StreamId, flow: TxFlow) -> TxFlow {
        self.adopt();
        match flow {
            TxFlow::DisconnectMe => self.core.effects.push_back(Effect::Disconnect(id)),
            TxFlow::DestroyMe => drop(self.core.destroy(id)),
            TxFlow::Send => {
                if let Ok(stream) = self.core.live_mut(id) {
                    stream.txn.exchanged = true;
                }
            }
            TxFlow::DontSend => {}
        }
        flow
    }

    /// DISCONNECTED if it was CONNECTED, DESTROYING, then its timers, its connection, its handler. A server's accepted
    /// streams go before it.
    fn destroy_now(&mut self, id: StreamId) {
        for accepted in self.core.accepted_streams(id) {
            // It may have been asked to go already, and wait for its turn.
            let _ = self.core.destroy(accepted);
            self.core.stream_leaves(accepted);
            self.destroy_now(accepted);
        }
        for state in [StreamState::Creating, StreamState::Disconnected, StreamState::Destroying] {
            let Some(stream) = self.core.streams.get_mut(id) else { return };
            let is_due = match state {
                StreamState::Creating => !stream.is_created(),
                StreamState::Disconnected => stream.is_connected_told(),
                _ => true,
            };
            if is_due && stream.enter(id, state) {
                let _ = self.call_stream(id, |handler, cx| handler.state(cx, id, state, 0));
                self.adopt();
            }
        }
        self.core.stream_remove(id);
        drop(self.handlers.streams.remove(id));
    }

    /// Tells whomever a connection serves.
    pub(crate) fn wsi_event(&mut self, id: WsiId, event: WsiEvent<'_>) {
        let payload = match event {
            WsiEvent::Rx(payload) | WsiEvent::Message(payload, _) if self.core.latencies.is_on() => payload,
            _ => return self.wsi_event_now(id, event),
        };
        let before = self.core.plat.now();
        self.wsi_event_now(id, event);
        let took = us(self.core.plat.now().saturating_sub(before));
        self.core.latency_of_payload(LatencyKind::Read, 0, took, [payload.len(), RX_SIZE]);
    }

    fn wsi_event_now(&mut self, id: WsiId, event: WsiEvent<'_>) {
        let Some(wsi) = self.core.wsis.get(id) else { return };
        match wsi.binding {
            Binding::None | Binding::Attempt(_) => {}
            Binding::Names => match event {
                WsiEvent::Established => self.core.dns_connected(id),
                WsiEvent::Rx(bytes) | WsiEvent::Datagram(_, bytes) => self.core.dns_received(id, bytes),
                // An answer that has not come by now will not come.
                WsiEvent::HalfClosed => self.core.close(id, None),
                _ => {}
            },
            // Whatever comes now was not asked for (RFC 9112 9.2).
            Binding::Pooled => self.core.close(id, None),
            Binding::Carrier => {
                if matches!(event, WsiEvent::Established) {
                    self.core.role_started(id);
                }
            }
            #[cfg(all(feature = "mqtt", feature = "ws"))]
            Binding::Upper(upper) => self.lower_event(upper, id, event),
            Binding::Stream(stream) => self.stream_event(stream, id, event),
            Binding::Protocol => {
                let Some(protocol) = self.handlers.protocols.get_mut(id) else { return };
                let cx = &mut self.core.enter_user();
                let flow = match event {
                    WsiEvent::Established => protocol.established(cx, id),
                    WsiEvent::Request(head) => protocol.request(cx, id, head),
                    WsiEvent::Response(head) => protocol.response(cx, id, head),
                    WsiEvent::Rx(payload) => protocol.rx(cx, id, payload),
                    WsiEvent::Datagram(from, payload) => protocol.datagram(cx, id, from, payload),
                    WsiEvent::Message(payload, flags) => protocol.message(cx, id, payload, flags),
                    WsiEvent::End(trailers) => protocol.end(cx, id, trailers),
                    WsiEvent::HalfClosed => protocol.half_closed(cx, id),
                    #[cfg(feature = "mqtt")]
                    WsiEvent::Mqtt(event) => protocol.mqtt(cx, id, &event),
                };
                if flow != Flow::Ok {
                    self.core.effects.push_back(Effect::CloseWsi(id));
                }
            }
        }
    }

    /// Asks whomever a connection serves for payload.
    pub(crate) fn ask_tx(&mut self, id: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        let Some(wsi) = self.core.wsis.get(id) else { return TxFlow::DontSend };
        match wsi.binding {
            Binding::None | Binding::Attempt(_) | Binding::Pooled => TxFlow::DontSend,
            Binding::Names => self.core.dns_tx(id, tx),
            Binding::Carrier => self.role_carrier_tx(id, tx),
            #[cfg(all(feature = "mqtt", feature = "ws"))]
            Binding::Upper(upper) => self.lower_tx(upper, id, tx),
            Binding::Stream(stream) => self.stream_tx(stream, id, tx),
            Binding::Protocol => {
                let Some(protocol) = self.handlers.protocols.get_mut(id) else { return TxFlow::DontSend };
                let flow = protocol.writeable(&mut self.core.enter_user(), id, tx);
                self.adopt();
                if matches!(flow, TxFlow::DisconnectMe | TxFlow::DestroyMe) {
                    self.core.effects.push_back(Effect::CloseWsi(id));
                }
                flow
            }
        }
    }

    fn system_step(&mut self) {
        let Some(next) = self.core.system_step() else { return };
        for notifier in &mut self.handlers.notifiers.0 {
            if notifier(&mut self.core.enter_user(), next) == Step::Hold {
                return;
            }
        }
        self.core.system_enter(next);
    }

    /// Finds a user for an accepted connection.
    fn accept(&mut self, id: WsiId) {
        let Some(vhost) = self.core.wsis.get(id).and_then(|wsi| wsi.vhost) else { return };
        let user = self.core.vhosts.get(vhost).map(|vhost| vhost.user);
        let taken = match user {
            None | Some(VhostUser::Nobody) => false,
            Some(VhostUser::Protocol) => self.accept_protocol(id, vhost),
            Some(VhostUser::Stream(server)) => {
                let alive = self
                    .core
                    .streams
                    .get(server)
                    .is_some_and(|stream| stream.is_created() && !stream.is_dying());
                let handler =
                    alive.then(|| self.call_stream(server, |handler, cx| handler.accept(cx, server)));
                match handler.flatten().flatten() {
                    Some(handler) => self.core.stream_accepted(server, id, handler),
                    None => false,
                }
            }
        };
        self.adopt();
        if taken {
            self.core.role_accepted(id);
        } else {
            self.core.close(id, None);
        }
    }

    fn join_sink(&mut self, source: StreamId) {
        let Some(sink) = self.core.sink_for(source) else { return };
        let handler = self.call_stream(sink, |handler, cx| handler.accept(cx, sink)).flatten();
        self.adopt();
        self.core.sink_answered(source, sink, handler);
    }

    /// What one of two joined streams sends is what the other receives.
    fn peer_tx(&mut self, id: StreamId) {
        let Ok(stream) = self.core.live_mut(id) else { return };
        stream.peer_tx_asked = false;
        let (Some(peer), true) = (stream.peer, stream.wants_tx) else { return };
        let (is_som, left, ordinal) = (!stream.txn.tx_begun, stream.txn.tx_len, stream.ordinal);
        // Asked again when the peer listens again.
        if self.core.live(peer).is_ok_and(|peer| peer.peer_rx_off) {
            return;
        }
        if let Ok(stream) = self.core.live_mut(id) {
            stream.wants_tx = false;
        }
        let mut buffer = std::mem::take(&mut self.peer_payload);
        buffer.resize(TX_SIZE, 0);
        let mut state = TxState::default();
        let mut tx = Tx::new(&mut buffer, &mut state);
        tx.describe(left.unwrap_or(u64::MAX), is_som, ordinal);
        let flow = self.call_tx(id, &mut tx);
        if flow == TxFlow::Send && (state.len > 0 || state.is_eom) {
            let flags = self.core.peer_sent(id, state);
            self.call_rx(peer, buffer.get(..state.len).unwrap_or_default(), flags);
            self.adopt();
        }
        self.peer_payload = buffer;
    }

    fn accept_protocol(&mut self, id: WsiId, vhost: crate::vhost::VhostId) -> bool {
        let peer = self.core.with_socket(id).and_then(|wsi| wsi.rare.as_ref()?.peer.clone());
        let Some(acceptor) = self.handlers.acceptors.get_mut(vhost) else { return false };
        let Some(protocol) = acceptor.accept(&mut self.core.enter_user(), id, peer.as_ref()) else {
            return false;
        };
        let Some(wsi) = self.core.wsis.get_mut(id) else { return false };
        wsi.binding = Binding::Protocol;
        let last = self.handlers.protocols.insert(id, protocol);
        self.handlers.orphans.extend(last);
        self.core.effects.push_back(Effect::Established(id));
        true
    }
}

impl Handlers {
    fn take_protocol(&mut self, id: WsiId) -> Option<Box<dyn Protocol>> {
        let orphan = self.orphans.iter().position(|(orphan, _)| *orphan == id);
        match orphan {
            Some(orphan) => Some(self.orphans.swap_remove(orphan).1),
            None => self.protocols.remove(id),
        }
    }
}

impl Core {
    /// User code is about to be called: what it needs to call back.
    fn enter_user(&mut self) -> Cx<'_> {
        self.entered_user = true;
        self.counters.callbacks += 1;
        Cx { core: self }
    }

    /// What a handler's answer asks for, as if asked last.
    fn follow(&mut self, id: StreamId, flow: Option<Flow>) {
        match flow {
            None | Some(Flow::Ok) => {}
            Some(Flow::DisconnectMe) => self.effects.push_back(Effect::Disconnect(id)),
            Some(Flow::DestroyMe) => drop(self.destroy(id)),
        }
    }

    pub(crate) fn adopt_protocol(&mut self, id: WsiId, protocol: Box<dyn Protocol>) {
        self.newborn.push(Newborn::Protocol(id, protocol));
    }
}
