//! Names: the resolver's engine (`roles/dns`) on the loop's own sockets, timers and files.
//!
//! A query is a connection as any other, whose user is the resolver. What it has to tell is taken up when the effect
//! [`Names`](crate::context::Effect::Names) has its turn, never from within a call.

mod files;

pub use files::Names;

use crate::cause::{Cause, DnsFailure};
use crate::context::{Core, Effect, SulId, Timer};
use crate::plat::Address;
use crate::secure_stream::{Tx, TxFlow};
use crate::wsi::{Binding, ClientInfo, ClientRole, Target, WsiId};
use ::dns::{Event, Failure, Output, Resolver, SocketId, Transport};
use files::Stamp;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

/// The system's files are looked at again after so long at the earliest.
const FRESH: Duration = Duration::from_secs(5);

/// The names of a context.
#[derive(Debug)]
pub(crate) struct Dns {
    names: Names,
    /// There is none before the first name.
    resolver: Option<Resolver>,
    sockets: HashMap<SocketId, WsiId>,
    /// The same the other way round, with what is to be sent.
    queries: HashMap<WsiId, Query>,
    timer: Option<(SulId, u64)>,
    stamp: Stamp,
    checked: crate::Us,
}

#[derive(Debug)]
struct Query {
    socket: SocketId,
    transport: Transport,
    to_send: Vec<u8>,
}

impl Dns {
    pub(crate) fn new(names: Names) -> Self {
        Self {
            names,
            resolver: None,
            sockets: HashMap::new(),
            queries: HashMap::new(),
            timer: None,
            stamp: Stamp::default(),
            checked: crate::Us::from_us(0),
        }
    }

    /// The network that the context is on is asked, or the application's own words, and not a table of the simulation's.
    pub(crate) fn asks_servers(&self) -> bool {
        !self.names.servers.is_empty() || self.names.hosts.is_some()
    }
}

/// In the words of causes.
fn in_words(failure: Failure) -> DnsFailure {
    match failure {
        Failure::NoSuchName => DnsFailure::NoSuchName,
        Failure::NoAddress => DnsFailure::NoAddress,
        Failure::Timeout => DnsFailure::ServerUnreachable,
        Failure::BadName(_) => DnsFailure::BadName,
        _ => DnsFailure::ServerFailure,
    }
}

impl Core {
    /// Looks for the addresses of a name, for a connection that waits for them.
    pub(crate) fn look_up(&mut self, id: WsiId, name: &str, port: u16) {
        let token = id.0.to_token();
        self.counters.names += 1;
        if !self.dns.asks_servers() && self.plat.knows_names() {
            return self.plat.resolve(name, port, token);
        }
        self.dns_refresh();
        let now = self.now.as_us();
        let Some(resolver) = &mut self.dns.resolver else { return };
        match resolver.lookup(token, name, now) {
            Ok(()) => self.effects.push_back(Effect::Names),
            Err(failure) => self.close(id, Some(Cause::dns(in_words(failure)))),
        }
    }

    /// Nobody waits any more.
    pub(crate) fn stop_looking(&mut self, id: WsiId) {
        if let Some(resolver) = &mut self.dns.resolver {
            resolver.cancel(id.0.to_token());
            self.effects.push_back(Effect::Names);
        }
    }

    /// A resolver by the files as they are; one that is at work is left to it.
    fn dns_refresh(&mut self) {
        let is_new = self.dns.resolver.is_none();
        let is_due = self.now.saturating_sub(self.dns.checked) >= FRESH;
        if !is_new && (!is_due || !self.dns.queries.is_empty()) {
            return;
        }
        self.dns.checked = self.now;
        let stamp = self.dns.names.stamp(&self.plat);
        if !is_new && stamp == self.dns.stamp {
            return;
        }
        self.dns.stamp = stamp;
        let seed = self.plat.secret();
        let resolver = self.dns.names.resolver(&self.plat, seed);
        self.dns.resolver = Some(resolver);
    }

    /// Does what the resolver wants done, and tells what it has found.
    pub(crate) fn serve_names(&mut self) {
        loop {
            let Some(resolver) = &mut self.dns.resolver else { return };
            if let Some(output) = resolver.poll_output() {
                self.dns_output(output);
            } else if let Some(event) = resolver.poll_event() {
                self.dns_event(event);
            } else {
                break;
            }
        }
        self.dns_arm();
    }

