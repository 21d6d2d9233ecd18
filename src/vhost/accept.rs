//! Accepting: which vhost a new connection is for, how many there may be, and what a full table means.

use super::select::Match;
use super::{VhostId, VhostUser};
use crate::context::{Context, Core, Effect, Timer};
use crate::plat::{Address, Socket};
use crate::wsi::{Binding, Flags, Wsi, WsiId, WsiState};
use std::time::Duration;

/// Connections that one listener accepts in one turn before the others have theirs.
const ACCEPTS_PER_TURN: usize = 64;

/// After a failure of the system, not of a peer (no more file descriptors), accepting pauses for this long.
const PAUSE: Duration = Duration::from_millis(100);

impl Core {
    /// A connection of a vhost is gone: listeners that had to wait for that go on.
    pub(crate) fn connection_ended(&mut self) {
        if self.connections() < self.max_connections {
            for listener in std::mem::take(&mut self.starved) {
                self.schedule(listener);
            }
        }
    }

    /// The client's first message has to say which vhost it means: several could be meant.
    fn is_undecided(&self, vhost: VhostId) -> bool {
        let Some(vhost) = self.vhosts.get(vhost) else { return false };
        // Which of its users it is for, a connection of several has to say with each of its messages.
        #[cfg(feature = "h2")]
        if vhost.role == crate::ServerRole::Http {
            return true;
        }
        vhost.role.names_vhost() && self.vhosts_of(vhost.listener).is_some_and(|vhosts| vhosts.len() > 1)
    }

    /// An accepted connection is up. It finds its user now, or when it has said whom it means.
    pub(crate) fn find_user(&mut self, id: WsiId) {
        let Some(vhost) = self.wsis.get(id).and_then(|wsi| wsi.vhost) else { return self.close(id, None) };
        #[cfg(feature = "h2")]
        if self.h2_is_agreed(id) {
            return self.schedule(id);
        }
        let is_decided = self.wsis.get(id).is_some_and(Wsi::is_tls);
        if is_decided || !self.is_undecided(vhost) {
            self.effects.push_back(Effect::Accept(id));
        } else {
            self.role_accepted(id);
        }
    }

    /// A client names its vhost in a message. False when the connection belongs to another one, and may not change
    /// hands (RFC 9110 7.4).
    pub(crate) fn meant_for(&mut self, id: WsiId, asked: Option<&str>) -> bool {
        let Some(wsi) = self.wsis.get(id) else { return true };
        let Some(present) = wsi.vhost else { return true };
        let is_taken = wsi.binding != Binding::None;
        let Some(listener) = self.vhosts.get(present).map(|vhost| vhost.listener) else {
            return is_taken;
        };
        if is_taken && self.vhosts_of(listener).is_none_or(|vhosts| vhosts.len() < 2) {
            return true;
        }
        let Some((meant, how)) = self.select_vhost(present, asked) else { return true };
        if is_taken {
            return meant == present || how == Match::First;
        }
        self.vhost_assign(id, meant);
        self.effects.push_back(Effect::Accept(id));
        true
    }

    /// Clients of this vhost may speak HTTP/2.
    #[cfg(feature = "h2")]
    pub(crate) fn vhost_speaks_h2(&self, vhost: VhostId) -> bool {
        self.vhosts.get(vhost).is_some_and(|vhost| vhost.role == crate::ServerRole::Http)
    }

    /// One of those for whom a connection may have come grants websockets.
    #[cfg(feature = "h2")]
    pub(crate) fn grants_websockets(&self, id: WsiId) -> bool {
        let Some(present) = self.wsis.get(id).and_then(|wsi| wsi.vhost) else { return false };
        self.vhosts_in_reach(present).any(|(_, vhost)| vhost.websockets)
    }

    /// Clients of this vhost may ask for another protocol on a stream of HTTP/2, and for which.
    #[cfg(feature = "h2")]
    pub(crate) fn takes_tunnel(&self, vhost: VhostId, protocol: &[u8]) -> bool {
        let takes_ws = self.vhosts.get(vhost).is_some_and(|vhost| vhost.websockets);
        takes_ws && protocol.eq_ignore_ascii_case(b"websocket")
    }

    /// For which vhost a request is that comes on a connection of several; none when that is not the one whose identity
    /// TLS has shown (RFC 9110 7.4).
    #[cfg(feature = "h2")]
    pub(crate) fn vhost_of_request(&self, id: WsiId, asked: Option<&str>) -> Option<VhostId> {
        let wsi = self.wsis.get(id)?;
        let present = wsi.vhost?;
        match self.select_vhost(present, asked) {
            Some((meant, Match::First)) if wsi.is_tls() && meant != present => Some(present),
            Some((meant, _)) if meant == present || !wsi.is_tls() => Some(meant),
            Some(_) => None,
            None => Some(present),
        }
    }

