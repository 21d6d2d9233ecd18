//! Lookups of callers, and the queries that they share.

mod lookup;
mod output;
mod query;
mod random;

use crate::cache::{Cache, Known};
use crate::{Failure, Family, Hosts, Limits, Name, ResolvConf, special};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use lookup::{Lookup, Verdict};
use query::{Attempt, Channel, Plan, Query, Step, Whom, of_family};
use random::Random;

pub use output::{Event, Output, SocketId, Transport};

/// RFC 8305 3: AAAA is asked for first.
const FAMILIES: [Family; 2] = [Family::V6, Family::V4];

const DNS_PORT: u16 = 53;

/// Microseconds that a server has to itself; then the next one is asked beside it, and whoever answers first is heard. A
/// server that is gone costs this much, once, and not the whole of its time.
pub const HEDGE_DELAY: u64 = 200_000;

/// What a query is for.
type Key = (Name, Family);

/// A stub resolver (RFC 1034 5.3.1): asks the servers of resolv.conf, keeps what they say, and tells it.
///
/// The caller opens, uses and closes sockets as [`Resolver::poll_output`] says, and gives what arrives on them to
/// [`Resolver::datagram`], [`Resolver::stream`] and [`Resolver::failed`]. Times are microseconds of a clock that does
/// not go back. After each call both `poll_output` and [`Resolver::poll_event`] may have something.
///
/// ```
/// use millstream_dns::{Family, Hosts, Limits, Output, ResolvConf, Resolver};
///
/// let limits = Limits::default();
/// let conf = ResolvConf::parse(b"nameserver 192.0.2.53", &limits);
/// let mut resolver = Resolver::new(Hosts::default(), conf, limits, [7, 9]);
/// resolver.lookup(1, "a.example", 0).unwrap();
/// let Some(Output::Open { socket, server, .. }) = resolver.poll_output() else { panic!() };
/// assert_eq!(server.to_string(), "192.0.2.53:53");
/// let Some(Output::Send { bytes, .. }) = resolver.poll_output() else { panic!() };
///
/// // The server's answer to the question for AAAA, which is the first: there are none.
/// let mut answer = bytes;
/// answer[2] |= 0x80;
/// answer.truncate(answer.len() - 11); // without EDNS
/// answer[11] = 0;
/// resolver.datagram(socket, &answer, 20_000);
/// let event = resolver.poll_event().unwrap();
/// assert_eq!((event.id, event.family, event.result.is_err()), (1, Family::V6, true));
/// ```
#[derive(Debug)]
pub struct Resolver {
    hosts: Hosts,
    conf: ResolvConf,
    servers: Vec<SocketAddr>,
    limits: Limits,
    cache: Cache,
    random: Random,
    lookups: BTreeMap<u64, Lookup>,
    queries: BTreeMap<Key, Query>,
    /// The attempts under way, by the sockets that they use.
    sockets: BTreeMap<SocketId, Key>,
    timers: BTreeSet<(u64, SocketId)>,
    outputs: VecDeque<Output>,
    events: VecDeque<Event>,
    next_socket: u64,
    /// The server that the next query begins with.
    first: u16,
}

impl Resolver {
    /// `seed` makes the ids of queries, and must be unguessable: whoever can tell them can answer in a server's place.
    /// Servers listen at port 53; those whose zone is an interface's name are left out until
    /// [`Resolver::set_servers`].
    pub fn new(hosts: Hosts, conf: ResolvConf, limits: Limits, seed: [u64; 2]) -> Self {
        let servers =
            conf.servers.iter().filter_map(|server| server.socket_addr(DNS_PORT, |_| None)).collect();
        let mut resolver = Self {
            hosts,
            conf,
            servers: Vec::new(),
            limits,
            cache: Cache::new(limits.cache),
            random: Random::new(seed),
            lookups: BTreeMap::new(),
            queries: BTreeMap::new(),
            sockets: BTreeMap::new(),
            timers: BTreeSet::new(),
            outputs: VecDeque::new(),
            events: VecDeque::new(),
            next_socket: 0,
            first: 0,
        };
        resolver.set_servers(servers);
        resolver
    }

    /// Whom to ask from now on, instead of those that resolv.conf names. Queries under way go on at the same place in
    /// this list, and fail where it ends. Beyond
    /// [`Limits::servers`] they are left out.
    pub fn set_servers(&mut self, mut servers: Vec<SocketAddr>) {
        servers.truncate(self.limits.servers.into());
        self.servers = servers;
        self.first = 0;
    }

