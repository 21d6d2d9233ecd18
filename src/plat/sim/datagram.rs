//! Datagrams: they arrive late, in another order, or not at all, as the link wants it.

use super::host::SimSocket;
use super::net::{Event, Net};
use super::{Host, next_random};
use crate::plat::{Datagrams, Socket};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

/// Datagrams that a socket keeps until they are read; more are lost, as with any socket.
const QUEUED: usize = 256;

/// A datagram socket.
#[derive(Debug)]
pub(super) struct UdpEnd {
    host: usize,
    pub(super) address: SocketAddr,
    peer: Option<SocketAddr>,
    token: Option<u64>,
    received: VecDeque<(SocketAddr, Vec<u8>)>,
    error: Option<ErrorKind>,
}

/// What is on its way.
#[derive(Debug)]
pub(super) enum Datagram {
    Payload {
        host: usize,
        from: SocketAddr,
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    /// Nobody has the port (ICMP's port unreachable, RFC 792).
    Unreachable {
        key: u32,
        by: SocketAddr,
    },
}

impl Net {
    pub(super) fn udp_open(
        &mut self,
        host: usize,
        local: Option<SocketAddr>,
        peer: Option<SocketAddr>,
        token: Option<u64>,
    ) -> io::Result<u32> {
        let ip = self.host_mut(host).map(|host| host.ip).ok_or(ErrorKind::NetworkDown)?;
        let mut port = local.map_or(0, |local| local.port());
        while port == 0 {
            let random = self.ephemeral(host);
            port = if self.udp_at(host, random).is_none() { random } else { 0 };
        }
        if self.udp_at(host, port).is_some() {
            return Err(ErrorKind::AddrInUse.into());
        }
        self.udp_count = self.udp_count.wrapping_add(1);
        let address = SocketAddr::new(ip, port);
        let end = UdpEnd { host, address, peer, token, received: VecDeque::new(), error: None };
        self.udp.insert(self.udp_count, end);
        self.edge(host, token, |edge| edge.writable = true);
        Ok(self.udp_count)
    }

    fn udp_at(&self, host: usize, port: u16) -> Option<u32> {
        let is_it = |end: &UdpEnd| end.host == host && end.address.port() == port;
        self.udp.iter().find(|(_, end)| is_it(end)).map(|(key, _)| *key)
    }

    pub(super) fn udp_rename(&mut self, key: u32, token: u64) {
        let Some(end) = self.udp.get_mut(&key) else { return };
        end.token = Some(token);
        let (host, readable) = (end.host, !end.received.is_empty());
        self.edge(host, Some(token), |edge| (edge.writable, edge.readable) = (true, readable));
    }

    pub(super) fn udp_send(&mut self, key: u32, to: Option<SocketAddr>, bytes: &[u8]) -> io::Result<usize> {
        let end = self.udp.get_mut(&key).ok_or(ErrorKind::NotConnected)?;
        if let Some(error) = end.error.take() {
            return Err(error.into());
        }
        let (host, mut from) = (end.host, end.address);
        let to = end.peer.or(to).ok_or(ErrorKind::NotConnected)?;
        if let Some(own) = self.source(host, to.ip()) {
            from.set_ip(own);
        }
        let Some(at) = self.host_at(host, to.ip()) else { return Ok(bytes.len()) };
        let link = self.link(host, at);
        let mut chance = |of: u128| (u128::from(next_random(&mut self.random)) * of) >> 64;
        let is_lost = link.loss > 0 && chance(100) < u128::from(link.loss);
        let jitter = if link.jitter.is_zero() { 0 } else { chance(link.jitter.as_micros()) };
        if is_lost || self.is_link_down(host, at) {
            self.note(format_args!("a datagram of {} bytes to {to} is lost", bytes.len()));
            return Ok(bytes.len());
        }
        let jitter = Duration::from_micros(u64::try_from(jitter).unwrap_or(0));
        let due = self.now.saturating_add(link.latency).saturating_add(jitter);
        let datagram = Datagram::Payload { host: at, from, to, bytes: bytes.to_vec() };
        self.schedule(due, Event::Datagram(datagram));
        Ok(bytes.len())
    }

