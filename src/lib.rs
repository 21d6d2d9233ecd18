#![doc = include_str!("../README.md")]
#![allow(clippy::doc_markdown, reason = "the README is prose")]
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::todo)
)]
// What only some roles use is not unused.
#![cfg_attr(
    not(all(feature = "h1", feature = "h2", feature = "mqtt", feature = "tls", feature = "ws")),
    allow(
        dead_code,
        unused_imports,
        unused_variables,
        unreachable_code,
        clippy::unnecessary_wraps,
        clippy::needless_pass_by_ref_mut,
        clippy::unused_self
    )
)]

pub mod cause;
mod context;
mod dns;
mod error;
pub mod manual;
mod plat;
pub mod policy;
mod role;
pub mod secure_stream;
mod system;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tls")]
mod tls_identity;
mod vhost;
mod wsi;

pub use crate::dns::Names;
pub use ::http;
#[cfg(feature = "mqtt")]
pub use ::mqtt;
pub use cause::Cause;
pub use context::{
    Census, Context, ContextBuilder, Counters, Cx, Latency, LatencyKind, Remote, SulId, Timeouts,
};
pub use error::Error;
pub use plat::{Address, Adopted, Interest, PollHost, Readiness, SocketOptions, Us, Waker, sim};
#[cfg(feature = "mqtt")]
pub use role::{MqttEvent, MqttInfo, MqttNotice};
#[cfg(feature = "ws")]
pub use role::{WsDeflate, WsInfo};
pub use secure_stream::{Flow, RxFlags, StreamHandler, StreamId, StreamInfo, StreamState, Tx, TxFlow};
pub use system::{Blob, Step, SystemState};
#[cfg(feature = "tls")]
pub use tls::{Identity, TlsError};
#[cfg(feature = "tls")]
pub use tls_identity::ClientTls;
#[cfg(feature = "tls")]
pub use vhost::ClientCerts;
pub use vhost::{ListenInfo, ServerRole, VhostId};
#[cfg(all(feature = "mqtt", feature = "ws"))]
pub use wsi::OverWs;
pub use wsi::{Acceptor, ClientInfo, ClientRole, Protocol, Target, UdpInfo, Validity, WsiId};
