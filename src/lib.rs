//! Secure Streams, and the event loop under them.
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::todo)
)]

pub mod manual;
pub mod policy;
pub mod secure_stream;

mod plat;
#[cfg(feature = "tls")]
mod tls;
