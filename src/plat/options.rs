//! What a socket is to be like before it connects or listens.

use super::{Address, Socket};
use socket2::{Domain, SockAddr, SockRef, Type};
use std::io;
use std::net::SocketAddr;

/// Which way a socket takes, and how the network is asked to treat it (`attr_*` of the policy).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct SocketOptions {
    /// Type of service, or traffic class: 0x10 low latency, 0x08 high throughput, 0x04 high reliability, 0x02 low cost.
    /// A wish: where it cannot be had, the log says so and the socket goes without.
    pub tos: u8,
    /// The system's own queueing priority, 0 to 7; 7 needs `CAP_NET_ADMIN`. A wish too.
    pub priority: u8,
    /// The network interface that it is bound to, by name.
    pub interface: Option<Box<str>>,
    /// The address of this host that it comes from; port 0 is any.
    pub local: Option<SocketAddr>,
}

/// EINPROGRESS of Linux, for which the standard library has no stable name.
const IN_PROGRESS: i32 = 115;

impl SocketOptions {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    fn apply(&self, socket: &socket2::Socket, is_v4: bool) -> io::Result<()> {
        if let Some(interface) = &self.interface {
            socket.bind_device(Some(interface.as_bytes()))?;
        }
        if let Some(local) = self.local {
            socket.bind(&SockAddr::from(local))?;
        }
        let tos = u32::from(self.tos);
        let marked = match (tos, is_v4) {
            (0, _) => Ok(()),
            (tos, true) => socket.set_tos_v4(tos),
            (tos, false) => socket.set_tclass_v6(tos),
        };
        let ranked = if self.priority == 0 { Ok(()) } else { socket.set_priority(self.priority.into()) };
        for (what, outcome) in [("type of service", marked), ("priority", ranked)] {
            if let Err(error) = outcome {
                log::warn!(target: "millstream::wsi", "a socket goes without its {what}: {error}");
            }
        }
        Ok(())
    }

    /// Begins to connect.
    pub(super) fn connect(&self, to: SocketAddr) -> io::Result<mio::net::TcpStream> {
        let socket = socket2::Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        self.apply(&socket, to.is_ipv4())?;
        match socket.connect(&SockAddr::from(to)) {
            Err(error) if error.raw_os_error() != Some(IN_PROGRESS) => Err(error),
            _ => Ok(mio::net::TcpStream::from_std(socket.into())),
        }
    }

    /// A datagram socket, bound to [`Self::local`] or wherever the system wants, that sends to `peer` and hears nobody else,
    /// if there is one.
    pub(super) fn datagrams(&self, peer: Option<SocketAddr>) -> io::Result<mio::net::UdpSocket> {
        let family = peer.or(self.local).unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
        let socket = socket2::Socket::new(Domain::for_address(family), Type::DGRAM, None)?;
        socket.set_nonblocking(true)?;
        if self.local.is_some_and(|local| local.ip().is_multicast() || local.port() != 0) {
            socket.set_reuse_address(true)?;
        }
        self.apply(&socket, family.is_ipv4())?;
        if let Some(peer) = peer {
            socket.connect(&SockAddr::from(peer))?;
        }
        Ok(mio::net::UdpSocket::from_std(socket.into()))
    }
}

impl Socket {
    /// Lets datagrams go to everybody on a network.
    pub(crate) fn set_broadcast(&self) -> io::Result<()> {
        match self.fd() {
            Some(fd) => SockRef::from(&fd).set_broadcast(true),
            None => Ok(()),
        }
    }
}

/// How to listen.
#[derive(Debug, Clone)]
pub(crate) struct ListenOptions {
    /// Connections that the system keeps until they are accepted.
    pub(crate) backlog: i32,
    /// Others may listen there as well, and the system deals out connections among them (`SO_REUSEPORT`).
    pub(crate) reuse_port: bool,
    pub(crate) interface: Option<Box<str>>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self { backlog: 1024, reuse_port: false, interface: None }
    }
}

impl ListenOptions {
    pub(super) fn listen(&self, address: SocketAddr) -> io::Result<mio::net::TcpListener> {
        let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        // A restarted server must not wait for the last one's connections to time out.
        socket.set_reuse_address(true)?;
        if self.reuse_port {
            socket.set_reuse_port(true)?;
        }
        if let Some(interface) = &self.interface {
            socket.bind_device(Some(interface.as_bytes()))?;
        }
        socket.bind(&SockAddr::from(address))?;
        socket.listen(self.backlog)?;
        Ok(mio::net::TcpListener::from_std(socket.into()))
    }
}

/// How to send datagrams, and to whom.
#[derive(Debug, Clone, Default)]
pub(crate) struct Datagrams {
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) options: SocketOptions,
    pub(crate) broadcast: bool,
}

impl Address {
    pub(crate) fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) | Self::Abstract(_) => None,
        }
    }
}
