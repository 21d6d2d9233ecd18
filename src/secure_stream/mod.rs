//! Secure Streams.
