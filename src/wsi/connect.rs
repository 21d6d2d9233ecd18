//! Client connections on their way: name, socket, TLS, and then the role. Where a name has several addresses, `race` goes on.

use super::race::Racing;
use super::timings::Timings;
use super::{Binding, Flags, Wait, Wsi, WsiId, WsiState};
use crate::LatencyKind;
use crate::cause::{Cause, Failure, Phase, TcpFailure};
use crate::context::{Context, Core, Effect};
use crate::plat::{Address, Socket, SocketOptions};
use crate::role::Role;
use dns::Family;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::rc::Rc;

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
    /// HTTP/2: by ALPN where there is TLS, else by prior knowledge. Those that are the same to the server share the
    /// connection; each is a stream of it, for one request after the other.
    #[cfg(feature = "h2")]
    H2,
    /// MQTT, of the client that [`ClientInfo::mqtt`] says. Those that are the same to the server share the connection.
    #[cfg(feature = "mqtt")]
    Mqtt,
    /// A websocket: HTTP/1.1, until [`Cx::ws_request`](crate::Cx::ws_request) has been answered.
    #[cfg(feature = "ws")]
    Ws,
}

impl ClientRole {
    /// What it is called in TLS (ALPN, RFC 7301 6), the best first.
    #[cfg(feature = "tls")]
    pub(crate) fn alpn(self) -> &'static [&'static [u8]] {
        match self {
            Self::Raw | Self::Udp => &[],
            #[cfg(feature = "h1")]
            Self::H1 => &[b"http/1.1"],
            #[cfg(feature = "h2")]
            Self::H2 => &[b"h2", b"http/1.1"],
            #[cfg(feature = "mqtt")]
            Self::Mqtt => &[],
            #[cfg(feature = "ws")]
            Self::Ws => &[b"http/1.1"],
        }
    }
}

/// What makes two connections interchangeable: where to, under which TLS identity, speaking what, on what kind of socket.
/// Those that differ in `validity` alone are equal: on what they share, the shorter spans count.
#[derive(Debug, Clone)]
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
    /// How long it may go without a sign of life; `None` leaves that to the context. Where several share a connection, the
    /// shortest of their spans count.
    pub validity: Option<super::Validity>,
    /// The server grants more than there can be of a window (`h2q_oflow_txcr`).
    #[cfg(feature = "h2")]
    pub(crate) window_saturates: bool,
    /// The server was offered HTTP/2, and has chosen this.
    #[cfg(feature = "h2")]
    pub(crate) instead_of_h2: bool,
    /// The websocket that it goes through, where it does; `tls` is of that, then. For MQTT alone.
    #[cfg(all(feature = "mqtt", feature = "ws"))]
    pub over_ws: Option<Box<super::OverWs>>,
    /// Who an MQTT client is; `None` is [`MqttInfo::default`](crate::MqttInfo::default).
    #[cfg(feature = "mqtt")]
    pub mqtt: Option<Box<crate::role::MqttInfo>>,
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
            #[cfg(feature = "h2")]
            window_saturates: false,
            #[cfg(feature = "h2")]
            instead_of_h2: false,
            #[cfg(all(feature = "mqtt", feature = "ws"))]
            over_ws: None,
            #[cfg(feature = "mqtt")]
            mqtt: None,
        }
    }
}

impl PartialEq for ClientInfo {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            target,
            #[cfg(feature = "tls")]
            tls,
            role,
            options,
            validity: _,
            #[cfg(feature = "h2")]
            window_saturates,
            #[cfg(feature = "h2")]
            instead_of_h2,
            #[cfg(all(feature = "mqtt", feature = "ws"))]
            over_ws,
            #[cfg(feature = "mqtt")]
            mqtt,
        } = self;
        let is_same = *target == other.target && *role == other.role && *options == other.options;
        #[cfg(feature = "tls")]
        let is_same = is_same && *tls == other.tls;
        #[cfg(feature = "h2")]
        let is_same =
            is_same && *window_saturates == other.window_saturates && *instead_of_h2 == other.instead_of_h2;
        #[cfg(all(feature = "mqtt", feature = "ws"))]
        let is_same = is_same && *over_ws == other.over_ws;
        #[cfg(feature = "mqtt")]
        let is_same = is_same && *mqtt == other.mqtt;
        is_same
    }
}

impl Eq for ClientInfo {}

impl Hash for ClientInfo {
    /// By what tells many connections of one context apart.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.target.hash(state);
        self.role.hash(state);
        #[cfg(feature = "tls")]
        self.tls.hash(state);
        #[cfg(feature = "mqtt")]
        self.mqtt.hash(state);
    }
}

