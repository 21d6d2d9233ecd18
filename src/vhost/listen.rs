//! Listening: what is served where, and which vhosts share a port.

use super::{Vhost, VhostId, VhostUser};
use crate::context::Core;
use crate::error::Error;
use crate::plat::{Address, ListenOptions};
use crate::role::Role;
use crate::wsi::{Binding, Validity, Wsi, WsiId, WsiState};
use std::io::ErrorKind;

/// Vhosts on one port.
const VHOSTS_PER_LISTENER: usize = 1024;

/// What connections speak that a vhost accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerRole {
    /// Bytes as they come.
    Raw,
    /// HTTP/1.1.
    #[cfg(feature = "h1")]
    H1,
    /// HTTP/2 and HTTP/1.1: by ALPN where there is TLS, else by what the client says first.
    #[cfg(feature = "h2")]
    Http,
}

impl ServerRole {
    /// What TLS may agree on (RFC 7301). Nothing said is nothing refused.
    #[cfg(feature = "tls")]
    fn alpn(self) -> &'static [&'static [u8]] {
        match self {
            Self::Raw => &[],
            #[cfg(feature = "h1")]
            Self::H1 => &[b"http/1.1", b"http/1.0"],
            #[cfg(feature = "h2")]
            Self::Http => &[b"h2", b"http/1.1", b"http/1.0"],
        }
    }

    pub(super) fn start(self) -> Role {
        match self {
            Self::Raw => Role::Raw(raw::Engine::new()),
            #[cfg(feature = "h1")]
            Self::H1 => Role::H1(Box::new(::h1::Engine::server(::h1::Limits::default()))),
            // Until the client is known to speak HTTP/2.
            #[cfg(feature = "h2")]
            Self::Http => Role::H1(Box::new(::h1::Engine::server(::h1::Limits::default()))),
        }
    }

    /// The first message of a client says which vhost it means, where TLS has not said it before.
    pub(super) fn names_vhost(self) -> bool {
        match self {
            Self::Raw => false,
            #[cfg(feature = "h1")]
            Self::H1 => true,
            #[cfg(feature = "h2")]
            Self::Http => true,
        }
    }
}

/// Whether clients have to show who they are, and who may vouch for them: certificates of authorities (DER).
#[cfg(feature = "tls")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ClientCerts {
    /// Nobody is asked.
    #[default]
    Off,
    /// Clients may show one, and it has to be good then (`LWS_SERVER_OPTION_PEER_CERT_NOT_REQUIRED`).
    Optional(Vec<Vec<u8>>),
    /// Without a good one there is no connection (`LWS_SERVER_OPTION_REQUIRE_VALID_OPENSSL_CLIENT_CERT`).
    Required(Vec<Vec<u8>>),
}

/// How to listen.
#[derive(Debug, Clone)]
pub struct ListenInfo {
    /// The name that is served. Vhosts of different names that speak the same may share an address: clients say whom they
    /// mean, by SNI where there is TLS, else by the Host header. The best match is taken: the name itself, then the domain
    /// that the name asked for lies in, then the vhost that was there first.
    pub name: Option<String>,
    /// On what: an IP address with a port, 0 for any that is free, or a Unix socket.
    pub address: Address,
    /// On one network interface only, by its name (`SO_BINDTODEVICE`); an IP address of any other sort than "all" does the
    /// same without it.
    pub interface: Option<String>,
    /// What accepted connections speak.
    pub role: ServerRole,
    /// The identity to show to clients; `None` serves without TLS.
    #[cfg(feature = "tls")]
    pub tls: Option<crate::Identity>,
    /// Which certificates clients show, where there is TLS.
    #[cfg(feature = "tls")]
    pub client_certs: ClientCerts,
    /// How long accepted connections may go without a sign of life; `None` leaves that to the context.
    pub validity: Option<Validity>,
    /// The users of accepted connections grant websockets, and want them over HTTP/2 as well (RFC 8441): clients are invited
    /// to ask for them. Over HTTP/1.1 nothing has to be said.
    pub websockets: bool,
    /// Shares the port with listeners of other contexts that say the same, one for each thread or process; the system
    /// deals out the connections (`SO_REUSEPORT`). False unless [`ContextBuilder::reuse_port`](crate::ContextBuilder::reuse_port)
    /// says so for all.
    pub reuse_port: bool,
}

impl ListenInfo {
    /// A listener without a name and without TLS.
    pub fn new(address: Address, role: ServerRole) -> Self {
        Self {
            name: None,
            interface: None,
            address,
            role,
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "tls")]
            client_certs: ClientCerts::Off,
            validity: None,
            websockets: false,
            reuse_port: false,
        }
    }
}

/// What a listening connection has beside the others.
#[derive(Debug)]
pub(crate) struct Listener {
    /// In the order in which they were made; never none.
    pub(super) vhosts: Vec<VhostId>,
}