    /// Begins to look for the addresses of a name, of both families: an [`Event`] for each is to come, at once when the
    /// name is an address, stands in the hosts file or was asked for before. `id` tells it from other lookups; one with
    /// the same id that is under way is forgotten. A dot at the end keeps the search list away.
    ///
    /// # Errors
    /// [`Failure::BadName`], and [`Failure::TooMany`] when [`Limits::lookups`] are under way, or done and not yet told.
    /// There is no event then.
    pub fn lookup(&mut self, id: u64, name: &str, now: u64) -> Result<(), Failure> {
        self.cancel(id);
        if self.lookups.len() >= usize::from(self.limits.lookups) {
            return Err(Failure::TooMany);
        }
        if let Ok(address) = name.parse::<IpAddr>() {
            self.tell_all(id, |family| of_family(&[address], family));
            return Ok(());
        }
        let full = Name::from_text(name).map_err(Failure::BadName)?;
        let in_file = self.hosts.addresses(&full);
        if !in_file.is_empty() {
            let [v6, v4] = FAMILIES.map(|family| of_family(in_file, family));
            self.tell_all(id, |family| if family == Family::V6 { v6.clone() } else { v4.clone() });
        } else if let Some(known) = special::find(&full) {
            self.tell_all(id, |family| known.of(family));
        } else {
            let candidates = self.candidates(full, name.ends_with('.'));
            self.lookups.insert(id, Lookup::new(candidates));
            self.next_candidate(id, now);
        }
        Ok(())
    }

    /// Forgets a lookup: there will be no event for it. Without others that want to know the same, its queries end.
    pub fn cancel(&mut self, id: u64) {
        let Some(mut lookup) = self.lookups.remove(&id) else { return };
        self.events.retain(|event| event.id != id);
        for family in FAMILIES {
            let Some(name) = lookup.asked(family) else { continue };
            let key = (name, family);
            let Some(query) = self.queries.get_mut(&key) else { continue };
            query.waiting.retain(|&waiting| waiting != id);
            if query.waiting.is_empty() {
                self.close_all(&key);
                self.queries.remove(&key);
            }
        }
    }

    /// The connection of a socket stands.
    pub fn connected(&mut self, socket: SocketId) {
        let Some(query) = self.sockets.get(&socket).and_then(|key| self.queries.get_mut(key)) else { return };
        let Some(attempt) = query.attempt(socket) else { return };
        if let Channel::Connecting = attempt.channel {
            attempt.channel = Channel::Stream(Vec::new());
            let mut message = Vec::new();
            attempt.question.encode(attempt.whom.edns, &mut message);
            let mut bytes = Vec::from((message.len() as u16).to_be_bytes());
            bytes.extend_from_slice(&message);
            self.outputs.push_back(Output::Send { socket, bytes });
        }
    }

    /// A datagram has come. Only what its server sent may be given here: the socket is connected to that.
    pub fn datagram(&mut self, socket: SocketId, bytes: &[u8], now: u64) {
        let limits = self.limits;
        self.advance(socket, now, |query| query.datagram(socket, bytes, &limits));
    }

    /// Bytes have come over a connection, cut anyhow.
    pub fn stream(&mut self, socket: SocketId, bytes: &[u8], now: u64) {
        let limits = self.limits;
        self.advance(socket, now, |query| query.stream(socket, bytes, &limits));
    }

    /// A socket could not be opened, was refused, reset, or ended.
    pub fn failed(&mut self, socket: SocketId, now: u64) {
        self.server_is_gone(socket);
        self.advance(socket, now, |_| Step::Next(Failure::ServerFailure));
    }

    /// When [`Resolver::handle_due`] is to be called, in microseconds; `None` while nothing waits.
    pub fn next_due(&self) -> Option<u64> {
        self.timers.first().map(|&(due, _)| due)
    }

    /// Gives up servers that did not answer in time, and asks others.
    pub fn handle_due(&mut self, now: u64) {
        while let Some(&(at, socket)) = self.timers.first().filter(|&&(due, _)| due <= now) {
            if self.hedge(socket, at, now) {
                continue;
            }
            self.server_is_gone(socket);
            self.advance(socket, now, |_| Step::Next(Failure::Timeout));
        }
    }

