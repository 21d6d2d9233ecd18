//! Listening: which role a new connection starts with, how many there may be, and what a full table means.

use super::{Vhost, VhostId, VhostUser};
use crate::context::{Context, Core, Timer};
use crate::error::Error;
use crate::plat::{Address, ListenOptions};
use crate::role::Role;
use crate::wsi::{Binding, Flags, Wsi, WsiId, WsiState};
use std::time::Duration;

/// Connections that one listener accepts in one turn before the others have theirs.
const ACCEPTS_PER_TURN: usize = 64;

/// After a failure of the system, not of a peer (no more file descriptors), accepting pauses for this long.
const PAUSE: Duration = Duration::from_millis(100);

/// What connections speak that a vhost accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerRole {
    /// Bytes as they come.
    Raw,
    /// HTTP/1.1.
    #[cfg(feature = "h1")]
    H1,
}

impl ServerRole {
    /// What TLS may agree on (RFC 7301). Nothing said is nothing refused.
    #[cfg(feature = "tls")]
    fn alpn(self) -> &'static [&'static [u8]] {
        match self {
            Self::Raw => &[],
            #[cfg(feature = "h1")]
            Self::H1 => &[b"http/1.1", b"http/1.0"],
        }
    }

    fn start(self) -> Role {
        match self {
            Self::Raw => Role::Raw,
            #[cfg(feature = "h1")]
            Self::H1 => Role::H1(Box::new(::h1::Engine::server(::h1::Limits::default()))),
        }
    }
}

/// How to listen.
#[derive(Debug, Clone)]
pub struct ListenInfo {
    /// On what: an IP address with a port, 0 for any that is free, or a Unix socket.
    pub address: Address,
    /// What accepted connections speak.
    pub role: ServerRole,
    /// The identity to show to clients; `None` serves without TLS.
    #[cfg(feature = "tls")]
    pub tls: Option<crate::Identity>,
    /// Shares the port with listeners of other contexts that say the same, one for each thread or process; the system
    /// deals out the connections (`SO_REUSEPORT`). False unless [`ContextBuilder::reuse_port`](crate::ContextBuilder::reuse_port)
    /// says so for all.
    pub reuse_port: bool,
}

impl ListenInfo {
    /// A listener without TLS.
    pub fn new(address: Address, role: ServerRole) -> Self {
        Self {
            address,
            role,
            #[cfg(feature = "tls")]
            tls: None,
            reuse_port: false,
        }
    }
}

impl Core {
    pub(crate) fn vhost_create(&mut self, info: ListenInfo, user: VhostUser) -> Result<VhostId, Error> {
        #[cfg(feature = "tls")]
        let tls = match info.tls {
            Some(identity) => Some(self.tls.server_config(identity, info.role.alpn())?),
            None => None,
        };
        if self.wsis.len() >= self.max_connections {
            return Err(Error::Full("no listener fits: max_connections is reached"));
        }
        let listener = self.wsis.insert(Wsi::new(None, Role::Listen, Binding::None, WsiState::Open));
        let opened = {
            let reuse_port = info.reuse_port || self.reuse_port;
            let options = ListenOptions { reuse_port, ..ListenOptions::default() };
            self.plat.listen(&info.address, options, listener.0.to_token())
        };
        let socket = match opened {
            Ok(socket) => socket,
            Err(source) => {
                self.remove(listener);
                return Err(Error::Io { what: "listen on", address: Some(info.address), source });
            }
        };
        let address = socket.local_address().unwrap_or(info.address);
        let vhost = Vhost {
            listener,
            address,
            role: info.role,
            user,
            #[cfg(feature = "tls")]
            tls,
        };
        let address = vhost.address.clone();
        let id = self.vhosts.insert(vhost);
        if let Some(wsi) = self.wsis.get_mut(listener) {
            wsi.socket = Some(socket);
            wsi.vhost = Some(id);
        }
        log::info!(target: "millstream::vhost", "{id}: listens on {address}");
        Ok(id)
    }

    /// A connection of a vhost is gone: listeners that had to wait for that go on.
    pub(crate) fn connection_ended(&mut self) {
        if self.wsis.len() < self.max_connections {
            for listener in std::mem::take(&mut self.starved) {
                self.schedule(listener);
            }
        }
    }
}

impl Context {
    pub(crate) fn serve_listener(&mut self, id: WsiId) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(wsi) = self.core.wsis.get(id) else { return };
            if !wsi.flags.has(Flags::READABLE) {
                return;
            }
            if self.core.wsis.len() >= self.core.max_connections {
                log::warn!(target: "millstream::vhost", "{id}: max_connections is reached; others have to wait");
                self.core.starved.push(id);
                return;
            }
            if !self.accept_one(id) {
                return;
            }
        }
        self.core.schedule(id);
    }

    fn accept_one(&mut self, id: WsiId) -> bool {
        let core = &mut self.core;
        let Some(wsi) = core.wsis.get_mut(id) else { return false };
        let (Some(socket), Some(vhost_id)) = (&mut wsi.socket, wsi.vhost) else { return false };
        let (socket, peer) = match core.plat.accept(socket) {
            Ok(Some(accepted)) => accepted,
            Ok(None) => {
                wsi.flags.clear(Flags::READABLE);
                return false;
            }
            Err(error) => {
                log::warn!(target: "millstream::vhost", "{id}: accepting pauses: {error}");
                let at = core.now.saturating_add(PAUSE);
                core.suls.schedule(at, Timer::Listener(id));
                return false;
            }
        };
        let Some(vhost) = core.vhosts.get(vhost_id) else { return false };
        let mut wsi = Wsi::new(None, vhost.role.start(), Binding::None, WsiState::Connecting);
        wsi.vhost = Some(vhost_id);
        wsi.flags.set(Flags::ACCEPTED);
        // Unnamed Unix peers have no address worth keeping.
        if let Some(peer) = peer {
            wsi.rare().peer = Some(peer);
        }
        #[cfg(feature = "tls")]
        let session = vhost.tls.as_ref().map(crate::tls::ServerConfig::session);
        let id = core.wsis.insert(wsi);
        let _ = socket.set_nodelay();
        let registered = core.plat.register(socket, id.0.to_token());
        let Some(wsi) = core.wsis.get_mut(id) else { return true };
        match registered {
            Ok(socket) => wsi.socket = Some(socket),
            Err(error) => {
                log::warn!(target: "millstream::vhost", "{id}: cannot be polled: {error}");
                core.remove(id);
                return true;
            }
        }
        #[cfg(feature = "tls")]
        match session {
            Some(Ok(session)) => self.start_handshake(id, session),
            Some(Err(error)) => {
                log::warn!(target: "millstream::vhost", "{id}: no TLS: {error}");
                core.remove(id);
            }
            None => core.opened(id),
        }
        #[cfg(not(feature = "tls"))]
        core.opened(id);
        true
    }
}
