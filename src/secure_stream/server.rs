//! Server streams: they own a listening vhost, and each connection that it accepts is a stream of its own.

use super::endpoint::validity_of;
use super::stream::{Doing, SecureStream};
use super::{StreamHandler, StreamId, StreamKind, StreamState};
use crate::context::sparse::Sparse;
use crate::context::{Core, Newborn};
use crate::error::Error;
use crate::plat::Address;
use crate::policy::{Protocol, StreamType};
use crate::vhost::{ListenInfo, ServerRole, VhostId, VhostUser};
use crate::wsi::{Binding, WsiId};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

/// What a server stream has beside the others.
#[derive(Debug)]
pub(crate) struct Server {
    /// Where it listens; a sink does not.
    pub(crate) vhost: Option<VhostId>,
    /// It was made for this stream, and goes with it.
    is_own: bool,
    pub(crate) accepted: Sparse<StreamId, ()>,
}

impl Server {
    pub(super) fn sink() -> Self {
        Self { vhost: None, is_own: false, accepted: Sparse::default() }
    }
}

/// Where a server's policy wants it to listen.
fn listen_info(stream_type: &StreamType) -> Result<ListenInfo, Error> {
    let role = server_role(stream_type)?;
    let port = stream_type.port.unwrap_or(0);
    let Some(endpoint) = &stream_type.endpoint else {
        return Ok(ListenInfo::new(all(port), role));
    };
    let text = endpoint.source();
    if let Some(path) = text.strip_prefix('+') {
        let address = match path.strip_prefix('@') {
            Some(name) => Address::abstract_name(name),
            None => Address::unix(path),
        };
        return Ok(ListenInfo::new(address, role));
    }
    Ok(match text.trim_matches(['[', ']']).parse() {
        Ok(ip) => ListenInfo::new(Address::Ip(SocketAddr::new(ip, port)), role),
        Err(_) if text == "localhost" || text == "lo" => {
            ListenInfo::new(Address::Ip(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)), role)
        }
        // Anything else is the name of an interface.
        Err(_) => ListenInfo { interface: Some(text.to_owned()), ..ListenInfo::new(all(port), role) },
    })
}

fn all(port: u16) -> Address {
    Address::Ip(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port))
}

fn server_role(stream_type: &StreamType) -> Result<ServerRole, Error> {
    match stream_type.protocol {
        #[cfg(feature = "h1")]
        Some(Protocol::H1) => Ok(ServerRole::H1),
        #[cfg(feature = "h2")]
        Some(Protocol::H2) => Ok(ServerRole::Http),
        #[cfg(feature = "raw")]
        Some(Protocol::Raw) => Ok(ServerRole::Raw),
        #[cfg(all(feature = "h2", feature = "ws"))]
        Some(Protocol::Ws) if stream_type.ws.over_h2 => Ok(ServerRole::Http),
        // It begins with a request.
        #[cfg(feature = "ws")]
        Some(Protocol::Ws) => Ok(ServerRole::H1),
        other => {
            let name = other.map_or("no protocol", Protocol::name);
            Err(Error::Policy(format!("stream type {}: {name} is not in this build", stream_type.name)))
        }
    }
}

fn takes_websockets(stream_type: &StreamType) -> bool {
    stream_type.protocol == Some(Protocol::Ws) || stream_type.ws.subprotocol.is_some()
}

impl Core {
    /// Makes the vhost of a server stream.
    pub(super) fn serve_stream(&mut self, id: StreamId, stream_type: &StreamType) -> Result<(), Error> {
        let existing = stream_type.endpoint.as_ref().and_then(|endpoint| endpoint.source().strip_prefix('!'));
        let (vhost, is_own) = if let Some(name) = existing {
            (self.take_vhost(id, stream_type, name)?, false)
        } else {
            let mut info = listen_info(stream_type)?;
            info.name = Some(stream_type.name.clone());
            info.validity = validity_of(stream_type);
            info.websockets = takes_websockets(stream_type);
            add_identity(stream_type, &mut info)?;
            (self.vhost_create(info, VhostUser::Stream(id))?, true)
        };
        if let Some(stream) = self.streams.get_mut(id) {
            if let Some(vhost) = self.vhosts.get_mut(vhost) {
                vhost.tx_credit = stream.initial_credit();
            }
            stream.server =
                Some(Box::new(Server { vhost: Some(vhost), is_own, accepted: Sparse::default() }));
        }
        Ok(())
    }

