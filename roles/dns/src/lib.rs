//! Names to addresses, and addresses to the connection that answers first, without IO: a stub resolver (RFC 1034,
//! RFC 1035) and a racer (RFC 8305). Datagrams and addresses in, events out; time and randomness come as arguments.
//!
//! | file | what |
//! |---|---|
//! | `name.rs` | names: labels, length and case |
//! | `message.rs` | queries out, answers in, trusting nothing |
//! | `hosts.rs` | `/etc/hosts` |
//! | `resolv_conf.rs` | `/etc/resolv.conf` |
#![no_std]
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod hosts;
pub mod message;
mod name;
mod resolv_conf;

pub use hosts::Hosts;
pub use name::{Name, NameError};
pub use resolv_conf::{NameServer, ResolvConf};

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
    pub const fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }
}

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
            host_names: 65_536,
            servers: 3,
            search: 16,
        }
    }
}
