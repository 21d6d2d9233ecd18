//! The network's own state, and what happens on it.

use super::conn::{Conn, End, EndState, Packet};
use super::datagram::{Datagram, UdpEnd};
use super::link::Link;
use super::next_random;
use crate::cause::DnsFailure;
use crate::plat::{Address, Ready, Resolution, Us};
use slab::Slab;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt::Write as _;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What is due at some time.
#[derive(Debug)]
pub(super) enum Event {
    Packet(usize, u64, Packet),
    Datagram(Datagram),
    /// A name's answer reaches a host.
    Name(usize, Resolution),
}

/// A machine.
#[derive(Debug)]
pub(super) struct HostState {
    pub(super) ip: IpAddr,
    /// Other addresses of its.
    aliases: Vec<IpAddr>,
    pub(super) is_up: bool,
    next_port: u16,
    /// Edges that its context has not heard of, in the order in which they came.
    ready: VecDeque<u64>,
    edges: HashMap<u64, Ready>,
    pub(super) resolutions: VecDeque<Resolution>,
}

/// Somebody who waits for connections.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) host: usize,
    pub(super) address: Address,
    token: Option<u64>,
    backlog: usize,
    queue: VecDeque<usize>,
}

#[derive(Debug)]
pub(super) struct Net {
    pub(super) now: Us,
    seq: u64,
    pub(super) random: u64,
    events: BTreeMap<(Us, u64), Event>,
    hosts: Vec<HostState>,
    by_ip: HashMap<IpAddr, usize>,
    /// With how often each slot was used, so that a late packet does not reach the slot's next tenant.
    pub(super) conns: Slab<(u64, Conn)>,
    conn_count: u64,
    pub(super) listeners: Slab<Listener>,
    pub(super) udp: BTreeMap<u32, UdpEnd>,
    pub(super) udp_count: u32,
    by_address: HashMap<(usize, Address), usize>,
    pub(super) default_link: Link,
    links: HashMap<(usize, usize), Link>,
    down: HashSet<(usize, usize)>,
    pub(super) names: HashMap<String, Result<Vec<IpAddr>, DnsFailure>>,
    pub(super) name_delay: Duration,
    pub(super) operations: u64,
    pub(super) fail_at: Option<u64>,
    pub(super) log: Option<String>,
    /// Contexts that live here; the only one moves the clock by waiting.
    pub(super) contexts: usize,
}

fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

