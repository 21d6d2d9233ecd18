//! A host as a context sees it: the calls of [`Plat`](crate::plat::Plat).

use super::conn::EndState;
use super::{Network, next_random};
use crate::plat::waker::Bell;
use crate::plat::{Address, ListenOptions, Ready, Resolution, Socket, SocketOptions, Us, WaitOutcome, Waker};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Seconds since 1970 at which every simulation begins: 2026-01-01.
const EPOCH: u64 = 1_767_225_600;

/// A host of a simulated network: give it to a context's builder, or to the calls of [`Network`].
#[derive(Clone, Debug)]
pub struct Host {
    pub(super) network: Network,
    pub(super) index: usize,
    waits: u64,
    bell: Arc<Bell>,
}

/// A socket on a simulated network.
#[derive(Debug)]
pub(crate) struct SimSocket {
    network: Network,
    index: u32,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Listener,
    End(u8),
    Udp,
}

impl Host {
    pub(super) fn new(network: Network, index: usize) -> Self {
        Self { network, index, waits: 0, bell: Arc::default() }
    }

    /// Its address.
    pub fn ip(&self) -> IpAddr {
        let ip = self.network.0.borrow_mut().host_mut(self.index).map(|host| host.ip);
        ip.unwrap_or_else(|| IpAddr::from([0, 0, 0, 0]))
    }

    pub(crate) fn enter(&self) {
        self.network.0.borrow_mut().contexts += 1;
    }

    pub(crate) fn leave(&self) {
        let mut net = self.network.0.borrow_mut();
        net.contexts = net.contexts.saturating_sub(1);
    }

    pub(crate) fn now(&self) -> Us {
        self.network.now()
    }

    pub(crate) fn wall_secs(&self) -> u64 {
        EPOCH + self.network.now().as_us() / 1_000_000
    }

    pub(crate) fn wall_us(&self) -> u64 {
        EPOCH * 1_000_000 + self.network.now().as_us()
    }

    pub(crate) fn random(&self) -> u64 {
        next_random(&mut self.network.0.borrow_mut().random)
    }

    fn socket(&self, index: usize, what: What) -> Socket {
        Socket::Sim(SimSocket { network: self.network.clone(), index: index as u32, what })
    }

    pub(crate) fn listen(
        &self,
        address: &Address,
        options: &ListenOptions,
        token: u64,
    ) -> io::Result<Socket> {
        let mut net = self.network.0.borrow_mut();
        net.fallible("listen")?;
        let backlog = usize::try_from(options.backlog).unwrap_or(1);
        let index = net.listen(self.index, address, backlog, Some(token))?;
        drop(net);
        Ok(self.socket(index, What::Listener))
    }

    pub(crate) fn accept(&self, listener: &mut Socket) -> io::Result<Option<(Socket, Option<Address>)>> {
        let Socket::Sim(SimSocket { index, what: What::Listener, .. }) = listener else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut net = self.network.0.borrow_mut();
        net.fallible("accept")?;
        let Some(conn) = net.accept(*index as usize, None) else { return Ok(None) };
        let peer = net.conns.get(conn).and_then(|(_, conn)| conn.ends.first()?.address.clone());
        drop(net);
        Ok(Some((self.socket(conn, What::End(1)), peer)))
    }

    /// A simulated host has one interface and one address.
    pub(crate) fn connect(&self, address: &Address, _: &SocketOptions, token: u64) -> io::Result<Socket> {
        let mut net = self.network.0.borrow_mut();
        net.fallible("connect")?;
        let index = net.connect(self.index, address, Some(token))?;
        drop(net);
        Ok(self.socket(index, What::End(0)))
    }

    /// As epoll: what is there already is the first edge.
    pub(crate) fn register(&self, socket: Socket, token: u64) -> io::Result<Socket> {
        let Socket::Sim(SimSocket { index, what: What::End(end), .. }) = &socket else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut net = self.network.0.borrow_mut();
        let Some((_, conn)) = net.conns.get_mut(*index as usize) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let end = conn.end(usize::from(*end));
        end.token = Some(token);
        let (readable, closed) = (!end.received.is_empty() || end.eof, end.eof);
        let (error, host) = (end.error.is_some(), end.host);
        net.edge(host, Some(token), |edge| {
            edge.writable = true;
            edge.readable |= readable || error;
            edge.read_closed |= closed || error;
            edge.error |= error;
        });
        drop(net);
        Ok(socket)
    }

