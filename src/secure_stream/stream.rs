//! The row of a secure stream: what it is, where it stands, and what it has in hand. Creating and destroying.

use super::endpoint::Endpoint;
use super::metadata::Metadata;
use super::server::Server;
use super::transaction::Transaction;
use super::{StreamHandler, StreamId, StreamInfo, StreamKind, StreamState};
use crate::cause::Cause;
use crate::context::{Core, Effect, Newborn, SulId};
use crate::error::Error;
use crate::plat::Us;
use crate::policy::StreamType;
use crate::wsi::WsiId;
use std::rc::Rc;

/// What a stream is doing; the states that its handler is told are what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    /// Nothing, until it is asked.
    Idle,
    /// Connecting, up to CONNECTED.
    Attempting,
    /// The transport can carry payload.
    Connected,
    /// Waiting to try again.
    BackingOff,
}

/// What a timer of a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamTimer {
    /// The backoff is over.
    Retry,
    /// The application's own.
    Timeout,
}

/// One secure stream.
#[derive(Debug)]
pub(crate) struct SecureStream {
    pub(crate) stream_type: Rc<StreamType>,
    kind: StreamKind,
    /// The last state that was told and that lasts.
    state: Option<StreamState>,
    pub(crate) doing: Doing,
    dying: bool,
    /// The application wants a tx callback, and there was no connection to ask.
    pub(crate) wants_tx: bool,
    /// Failed attempts since the last CONNECTED, or since the application asked.
    pub(crate) retry: u16,
    /// Who asks for tx gets no attempt before this: the moment after the last one began, or later if that was of no use.
    pub(crate) not_before: Us,
    /// The peer has closed the last connection without a word.
    pub(crate) is_mute: bool,
    /// Transactions so far.
    pub(crate) ordinal: u32,
    /// What the peer may send in each transaction before the application grants more; 0 leaves that to the library.
    pub(crate) manual_tx_credit: u32,
    /// How websockets may be compressed, where the application says so; of a server, those that it accepts.
    #[cfg(feature = "ws")]
    pub(crate) ws_deflate: Option<crate::WsDeflate>,
    pub(crate) wsi: Option<WsiId>,
    pub(crate) timers: [Option<SulId>; 2],
    pub(crate) metadata: Metadata,
    pub(crate) txn: Transaction,
    /// Where the last attempt led; kept while no metadata can change it.
    pub(crate) endpoint: Option<Rc<Endpoint>>,
    /// What the last request was for, where cookies are kept.
    #[cfg(feature = "h1")]
    pub(super) asked: Option<Box<super::transport::Asked>>,
    pub(crate) cause: Option<Box<Cause>>,
    pub(crate) server: Option<Box<Server>>,
    /// The server, or the sink, that accepted this stream.
    pub(crate) parent: Option<StreamId>,
    /// The other end, where that is a stream: a sink's and its source's.
    pub(crate) peer: Option<StreamId>,
    /// A tx callback for the peer is in the queue.
    pub(crate) peer_tx_asked: bool,
    /// The peer may not send now.
    pub(crate) peer_rx_off: bool,
}

impl SecureStream {
    pub(crate) fn new(stream_type: Rc<StreamType>, kind: StreamKind) -> Self {
        Self {
            stream_type,
            kind,
            state: None,
            doing: Doing::Idle,
            dying: false,
            wants_tx: false,
            retry: 0,
            not_before: Us::from_us(0),
            is_mute: false,
            ordinal: 0,
            manual_tx_credit: 0,
            #[cfg(feature = "ws")]
            ws_deflate: None,
            wsi: None,
            timers: [None; 2],
            metadata: Metadata::default(),
            txn: Transaction::default(),
            endpoint: None,
            #[cfg(feature = "h1")]
            asked: None,
            cause: None,
            server: None,
            parent: None,
            peer: None,
            peer_tx_asked: false,
            peer_rx_off: false,
        }
    }

    /// The only writer of the state. False when the table forbids it: then nothing has changed.
    pub(crate) fn enter(&mut self, id: StreamId, next: StreamState) -> bool {
        let legal = self.kind.permits(self.state, next);
        debug_assert!(legal, "{id} {}: {:?} -> {next:?}", self.stream_type.name, self.state);
        if !legal {
            log::error!(target: "millstream::stream", "{id}: {next} may not follow {:?}", self.state);
            return false;
        }
        match self.state {
            Some(old) => {
                log::debug!(target: "millstream::stream", "{id} {}: {old} -> {next}", self.stream_type.name);
            }
            None => log::debug!(target: "millstream::stream", "{id} {}: {next}", self.stream_type.name),
        }
        self.state = next.settled(self.state);
        true
    }

    pub(crate) fn state(&self) -> Option<StreamState> {
        self.state
    }

    pub(crate) fn kind(&self) -> StreamKind {
        self.kind
    }

    pub(crate) fn is_dying(&self) -> bool {
        self.dying
    }

    pub(crate) fn is_created(&self) -> bool {
        self.state.is_some()
    }

    /// The handler has been told CONNECTED, and not that it is over.
    pub(crate) fn is_connected_told(&self) -> bool {
        self.state.is_some_and(StreamState::is_connected)
    }

    /// It accepts streams.
    pub(crate) fn is_server(&self) -> bool {
        self.server.is_some()
    }
}

impl Core {
    /// The row of a stream that has not been destroyed.
    pub(crate) fn live(&self, id: StreamId) -> Result<&SecureStream, Error> {
        match self.streams.get(id) {
            Some(stream) if !stream.dying => Ok(stream),
            _ => Err(Error::Stale),
        }
    }