/// The identity under which an idle connection is kept.
pub(crate) type PoolKey = Rc<ClientInfo>;

/// A connection that is not there yet.
#[derive(Debug)]
pub(crate) struct Connecting {
    pub(super) info: Rc<ClientInfo>,
    /// Where its one socket leads to.
    pub(super) address: Option<Address>,
    /// The addresses of a name, as long as none of them has won.
    pub(super) racing: Option<Racing>,
    pub(super) failures: Cause,
    pub(super) timings: Box<Timings>,
}

impl Core {
    /// Binds a connection to `info`'s endpoint: an idle one when `reuse` allows it and there is one, else a new one. How it
    /// goes is told by events, never from within this call.
    pub(crate) fn client_connect(&mut self, info: &Rc<ClientInfo>, binding: Binding, reuse: bool) -> WsiId {
        if reuse && let Some(id) = self.take_pooled(info, binding) {
            self.effects.push_back(Effect::Established(id));
            return id;
        }
        if Role::is_shared(info.role) { self.join(info, binding) } else { self.connect_anew(info, binding) }
    }

    /// `info` for user code, whose TLS offers what it is to speak.
    pub(crate) fn offering(&mut self, info: &ClientInfo) -> ClientInfo {
        #[cfg(feature = "tls")]
        if let Some(tls) = &info.tls
            && let Ok(tls) = self.tls.offering(tls, info.role.alpn())
        {
            return ClientInfo { tls: Some(tls), ..info.clone() };
        }
        info.clone()
    }

    pub(super) fn connect_anew(&mut self, info: &Rc<ClientInfo>, binding: Binding) -> WsiId {
        #[cfg(all(feature = "mqtt", feature = "ws"))]
        if info.over_ws.is_some() && info.role == ClientRole::Mqtt {
            return self.connect_over(info, binding);
        }
        let mut wsi = Wsi::new(None, Role::for_client(info.role), binding, WsiState::Resolving);
        wsi.rare().connecting = Some(Box::new(Connecting {
            info: Rc::clone(info),
            address: None,
            racing: None,
            failures: Cause::default(),
            timings: Box::new(Timings::begun(self.now)),
        }));
        wsi.rare().pool_key = Some(Rc::clone(info));
        let id = self.wsis.insert(wsi);
        log::debug!(target: "millstream::wsi", "{id}: connecting to {}", info.target);
        self.wait_for(id, Wait::Connect, self.timeouts.connect);
        match &info.target {
            Target::Address(address) => self.connect_address(id, address, info),
            Target::Host(name, port) => {
                if let Ok(ip) = name.trim_matches(['[', ']']).parse() {
                    self.connect_address(id, &Address::Ip(SocketAddr::new(ip, *port)), info);
                } else {
                    let preferred = if self.plat.has_ipv6() { Family::V6 } else { Family::V4 };
                    if let Some(connecting) = self.connecting_mut(id) {
                        connecting.racing = Some(Racing::new(*port, preferred));
                    }
                    self.look_up(id, name, *port);
                }
            }
        }
        id
    }

    pub(super) fn connecting_mut(&mut self, id: WsiId) -> Option<&mut Connecting> {
        self.wsis.get_mut(id)?.rare.as_mut()?.connecting.as_deref_mut()
    }

    /// There is one address, and nothing to choose.
    fn connect_address(&mut self, id: WsiId, address: &Address, info: &ClientInfo) {
        let opened = self.open_socket(id, address, info);
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        wsi.enter(id, WsiState::Connecting);
        if let Some(connecting) = &mut wsi.rare().connecting {
            connecting.address = Some(address.clone());
        }
        match opened {
            Ok(socket) => wsi.socket = Some(socket),
            Err(error) => self.connect_failed(id, TcpFailure::from(&error)),
        }
    }

