//! Client connections on their way: name, addresses one after the other, socket, TLS, and then the role.

use super::{Binding, Flags, Wait, Wsi, WsiId, WsiState};
use crate::cause::{Cause, Failure, Phase, Reason, TcpFailure};
use crate::context::{Context, Core, Effect};
use crate::plat::{Address, Socket, SocketOptions};
use crate::role::Role;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// The most addresses of one name that are tried.
const ADDRESSES: usize = 16;

/// Connections that are kept idle for one endpoint, and in all.
const POOLED_PER_KEY: usize = 8;
const POOLED: usize = 256;

/// Where a client connection leads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// A name to resolve, or a numeric address, and a port.
    Host(String, u16),
    /// An address, as it is: IP, or a Unix socket.
    Address(Address),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host(name, port) => write!(f, "{name}:{port}"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// What a client connection starts to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClientRole {
    /// Bytes as they come.
    Raw,
    /// Datagrams, to and from one peer.
    Udp,
    /// HTTP/1.1.
    #[cfg(feature = "h1")]
    H1,
}

/// What makes two connections interchangeable: where to, under which TLS identity, speaking what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientInfo {
    /// Where to.
    pub target: Target,
    /// The name to ask TLS for, and the trust to check it by; `None` for no TLS.
    #[cfg(feature = "tls")]
    pub tls: Option<crate::tls_identity::ClientTls>,
    /// What to speak there.
    pub role: ClientRole,
    /// The interface or address that it comes from, and how the network is asked to treat it.
    pub options: SocketOptions,
    /// How long it may go without a sign of life; `None` leaves that to the context.
    pub validity: Option<super::Validity>,
}

impl ClientInfo {
    /// A connection without TLS.
    pub fn new(target: Target, role: ClientRole) -> Self {
        Self {
            target,
            #[cfg(feature = "tls")]
            tls: None,
            role,
            options: SocketOptions::default(),
            validity: None,
        }
    }
}

/// The identity under which an idle connection is kept.
pub(crate) type PoolKey = Rc<ClientInfo>;

/// A connection that is not there yet.
#[derive(Debug)]
pub(crate) struct Connecting {
    info: Rc<ClientInfo>,
    addresses: VecDeque<Address>,
    current: Option<Address>,
    failures: Cause,
    /// When the whole attempt, with all its addresses, has taken too long.
    until: crate::Us,
}

impl Core {
    /// Binds a connection to `info`'s endpoint: an idle one when `reuse` allows it and there is one, else a new one. How it
    /// goes is told by events, never from within this call.
    pub(crate) fn client_connect(&mut self, info: &Rc<ClientInfo>, binding: Binding, reuse: bool) -> WsiId {
        if reuse && let Some(id) = self.take_pooled(info, binding) {
            self.effects.push_back(Effect::Established(id));
            return id;
        }
        let mut wsi = Wsi::new(None, Role::for_client(info.role), binding, WsiState::Resolving);
        wsi.rare().connecting = Some(Box::new(Connecting {
            info: Rc::clone(info),
            addresses: VecDeque::new(),
            current: None,
            failures: Cause::default(),
            until: self.now.saturating_add(self.timeouts.connect),
        }));
        wsi.rare().pool_key = Some(Rc::clone(info));
        let id = self.wsis.insert(wsi);
        log::debug!(target: "millstream::wsi", "{id}: connecting to {}", info.target);
        match &info.target {
            Target::Address(address) => self.connect_addresses(id, [address.clone()]),
            Target::Host(name, port) => {
                if let Ok(ip) = name.trim_matches(['[', ']']).parse() {
                    self.connect_addresses(id, [Address::Ip(SocketAddr::new(ip, *port))]);
                } else {
                    self.wait_for(id, Wait::Connect, self.timeouts.connect);
                    self.plat.resolve(name, *port, id.0.to_token());
                }
            }
        }
        id
    }

    fn connect_addresses(&mut self, id: WsiId, addresses: impl IntoIterator<Item = Address>) {
        if let Some(connecting) = self.connecting_mut(id) {
            connecting.addresses.extend(addresses.into_iter().take(ADDRESSES));
        }
        self.connect_next(id);
    }