    pub(crate) fn live_mut(&mut self, id: StreamId) -> Result<&mut SecureStream, Error> {
        match self.streams.get_mut(id) {
            Some(stream) if !stream.dying => Ok(stream),
            _ => Err(Error::Stale),
        }
    }

    /// Lets a stream's handler know of a state, when its turn comes.
    pub(crate) fn tell(&mut self, id: StreamId, state: StreamState) {
        let ack = self.streams.get(id).map_or(0, |stream| stream.ordinal);
        self.effects.push_back(Effect::State(id, state, ack));
    }

    /// Somebody has woken the loop: client streams may be waiting for just that.
    pub(crate) fn tell_woken(&mut self) {
        let clients = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.kind == StreamKind::Client && !stream.dying && stream.is_created());
        for (id, _) in clients {
            self.effects.push_back(Effect::State(id, StreamState::EventWaitCancelled, 0));
        }
    }

    pub(super) fn find_stream_type(&self, name: &str) -> Result<Rc<StreamType>, Error> {
        if let Some(stream_type) = self.policy.stream_type(name) {
            return Ok(Rc::clone(stream_type));
        }
        let names = self.policy.stream_types().map(|stream_type| stream_type.name.as_str());
        let nearest = crate::policy::nearest(name, names);
        Err(Error::UnknownStreamType { name: name.to_owned(), nearest })
    }

    pub(crate) fn create(
        &mut self,
        info: StreamInfo<'_>,
        handler: Box<dyn StreamHandler>,
    ) -> Result<StreamId, Error> {
        let stream_type = self.find_stream_type(info.streamtype)?;
        super::transport::check(&stream_type)?;
        let kind = if stream_type.server { StreamKind::Server } else { StreamKind::Client };
        // A source joins its sink at once, as in lws.
        let at_once = (stream_type.nailed_up || stream_type.local_sink) && kind == StreamKind::Client;
        let mut stream = SecureStream::new(Rc::clone(&stream_type), kind);
        stream.manual_tx_credit = info.manual_initial_tx_credit;
        #[cfg(feature = "ws")]
        {
            stream.ws_deflate = info.ws_deflate;
        }
        let id = self.streams.insert(stream);
        if kind == StreamKind::Server
            && let Err(error) = self.serve_stream(id, &stream_type)
        {
            self.streams.remove(id);
            return Err(error);
        }
        self.newborn.push(Newborn::Stream(id, handler));
        self.begin_life(id);
        if at_once {
            self.ask(id, Effect::Connect(id));
        }
        Ok(id)
    }

    pub(crate) fn destroy(&mut self, id: StreamId) -> Result<(), Error> {
        self.live_mut(id)?.dying = true;
        self.ask(id, Effect::Destroy(id));
        Ok(())
    }

    /// A stream that user code has made hears that it exists, now or in a later turn.
    pub(super) fn begin_life(&mut self, id: StreamId) {
        let creating = Effect::State(id, StreamState::Creating, 0);
        match self.lives_left.checked_sub(1) {
            Some(left) => {
                self.lives_left = left;
                self.effects.push_back(creating);
            }
            None => self.later.push(creating),
        }
    }

    /// What a stream is asked for. One that may still have to wait for its CREATING hears nothing before.
    pub(super) fn ask(&mut self, id: StreamId, effect: Effect) {
        let is_created = self.streams.get(id).is_some_and(SecureStream::is_created);
        if is_created || self.later.is_empty() {
            self.effects.push_back(effect);
        } else {
            self.later.push(effect);
        }
    }

    /// What a stream waits to hear comes in this turn after all.
    #[cfg(feature = "raw")]
    pub(super) fn ask_now(&mut self, id: StreamId) {
        let is_of = |effect: &mut Effect| match effect {
            Effect::State(of, ..) | Effect::Connect(of) | Effect::Poll(of) => *of == id,
            _ => false,
        };
        self.effects.extend(self.later.extract_if(.., is_of));
    }

    /// The row goes, with its timers and its connection.
    pub(crate) fn stream_remove(&mut self, id: StreamId) {
        let Some(stream) = self.streams.remove(id) else { return };
        if stream.kind == StreamKind::Accepted {
            self.spare_metadata.take_back(stream.metadata);
        }
        for sul in stream.timers.into_iter().flatten() {
            self.suls.cancel(sul);
        }
        if let Some(wsi) = stream.wsi {
            self.unbind_stream(wsi);
        }
        if let Some(peer) = stream.peer {
            self.part(id, peer, [Cause::by_us(), Cause::by_peer()]);
        }
        if let Some(server) = &stream.server {
            self.stop_serving(server);
        }
        if stream.kind == StreamKind::Sink {
            self.sinks.retain(|_, sink| *sink != id);
        }
        let Some(parent) = stream.parent else { return };
        let Some(row) = self.streams.get_mut(parent) else { return };
        if let Some(server) = &mut row.server {
            server.accepted.remove(id);
        }
        if row.kind == StreamKind::Sink && !row.dying {
            self.tell(parent, StreamState::SinkPart);
        }
    }

    /// The streams that a server has accepted; none for other streams.
    pub(crate) fn accepted_streams(&self, id: StreamId) -> Vec<StreamId> {
        let server = self.streams.get(id).and_then(|stream| stream.server.as_ref());
        server.map(|server| server.accepted.ids_in_order()).unwrap_or_default()
    }
}
