//! Sinks: streams of a `local_sink` type end at another stream of the same context, and not at the network.
//!
//! A source joins the sink of its type; the sink's handler accepts it as a server's would, and the stream that is accepted
//! is its peer: what one sends, the other receives.

use super::server::Server;
use super::stream::{Doing, SecureStream};
use super::{RxFlags, StreamHandler, StreamId, StreamKind, StreamState, TxState};
use crate::cause::Cause;
use crate::context::{Core, Effect, Newborn};
use crate::error::Error;
use std::rc::Rc;

impl Core {
    /// Makes `handler` the sink of a stream type.
    pub(crate) fn register_sink(
        &mut self,
        name: &str,
        handler: Box<dyn StreamHandler>,
    ) -> Result<StreamId, Error> {
        let stream_type = self.find_stream_type(name)?;
        if !stream_type.local_sink {
            return Err(Error::WrongKind("only a stream type with local_sink can have a sink"));
        }
        if self.sink_of(name).is_some() {
            return Err(Error::WrongKind("the stream type has a sink already"));
        }
        let mut stream = SecureStream::new(stream_type, StreamKind::Sink);
        stream.server = Some(Box::new(Server::sink()));
        let id = self.streams.insert(stream);
        self.sinks.insert(name.into(), id);
        self.newborn.push(Newborn::Stream(id, handler));
        self.begin_life(id);
        Ok(id)
    }

    fn sink_of(&self, name: &str) -> Option<StreamId> {
        self.sinks.get(name).copied().filter(|sink| self.live(*sink).is_ok())
    }

    /// The sink that a source has to ask, while it still waits to join. Without one, the attempt has failed; one that has
    /// not heard of itself yet is asked in the next turn.
    pub(crate) fn sink_for(&mut self, source: StreamId) -> Option<StreamId> {
        let stream = self.live(source).ok().filter(|stream| stream.doing == Doing::Attempting)?;
        let sink = self.sink_of(&stream.stream_type.name);
        match sink {
            Some(sink) if !self.live(sink).is_ok_and(SecureStream::is_created) => {
                self.later.push(Effect::JoinSink(source));
                return None;
            }
            Some(_) => {}
            None => self.attempt_failed(source, Cause::policy("no sink is registered for its type"), None),
        }
        sink
    }

    /// What the sink has made of a source that wants to join.
    pub(crate) fn sink_answered(
        &mut self,
        source: StreamId,
        sink: StreamId,
        handler: Option<Box<dyn StreamHandler>>,
    ) {
        let Ok(stream) = self.live(source) else { return };
        if stream.doing != Doing::Attempting {
            return;
        }
        let stream_type = Rc::clone(&stream.stream_type);
        let Some(handler) = handler.filter(|_| self.live(sink).is_ok()) else {
            return self.attempt_failed(source, Cause::policy("the sink turns it away"), None);
        };
        let mut accepted = SecureStream::new(stream_type, StreamKind::Accepted);
        accepted.parent = Some(sink);
        accepted.peer = Some(source);
        accepted.doing = Doing::Connected;
        let accepted = self.streams.insert(accepted);
        if let Some(server) = self.streams.get_mut(sink).and_then(|sink| sink.server.as_mut()) {
            server.accepted.insert(accepted, ());
        }
        self.newborn.push(Newborn::Stream(accepted, handler));
        self.tell(sink, StreamState::SinkJoin);
        for state in [StreamState::Creating, StreamState::Connecting, StreamState::Connected] {
            self.tell(accepted, state);
        }
        let Ok(stream) = self.live_mut(source) else { return };
        stream.peer = Some(accepted);
        stream.peer_rx_off = false;
        let wants_tx = stream.wants_tx;
        self.stream_connected(source);
        if wants_tx {
            self.request_peer_tx(source);
        }
    }

    /// A tx callback of a stream whose peer is a stream.
    pub(crate) fn request_peer_tx(&mut self, id: StreamId) {
        let Ok(stream) = self.live_mut(id) else { return };
        if stream.peer.is_some() && !std::mem::replace(&mut stream.peer_tx_asked, true) {
            self.ask_peer_tx(id);
        }
    }

    /// What goes from stream to stream takes no time: when the turn has seen enough of it, the rest has the next.
    fn ask_peer_tx(&mut self, id: StreamId) {
        match self.peer_pieces_left.checked_sub(1) {
            Some(left) => {
                self.peer_pieces_left = left;
                self.effects.push_back(Effect::PeerTx(id));
            }
            None => self.later.push(Effect::PeerTx(id)),
        }
    }

    /// Stops and resumes what the peer of `id` may send to it.
    pub(crate) fn set_peer_flow(&mut self, id: StreamId, on: bool) {
        let Ok(stream) = self.live_mut(id) else { return };
        stream.peer_rx_off = !on;
        let Some(peer) = stream.peer.filter(|_| on) else { return };
        if self.live(peer).is_ok_and(|peer| peer.wants_tx) {
            self.request_peer_tx(peer);
        }
    }

    /// A piece of a message has gone from `id` to its peer: whether it is the first, and whether the last.
    pub(crate) fn peer_sent(&mut self, id: StreamId, sent: TxState) -> RxFlags {
        let Ok(stream) = self.live_mut(id) else { return RxFlags::default() };
        let left = stream.txn.tx_len.map(|left| left.saturating_sub(sent.len as u64));
        let is_som = !stream.txn.tx_begun;
        let is_eom = sent.is_eom || left == Some(0);
        stream.txn.tx_begun = !is_eom;
        stream.txn.tx_len = left.filter(|_| !is_eom);
        stream.ordinal = stream.ordinal.wrapping_add(u32::from(is_eom));
        RxFlags::new(is_som, is_eom)
    }

    /// Two streams that were joined are no longer; what was accepted goes with that.
    pub(crate) fn part(&mut self, id: StreamId, peer: StreamId, why: [Cause; 2]) {
        for (id, why) in [id, peer].into_iter().zip(why) {
            let Some(stream) = self.streams.get_mut(id) else { continue };
            stream.peer = None;
            if stream.is_dying() {
                continue;
            }
            stream.cause = Some(Box::new(why));
            if stream.kind() == StreamKind::Accepted {
                let _ = self.destroy(id);
            } else if stream.doing == Doing::Connected {
                self.disconnected(id);
            }
        }
    }
}
