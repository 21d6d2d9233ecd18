//! What a callback may do, when that takes effect, and the order of things.
//!
//! # The contract
//!
//! Each line has a test.
//!
//! 1. **One at a time.** No handler is entered while any handler runs, its own or another's. What a handler finds in
//!    itself is what it left there.
//! 2. **Data at once, callbacks later.** A request about data acts at once and can be read back: metadata, timers,
//!    whether a tx was asked for. A request that ends in somebody's callback is queued and runs after the present
//!    callback has returned, first asked, first done. Returning `DestroyMe` or `DisconnectMe` counts as the request
//!    asked last.
//! 3. **Destroyed is destroyed.** `destroy` makes the stream's id stale at once: every further request with it gives
//!    `Stale`, also in the same callback. Then, in this order: `DISCONNECTED`, if it was connected; `DESTROYING`; its
//!    timers end; its connection closes; its handler is dropped.
//! 4. **Nothing waits in secret.** The queue is empty before the next timer, the next event of a connection, and the
//!    return to the caller. A handler that asks for more without end is stopped at the turn's limit: the loop then
//!    goes on without waiting, so that other connections are served. Whatever it goes on with, it needs new streams or
//!    connections for: when 5000 have come in a turn, those that come then hear of that when all others have been served.
//! 5. **A turn has a fixed order.** Timers that are due, by time and then in the order in which they were set.
//!    Connections with work in hand: input that was read and not yet taken, and those whose turn was cut for
//!    fairness. Queued callbacks. The wait: none if anything is left, else until the next timer, else without end.
//!    Connections that are ready, each within its budget: errors, then writing, then reading. What was closed is
//!    taken away.
//! 6. **Asked from outside, one by one, is the order of lws.** Several requests in one visit from outside, or any
//!    made inside a callback, run their callbacks after it; lws nests them. [`from_lws`](super::from_lws) says what
//!    that changes.
//!
//! # What a stream hears
//!
//! - `CREATING` first. `DESTROYING` last, once, and nothing after it.
//! - `CONNECTING` before `CONNECTED`. Of `CONNECTED`, `UNREACHABLE` and `AUTH_FAILED`, one for each attempt, never
//!   inside the call that asked for it.
//! - `DISCONNECTED` only after `CONNECTED`.
//! - Metadata that comes from headers is set before the first `rx` of its message, and gone before the next
//!   transaction.
//!
//! The whole is one table, [`StreamState::may_follow`](crate::secure_stream::state::StreamState::may_follow), drawn
//! in `docs/stream-states.md`.
//!
//! # What may be called from where
//!
//! Everything, from everywhere, on anything. The columns say what happens then.
//!
//! | request | at once | after the callback |
//! |---|---|---|
//! | `create` | the id is good, metadata can be set | `CREATING`; with `nailed_up`, `CONNECTING` |
//! | `destroy`, of itself or any other | the id is stale | `DISCONNECTED` where it is due, `DESTROYING` |
//! | `client_connect` | the count of retries is 0 | `CONNECTING`, and what comes of it |
//! | `request_tx`, `request_tx_len` | remembered, with the length | `tx` when the way is clear; without a connection `POLL`, `CONNECTING` first |
//! | `set_metadata`, `metadata` | done | - |
//! | `start_timeout`, `cancel_timeout` | the timer is set, or gone | `TIMEOUT` when it runs out |
//! | `sul_schedule`, `sul_cancel` | the timer is set, or gone | its callback when it is due |
//! | `change_handlers` | the next callback goes to the new one | - |
//! | `server_ack` | remembered for this transaction | - |
//! | `foreach_client` | walks the accepted streams that are there now | - |
//!
//! # What a callback may return
//!
//! | from | `Ok` | `TxDontSend` | `DisconnectMe` | `DestroyMe` |
//! |---|---|---|---|---|
//! | `state` | go on | - | close the connection, if there is one | destroy the stream |
//! | `rx` | go on | - | close | destroy |
//! | `tx` | send what was filled | nothing now; ask again with `request_tx` | close | destroy |
//!
//! A connection that others share is joined in no time. A client that leaves it by `DisconnectMe` before anything was
//! exchanged, and still wants to send, is polled again when the first delay of its backoff has passed; after an exchange it
//! is polled at once. One whose peer has closed it without payload, answer or acknowledgement is polled when that delay has
//! passed since the attempt began, however soon it asks; where something was sent, when that happens again. One that asks
//! again by itself in the moment in which its attempt began and ended has the next moment, with `POLL` before
//! `CONNECTING`: nobody keeps the loop to itself.