    /// The only context on a network moves its clock by waiting; with several of them, [`Network::run`] does.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>, out: &mut Vec<Ready>) -> WaitOutcome {
        out.clear();
        self.waits += 1;
        let mut net = self.network.0.borrow_mut();
        let until = timeout.map(|timeout| net.now.saturating_add(timeout));
        loop {
            let rung = self.bell.answer();
            net.take_ready(self.index, out);
            if rung != 0 || !out.is_empty() || net.has_ready(self.index) || net.contexts > 1 {
                return WaitOutcome::of(rung);
            }
            match (net.next_event(), until) {
                (Some(next), Some(until)) if next > until => break net.advance_to(until),
                (Some(next), _) => net.advance_to(next),
                (None, Some(until)) => break net.advance_to(until),
                // Nothing will ever happen: returning is the only way to let the caller find out.
                (None, None) => break,
            }
        }
        WaitOutcome::default()
    }

    pub(crate) fn waits(&self) -> u64 {
        self.waits
    }

    /// There is something to serve without any time passing.
    pub(crate) fn has_ready(&self) -> bool {
        self.bell.is_rung() || self.network.0.borrow().has_ready(self.index)
    }

    pub(crate) fn resolve(&self, name: &str, port: u16, token: u64) {
        self.network.0.borrow_mut().resolve(self.index, name, port, token);
    }

    pub(crate) fn resolved(&self) -> Option<Resolution> {
        self.network.0.borrow_mut().host_mut(self.index)?.resolutions.pop_front()
    }

    /// Its address of the same family.
    pub(crate) fn source(&self, to: SocketAddr) -> Option<IpAddr> {
        self.network.0.borrow().source(self.index, to.ip())
    }

    pub(crate) fn rename(&self, socket: Socket, token: u64) -> io::Result<Socket> {
        if let Socket::Sim(SimSocket { index, what: What::Udp, .. }) = &socket {
            self.network.0.borrow_mut().udp_rename(*index, token);
            return Ok(socket);
        }
        self.register(socket, token)
    }

    pub(crate) fn waker(&self) -> Waker {
        Waker::new(&self.bell)
    }
}

impl SimSocket {
    pub(super) fn udp(network: Network, key: u32) -> Socket {
        Socket::Sim(Self { network, index: key, what: What::Udp })
    }

    pub(crate) fn send_to(&self, bytes: &[u8], to: Option<SocketAddr>) -> io::Result<usize> {
        let mut net = self.network.0.borrow_mut();
        net.fallible("send")?;
        net.udp_send(self.index, to, bytes)
    }

    pub(crate) fn receive_from(&self, into: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let mut net = self.network.0.borrow_mut();
        net.fallible("receive")?;
        net.udp_receive(self.index, into)
    }

    fn end(&self) -> io::Result<usize> {
        match self.what {
            What::End(end) => Ok(usize::from(end)),
            What::Listener | What::Udp => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    pub(crate) fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        let end = self.end()?;
        let mut net = self.network.0.borrow_mut();
        net.fallible("read")?;
        net.read(self.index as usize, end, into)
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let end = self.end()?;
        let mut net = self.network.0.borrow_mut();
        net.fallible("write")?;
        net.write(self.index as usize, end, bytes)
    }

    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        let end = self.end()?;
        self.network.0.borrow_mut().shutdown(self.index as usize, end)
    }

    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        let end = self.end()?;
        let mut net = self.network.0.borrow_mut();
        let row = net.conns.get_mut(self.index as usize);
        Ok(row.and_then(|(_, conn)| conn.end(end).error.take()).map(io::Error::from))
    }

    pub(crate) fn is_connected(&self) -> bool {
        let Ok(end) = self.end() else { return false };
        let mut net = self.network.0.borrow_mut();
        net.conns.get_mut(self.index as usize).is_some_and(|(_, conn)| conn.end(end).state == EndState::Open)
    }

    pub(crate) fn local_address(&self) -> Option<Address> {
        let mut net = self.network.0.borrow_mut();
        match self.what {
            What::Listener => net.listeners.get(self.index as usize).map(|listener| listener.address.clone()),
            What::Udp => net.udp.get(&self.index).map(|end| Address::Ip(end.address)),
            What::End(end) => {
                let (_, conn) = net.conns.get_mut(self.index as usize)?;
                conn.end(usize::from(end)).address.clone()
            }
        }
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        let mut net = self.network.0.borrow_mut();
        match self.what {
            What::Listener => net.unlisten(self.index as usize),
            What::Udp => drop(net.udp.remove(&self.index)),
            What::End(end) => net.close(self.index as usize, usize::from(end)),
        }
    }
}