    /// The vhost that an endpoint `!name` refers to.
    fn take_vhost(&mut self, id: StreamId, stream_type: &StreamType, name: &str) -> Result<VhostId, Error> {
        let refuse = |why: String| Err(Error::Policy(format!("stream type {}: {why}", stream_type.name)));
        let Some(vhost) = self.vhost_by_name(name) else {
            return refuse(format!("there is no vhost \"{name}\"; make it by vhost_create before"));
        };
        if self.vhosts.get(vhost).is_some_and(|vhost| server_role(stream_type).ok() != Some(vhost.role)) {
            return refuse(format!("the vhost \"{name}\" does not speak the protocol of the stream type"));
        }
        if !self.vhost_take(vhost, VhostUser::Stream(id), takes_websockets(stream_type)) {
            return refuse(format!("the vhost \"{name}\" serves somebody else"));
        }
        Ok(vhost)
    }

    /// A server stream listens no more, and is destroyed when its last connection has come to its end.
    pub(crate) fn server_shutdown(&mut self, id: StreamId) -> Result<(), Error> {
        let server = self.live_mut(id)?.server.as_mut();
        let Some((server, vhost)) = server.and_then(|server| server.vhost.map(|vhost| (server, vhost)))
        else {
            return Err(Error::WrongKind("only a server stream has clients"));
        };
        // Nobody else can have a vhost that is leaving.
        server.is_own = true;
        self.vhost_leave(vhost);
        Ok(())
    }

    /// A server stream no longer listens.
    pub(super) fn stop_serving(&mut self, server: &Server) {
        match server.vhost {
            Some(vhost) if server.is_own => self.vhost_destroy(vhost),
            Some(vhost) => self.vhost_give_back(vhost),
            None => {}
        }
    }

    /// A connection of a server becomes a stream. False when the server is gone.
    pub(crate) fn stream_accepted(
        &mut self,
        server: StreamId,
        wsi: WsiId,
        handler: Box<dyn StreamHandler>,
    ) -> bool {
        let Ok(parent) = self.live(server) else { return false };
        let mut stream = SecureStream::new(Rc::clone(&parent.stream_type), StreamKind::Accepted);
        stream.parent = Some(server);
        stream.wsi = Some(wsi);
        stream.doing = Doing::Connected;
        stream.metadata = self.spare_metadata.lend();
        let id = self.streams.insert(stream);
        if let Some(server) = self.streams.get_mut(server).and_then(|parent| parent.server.as_mut()) {
            server.accepted.insert(id, ());
        }
        if let Some(row) = self.wsis.get_mut(wsi) {
            row.binding = Binding::Stream(id);
        }
        self.newborn.push(Newborn::Stream(id, handler));
        for state in [StreamState::Creating, StreamState::Connecting, StreamState::Connected] {
            self.tell(id, state);
        }
        true
    }
}

#[cfg(feature = "tls")]
fn add_identity(stream_type: &StreamType, info: &mut ListenInfo) -> Result<(), Error> {
    if !stream_type.tls {
        return Ok(());
    }
    let (Some(cert), Some(key)) = (&stream_type.server_cert, &stream_type.server_key) else {
        let why = "a server with tls needs server_cert and server_key";
        return Err(Error::Policy(format!("stream type {}: {why}", stream_type.name)));
    };
    let identity = crate::Identity::from_der(&[&cert.der], &key.der)
        .map_err(|error| Error::Policy(format!("stream type {}: {error}", stream_type.name)))?;
    info.tls = Some(identity);
    Ok(())
}

#[cfg(not(feature = "tls"))]
fn add_identity(_: &StreamType, _: &mut ListenInfo) -> Result<(), Error> {
    Ok(())
}
