//! Addresses of all kinds that a socket can have.

use std::fmt;
use std::net::SocketAddr;

/// Where a socket is, or leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// A Unix socket in the file system.
    Unix(Box<str>),
    /// A Unix socket in Linux' abstract namespace, without footprint in the file system.
    Abstract(Box<str>),
}

impl Address {
    /// A Unix socket at `path`.
    pub fn unix(path: &str) -> Self {
        Self::Unix(path.into())
    }

    /// A Unix socket of the abstract namespace; `name` without the `@` that policies put before it.
    pub fn abstract_name(name: &str) -> Self {
        Self::Abstract(name.into())
    }

    /// The port, for those that have one.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Ip(address) => Some(address.port()),
            Self::Unix(_) | Self::Abstract(_) => None,
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

/// As policies write them: `127.0.0.1:80`, `+/path`, `+@name`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "+{path}"),
            Self::Abstract(name) => write!(f, "+@{name}"),
        }
    }
}
