//! Transports: the only code that knows both secure streams and a role. One file each; here is which is whose.

#[cfg(feature = "h1")]
mod h1;
#[cfg(feature = "mqtt")]
mod mqtt;
#[cfg(feature = "raw")]
mod raw;
#[cfg(feature = "ws")]
mod ws;

#[cfg(feature = "h1")]
pub(super) use h1::{Asked, Incoming, Outgoing};

use super::endpoint::Endpoint;
use super::metadata::Metadata;
use super::stream::SecureStream;
use super::{StreamId, Tx, TxFlow};
use crate::cause::Cause;
use crate::context::{Context, Core, WsiEvent};
use crate::error::Error;
use crate::policy::{Protocol, StreamType};
use crate::wsi::WsiId;

/// Says no to a stream type that this build cannot carry, before a stream of it exists.
pub(super) fn check(stream_type: &StreamType) -> Result<(), Error> {
    let refuse = |why: String| Err(Error::Policy(format!("stream type {}: {why}", stream_type.name)));
    // Whatever else its policy says: it never comes to the network.
    if stream_type.local_sink && !stream_type.server {
        return Ok(());
    }
    match stream_type.protocol {
        #[cfg(feature = "h1")]
        Some(Protocol::H1) => h1::check(stream_type).or_else(|why| refuse(why.into()))?,
        #[cfg(feature = "h2")]
        Some(Protocol::H2) => h1::check(stream_type).or_else(|why| refuse(why.into()))?,
        #[cfg(feature = "mqtt")]
        Some(Protocol::Mqtt) => mqtt::check(stream_type).or_else(|why| refuse(why.into()))?,
        #[cfg(feature = "raw")]
        Some(Protocol::Raw) => {}
        #[cfg(feature = "ws")]
        Some(Protocol::Ws) => {}
        Some(other) => return refuse(format!("protocol {other} is not in this build")),
        None => return refuse("no protocol is given".into()),
    }
    if stream_type.local_sink {
        return refuse("a server cannot be the source of a sink".into());
    }
    if stream_type.tls && cfg!(not(feature = "tls")) {
        return refuse("tls needs the feature \"tls\", which is not in this build".into());
    }
    // A raw stream may live on sockets that it is given.
    let needs_endpoint = !stream_type.server && stream_type.protocol != Some(Protocol::Raw);
    if stream_type.endpoint.is_none() && needs_endpoint {
        return refuse("a client needs an endpoint".into());
    }
    Ok(())
}

/// What went out on a connection that was dead already can be sent again.
pub(super) fn is_repeatable(stream: &SecureStream) -> bool {
    match stream.stream_type.protocol {
        #[cfg(feature = "h1")]
        Some(Protocol::H1 | Protocol::H2) => h1::is_repeatable(stream),
        #[cfg(feature = "ws")]
        Some(Protocol::Ws) => ws::is_repeatable(stream),
        _ => false,
    }
}

impl Context {
    /// A connection that is bound to a stream has something to tell.
    pub(crate) fn stream_event(&mut self, id: StreamId, wsi: WsiId, event: WsiEvent<'_>) {
        let Ok(stream) = self.core.live(id) else { return };
        if stream.wsi != Some(wsi) {
            return;
        }
        let is_accepted = stream.parent.is_some();
        match stream.stream_type.protocol {
            // Whatever its policy calls it: an accepted connection that has messages has been upgraded.
            #[cfg(feature = "ws")]
            Some(Protocol::H1 | Protocol::H2 | Protocol::Ws) if is_accepted => match event {
                WsiEvent::Message(payload, flags) => self.call_rx(id, payload, flags),
                event => self.h1_server_event(id, wsi, event),
            },
            #[cfg(feature = "ws")]
            Some(Protocol::Ws) => self.ws_client_event(id, wsi, event),
            #[cfg(all(feature = "h1", not(feature = "ws")))]
            Some(Protocol::H1 | Protocol::H2) if is_accepted => self.h1_server_event(id, wsi, event),
            #[cfg(feature = "h1")]
            Some(Protocol::H1 | Protocol::H2) => self.h1_client_event(id, wsi, event),
            #[cfg(feature = "mqtt")]
            Some(Protocol::Mqtt) => self.mqtt_stream_event(id, wsi, event),
            #[cfg(feature = "raw")]
            Some(Protocol::Raw) => self.raw_event(id, wsi, event),
            _ => {
                let _ = event;
            }
        }
    }

    /// A connection that is bound to a stream can send.
    pub(crate) fn stream_tx(&mut self, id: StreamId, wsi: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        let Ok(stream) = self.core.live(id) else { return TxFlow::DontSend };
        if stream.wsi != Some(wsi) {
            return TxFlow::DontSend;
        }
        match stream.stream_type.protocol {
            #[cfg(feature = "ws")]
            _ if self.core.speaks_ws(wsi) => self.ws_stream_tx(id, tx),
            #[cfg(feature = "ws")]
            Some(Protocol::Ws) => self.h1_tx(id, wsi, tx),
            #[cfg(feature = "h1")]
            Some(Protocol::H1 | Protocol::H2) => self.h1_tx(id, wsi, tx),
            #[cfg(feature = "mqtt")]
            Some(Protocol::Mqtt) => self.mqtt_tx(id, wsi, tx),
            #[cfg(feature = "raw")]
            Some(Protocol::Raw) => self.raw_tx(id, wsi, tx),
            _ => {
                let _ = tx;
                TxFlow::DontSend
            }
        }
    }
}

impl Core {
    /// What a protocol wants to know of a client before it may share a connection.
    pub(super) fn transport_client(
        &mut self,
        endpoint: Endpoint,
        stream_type: &StreamType,
        metadata: &Metadata,
    ) -> Result<Endpoint, Cause> {
        match stream_type.protocol {
            #[cfg(feature = "mqtt")]
            Some(Protocol::Mqtt) => self.mqtt_client(endpoint, stream_type, metadata),
            _ => Ok(endpoint),
        }
    }

    /// The application wants to send on a stream that has a connection.
    pub(crate) fn stream_wants_tx(&mut self, id: StreamId, wsi: WsiId) {
        let Ok(stream) = self.live(id) else { return };
        match stream.stream_type.protocol {
            #[cfg(feature = "ws")]
            _ if self.speaks_ws(wsi) => self.wsi_request_tx(wsi),
            #[cfg(feature = "h1")]
            Some(Protocol::H1 | Protocol::H2) => self.h1_wants_tx(id, wsi),
            #[cfg(feature = "mqtt")]
            Some(Protocol::Mqtt) => self.wsi_request_tx(wsi),
            #[cfg(feature = "raw")]
            Some(Protocol::Raw) => self.wsi_request_tx(wsi),
            _ => {
                let _ = wsi;
            }
        }
    }
}