    fn connecting_mut(&mut self, id: WsiId) -> Option<&mut Connecting> {
        self.wsis.get_mut(id)?.rare.as_mut()?.connecting.as_deref_mut()
    }

    /// The answer to a name.
    pub(crate) fn resolved(&mut self, id: WsiId, result: Result<Vec<SocketAddr>, Cause>) {
        if self.wsis.get(id).is_none_or(|wsi| wsi.state() != WsiState::Resolving) {
            return;
        }
        match result {
            Ok(addresses) => self.connect_addresses(id, addresses.into_iter().map(Address::Ip)),
            Err(cause) => self.close(id, Some(cause)),
        }
    }

    /// Tries the next address, if there is one; else the attempt has failed by what the addresses had to say.
    fn connect_next(&mut self, id: WsiId) {
        loop {
            let now = self.now;
            let Some(connecting) = self.connecting_mut(id) else { return };
            let left = connecting.until.saturating_sub(now);
            let share = left / (connecting.addresses.len().max(1) as u32);
            let Some(address) = connecting.addresses.pop_front() else {
                let failures = std::mem::take(&mut connecting.failures);
                let cause = if failures.is_empty() { Cause::no_address() } else { failures };
                return self.close(id, Some(cause));
            };
            connecting.current = Some(address.clone());
            let opened = self.open_socket(id, &address);
            let Some(wsi) = self.wsis.get_mut(id) else { return };
            wsi.enter(id, WsiState::Connecting);
            match opened {
                Ok(socket) => {
                    wsi.socket = Some(socket);
                    return self.wait_for(id, Wait::Connect, share.max(Duration::from_millis(1)));
                }
                Err(error) => self.note_failure(id, Phase::Connecting, TcpFailure::from(&error)),
            }
        }
    }

    fn open_socket(&mut self, id: WsiId, address: &Address) -> std::io::Result<Socket> {
        let Some(wsi) = self.wsis.get(id) else { return Err(std::io::ErrorKind::NotConnected.into()) };
        let info = wsi.rare.as_ref().and_then(|rare| rare.pool_key.clone());
        let options = info.as_ref().map(|info| info.options.clone()).unwrap_or_default();
        #[cfg(feature = "tls")]
        if matches!(wsi.role, Role::Udp(_)) && info.as_ref().is_some_and(|info| info.tls.is_some()) {
            return Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "datagrams have no TLS"));
        }
        match (&wsi.role, address.ip()) {
            (Role::Udp(_), Some(peer)) => self.udp_connect(id, peer, &options),
            (Role::Udp(_), None) => Err(std::io::ErrorKind::InvalidInput.into()),
            _ => self.plat.connect(address, &options, id.0.to_token()),
        }
    }

    /// Keeps why an address was no good, beside why the earlier ones were not.
    fn note_failure(&mut self, id: WsiId, phase: Phase, reason: impl Into<Reason>) {
        let Some(connecting) = self.connecting_mut(id) else { return };
        let mut failure = Failure::new(phase, reason);
        failure = match &connecting.current {
            Some(Address::Ip(address)) => failure.with(*address),
            Some(address) => failure.with(address.to_string().as_str()),
            None => failure,
        };
        log::debug!(target: "millstream::wsi", "{id}: {failure}");
        connecting.failures.push(failure);
    }

    /// The present address is no good.
    pub(crate) fn connect_failed(&mut self, id: WsiId, phase: Phase, reason: impl Into<Reason>) {
        self.note_failure(id, phase, reason);
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        wsi.socket = None;
        wsi.flags.clear(Flags::READABLE | Flags::WRITABLE | Flags::READ_CLOSED);
        self.connect_next(id);
    }

    /// An idle connection to the same endpoint, the one used last: it is the likeliest to be alive.
    fn take_pooled(&mut self, info: &ClientInfo, binding: Binding) -> Option<WsiId> {
        let ids = self.pool.get_mut(info)?;
        while let Some(id) = ids.pop() {
            if let Some(wsi) = self.wsis.get_mut(id) {
                wsi.binding = binding;
                wsi.flags.set(Flags::REUSED);
                wsi.flags.clear(Flags::GOT_RX | Flags::RX_FLOW_OFF | Flags::WANT_TX);
                self.pooled = self.pooled.saturating_sub(1);
                self.wait_no_more(id);
                return Some(id);
            }
        }
        None
    }

    /// The user of a client connection is done with it: it is kept for the next, if its role says that it can be.
    pub(crate) fn release(&mut self, id: WsiId) {
        let (most, idle) = (self.pooled, self.timeouts.pool_idle);
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        // RFC 9112 9.2: what is there already cannot be the answer to the next request.
        let has_more = wsi.flags.any(Flags::UNASKED | Flags::READABLE) || wsi.has_plain();
        let reusable = wsi.role.may_reuse()
            && !has_more
            && wsi.state() == WsiState::Open
            && wsi.unsent.is_empty()
            && wsi.front.is_empty()
            && wsi.rest.is_empty()
            && !wsi.flags.any(Flags::EOF | Flags::READ_CLOSED);
        let key = wsi.rare.as_ref().and_then(|rare| rare.pool_key.clone());
        let Some(key) = key.filter(|_| reusable && most < POOLED && !idle.is_zero()) else {
            wsi.binding = Binding::None;
            return self.close_flushed(id, None);
        };
        let ids = self.pool.entry(key).or_default();
        if ids.len() >= POOLED_PER_KEY {
            wsi.binding = Binding::None;
            return self.close_flushed(id, None);
        }
        ids.push(id);
        wsi.binding = Binding::Pooled;
        self.pooled += 1;
        self.wait_for(id, Wait::Pooled, idle);
    }

    /// Strikes a connection that is going away from the list of the idle.
    pub(crate) fn forget_pooled(&mut self, id: WsiId) {
        let Some(key) = self.wsis.get(id).and_then(|wsi| wsi.rare.as_ref()?.pool_key.clone()) else { return };
        if let Some(ids) = self.pool.get_mut(&key) {
            let before = ids.len();
            ids.retain(|other| *other != id);
            self.pooled = self.pooled.saturating_sub(before - ids.len());
            if ids.is_empty() {
                self.pool.remove(&key);
            }
        }
    }
}