impl Net {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            now: Us::from_us(0),
            seq: 0,
            random: seed,
            events: BTreeMap::new(),
            hosts: Vec::new(),
            by_ip: HashMap::new(),
            conns: Slab::new(),
            conn_count: 0,
            listeners: Slab::new(),
            udp: BTreeMap::new(),
            udp_count: 0,
            by_address: HashMap::new(),
            default_link: Link::default(),
            links: HashMap::new(),
            down: HashSet::new(),
            names: HashMap::new(),
            name_delay: Duration::from_millis(1),
            operations: 0,
            fail_at: None,
            log: None,
            contexts: 0,
        }
    }

    pub(super) fn note(&mut self, what: std::fmt::Arguments<'_>) {
        if let Some(log) = &mut self.log {
            // Writing to memory does not fail.
            let _ = writeln!(log, "{} {what}", self.now.as_us());
        }
    }

    /// Counts an operation that can fail; says so when it is its turn to.
    pub(super) fn fallible(&mut self, what: &str) -> io::Result<()> {
        let nth = self.operations;
        self.operations += 1;
        if self.fail_at == Some(nth) {
            self.fail_at = None;
            self.note(format_args!("operation {nth}, {what}, is made to fail"));
            return Err(ErrorKind::Other.into());
        }
        Ok(())
    }

    pub(super) fn host(&mut self, ip: IpAddr) -> usize {
        if let Some(&index) = self.by_ip.get(&ip) {
            return index;
        }
        self.hosts.push(HostState {
            ip,
            aliases: Vec::new(),
            is_up: true,
            next_port: 40_000,
            ready: VecDeque::new(),
            edges: HashMap::new(),
            resolutions: VecDeque::new(),
        });
        self.by_ip.insert(ip, self.hosts.len() - 1);
        self.hosts.len() - 1
    }

    pub(super) fn host_mut(&mut self, index: usize) -> Option<&mut HostState> {
        self.hosts.get_mut(index)
    }

    pub(super) fn alias(&mut self, host: usize, ip: IpAddr) {
        if let Some(state) = self.hosts.get_mut(host) {
            state.aliases.push(ip);
            self.by_ip.insert(ip, host);
        }
    }

    /// The address of a host from which it speaks to `to`.
    pub(super) fn source(&self, host: usize, to: IpAddr) -> Option<IpAddr> {
        let host = self.hosts.get(host)?;
        let mut own = std::iter::once(host.ip).chain(host.aliases.iter().copied());
        if to.is_loopback() { Some(to) } else { own.find(|ip| ip.is_ipv4() == to.is_ipv4()) }
    }

    pub(super) fn next_event(&self) -> Option<Us> {
        self.events.keys().next().map(|(at, _)| *at)
    }

    pub(super) fn advance_to(&mut self, at: Us) {
        while let Some((due, _)) = self.events.keys().next().copied().filter(|(due, _)| *due <= at) {
            self.now = self.now.max(due);
            let Some((_, event)) = self.events.pop_first() else { return };
            match event {
                Event::Packet(conn, count, packet) => self.arrive(conn, count, packet),
                Event::Datagram(datagram) => self.datagram_arrives(datagram),
                Event::Name(host, resolution) => {
                    if let Some(host) = self.hosts.get_mut(host) {
                        host.resolutions.push_back(resolution);
                    }
                }
            }
        }
        self.now = self.now.max(at);
    }

    pub(super) fn schedule(&mut self, at: Us, event: Event) {
        self.seq += 1;
        self.events.insert((at, self.seq), event);
    }

    /// Tells a host's context of an edge; several of one socket are told as one.
    pub(super) fn edge(&mut self, host: usize, token: Option<u64>, set: impl FnOnce(&mut Ready)) {
        let (Some(host), Some(token)) = (self.hosts.get_mut(host), token) else { return };
        let HostState { ready, edges, .. } = host;
        let edge = edges.entry(token).or_insert_with(|| {
            ready.push_back(token);
            Ready { token, readable: false, writable: false, read_closed: false, error: false }
        });
        set(edge);
    }

    pub(super) fn take_ready(&mut self, host: usize, out: &mut Vec<Ready>) {
        let Some(host) = self.hosts.get_mut(host) else { return };
        for token in std::mem::take(&mut host.ready) {
            out.extend(host.edges.remove(&token));
        }
    }

    pub(super) fn has_ready(&self, host: usize) -> bool {
        self.hosts.get(host).is_some_and(|host| !host.ready.is_empty() || !host.resolutions.is_empty())
    }

    /// The host that an address belongs to, as seen from one.
    fn host_of(&self, from: usize, address: &Address) -> Option<usize> {
        match address {
            Address::Ip(address) => self.host_at(from, address.ip()),
            _ => Some(from),
        }
    }

    pub(super) fn host_at(&self, from: usize, ip: IpAddr) -> Option<usize> {
        if ip.is_loopback() { Some(from) } else { self.by_ip.get(&ip).copied() }
    }

    pub(super) fn is_link_down(&self, a: usize, b: usize) -> bool {
        self.down.contains(&pair(a, b))
    }

    /// The address by which a listener is found: wherever it is bound, that is its port.
    fn key(address: &Address) -> Address {
        match address {
            Address::Ip(address) => Address::Ip(SocketAddr::from(([0, 0, 0, 0], address.port()))),
            other => other.clone(),
        }
    }

    pub(super) fn link(&self, a: usize, b: usize) -> Link {
        if a == b {
            Link::LOOPBACK
        } else {
            self.links.get(&pair(a, b)).copied().unwrap_or(self.default_link)
        }
    }

    pub(super) fn set_link(&mut self, a: usize, b: usize, link: Link) {
        self.links.insert(pair(a, b), link);
    }

    fn is_cut(&self, conn: &Conn) -> bool {
        let [a, b] = &conn.ends;
        self.is_link_down(a.host, b.host)
    }

    pub(super) fn set_down(&mut self, a: usize, b: usize, down: bool) {
        self.note(format_args!("link {} - {} is {}", a, b, if down { "down" } else { "up" }));
        if down {
            self.down.insert(pair(a, b));
            return;
        }
        self.down.remove(&pair(a, b));
        let mut again = Vec::new();
        for (index, (count, conn)) in &mut self.conns {
            let [x, y] = &conn.ends;
            if pair(x.host, y.host) == pair(a, b) {
                again
                    .extend(std::mem::take(&mut conn.held).into_iter().map(|packet| (index, *count, packet)));
            }
        }
        let latency = self.link(a, b).latency;
        for (index, count, packet) in again {
            self.schedule(self.now.saturating_add(latency), Event::Packet(index, count, packet));
        }
    }

    pub(super) fn reset_host(&mut self, host: usize) {
        let is_of_host = |conn: &Conn| conn.ends.iter().any(|end| end.host == host);
        let of_host = self.conns.iter().filter(|(_, (_, conn))| is_of_host(conn));
        let of_host: Vec<_> = of_host.map(|(index, (count, _))| (index, *count)).collect();
        for (index, count) in of_host {
            for end in [0, 1] {
                self.arrive(index, count, Packet::Reset(end));
            }
        }
    }

    pub(super) fn crash(&mut self, host: usize) {
        self.note(format_args!("host {host} crashes"));
        if let Some(state) = self.hosts.get_mut(host) {
            state.is_up = false;
        }
        for (_, (_, conn)) in &mut self.conns {
            for end in &mut conn.ends {
                if end.host == host {
                    end.state = EndState::Gone;
                }
            }
        }
        self.by_address.retain(|(at, _), _| *at != host);
    }

    pub(super) fn restart(&mut self, host: usize) {
        self.note(format_args!("host {host} is back"));
        if let Some(state) = self.hosts.get_mut(host) {
            state.is_up = true;
        }
    }

    pub(super) fn listen(
        &mut self,
        host: usize,
        address: &Address,
        backlog: usize,
        token: Option<u64>,
    ) -> io::Result<usize> {
        let ips: Vec<_> = self.hosts.get(host).map_or(Vec::new(), |host| {
            std::iter::once(host.ip).chain(host.aliases.iter().copied()).collect()
        });
        let address = match address {
            Address::Ip(wanted) => {
                let known =
                    wanted.ip().is_unspecified() || wanted.ip().is_loopback() || ips.contains(&wanted.ip());
                if !known {
                    return Err(ErrorKind::AddrNotAvailable.into());
                }
                let mut port = wanted.port();
                while port == 0 || (wanted.port() == 0 && self.is_taken(host, port)) {
                    port = self.ephemeral(host);
                }
                Address::Ip(SocketAddr::new(wanted.ip(), port))
            }
            other => other.clone(),
        };
        let key = (host, Self::key(&address));
        if self.by_address.contains_key(&key) {
            return Err(ErrorKind::AddrInUse.into());
        }
        self.note(format_args!("host {host} listens on {address}"));
        let listener = Listener { host, address, token, backlog, queue: VecDeque::new() };
        let index = self.listeners.insert(listener);
        self.by_address.insert(key, index);
        Ok(index)
    }

    fn is_taken(&self, host: usize, port: u16) -> bool {
        self.by_address.contains_key(&(host, Self::key(&Address::Ip(SocketAddr::from(([0, 0, 0, 0], port))))))
    }

    pub(super) fn ephemeral(&mut self, host: usize) -> u16 {
        let Some(host) = self.hosts.get_mut(host) else { return 1 };
        host.next_port = host.next_port.checked_add(1).unwrap_or(40_000);
        host.next_port
    }

    pub(super) fn unlisten(&mut self, index: usize) {
        let Some(listener) = self.listeners.try_remove(index) else { return };
        let key = (listener.host, Self::key(&listener.address));
        if self.by_address.get(&key) == Some(&index) {
            self.by_address.remove(&key);
        }
        for conn in listener.queue {
            self.break_off(conn, 1);
        }
    }

    pub(super) fn accept(&mut self, index: usize, token: Option<u64>) -> Option<usize> {
        let conn = self.listeners.get_mut(index)?.queue.pop_front()?;
        let (_, row) = self.conns.get_mut(conn)?;
        let end = row.end(1);
        end.token = token;
        if end.state == EndState::Opening {
            end.state = EndState::Open;
        }
        Some(conn)
    }

    pub(super) fn connect(&mut self, from: usize, to: &Address, token: Option<u64>) -> io::Result<usize> {
        let Some(ip) = self.hosts.get(from).map(|host| host.ip) else {
            return Err(ErrorKind::NetworkDown.into());
        };
        let ip = to.ip().and_then(|to| self.source(from, to.ip())).unwrap_or(ip);
        let is_local = !matches!(to, Address::Ip(_));
        if is_local && !self.by_address.contains_key(&(from, Self::key(to))) {
            let missing = matches!(to, Address::Unix(_));
            return Err(if missing { ErrorKind::NotFound } else { ErrorKind::ConnectionRefused }.into());
        }
        let port = self.ephemeral(from);
        let host = self.host_of(from, to);
        let link = self.link(from, host.unwrap_or(usize::MAX));
        let near = End {
            host: from,
            address: Some(Address::Ip(SocketAddr::new(ip, port))),
            token,
            ..End::default()
        };
        // An address that nobody has is a host that never answers.
        let far = End { host: host.unwrap_or(usize::MAX), address: Some(to.clone()), ..End::default() };
        self.conn_count += 1;
        let index = self.conns.insert((self.conn_count, Conn { ends: [near, far], link, held: Vec::new() }));
        self.note(format_args!("host {from} connects to {to}"));
        self.send(index, Packet::Syn(to.clone()));
        Ok(index)
    }

    /// Puts a packet on its way.
    fn send(&mut self, index: usize, packet: Packet) {
        let Some((count, conn)) = self.conns.get_mut(index) else { return };
        let (count, link, now) = (*count, conn.link, self.now);
        let len = if let Packet::Data(_, bytes) = &packet { bytes.len() as u64 } else { 0 };
        let random = if link.jitter.is_zero() { 0 } else { next_random(&mut self.random) };
        let jitter = (u128::from(random) * link.jitter.as_micros()) >> 64;
        let end = conn.end(packet.to());
        let sent_by = end.link_free.max(now);
        let took = len.saturating_mul(1_000_000).checked_div(link.bandwidth).unwrap_or(0);
        let step = u64::from(link.segment > 0 && len > 0);
        end.link_free = sent_by.saturating_add(Duration::from_micros(took.max(step)));
        let delay = link.latency.saturating_add(Duration::from_micros(u64::try_from(jitter).unwrap_or(0)));
        let at = end.link_free.saturating_add(delay).max(end.last_arrival);
        end.last_arrival = at;
        self.schedule(at, Event::Packet(index, count, packet));
    }

    fn arrive(&mut self, index: usize, count: u64, packet: Packet) {
        let cut = match self.conns.get(index) {
            Some((known, conn)) if *known == count => self.is_cut(conn),
            _ => return,
        };
        let Some((_, conn)) = self.conns.get_mut(index) else { return };
        if cut {
            conn.held.push(packet);
            return;
        }
        let target = conn.end(packet.to());
        let (host, token) = (target.host, target.token);
        if target.state == EndState::Gone || self.hosts.get(host).is_none_or(|host| !host.is_up) {
            return;
        }
        match packet {
            Packet::Syn(to) => self.syn(index, host, &to),
            Packet::SynAck => match target.state {
                EndState::Opening => {
                    target.state = EndState::Open;
                    self.note(format_args!("conn {count} is up"));
                    self.edge(host, token, |edge| edge.writable = true);
                }
                // Who asked has left meanwhile (RFC 9293 3.10.7.1).
                EndState::Closed => self.send(index, Packet::Reset(1)),
                EndState::Open | EndState::Gone => {}
            },
            Packet::Refused => {
                target.error = Some(ErrorKind::ConnectionRefused);
                self.note(format_args!("conn {count} is refused"));
                self.edge(host, token, |edge| {
                    (edge.error, edge.writable, edge.read_closed) = (true, true, true);
                });
            }
            Packet::Data(end, bytes) => {
                target.in_flight = target.in_flight.saturating_sub(bytes.len());
                if target.state == EndState::Closed {
                    return self.send(index, Packet::Reset(1 - end));
                }
                target.received.extend(&bytes);
                self.note(format_args!("conn {count}.{end} gets {} bytes", bytes.len()));
                self.edge(host, token, |edge| edge.readable = true);
            }
            Packet::Fin(end) => {
                target.eof = true;
                self.note(format_args!("conn {count}.{end} gets the end"));
                self.edge(host, token, |edge| (edge.readable, edge.read_closed) = (true, true));
            }
            Packet::Reset(end) => {
                if target.error.is_none() {
                    target.error = Some(ErrorKind::ConnectionReset);
                }
                target.received.clear();
                self.note(format_args!("conn {count}.{end} is reset"));
                self.edge(host, token, |edge| {
                    (edge.error, edge.readable, edge.writable, edge.read_closed) = (true, true, true, true);
                });
            }
        }
    }

    /// Somebody asks to be connected.
    fn syn(&mut self, index: usize, host: usize, to: &Address) {
        let listener = self.by_address.get(&(host, Self::key(to))).copied();
        let Some((at, listener)) = listener.and_then(|at| Some((at, self.listeners.get_mut(at)?))) else {
            return self.send(index, Packet::Refused);
        };
        // A full queue answers nothing, as Linux does.
        if listener.queue.len() >= listener.backlog {
            return;
        }
        listener.queue.push_back(index);
        let token = listener.token;
        self.note(format_args!("listener {at} has a connection"));
        self.edge(host, token, |edge| edge.readable = true);
        self.send(index, Packet::SynAck);
    }

    pub(super) fn write(&mut self, index: usize, end: usize, bytes: &[u8]) -> io::Result<usize> {
        let Some((_, conn)) = self.conns.get_mut(index) else { return Err(ErrorKind::NotConnected.into()) };
        let own = conn.end(end);
        match (own.error, own.state) {
            (Some(error), _) => return Err(error.into()),
            (None, EndState::Opening) => return Err(ErrorKind::WouldBlock.into()),
            (None, EndState::Open) if !own.shut => {}
            _ => return Err(ErrorKind::BrokenPipe.into()),
        }
        let (window, segment) = (conn.link.window, conn.link.segment);
        let peer = conn.end(1 - end);
        let room = window.saturating_sub(peer.received.len() + peer.in_flight);
        let len = room.min(bytes.len());
        if len < bytes.len() {
            conn.end(end).wants_space = true;
        }
        if len == 0 && !bytes.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        conn.end(1 - end).in_flight += len;
        let taken = bytes.get(..len).unwrap_or_default();
        let size = if segment == 0 { len.max(1) } else { segment };
        for piece in taken.chunks(size) {
            self.send(index, Packet::Data(1 - end, piece.to_vec()));
        }
        Ok(len)
    }

    pub(super) fn read(&mut self, index: usize, end: usize, into: &mut [u8]) -> io::Result<usize> {
        let Some((_, conn)) = self.conns.get_mut(index) else { return Err(ErrorKind::NotConnected.into()) };
        let own = conn.end(end);
        let len = own.received.len().min(into.len());
        if len == 0 {
            return match own.error {
                Some(error) => Err(error.into()),
                None if own.eof => Ok(0),
                None => Err(ErrorKind::WouldBlock.into()),
            };
        }
        for (place, byte) in into.iter_mut().zip(own.received.drain(..len)) {
            *place = byte;
        }
        // The news of space travels, as all news does; it is of no use to measure how long.
        let peer = conn.end(1 - end);
        if std::mem::take(&mut peer.wants_space) {
            let (host, token) = (peer.host, peer.token);
            self.edge(host, token, |edge| edge.writable = true);
        }
        Ok(len)
    }

    pub(super) fn shutdown(&mut self, index: usize, end: usize) -> io::Result<()> {
        let Some((_, conn)) = self.conns.get_mut(index) else { return Err(ErrorKind::NotConnected.into()) };
        let own = conn.end(end);
        if own.state != EndState::Open || own.error.is_some() {
            return Err(ErrorKind::NotConnected.into());
        }
        if !std::mem::replace(&mut own.shut, true) {
            self.send(index, Packet::Fin(1 - end));
        }
        Ok(())
    }

    /// An end is let go: its peer hears the end, or a reset where bytes were left unread (RFC 2525 2.17).
    pub(super) fn close(&mut self, index: usize, end: usize) {
        let Some((_, conn)) = self.conns.get_mut(index) else { return };
        let own = conn.end(end);
        let was = own.state;
        let unread = !own.received.is_empty();
        let shut = own.shut;
        if was != EndState::Gone {
            own.state = EndState::Closed;
        }
        own.received.clear();
        if was == EndState::Open && own.error.is_none() {
            if unread {
                self.send(index, Packet::Reset(1 - end));
            } else if !shut {
                self.send(index, Packet::Fin(1 - end));
            }
        }
        self.forget_if_over(index);
    }

    /// An end breaks the connection off.
    pub(super) fn break_off(&mut self, index: usize, end: usize) {
        let Some((_, conn)) = self.conns.get_mut(index) else { return };
        let own = conn.end(end);
        if own.state != EndState::Gone {
            own.state = EndState::Closed;
            self.send(index, Packet::Reset(1 - end));
        }
        self.forget_if_over(index);
    }

    fn forget_if_over(&mut self, index: usize) {
        if self.conns.get(index).is_some_and(|(_, conn)| conn.is_over()) {
            self.conns.remove(index);
        }
    }
}