    /// What is to be done with sockets, in this order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What has been found out.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        if let Some(lookup) = self.lookups.get_mut(&event.id) {
            lookup.untold = lookup.untold.saturating_sub(1);
            if lookup.untold == 0 {
                self.lookups.remove(&event.id);
            }
        }
        Some(event)
    }

    /// Forgets what servers said, as after a change of networks.
    pub fn clear_cache(&mut self) {
        self.cache.clear();
    }

    /// Answers a lookup that asks nobody.
    fn tell_all(&mut self, id: u64, result: impl Fn(Family) -> Known) {
        self.lookups.insert(id, Lookup::new(VecDeque::new()));
        for family in FAMILIES {
            self.events.push_back(Event { id, family, result: result(family) });
        }
    }

    /// The names that a name may mean, by resolv.conf(5).
    fn candidates(&self, name: Name, is_absolute: bool) -> VecDeque<Name> {
        if is_absolute {
            return VecDeque::from([name]);
        }
        let dots = name.labels().count().saturating_sub(1);
        let mut candidates: VecDeque<Name> =
            self.conf.search.iter().filter_map(|domain| name.under(domain)).collect();
        if dots >= usize::from(self.conf.ndots) {
            candidates.push_front(name);
        } else {
            candidates.push_back(name);
        }
        candidates
    }

    /// Asks for a lookup's next name, and the one after that while it is known that there is no such name.
    fn next_candidate(&mut self, id: u64, now: u64) {
        while let Some(name) = self.lookups.get_mut(&id).and_then(Lookup::next) {
            let mut is_nothing = false;
            for family in FAMILIES {
                if let Some(known) = self.ask(id, &(name.clone(), family), now) {
                    is_nothing = self.answer(id, family, known);
                }
            }
            if !is_nothing {
                return;
            }
        }
    }

    /// What is known, or else `None` and a query.
    fn ask(&mut self, id: u64, key: &Key, now: u64) -> Option<Known> {
        if let Some(known) = self.cache.get(key, now) {
            return Some(known.clone());
        }
        if let Some(query) = self.queries.get_mut(key) {
            query.waiting.push(id);
            return None;
        }
        if self.queries.len() >= usize::from(self.limits.queries) {
            return Some(Err(Failure::TooMany));
        }
        let servers = self.servers.len() as u16;
        if servers == 0 {
            return Some(Err(Failure::ServerFailure));
        }
        let plan = Plan { servers, attempts: u16::from(self.conf.attempts).max(1) };
        let mut query = Query::new(key.0.clone(), key.1, plan, self.first);
        query.waiting.push(id);
        if self.conf.rotate {
            self.first = next_of(self.first, servers);
        }
        let whom = query.next();
        self.queries.insert(key.clone(), query);
        if let Some(whom) = whom {
            self.open(key, whom, Transport::Udp, now);
        }
        None
    }

    /// The next server is asked beside one that is slow. False when that was so before: the server's time is up.
    fn hedge(&mut self, socket: SocketId, at: u64, now: u64) -> bool {
        let Some(key) = self.sockets.get(&socket).cloned() else { return self.timers.remove(&(at, socket)) };
        let Some(query) = self.queries.get_mut(&key) else { return self.timers.remove(&(at, socket)) };
        let has_others = query.has_others();
        let Some(attempt) = query.attempt(socket) else { return self.timers.remove(&(at, socket)) };
        if attempt.hedge.take().is_none() || attempt.due <= now {
            return false;
        }
        self.timers.remove(&(at, socket));
        self.timers.insert((attempt.due, socket));
        if has_others && let Some(whom) = query.next() {
            self.open(&key, whom, Transport::Udp, now);
        }
        true
    }

    /// Whether neither family has anything under this name, and another is to be tried.
    fn answer(&mut self, id: u64, family: Family, known: Known) -> bool {
        let Some(lookup) = self.lookups.get_mut(&id) else { return false };
        match lookup.answer(family, known) {
            Verdict::Wait => false,
            Verdict::Next => true,
            Verdict::Tell(result, waited) => {
                self.events.push_back(Event { id, family, result });
                if let Some(failure) = waited {
                    self.events.push_back(Event { id, family: family.other(), result: Err(failure) });
                }
                false
            }
        }
    }

    /// Lets a query look at what came to its socket. What comes to a socket that is closed is nobody's.
    fn advance(&mut self, socket: SocketId, now: u64, look: impl FnOnce(&mut Query) -> Step) {
        let Some(key) = self.sockets.get(&socket).cloned() else { return };
        let Some(query) = self.queries.get_mut(&key) else { return };
        match look(query) {
            Step::Wait => {}
            Step::Again(whom, transport) => {
                self.close(&key, socket);
                self.open(&key, whom, transport, now);
            }
            Step::Alias(whom) => {
                self.close_all(&key);
                self.open(&key, whom, Transport::Udp, now);
            }
            Step::Next(failure) => self.next_server(&key, socket, failure, now),
            Step::Done(known, ttl) => {
                self.prefer_server_of(&key, socket);
                self.finish(&key, &known, ttl, now);
            }
        }
    }

    /// An attempt was in vain. The last one's reason is told.
    fn next_server(&mut self, key: &Key, socket: SocketId, failure: Failure, now: u64) {
        self.close(key, socket);
        let Some(query) = self.queries.get_mut(key) else { return };
        // Somebody else is being asked already, and has his time.
        if query.attempts.iter().any(|attempt| attempt.hedge.is_some()) {
            return;
        }
        match query.next() {
            Some(whom) => self.open(key, whom, Transport::Udp, now),
            None if query.attempts.is_empty() => self.finish(key, &Err(failure), 0, now),
            None => {}
        }
    }

    /// Who has answered while the first one was still silent is the first one from now on.
    fn prefer_server_of(&mut self, key: &Key, socket: SocketId) {
        let Some(query) = self.queries.get_mut(key) else { return };
        let Some(server) = query.attempt(socket).map(|attempt| attempt.whom.server) else { return };
        let first = self.first;
        if query.attempts.iter().any(|attempt| attempt.socket < socket && attempt.whom.server == first) {
            self.first = server;
        }
    }

    fn finish(&mut self, key: &Key, known: &Known, ttl: u32, now: u64) {
        self.close_all(key);
        let Some(query) = self.queries.remove(key) else { return };
        self.cache.insert(key.clone(), known.clone(), ttl, now);
        for id in query.waiting {
            if self.answer(id, key.1, known.clone()) {
                self.next_candidate(id, now);
            }
        }
    }

    /// Begins an attempt: a socket of its own, and so a port of its own, for each (RFC 5452 9.2).
    fn open(&mut self, key: &Key, whom: Whom, transport: Transport, now: u64) {
        let Some(query) = self.queries.get_mut(key) else { return };
        let Some(&server) = self.servers.get(usize::from(whom.server)) else {
            return self.finish(key, &Err(Failure::ServerFailure), 0, now);
        };
        let socket = SocketId(self.next_socket);
        self.next_socket = self.next_socket.wrapping_add(1);
        let due = now.saturating_add(u64::from(self.conf.timeout.max(1)) * 1_000_000);
        let question = query.question(self.random.id());
        self.outputs.push_back(Output::Open { socket, server, transport });
        let channel = match transport {
            Transport::Udp => {
                let mut bytes = Vec::new();
                question.encode(whom.edns, &mut bytes);
                self.outputs.push_back(Output::Send { socket, bytes });
                Channel::Datagrams { foreign: 0 }
            }
            Transport::Tcp => Channel::Connecting,
        };
        let hedge = query.has_others().then(|| now.saturating_add(HEDGE_DELAY));
        let attempt = Attempt { socket, whom, hedge, due, question, channel };
        self.timers.insert((attempt.timer(), socket));
        query.attempts.push(attempt);
        self.sockets.insert(socket, key.clone());
    }

    /// Ends all attempts of a query.
    fn close_all(&mut self, key: &Key) {
        while let Some(socket) =
            self.queries.get(key).and_then(|query| query.attempts.first()).map(|attempt| attempt.socket)
        {
            self.close(key, socket);
        }
    }

    /// Ends an attempt of a query; the caller does not hear of a socket that was not opened yet.
    fn close(&mut self, key: &Key, socket: SocketId) {
        let Some(attempt) = self.queries.get_mut(key).and_then(|query| query.take_attempt(socket)) else {
            return;
        };
        self.timers.remove(&(attempt.timer(), socket));
        self.sockets.remove(&socket);
        let is_unheard_of = self
            .outputs
            .iter()
            .any(|output| matches!(output, Output::Open { .. }) && output.socket() == socket);
        self.outputs.retain(|output| output.socket() != socket);
        if !is_unheard_of {
            self.outputs.push_back(Output::Close { socket });
        }
    }

    /// Queries to come begin with another server than one that is not there.
    fn server_is_gone(&mut self, socket: SocketId) {
        let query = self.sockets.get(&socket).and_then(|key| self.queries.get_mut(key));
        let server = query.and_then(|query| query.attempt(socket)).map(|attempt| attempt.whom.server);
        if server == Some(self.first) {
            self.first = next_of(self.first, self.servers.len() as u16);
        }
    }
}

const fn next_of(server: u16, servers: u16) -> u16 {
    if server.saturating_add(1) < servers { server + 1 } else { 0 }
}
