//! Cx: the library as user code sees it from inside a callback, or from [`Context::with`](super::Context::with).

use super::{Core, Newborn, SulId, Timer};
use crate::Us;
use crate::cause::Cause;
use crate::error::Error;
use crate::plat::{Address, Adopted};
use crate::secure_stream::{StreamHandler, StreamId, StreamInfo, StreamState};
use crate::system::Blob;
use crate::vhost::{ListenInfo, VhostId, VhostUser};
use crate::wsi::{Acceptor, Binding, ClientInfo, Protocol, Wsi, WsiId};
use std::any::Any;
use std::rc::Rc;
use std::time::Duration;

/// What may be asked for: everything, on anything, from anywhere.
///
/// Requests that touch data act at once and can be read back. Those that end in user code run after the callback has
/// returned, first asked first done.
pub struct Cx<'a> {
    pub(crate) core: &'a mut Core,
}

/// The loop.
impl Cx<'_> {
    /// The time of this turn, since the context was made.
    pub fn now(&self) -> Us {
        self.core.now
    }

    /// Ends [`Context::run`](super::Context::run) after this turn.
    pub fn stop(&mut self) {
        self.core.stopping = true;
    }

    /// What the handlers share, as given to the builder, if it is a `T`.
    pub fn app<T: Any>(&mut self) -> Option<&mut T> {
        self.core.app.as_mut()?.downcast_mut()
    }

    /// Runs `call` after `delay` (`lws_sul_schedule`). Earliest first; those of one time in the order in which they
    /// were scheduled.
    pub fn sul_schedule(&mut self, delay: Duration, call: impl FnOnce(&mut Cx<'_>) + 'static) -> SulId {
        let at = self.core.now.saturating_add(delay);
        self.core.suls.schedule(at, Timer::App(Box::new(call)))
    }

    /// Forgets a scheduled call.
    ///
    /// # Errors
    /// [`Error::Stale`]: it has run, or was cancelled before.
    pub fn sul_cancel(&mut self, id: SulId) -> Result<(), Error> {
        self.core.suls.cancel(id).map(drop).ok_or(Error::Stale)
    }

    /// Keeps a value that policies refer to by its index or kind: a token, a certificate, the device's name.
    pub fn set_blob(&mut self, blob: Blob, value: impl Into<Vec<u8>>) {
        self.core.blobs.set(blob, value.into());
    }

    /// A random number, from the simulation's seed where there is one. Not for secrets.
    pub fn random(&mut self) -> u64 {
        self.core.plat.random()
    }
}