impl Context {
    /// The poller has something to say about a socket that is connecting.
    pub(crate) fn serve_connecting(&mut self, id: WsiId) {
        let Some(wsi) = self.core.wsis.get_mut(id) else { return };
        if !wsi.flags.any(Flags::WRITABLE | Flags::READ_CLOSED) {
            return;
        }
        let is_udp = matches!(wsi.role, Role::Udp(_));
        let Some(socket) = &mut wsi.socket else { return };
        match socket.take_error() {
            // There is no connecting, and so no failing either.
            _ if is_udp => {}
            Ok(None) if socket.is_connected() => {}
            Ok(None) => return wsi.flags.clear(Flags::WRITABLE),
            Ok(Some(error)) | Err(error) => {
                return self.core.connect_failed(id, Phase::Connecting, TcpFailure::from(&error));
            }
        }
        // A request goes out as soon as it is written, however small (README.coding.md: lws does the same).
        let _ = socket.set_nodelay();
        let _ = socket.set_keepalive();
        let address = wsi.rare().connecting.as_mut().and_then(|connecting| connecting.current.take());
        wsi.rare().peer = address;
        self.connected(id);
    }

    #[cfg(not(feature = "tls"))]
    fn connected(&mut self, id: WsiId) {
        self.core.opened(id);
    }

    #[cfg(feature = "tls")]
    fn connected(&mut self, id: WsiId) {
        let tls = self.core.connecting_mut(id).and_then(|connecting| connecting.info.tls.clone());
        let Some(tls) = tls else { return self.core.opened(id) };
        match self.core.tls.client_session(&tls) {
            Ok(session) => self.start_handshake(id, session),
            Err(error) => self.core.close(id, Some(Cause::tls(&error))),
        }
    }
}

impl Core {
    /// Everything below the role is up.
    pub(crate) fn opened(&mut self, id: WsiId) {
        self.wait_no_more(id);
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        wsi.enter(id, WsiState::Open);
        let is_accepted = wsi.flags.has(Flags::ACCEPTED);
        if let Some(rare) = &mut wsi.rare {
            rare.connecting = None;
        }
        self.validity_start(id);
        if is_accepted {
            self.find_user(id);
        } else {
            self.effects.push_back(Effect::Established(id));
        }
        self.schedule(id);
    }
}
