//! Lifecycle torture: every callback, times every answer, times whatever may be asked for inside it. What is checked is
//! the same for all: nothing panics, nothing is left over, and each stream hears its life in order.
//!
//! A scenario that fails prints its name; `TORTURE=name cargo test --test torture` runs it alone.
#![cfg(all(feature = "h1", feature = "h2", feature = "raw", feature = "tls", feature = "ws"))]

mod datagrams;
#[path = "../common/name_server.rs"]
mod name_server;
mod names;
mod policy;
mod protocol_user;
mod protocols;
mod recorder;
mod runner;
mod streams;
mod tunnels;
mod user;