/// Secure streams.
impl Cx<'_> {
    /// Creates a stream of a type of the policy (`lws_ss_create`), whose name is all of `info` that most need. Its handler
    /// hears [`StreamState::Creating`] first. A server stream listens when this returns.
    ///
    /// # Errors
    /// The policy has no such type, or the type lacks what it needs; a server's port is in use.
    pub fn create<'i>(
        &mut self,
        info: impl Into<StreamInfo<'i>>,
        handler: impl StreamHandler + 'static,
    ) -> Result<StreamId, Error> {
        self.core.create(info.into(), Box::new(handler))
    }

    /// Makes `handler` the sink of a stream type with `local_sink` (`LWSSSINFLAGS_REGISTER_SINK`): streams that are
    /// created of this type join it, instead of connecting anywhere. Its `accept` gives each a handler for the sink's
    /// end, or turns it away; its `state` hears [`StreamState::SinkJoin`] and [`StreamState::SinkPart`]. Destroying
    /// either end of a pair ends the other's connection; destroying the sink ends all.
    ///
    /// # Errors
    /// The policy has no such type, or it is none for sinks; the type has a sink already.
    pub fn register_sink(
        &mut self,
        streamtype: &str,
        handler: impl StreamHandler + 'static,
    ) -> Result<StreamId, Error> {
        self.core.register_sink(streamtype, Box::new(handler))
    }

    /// Destroys a stream (`lws_ss_destroy`): stale at once; its handler hears DISCONNECTED if it was connected, then
    /// DESTROYING, and is dropped.
    ///
    /// # Errors
    /// [`Error::Stale`].
    pub fn destroy(&mut self, stream: StreamId) -> Result<(), Error> {
        self.core.destroy(stream)
    }

    /// Connects an idle stream, with all retries ahead of it (`lws_ss_client_connect`).
    ///
    /// # Errors
    /// [`Error::Stale`]; the stream is a server's. How the attempt goes is told by states, never by this call.
    pub fn client_connect(&mut self, stream: StreamId) -> Result<(), Error> {
        self.core.client_connect_stream(stream)
    }

    /// Gives an idle client stream of protocol `raw` a socket that is connected already, instead of one to its endpoint
    /// (`lws_ss_adopt_raw`): CONNECTING, then CONNECTED. What follows when it is lost is the policy's to say, as ever; a
    /// type without an endpoint has nowhere to go then.
    ///
    /// # Errors
    /// [`Error::Stale`]; the stream is no raw client without TLS, or not idle; the socket cannot be polled.
    #[cfg(feature = "raw")]
    pub fn adopt(&mut self, stream: StreamId, socket: impl Into<Adopted>) -> Result<(), Error> {
        self.core.stream_adopt(stream, socket.into())
    }

    /// Asks for a tx callback when the way to the peer is clear (`lws_ss_request_tx`). An idle stream connects for it.
    ///
    /// # Errors
    /// [`Error::Stale`]; the stream only listens.
    pub fn request_tx(&mut self, stream: StreamId) -> Result<(), Error> {
        self.core.request_tx(stream)
    }

    /// The same, and declares how long the message will be (`lws_ss_request_tx_len`). An http message without this has a
    /// length that is not known beforehand; a MQTT message is what one tx callback gives then.
    ///
    /// # Errors
    /// As [`Self::request_tx`].
    pub fn request_tx_len(&mut self, stream: StreamId, len: u64) -> Result<(), Error> {
        self.core.request_tx_len(stream, len)
    }

    /// Sets a metadata value (`lws_ss_set_metadata`). It can be read back at once, and is used from the next
    /// transaction on.
    ///
    /// # Errors
    /// [`Error::Stale`]; the type declares no such name, or the value is too long.
    pub fn set_metadata(
        &mut self,
        stream: StreamId,
        name: &str,
        value: impl AsRef<[u8]>,
    ) -> Result<(), Error> {
        self.core.set_metadata(stream, name, value.as_ref())
    }

    /// A metadata value (`lws_ss_get_metadata`): what the application set, or a header of the peer's message.
    pub fn metadata(&self, stream: StreamId, name: &str) -> Option<&[u8]> {
        self.core.metadata(stream, name)
    }

    /// Starts the stream's own timer anew: [`StreamState::Timeout`] unless it is cancelled before
    /// (`lws_ss_start_timeout`). `None` takes `timeout_ms` of the policy.
    ///
    /// # Errors
    /// [`Error::Stale`]; the policy gives no time.
    pub fn start_timeout(&mut self, stream: StreamId, after: Option<Duration>) -> Result<(), Error> {
        self.core.start_timeout(stream, after)
    }

    /// Stops the stream's own timer (`lws_ss_cancel_timeout`).
    ///
    /// # Errors
    /// [`Error::Stale`].
    pub fn cancel_timeout(&mut self, stream: StreamId) -> Result<(), Error> {
        self.core.cancel_timeout(stream)
    }

    /// Gives the stream another handler, which hears everything from the next callback on
    /// (`lws_ss_change_handlers`). The old one is dropped when the present callback has returned.
    ///
    /// # Errors
    /// [`Error::Stale`].
    pub fn change_handlers(
        &mut self,
        stream: StreamId,
        handler: impl StreamHandler + 'static,
    ) -> Result<(), Error> {
        self.core.live(stream)?;
        self.core.newborn.push(Newborn::Stream(stream, Box::new(handler)));
        Ok(())
    }

    /// How an accepted stream feels about the request at hand (`lws_ss_server_ack`): 0 acknowledges it (http 200),
    /// anything else refuses it: an http error status (400 to 599) is sent as it is, other values as 404.
    ///
    /// # Errors
    /// [`Error::Stale`]; the stream was not accepted by a server, or its answer has begun.
    pub fn server_ack(&mut self, stream: StreamId, nack: u16) -> Result<(), Error> {
        self.core.server_ack(stream, nack)
    }

    /// Calls `call` once for each stream that the server has accepted and that lives
    /// (`lws_ss_server_foreach_client`).
    ///
    /// # Errors
    /// [`Error::Stale`]; the stream is no server.
    pub fn server_foreach_client(
        &mut self,
        server: StreamId,
        mut call: impl FnMut(&mut Cx<'_>, StreamId),
    ) -> Result<(), Error> {
        if !self.core.live(server)?.is_server() {
            return Err(Error::WrongKind("only a server stream has clients"));
        }
        for client in self.core.accepted_streams(server) {
            if self.core.live(client).is_ok() {
                call(self, client);
            }
        }
        Ok(())
    }

    /// Ends a server in grace: it listens no more, and what its clients have under way comes to its end. Those over HTTP/2 are
    /// told that it goes, and what they begin before they know is still served (RFC 9113 6.8); those over HTTP/1.1 are
    /// closed when they are idle, or after their next answer; websockets are closed with 1001 (RFC 6455 7.4.1), or what
    /// [`Self::close_reason`] has said, after the messages that are under way. The server stream is destroyed when the last of them is gone;
    /// [`Self::destroy`] ends what takes too long. A vhost that was made for it (`!name`) goes with it.
    ///
    /// # Errors
    /// [`Error::Stale`]; the stream is no server.
    pub fn server_shutdown(&mut self, server: StreamId) -> Result<(), Error> {
        self.core.server_shutdown(server)
    }

    /// Stops (`false`) and resumes (`true`) the flow of payload to the stream: the peer is held up, nothing piles up.
    ///
    /// # Errors
    /// [`Error::Stale`]; [`Error::NotConnected`].
    pub fn rx_flow(&mut self, stream: StreamId, on: bool) -> Result<(), Error> {
        let row = self.core.live(stream)?;
        if row.peer.is_some() {
            self.core.set_peer_flow(stream, on);
            return Ok(());
        }
        let wsi = row.wsi.ok_or(Error::NotConnected)?;
        self.wsi_rx_flow(wsi, on)
    }

    /// The application has seen a proof that bytes go both ways (`lws_ss_validity_confirm`): the validity of the stream's
    /// connection is counted anew.
    ///
    /// # Errors
    /// [`Error::Stale`]; [`Error::NotConnected`].
    pub fn validity_confirm(&mut self, stream: StreamId) -> Result<(), Error> {
        let wsi = self.core.live(stream)?.wsi.ok_or(Error::NotConnected)?;
        self.core.validity_confirmed(self.core.parent(wsi).unwrap_or(wsi));
        Ok(())
    }

    /// Why the last connection or attempt of a stream failed, or in [`StreamState::QosNackRemote`], over MQTT, its message. Can still be asked in DISCONNECTED and DESTROYING.
    pub fn cause(&self, stream: StreamId) -> Option<&Cause> {
        self.core.streams.get(stream)?.cause.as_deref()
    }

    /// The state that the handler was told last, of those that last.
    pub fn state(&self, stream: StreamId) -> Option<StreamState> {
        self.core.live(stream).ok()?.state()
    }

    /// The name of the stream's type.
    pub fn streamtype(&self, stream: StreamId) -> Option<&str> {
        Some(&self.core.live(stream).ok()?.stream_type.name)
    }

    /// The name of the payload format that the policy gives (`payload_fmt`).
    pub fn payload_fmt(&self, stream: StreamId) -> Option<&str> {
        self.core.live(stream).ok()?.stream_type.payload_fmt.as_deref()
    }

    /// Where a server stream listens: with port 0 in the policy, the port that it was given.
    pub fn server_address(&self, server: StreamId) -> Option<&Address> {
        let vhost = self.core.live(server).ok()?.server.as_ref()?.vhost?;
        self.vhost_address(vhost)
    }

    /// Where the peer of an accepted stream is.
    pub fn peer(&self, stream: StreamId) -> Option<&Address> {
        let wsi = self.core.live(stream).ok()?.wsi?;
        self.wsi_peer(wsi)
    }

    /// The certificate that the peer of a stream has shown (DER): the server's to a client, and to a server the client's, if
    /// it was asked for one.
    #[cfg(feature = "tls")]
    pub fn peer_certificate(&self, stream: StreamId) -> Option<&[u8]> {
        self.wsi_peer_certificate(self.core.live(stream).ok()?.wsi?)
    }
}

