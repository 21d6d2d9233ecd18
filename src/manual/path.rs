//! A byte's way up and back, and the file that decides at each step.
//!
//! # In
//!
//! | step | file | what is decided there |
//! |---|---|---|
//! | the poller says readable | `context/service.rs` | which connection; a stale token is dropped; whose turn it is |
//! | bytes leave the socket | `wsi/read.rs` | how much, into the loop's one shared buffer; rx flow control |
//! | they are decrypted | `tls/` | plain, client or server session |
//! | they become an event | `role/`, then the engine in `roles/` | what the protocol says they are; whose fault it is if not |
//! | the event finds its stream | `role/`, `secure_stream/` | a state, payload, or metadata from headers |
//! | payload goes up | `secure_stream/` | start and end of a message, credit |
//! | user code runs | `context/effect.rs` | nothing: it is the one place from which a handler is called |
//!
//! The payload in the last step is still the slice that the socket, or TLS, left in the shared buffer: it is copied
//! nowhere. It is good for that callback; a handler that wants it longer copies it.
//!
//! # Out
//!
//! | step | file | what is decided there |
//! |---|---|---|
//! | a handler asks to write | `context/cx.rs` | that it wants to: a bit, and interest in the socket |
//! | the poller says writeable | `wsi/write.rs` | what an earlier write left goes first |
//! | the handler fills the buffer | `secure_stream/` | how much it may give, and whether that is the end of a message |
//! | it is framed, sealed, written | `role/`, the engine, `tls/`, `wsi/write.rs` | head room before the payload takes the frame, so that one write sends both |
//!
//! A partial write keeps its rest with the connection, and the loop finishes it before it asks the handler again. So
//! there is at most one message's rest for each connection, and none while it is idle.
//!
//! # Who ends it
//!
//! Every step looks its connection up again, because the step before may have led to user code, and user code may end
//! anything. Ids are an index and a generation: one that has ended is *stale*, and never somebody else's.
//!
//! A failure becomes a [`Cause`](crate::cause::Cause) where it is seen, goes up with the end of the
//! connection, and is there to be read when the handler hears `UNREACHABLE`, `AUTH_FAILED` or `DISCONNECTED`.
//!
//! # Time
//!
//! The clock is read once a turn, in `plat`. Engines and streams are told the time. That is why a simulation can
//! stand in for it, and why a test of ten years of retries takes no time.
