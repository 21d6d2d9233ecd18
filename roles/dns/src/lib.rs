//! Names to addresses, and addresses to the connection that answers first, without IO: a stub resolver (RFC 1034,
//! RFC 1035) and a racer (RFC 8305). Datagrams and addresses in, events out; time and randomness come as arguments.
//!
//! | file | what |
//! |---|---|
//! | `name.rs` | names: labels, length and case |
//! | `message.rs` | queries out, answers in, trusting nothing |
//! | `hosts.rs` | `/etc/hosts` |
//! | `resolv_conf.rs` | `/etc/resolv.conf` |
//! | `special.rs` | names that no server is asked for |
//! | `cache.rs` | what servers said, as long as it is true |
//! | `resolver.rs`, `resolver/` | lookups, the queries that they share, whom to ask when |
//! | `order.rs` | which address is to be tried before which (RFC 6724) |
//! | `race.rs` | which address is tried when (RFC 8305) |
#![no_std]
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod cache;
mod hosts;
pub mod message;
mod name;
mod order;
mod race;
mod resolv_conf;
mod resolver;
mod special;

pub use hosts::Hosts;
pub use name::{Name, NameError};
pub use order::sort;
pub use race::{ATTEMPT_DELAY, RESOLUTION_DELAY, Race};
pub use resolv_conf::{NameServer, ResolvConf};
pub use resolver::{Event, HEDGE_DELAY, Output, Resolver, SocketId, Transport};

use core::fmt;
use core::net::IpAddr;

/// The two kinds of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4, in A records.
    V4,
    /// IPv6, in AAAA records (RFC 3596).
    V6,
}

impl Family {
    /// Of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }
}

/// Why there are no addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The name does not exist.
    NoSuchName,
    /// The name exists, without addresses of this family.
    NoAddress,
    /// Servers would not answer, could not, or were not there.
    ServerFailure,
    /// Servers were silent.
    Timeout,
    /// Servers said what makes no sense, or aliases without end.
    Malformed,
    /// The name is none.
    BadName(NameError),
    /// So much is under way that there is no room for more.
    TooMany,
}

impl Failure {
    /// It is a server's word on the name; another server would say the same.
    pub(crate) const fn is_absence(self) -> bool {
        matches!(self, Self::NoSuchName | Self::NoAddress)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchName => "no such name",
            Self::NoAddress => "no address of this family",
            Self::ServerFailure => "no server could answer",
            Self::Timeout => "no server answered in time",
            Self::Malformed => "a malformed answer",
            Self::BadName(error) => return error.fmt(f),
            Self::TooMany => "too many lookups",
        })
    }
}

impl core::error::Error for Failure {}

/// How much of what is taken from files, servers and callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Lookups under way. 1,024.
    pub lookups: u16,
    /// Queries under way, which lookups share. 256.
    pub queries: u16,
    /// Answers kept, each for one name and family. 512.
    pub cache: u16,
    /// Addresses taken from one answer; what is beyond is left out. 32.
    pub addresses: u16,
    /// Records in one answer, all sections. 512.
    pub records: u16,
    /// Aliases (CNAME) from a name to its addresses. 8.
    pub aliases: u8,
    /// Seconds that addresses are kept, whatever their server says. 86,400.
    pub ttl: u32,
    /// Seconds that the absence of addresses is kept (RFC 2308 5). 900.
    pub negative_ttl: u32,
    /// Datagrams on one socket that are no answer to what was asked, before the server is asked over TCP. 16.
    pub foreign: u8,
    /// Names taken from hosts. 65,536.
    pub host_names: u32,
    /// Servers taken from resolv.conf. 3, as many as the C library takes.
    pub servers: u8,
    /// Search domains taken from resolv.conf. 16.
    pub search: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lookups: 1024,
            queries: 256,
            cache: 512,
            addresses: 32,
            records: 512,
            aliases: 8,
            ttl: 86_400,
            negative_ttl: 900,
            foreign: 16,
            host_names: 65_536,
            servers: 3,
            search: 16,
        }
    }
}