    fn dns_output(&mut self, output: Output) {
        match output {
            Output::Open { socket, server, transport } => {
                let role = match transport {
                    Transport::Udp => ClientRole::Udp,
                    Transport::Tcp => ClientRole::Raw,
                };
                let info = ClientInfo::new(Target::Address(Address::Ip(server)), role);
                let id = self.client_connect(&Rc::new(info), Binding::Names, false);
                self.dns.sockets.insert(socket, id);
                self.dns.queries.insert(id, Query { socket, transport, to_send: Vec::new() });
            }
            Output::Send { socket, bytes } => {
                let Some(id) = self.dns.sockets.get(&socket).copied() else { return };
                if let Some(query) = self.dns.queries.get_mut(&id) {
                    query.to_send = bytes;
                    self.wsi_request_tx(id);
                }
            }
            Output::Close { socket } => {
                let Some(id) = self.dns.sockets.remove(&socket) else { return };
                self.dns.queries.remove(&id);
                if let Some(wsi) = self.wsis.get_mut(id) {
                    wsi.binding = Binding::None;
                    self.remove(id);
                }
            }
        }
    }

    fn dns_event(&mut self, event: Event) {
        let id = WsiId(crate::context::arena::Key::from_token(event.id));
        self.found(id, event.family, event.result.map_err(in_words));
    }

    fn dns_arm(&mut self) {
        let next = self.dns.resolver.as_ref().and_then(Resolver::next_due);
        if self.dns.timer.map(|(_, at)| at) == next {
            return;
        }
        if let Some((sul, _)) = self.dns.timer.take() {
            self.suls.cancel(sul);
        }
        if let Some(at) = next {
            self.dns.timer = Some((self.suls.schedule(crate::Us::from_us(at), Timer::Names), at));
        }
    }

    pub(crate) fn dns_timer(&mut self) {
        self.dns.timer = None;
        let now = self.now.as_us();
        if let Some(resolver) = &mut self.dns.resolver {
            resolver.handle_due(now);
        }
        self.serve_names();
    }

    /// A query's connection is up.
    pub(crate) fn dns_connected(&mut self, id: WsiId) {
        let Some(query) = self.dns.queries.get(&id) else { return };
        if let (Transport::Tcp, Some(resolver)) = (query.transport, &mut self.dns.resolver) {
            resolver.connected(query.socket);
        }
        self.serve_names();
        if self.dns.queries.get(&id).is_some_and(|query| !query.to_send.is_empty()) {
            self.wsi_request_tx(id);
        }
    }

    /// A server has said something.
    pub(crate) fn dns_received(&mut self, id: WsiId, bytes: &[u8]) {
        let now = self.now.as_us();
        let (Some(query), Some(resolver)) = (self.dns.queries.get(&id), &mut self.dns.resolver) else {
            return;
        };
        match query.transport {
            Transport::Udp => resolver.datagram(query.socket, bytes, now),
            Transport::Tcp => resolver.stream(query.socket, bytes, now),
        }
        self.serve_names();
    }

    /// A query's connection is gone.
    pub(crate) fn dns_closed(&mut self, id: WsiId) {
        let now = self.now.as_us();
        let Some(query) = self.dns.queries.remove(&id) else { return };
        self.dns.sockets.remove(&query.socket);
        if let Some(resolver) = &mut self.dns.resolver {
            resolver.failed(query.socket, now);
        }
        self.serve_names();
    }

    /// What a query has to ask.
    pub(crate) fn dns_tx(&mut self, id: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        match self.dns.queries.get_mut(&id) {
            Some(query) if !query.to_send.is_empty() => {
                tx.write(&std::mem::take(&mut query.to_send));
                TxFlow::Send
            }
            _ => TxFlow::DontSend,
        }
    }

    /// Addresses in the order in which they are to be tried (RFC 6724 6).
    pub(crate) fn sort_addresses(&self, addresses: &mut [IpAddr]) {
        ::dns::sort(addresses, |to| self.plat.source(SocketAddr::new(to, 53)));
    }
}
