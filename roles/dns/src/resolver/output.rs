//! What a resolver asks of its caller, and tells it.

use crate::{Failure, Family};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// A socket, as the resolver calls it. Ids are not used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub(super) u64);

/// How a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams, from a socket connected to the server, at a port that the system chooses anew (RFC 5452 9.2).
    Udp,
    /// A connection, after an answer that was too long for a datagram (RFC 7766 5).
    Tcp,
}

/// What the caller is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Open a socket, and connect it to the server. When that fails: [`Resolver::failed`](crate::Resolver::failed);
    /// when a connection over TCP stands: [`Resolver::connected`](crate::Resolver::connected).
    Open {
        /// What it is called from now on.
        socket: SocketId,
        /// Whom to ask.
        server: SocketAddr,
        /// By datagrams or a connection.
        transport: Transport,
    },
    /// Send these bytes: one datagram, or, once connected, a message behind its length.
    Send {
        /// Through which.
        socket: SocketId,
        /// Some 30 to 300.
        bytes: Vec<u8>,
    },
    /// Close a socket; what still comes through it is of no interest.
    Close {
        /// Which.
        socket: SocketId,
    },
}

impl Output {
    /// The socket that it is about.
    pub const fn socket(&self) -> SocketId {
        match *self {
            Self::Open { socket, .. } | Self::Send { socket, .. } | Self::Close { socket } => socket,
        }
    }
}

/// What was found out about a name. A lookup has two, one for each family, in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Of the lookup.
    pub id: u64,
    /// IPv4 or IPv6.
    pub family: Family,
    /// At least one address, at most [`Limits::addresses`](crate::Limits::addresses), in the server's order.
    pub result: Result<Vec<IpAddr>, Failure>,
}