    /// The TLS identity of the vhost that a client's hello asks for.
    #[cfg(feature = "tls")]
    pub(crate) fn choose_identity(
        &mut self,
        id: WsiId,
        asked: Option<&str>,
    ) -> Option<crate::tls::ServerConfig> {
        let present = self.wsis.get(id)?.vhost?;
        let (meant, _) = self.select_vhost(present, asked)?;
        self.vhost_assign(id, meant);
        self.vhosts.get(meant)?.tls.clone()
    }

    #[cfg(feature = "tls")]
    fn server_session(&self, vhost: VhostId) -> Option<Result<crate::tls::Session, crate::TlsError>> {
        let vhost = self.vhosts.get(vhost)?;
        let config = vhost.tls.as_ref()?;
        Some(match self.vhosts_of(vhost.listener) {
            Some(vhosts) if vhosts.len() > 1 => Ok(crate::tls::Session::undecided()),
            _ => config.session(),
        })
    }
}

impl Context {
    pub(crate) fn serve_listener(&mut self, id: WsiId) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(wsi) = self.core.wsis.get(id) else { return };
            if !wsi.flags.has(Flags::READABLE) {
                return;
            }
            if self.core.connections() >= self.core.max_connections {
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
        let Some(vhost) = core.vhosts_of(id).and_then(|vhosts| vhosts.first()).copied() else { return false };
        let Some(wsi) = core.wsis.get_mut(id) else { return false };
        let Some(socket) = &mut wsi.socket else { return false };
        match core.plat.accept(socket) {
            Ok(Some((socket, peer))) => {
                self.greet(vhost, socket, peer);
                true
            }
            Ok(None) => {
                wsi.flags.clear(Flags::READABLE);
                false
            }
            Err(error) => {
                log::warn!(target: "millstream::vhost", "{id}: accepting pauses: {error}");
                let at = core.now.saturating_add(PAUSE);
                core.suls.schedule(at, Timer::Listener(id));
                false
            }
        }
    }

    /// A connection for `vhost`, or for another one of the same listener.
    fn greet(&mut self, vhost_id: VhostId, socket: Socket, peer: Option<Address>) {
        let core = &mut self.core;
        if let Some(ip) = peer.as_ref().and_then(Address::ip).map(|address| address.ip())
            && !core.peers.enter(ip)
        {
            return log::info!(target: "millstream::vhost", "{ip} has as many connections as it may");
        }
        let Some(vhost) = core.vhosts.get(vhost_id) else { return };
        let mut wsi = Wsi::new(None, vhost.role.start(), Binding::None, WsiState::Connecting);
        wsi.flags.set(Flags::ACCEPTED);
        // Unnamed Unix peers have no address worth keeping.
        if let Some(peer) = peer {
            wsi.rare().peer = Some(peer);
        }
        #[cfg(feature = "tls")]
        let session = core.server_session(vhost_id);
        let id = core.wsis.insert(wsi);
        core.vhost_assign(id, vhost_id);
        core.counters.accepted += 1;
        let _ = socket.set_nodelay();
        match (core.plat.register(socket, id.0.to_token()), core.wsis.get_mut(id)) {
            (Ok(socket), Some(wsi)) => wsi.socket = Some(socket),
            (Err(error), _) => {
                log::warn!(target: "millstream::vhost", "{id}: cannot be polled: {error}");
                return core.remove(id);
            }
            (Ok(_), None) => return,
        }
        #[cfg(feature = "tls")]
        match session {
            Some(Ok(session)) => return self.start_handshake(id, session),
            Some(Err(error)) => {
                log::warn!(target: "millstream::vhost", "{id}: no TLS: {error}");
                return core.remove(id);
            }
            None => {}
        }
        core.opened(id);
    }
}

impl Core {
    /// A server stream takes over a vhost that was made for it (`!name`).
    pub(crate) fn vhost_take(&mut self, id: VhostId, user: VhostUser, websockets: bool) -> bool {
        match self.vhosts.get_mut(id) {
            Some(vhost) if vhost.user == VhostUser::Nobody => {
                vhost.user = user;
                vhost.websockets = websockets;
                true
            }
            _ => false,
        }
    }

    /// The stream that had taken a vhost is gone; the vhost waits for the next.
    pub(crate) fn vhost_give_back(&mut self, id: VhostId) {
        if let Some(vhost) = self.vhosts.get_mut(id) {
            vhost.user = VhostUser::Nobody;
            vhost.tx_credit = None;
        }
    }
}
