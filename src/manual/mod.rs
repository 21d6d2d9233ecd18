//! The manual: what does not belong to one item.
//!
//! - [`path`]: a byte's way from the socket to a handler and back, with the file at each step. For those who read or
//!   change the library.
//! - [`callbacks`]: what may be done inside a callback, when it takes effect, and in which order things happen. For
//!   everyone who writes a handler.
//! - [`from_lws`]: the names of libwebsockets, one by one, and where the order of events differs. For those who come
//!   from there.
//!
//! # In one minute
//!
//! A *context* is the world: one thread, one loop. It owns *connections* (wsi), each speaking a *role* (h1 and
//! others), and *streams*. A stream is of a *stream type*, which the *policy* describes: where to connect, how to
//! secure it, when to try again. The stream is there for as long as somebody wants that kind of connection;
//! connections come and go beneath it.
//!
//! A program gives each stream a *handler* with three callbacks. `state` says how the stream fares, in the words of
//! [`StreamState`](crate::secure_stream::state::StreamState). `rx` brings payload, in pieces as it arrives. `tx` asks
//! for payload, after `request_tx` and when the way is clear, so that nothing piles up on this side.
//!
//! A handler may not block: while it runs, nothing else does. What takes time belongs into another thread, which
//! wakes the loop when it is done.

pub mod callbacks;
pub mod from_lws;
pub mod path;
