//! Secure streams: a stream type of the policy, alive for as long as somebody wants that kind of connection.

pub mod cause;
pub mod metadata;
pub mod retry;
pub mod retry_after;
pub mod state;