    pub(super) fn datagram_arrives(&mut self, datagram: Datagram) {
        match datagram {
            Datagram::Payload { host, from, to, bytes } => {
                if self.host_mut(host).is_none_or(|host| !host.is_up) {
                    return;
                }
                let key = self.udp_at(host, to.port());
                let Some(end) = key.and_then(|key| self.udp.get_mut(&key)) else {
                    return self.udp_refuse(host, from, to);
                };
                if end.peer.is_some_and(|peer| peer != from) || end.received.len() >= QUEUED {
                    return;
                }
                let (len, token) = (bytes.len(), end.token);
                end.received.push_back((from, bytes));
                self.note(format_args!("{to} gets a datagram of {len} bytes from {from}"));
                self.edge(host, token, |edge| edge.readable = true);
            }
            Datagram::Unreachable { key, by } => {
                let Some(end) = self.udp.get_mut(&key).filter(|end| end.peer == Some(by)) else { return };
                end.error = Some(ErrorKind::ConnectionRefused);
                let (host, token) = (end.host, end.token);
                self.edge(host, token, |edge| edge.error = true);
            }
        }
    }

    fn udp_refuse(&mut self, host: usize, from: SocketAddr, by: SocketAddr) {
        let Some(back) = self.host_at(host, from.ip()) else { return };
        let Some(key) = self.udp_at(back, from.port()) else { return };
        let due = self.now.saturating_add(self.link(host, back).latency);
        self.schedule(due, Event::Datagram(Datagram::Unreachable { key, by }));
    }

    pub(super) fn udp_receive(&mut self, key: u32, into: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let end = self.udp.get_mut(&key).ok_or(ErrorKind::NotConnected)?;
        if let Some(error) = end.error.take() {
            return Err(error.into());
        }
        let (from, bytes) = end.received.pop_front().ok_or(ErrorKind::WouldBlock)?;
        let len = bytes.len().min(into.len());
        for (place, byte) in into.iter_mut().zip(&bytes) {
            *place = *byte;
        }
        Ok((len, from))
    }
}

impl Host {
    pub(crate) fn datagrams(&self, how: &Datagrams, token: u64) -> io::Result<Socket> {
        let mut net = self.network.0.borrow_mut();
        net.fallible("datagrams")?;
        let key = net.udp_open(self.index, how.options.local, how.peer, Some(token))?;
        drop(net);
        Ok(SimSocket::udp(self.network.clone(), key))
    }
}

/// A datagram socket of a test's own.
#[derive(Debug)]
pub struct RawUdp {
    host: Host,
    key: u32,
}

impl RawUdp {
    pub(super) fn new(host: Host, port: u16) -> io::Result<Self> {
        let local = SocketAddr::new(host.ip(), port);
        let key = host.network.0.borrow_mut().udp_open(host.index, Some(local), None, None)?;
        Ok(Self { host, key })
    }

    /// Where it is.
    pub fn address(&self) -> Option<SocketAddr> {
        self.host.network.0.borrow().udp.get(&self.key).map(|end| end.address)
    }

    /// Sends a datagram; whether it arrives is another matter.
    ///
    /// # Errors
    /// None but those of a network that is gone.
    pub fn send_to(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        self.host.network.0.borrow_mut().udp_send(self.key, Some(to), bytes).map(drop)
    }

    /// The next datagram that has arrived, and whose it is.
    pub fn receive(&self) -> Option<(SocketAddr, Vec<u8>)> {
        let mut bytes = vec![0; 65_536];
        let (len, from) = self.host.network.0.borrow_mut().udp_receive(self.key, &mut bytes).ok()?;
        bytes.truncate(len);
        Some((from, bytes))
    }
}

impl Drop for RawUdp {
    fn drop(&mut self) {
        self.host.network.0.borrow_mut().udp.remove(&self.key);
    }
}
