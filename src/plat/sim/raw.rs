//! Sockets of a test's own: peers that do exactly what they are told, and no more.

use super::Host;
use super::conn::EndState;
use crate::plat::Address;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

/// Waits for connections on a host, without a context.
#[derive(Debug)]
pub struct RawListener {
    host: Host,
    index: usize,
}

impl RawListener {
    pub(super) fn new(host: Host, port: u16) -> io::Result<Self> {
        let address = Address::Ip(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
        let index = host.network.0.borrow_mut().listen(host.index, &address, 1024, None)?;
        Ok(Self { host, index })
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        let net = self.host.network.0.borrow();
        net.listeners.get(self.index).and_then(|listener| listener.address.port()).unwrap_or(0)
    }

    /// The next connection, if one has come.
    pub fn accept(&self) -> Option<RawSocket> {
        let index = self.host.network.0.borrow_mut().accept(self.index, None)?;
        Some(RawSocket { host: self.host.clone(), index, end: 1 })
    }
}

impl Drop for RawListener {
    fn drop(&mut self) {
        self.host.network.0.borrow_mut().unlisten(self.index);
    }
}

/// One end of a connection, without a context. What it is not asked for it does not do: it reads nothing by itself, and
/// so holds up its peer when its window is full.
#[derive(Debug)]
pub struct RawSocket {
    host: Host,
    index: usize,
    end: usize,
}

impl RawSocket {
    pub(super) fn connect(host: Host, to: &Address) -> io::Result<Self> {
        let index = host.network.0.borrow_mut().connect(host.index, to, None)?;
        Ok(Self { host, index, end: 0 })
    }

    /// All that has arrived.
    pub fn read(&mut self) -> Vec<u8> {
        let mut all = vec![0; 1 << 20];
        let read = self.host.network.0.borrow_mut().read(self.index, self.end, &mut all);
        all.truncate(read.unwrap_or(0));
        all
    }

    /// Sends as much of `bytes` as the window takes, and says how much that was.
    ///
    /// # Errors
    /// The connection is not up yet (`WouldBlock`), or no more.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.host.network.0.borrow_mut().write(self.index, self.end, bytes)
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    /// The connection is not up.
    pub fn shutdown(&mut self) -> io::Result<()> {
        self.host.network.0.borrow_mut().shutdown(self.index, self.end)
    }

    /// Breaks the connection: the peer sees a reset.
    pub fn reset(self) {
        self.host.network.0.borrow_mut().break_off(self.index, self.end);
    }

    /// The peer has said that nothing more will come, and all that came was read.
    pub fn is_eof(&self) -> bool {
        let mut net = self.host.network.0.borrow_mut();
        let row = net.conns.get_mut(self.index);
        row.is_some_and(|(_, conn)| {
            let end = conn.end(self.end);
            end.eof && end.received.is_empty()
        })
    }

    /// The connection is up.
    pub fn is_connected(&self) -> bool {
        let mut net = self.host.network.0.borrow_mut();
        let row = net.conns.get_mut(self.index);
        row.is_some_and(|(_, conn)| {
            let end = conn.end(self.end);
            end.state == EndState::Open && end.error.is_none()
        })
    }

    /// How the connection failed, if it did.
    pub fn error(&self) -> Option<io::ErrorKind> {
        let mut net = self.host.network.0.borrow_mut();
        net.conns.get_mut(self.index).and_then(|(_, conn)| conn.end(self.end).error)
    }
}

/// Letting go is closing, as with any socket.
impl Drop for RawSocket {
    fn drop(&mut self) {
        self.host.network.0.borrow_mut().close(self.index, self.end);
    }
}
