//! Secure streams: the desire for a connection of a kind, which outlives connections (seed: `secure-streams-readme.md`).
//!
//! A stream binds a connection, loses it, binds another. What it is told by the policy, how it retries, what it tells
//! its handler, is here once for all protocols; what differs is in `transport`, a file per role.

mod access;

mod connect;
#[cfg(feature = "h1")]
pub(crate) mod cookies;
mod credit;
mod endpoint;
mod fall_back;
mod handler;
pub mod metadata;
mod perf;
pub mod retry;
pub mod retry_after;
mod server;
mod sink;
pub mod state;
mod stream;
mod transaction;
mod transport;

pub use credit::StreamInfo;
pub(crate) use handler::TxState;
pub use handler::{Flow, RxFlags, StreamHandler, Tx, TxFlow};
pub use metadata::MetadataError;
pub(crate) use metadata::SpareMetadata;
pub use state::{StreamKind, StreamState};
pub(crate) use stream::{SecureStream, StreamTimer};

use crate::context::arena::id;

id! {
    /// A secure stream: `struct lws_ss_handle` of libwebsockets. Stale once the stream is destroyed.
    StreamId, "ss"
}