/// Connections without secure streams.
impl Cx<'_> {
    /// Listens, and lets `acceptor` find user code for each connection.
    ///
    /// # Errors
    /// The address is in use, or not this machine's.
    pub fn listen(&mut self, info: ListenInfo, acceptor: impl Acceptor + 'static) -> Result<VhostId, Error> {
        let vhost = self.core.vhost_create(info, VhostUser::Protocol)?;
        self.core.newborn.push(Newborn::Acceptor(vhost, Box::new(acceptor)));
        Ok(vhost)
    }

    /// Listens for a server stream that is still to come: one whose `endpoint` in the policy is `!` and the name of this
    /// vhost. Until then connections are closed at once. What a policy has no words for is said here: several names on
    /// one port, client certificates.
    ///
    /// # Errors
    /// There is no name, or it is taken; the address is in use, or not this machine's.
    pub fn vhost_create(&mut self, info: ListenInfo) -> Result<VhostId, Error> {
        match &info.name {
            None => return Err(Error::WrongKind("a vhost for streams needs a name")),
            Some(name) if self.core.vhost_by_name(name).is_some() => {
                return Err(Error::Policy(format!("there is a vhost \"{name}\" already")));
            }
            Some(_) => {}
        }
        self.core.vhost_create(info, VhostUser::Nobody)
    }

    /// Closes a listener. The connections that it has accepted live on.
    ///
    /// # Errors
    /// [`Error::Stale`].
    pub fn vhost_destroy(&mut self, vhost: VhostId) -> Result<(), Error> {
        if self.core.vhosts.get(vhost).is_none() {
            return Err(Error::Stale);
        }
        self.core.vhost_destroy(vhost);
        Ok(())
    }

    /// Where a vhost listens.
    pub fn vhost_address(&self, vhost: VhostId) -> Option<&Address> {
        Some(&self.core.vhosts.get(vhost)?.address)
    }

    /// The client side of TLS for [`ClientInfo::tls`]: asks for `server_name`, and trusts a trust store of the policy,
    /// or the system's roots where none is named.
    ///
    /// # Errors
    /// The policy has no trust store of this name, or there is nothing in it to trust.
    #[cfg(feature = "tls")]
    pub fn client_tls(
        &mut self,
        server_name: &str,
        trust_store: Option<&str>,
    ) -> Result<crate::ClientTls, Error> {
        let store = match trust_store {
            Some(name) => match self.core.policy.trust_store(name) {
                Some(store) => Some(Rc::clone(store)),
                None => return Err(Error::Policy(format!("the policy has no trust store \"{name}\""))),
            },
            None => None,
        };
        self.core
            .tls
            .client(server_name, store.as_ref(), None, &[])
            .map_err(|error| Error::Tls(error.to_string()))
    }

    /// Connects; `protocol` is told how that goes, later (`lws_client_connect_via_info`).
    pub fn connect(&mut self, info: &ClientInfo, protocol: impl Protocol + 'static) -> WsiId {
        let info = Rc::new(self.core.offering(info));
        let id = self.core.client_connect(&info, Binding::Protocol, true);
        self.core.adopt_protocol(id, Box::new(protocol));
        id
    }

    /// Serves a socket that is connected already; `protocol` hears that it is established, later
    /// (`lws_adopt_socket`).
    ///
    /// # Errors
    /// The socket cannot be polled; `max_connections` is reached.
    pub fn adopt_socket(
        &mut self,
        socket: impl Into<Adopted>,
        protocol: impl Protocol + 'static,
    ) -> Result<WsiId, Error> {
        let id = self.core.adopt(socket.into(), Binding::Protocol)?;
        self.core.adopt_protocol(id, Box::new(protocol));
        self.core.opened(id);
        Ok(id)
    }

    /// Asks for a writeable callback when the way is clear (`lws_callback_on_writable`).
    ///
    /// # Errors
    /// [`Error::Stale`].
    pub fn wsi_request_tx(&mut self, wsi: WsiId) -> Result<(), Error> {
        self.bound(wsi)?;
        self.core.wsi_request_tx(wsi);
        Ok(())
    }

    /// Stops (`false`) and resumes (`true`) reading (`lws_rx_flow_control`). What is not read waits in the peer.
    ///
    /// # Errors
    /// [`Error::Stale`].
    pub fn wsi_rx_flow(&mut self, wsi: WsiId, on: bool) -> Result<(), Error> {
        self.bound(wsi)?;
        self.core.set_rx_flow(wsi, on);
        Ok(())
    }

    /// Closes a connection after what is queued for sending is sent.
    ///
    /// # Errors
    /// [`Error::Stale`].
    pub fn wsi_close(&mut self, wsi: WsiId) -> Result<(), Error> {
        self.bound(wsi)?;
        self.core.close_flushed(wsi, None);
        Ok(())
    }

    /// Gives an http client connection back, for the next user of the same endpoint; one that is not fit for that is
    /// closed. Its protocol hears nothing more and is dropped.
    ///
    /// # Errors
    /// [`Error::Stale`].
    pub fn wsi_release(&mut self, wsi: WsiId) -> Result<(), Error> {
        self.bound(wsi)?;
        self.core.effects.push_back(super::Effect::Released(wsi));
        Ok(())
    }

    /// Where the peer is.
    pub fn wsi_peer(&self, wsi: WsiId) -> Option<&Address> {
        self.known(wsi)?;
        self.core.with_socket(wsi)?.rare.as_ref()?.peer.as_ref()
    }

    /// User code has seen a proof that bytes go both ways (`lws_validity_confirmed`): the connection's validity is counted
    /// anew.
    ///
    /// # Errors
    /// [`Error::Stale`].
    pub fn wsi_validity_confirm(&mut self, wsi: WsiId) -> Result<(), Error> {
        self.bound(wsi)?;
        self.core.validity_confirmed(wsi);
        Ok(())
    }

    /// The certificate that the peer has shown (DER), where there is TLS and it has.
    #[cfg(feature = "tls")]
    pub fn wsi_peer_certificate(&self, wsi: WsiId) -> Option<&[u8]> {
        self.known(wsi)?;
        self.core.with_socket(wsi)?.tls.as_ref()?.peer_certificate()
    }

    /// Where this side of a connection is; that of a Unix socket has no name.
    pub fn wsi_local(&self, wsi: WsiId) -> Option<Address> {
        self.known(wsi)?;
        self.core.with_socket(wsi)?.socket.as_ref()?.local_address()
    }

    /// For the id of a connection that was closed or given back, there is nothing to know.
    fn known(&self, wsi: WsiId) -> Option<&Wsi> {
        self.core.wsis.get(wsi).filter(|row| row.is_in_use())
    }

    pub(crate) fn bound(&self, wsi: WsiId) -> Result<(), Error> {
        match self.core.wsis.get(wsi) {
            Some(row) if row.binding != Binding::None && row.binding != Binding::Pooled => Ok(()),
            _ => Err(Error::Stale),
        }
    }
}