impl Core {
    pub(crate) fn vhost_create(&mut self, info: ListenInfo, user: VhostUser) -> Result<VhostId, Error> {
        #[cfg(feature = "tls")]
        let tls = match &info.tls {
            Some(identity) => {
                Some(self.tls.server_config(identity.clone(), &info.client_certs, info.role.alpn())?)
            }
            None => None,
        };
        #[cfg(feature = "tls")]
        let is_tls = tls.is_some();
        #[cfg(not(feature = "tls"))]
        let is_tls = false;
        let (listener, address) = match self.listener_to_share(&info, is_tls)? {
            Some(shared) => (shared, info.address),
            None => self.open_listener(info.address, info.reuse_port, info.interface)?,
        };
        let name = info.name.map(|name| name.to_ascii_lowercase().into_boxed_str());
        log::info!(target: "millstream::vhost", "{}: listens on {address}", name.as_deref().unwrap_or("nameless"));
        let id = self.vhosts.insert(Vhost {
            name,
            listener,
            connections: 0,
            is_leaving: false,
            address,
            role: info.role,
            user,
            validity: info.validity,
            tx_credit: None,
            websockets: info.websockets,
            #[cfg(feature = "tls")]
            tls,
        });
        if let Some(Role::Listen(listener)) = self.wsis.get_mut(listener).map(|wsi| &mut wsi.role) {
            listener.vhosts.push(id);
        }
        Ok(id)
    }

    /// One that listens at the same address already, and can tell by their names for whom its clients come.
    fn listener_to_share(&self, info: &ListenInfo, is_tls: bool) -> Result<Option<WsiId>, Error> {
        let Some(name) = &info.name else { return Ok(None) };
        let is_there = |vhost: &Vhost| !vhost.is_leaving && vhost.address == info.address;
        let Some((_, there)) = self.vhosts.iter().find(|(_, vhost)| is_there(vhost)) else {
            return Ok(None);
        };
        let in_use = |why: &'static str| {
            let source = std::io::Error::new(ErrorKind::AddrInUse, why);
            Err(Error::Io { what: "listen on", address: Some(info.address.clone()), source })
        };
        #[cfg(feature = "tls")]
        let other_tls = there.tls.is_some() != is_tls;
        #[cfg(not(feature = "tls"))]
        let other_tls = is_tls;
        if there.role != info.role || other_tls {
            return in_use("a vhost that speaks something else listens there");
        }
        let vhosts = self.vhosts_of(there.listener).unwrap_or_default();
        let has_name =
            |id: &VhostId| self.vhosts.get(*id).and_then(|vhost| vhost.name.as_deref()) == Some(&**name);
        if vhosts.iter().any(has_name) {
            return in_use("a vhost of this name listens there");
        }
        if !is_tls && !info.role.names_vhost() {
            return in_use("clients of this role do not say which vhost they mean");
        }
        if vhosts.len() >= VHOSTS_PER_LISTENER {
            return Err(Error::Full("no vhost fits on this address: it has as many as there may be"));
        }
        Ok(Some(there.listener))
    }

    fn open_listener(
        &mut self,
        address: Address,
        reuse_port: bool,
        interface: Option<String>,
    ) -> Result<(WsiId, Address), Error> {
        if self.connections() >= self.max_connections {
            return Err(Error::Full("no listener fits: max_connections is reached"));
        }
        let role = Role::Listen(Box::new(Listener { vhosts: Vec::new() }));
        let listener = self.wsis.insert(Wsi::new(None, role, Binding::None, WsiState::Open));
        let reuse_port = reuse_port || self.reuse_port;
        let interface = interface.map(String::into_boxed_str);
        let options = ListenOptions { reuse_port, interface, ..ListenOptions::default() };
        match self.plat.listen(&address, &options, listener.0.to_token()) {
            Ok(socket) => {
                let address = socket.local_address().unwrap_or(address);
                if let Some(wsi) = self.wsis.get_mut(listener) {
                    wsi.socket = Some(socket);
                }
                Ok((listener, address))
            }
            Err(source) => {
                self.remove(listener);
                Err(Error::Io { what: "listen on", address: Some(address), source })
            }
        }
    }

    /// One of those for whom a connection may have come says itself how much its clients may send.
    #[cfg(feature = "h2")]
    pub(crate) fn grants_by_hand(&self, id: WsiId) -> bool {
        let Some(present) = self.wsis.get(id).and_then(|wsi| wsi.vhost) else { return false };
        self.vhosts_in_reach(present).any(|(_, vhost)| vhost.tx_credit.is_some())
    }

    pub(super) fn vhosts_of(&self, listener: WsiId) -> Option<&[VhostId]> {
        match self.wsis.get(listener).map(|wsi| &wsi.role) {
            Some(Role::Listen(listener)) => Some(&listener.vhosts),
            _ => None,
        }
    }
}
