//! What the HTTP roles share: methods, statuses, heads, and the rules that names and values follow (RFC 9110).
//!
//! Nothing here knows a wire format, so code that serves requests is the same over h1, h2 and the websocket upgrade.
#![no_std]
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

extern crate alloc;

pub mod date;
mod digits;
pub mod field;
mod head;
mod method;
pub mod multipart;
mod status;

pub use digits::Digits;
pub use head::Head;
pub use method::Method;
pub use status::Status;

/// The protocol version of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
    /// HTTP/2.
    Http2,
}

/// How long the body of an outgoing message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none, and none is announced.
    None,
    /// This many bytes, announced by Content-Length.
    Known(u64),
    /// As many as will come: chunked where the peer understands that, else until the connection closes.
    Unknown,
}