/// HTTP, on connections without secure streams.
#[cfg(feature = "h1")]
impl Cx<'_> {
    /// Sends a request on a connection that is up and idle. A body is asked for by [`Self::wsi_request_tx`], and goes
    /// out in one write with the head when that is asked for in the same breath.
    ///
    /// # Errors
    /// [`Error::Stale`]; the connection is not up, speaks something else, or is busy; a field is not valid.
    pub fn http_request(
        &mut self,
        wsi: WsiId,
        method: http::Method,
        target: &str,
        host: &str,
        fields: &[(&str, &str)],
        body: http::BodyLength,
    ) -> Result<(), Error> {
        self.bound(wsi)?;
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        self.core.http_request(wsi, method, target.as_bytes(), host.as_bytes(), fields, body)
    }

    /// Sends the head of the response to the request at hand; its body as in [`Self::http_request`].
    ///
    /// # Errors
    /// As [`Self::http_request`]; there is no request to answer.
    pub fn http_respond(
        &mut self,
        wsi: WsiId,
        status: http::Status,
        fields: &[(&str, &str)],
        body: http::BodyLength,
    ) -> Result<(), Error> {
        self.bound(wsi)?;
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        self.core.http_respond(wsi, status, fields, body)
    }
}

impl std::fmt::Debug for Cx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cx").field("now", &self.core.now).finish_non_exhaustive()
    }
}