    pub(super) fn open_socket(
        &mut self,
        id: WsiId,
        address: &Address,
        info: &ClientInfo,
    ) -> std::io::Result<Socket> {
        #[cfg(feature = "tls")]
        if info.role == ClientRole::Udp && info.tls.is_some() {
            return Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "datagrams have no TLS"));
        }
        match (info.role, address.ip()) {
            (ClientRole::Udp, Some(peer)) => self.udp_connect(id, peer, &info.options),
            (ClientRole::Udp, None) => Err(std::io::ErrorKind::InvalidInput.into()),
            _ => self.plat.connect(address, &info.options, id.0.to_token()),
        }
    }

    /// The one address is no good.
    fn connect_failed(&mut self, id: WsiId, reason: TcpFailure) {
        let failure = Failure::new(Phase::Connecting, reason);
        let failure = match self.connecting_mut(id).and_then(|connecting| connecting.address.as_ref()) {
            Some(Address::Ip(address)) => failure.with(*address),
            Some(address) => failure.with(address.to_string().as_str()),
            None => failure,
        };
        self.close(id, Some(failure.into()));
    }

    /// An idle connection to the same endpoint, the one used last: it is the likeliest to be alive.
    fn take_pooled(&mut self, info: &Rc<ClientInfo>, binding: Binding) -> Option<WsiId> {
        let ids = self.pool.get_mut(info)?;
        while let Some(id) = ids.pop() {
            if let Some(wsi) = self.wsis.get_mut(id) {
                wsi.binding = binding;
                wsi.flags.set(Flags::REUSED);
                if let Some(timings) = &mut wsi.rare().timings {
                    timings.reused();
                }
                self.counters.reused += 1;
                wsi.flags.clear(Flags::GOT_RX | Flags::RX_FLOW_OFF | Flags::WANT_TX);
                self.pooled = self.pooled.saturating_sub(1);
                let before = wsi.rare().pool_key.replace(Rc::clone(info));
                self.wait_no_more(id);
                if before.is_some_and(|before| before.validity != info.validity) {
                    self.validity_start(id);
                }
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
            && !wsi.has_unsent()
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

impl Wsi {
    /// What has become of a socket that was connecting; `None` when nothing has yet.
    pub(super) fn connect_outcome(&mut self) -> Option<Result<(), TcpFailure>> {
        if !self.flags.any(Flags::WRITABLE | Flags::READ_CLOSED) {
            return None;
        }
        // For datagrams there is no connecting, and so no failing either.
        let is_udp = matches!(self.role, Role::Udp(_));
        let socket = self.socket.as_mut()?;
        match socket.take_error() {
            _ if is_udp => Some(Ok(())),
            Ok(None) if socket.is_connected() => Some(Ok(())),
            Ok(None) => {
                self.flags.clear(Flags::WRITABLE);
                None
            }
            Ok(Some(error)) | Err(error) => Some(Err(TcpFailure::from(&error))),
        }
    }
}

impl Context {
    /// The poller has something to say about a socket that is connecting.
    pub(crate) fn serve_connecting(&mut self, id: WsiId) {
        let Some(wsi) = self.core.wsis.get_mut(id) else { return };
        if let Binding::Attempt(parent) = wsi.binding {
            return self.serve_attempt(id, parent);
        }
        match wsi.connect_outcome() {
            None => {}
            Some(Ok(())) => self.socket_connected(id),
            Some(Err(failure)) => self.core.connect_failed(id, failure),
        }
    }

    pub(super) fn socket_connected(&mut self, id: WsiId) {
        let now = self.core.now;
        let Some(wsi) = self.core.wsis.get_mut(id) else { return };
        if let Some(socket) = &wsi.socket {
            // A request goes out as soon as it is written, however small (README.coding.md: lws does the same).
            let _ = socket.set_nodelay();
            let _ = socket.set_keepalive();
        }
        let rare = wsi.rare();
        if let Some(connecting) = &mut rare.connecting {
            rare.peer = connecting.address.take();
            connecting.timings.connected(now);
            let took = connecting.timings.connect_us;
            self.core.latency(LatencyKind::Connect, took.into());
        }
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
        let is_tls = wsi.is_tls();
        if let Some(rare) = &mut wsi.rare
            && let Some(mut connecting) = rare.connecting.take()
        {
            connecting.timings.opened(self.now);
            rare.timings = Some(connecting.timings);
        }
        self.counters.connected += u64::from(!is_accepted);
        if is_tls {
            self.counters.handshakes += 1;
            let kind = if is_accepted { LatencyKind::TlsServer } else { LatencyKind::TlsClient };
            let took = self.latency_since(id);
            self.latency(kind, took);
        }
        self.wsi_opened(id);
    }

    /// It is up, whatever it goes through.
    pub(super) fn wsi_opened(&mut self, id: WsiId) {
        self.validity_start(id);
        if self.wsis.get(id).is_some_and(|wsi| wsi.flags.has(Flags::ACCEPTED)) {
            self.find_user(id);
        } else {
            self.effects.push_back(Effect::Established(id));
        }
        self.schedule(id);
    }
}
