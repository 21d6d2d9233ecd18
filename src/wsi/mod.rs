//! Wsi: network connections. A socket, TLS when asked for, the role it plays at present, and whom it serves.
//!
//! Nothing here knows what a policy is. What a wsi has to tell goes to its [`Binding`], by the same events and the
//! same requests whether that is user code ([`Protocol`]) or a secure stream. The work on one connection is cut by
//! phase and direction: `connect`, `tls`, `read`, `write`, `close`.

mod adopt;
mod burst;
mod child;
mod close;
mod connect;
#[cfg(all(feature = "mqtt", feature = "ws"))]
mod layer;
mod protocol;
mod race;
mod read;
mod state;
mod timeout;
mod timings;
#[cfg(feature = "tls")]
mod tls;
mod udp;
mod validity;
mod write;

pub(crate) use burst::Burst;
pub(crate) use child::Families;
pub(crate) use close::Closing;
pub use connect::{ClientInfo, ClientRole, Target};
pub(crate) use connect::{Connecting, PoolKey};
#[cfg(all(feature = "mqtt", feature = "ws"))]
pub use layer::OverWs;
pub use protocol::{Acceptor, Protocol};
pub(crate) use state::WsiState;
pub(crate) use timeout::{Deadline, Wait};
pub(crate) use timings::Timings;
pub use udp::UdpInfo;
pub(crate) use udp::{Udp, UdpLoss};
pub use validity::Validity;
pub(crate) use validity::ValidityClock;

use crate::context::arena::id;
#[cfg(feature = "h2")]
use crate::http::Head;
use crate::plat::{Address, Socket};
use crate::role::Role;
use crate::secure_stream::StreamId;
use crate::vhost::VhostId;

id! {
    /// A connection: `struct lws` of libwebsockets. Good until the connection is closed, stale ever after.
    WsiId, "wsi"
}

/// Whom a connection serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binding {
    /// Nobody: a listener, or a connection on its way out.
    None,
    /// User code that lies beside it in the context's handlers.
    Protocol,
    Stream(StreamId),
    /// A connection to one of several addresses, which are raced for this one.
    Attempt(WsiId),
    /// The resolver.
    Names,
    /// Those whom it carries, each with a row of its own.
    Carrier,
    /// A connection whose bytes are this one's payload.
    #[cfg(all(feature = "mqtt", feature = "ws"))]
    Upper(WsiId),
    /// Nobody at the moment: kept for the next stream to the same endpoint.
    Pooled,
}

/// A few words of flags; one bit each, so that an idle connection stays small.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flags(u32);

impl Flags {
    /// The poller said so, and no read has met `WouldBlock` since: edges are reported once.
    pub(crate) const READABLE: u32 = 1;
    pub(crate) const WRITABLE: u32 = 1 << 1;
    /// In the queue of those to be served.
    pub(crate) const QUEUED: u32 = 1 << 2;
    /// The binding asked for a tx callback.
    pub(crate) const WANT_TX: u32 = 1 << 3;
    /// There are fronts, or TLS has something to say.
    pub(crate) const WANT_FLUSH: u32 = 1 << 4;
    /// The binding takes no more payload for now.
    pub(crate) const RX_FLOW_OFF: u32 = 1 << 5;
    /// The peer has sent its last byte, and we have read it.
    pub(crate) const EOF: u32 = 1 << 6;
    /// The poller saw the peer's end: a short read does not mean that all was read.
    pub(crate) const READ_CLOSED: u32 = 1 << 7;
    /// Accepted from a listener.
    pub(crate) const ACCEPTED: u32 = 1 << 8;
    /// Has served somebody before: what fails now may be the peer's idle close crossing our request.
    pub(crate) const REUSED: u32 = 1 << 9;
    /// The present user has received something from the peer.
    pub(crate) const GOT_RX: u32 = 1 << 10;
    /// TLS has told the peer that nothing more will come.
    pub(crate) const GOODBYE: u32 = 1 << 11;
    /// The peer has said more than it was asked for.
    pub(crate) const UNASKED: u32 = 1 << 12;
    /// Something was sent since the last proof of validity.
    pub(crate) const UNPROVED: u32 = 1 << 13;
    /// Being served: what is asked for meanwhile is looked at before the turn goes on.
    pub(crate) const IN_SERVICE: u32 = 1 << 14;
    /// The peer takes no websockets over HTTP/2.
    pub(crate) const NO_TUNNEL: u32 = 1 << 15;
    /// Somebody asks for a websocket here: what comes before it is granted is kept for it.
    pub(crate) const UNDECIDED: u32 = 1 << 16;
    /// The peer has said that it did nothing about our request.
    pub(crate) const UNSEEN: u32 = 1 << 17;
    /// What it has to send stands in the loop's buffer.
    pub(crate) const IN_BURST: u32 = 1 << 18;
    /// Whoever serves this leaves, and it ends when nothing is under way.
    pub(crate) const LEAVING: u32 = 1 << 19;

    pub(crate) const fn has(self, bits: u32) -> bool {
        self.0 & bits == bits
    }

    pub(crate) const fn any(self, bits: u32) -> bool {
        self.0 & bits != 0
    }

    pub(crate) fn set(&mut self, bits: u32) {
        self.0 |= bits;
    }

    pub(crate) fn clear(&mut self, bits: u32) {
        self.0 &= !bits;
    }
}

/// One network connection.
#[derive(Debug)]
pub(crate) struct Wsi {
    pub(crate) socket: Option<Socket>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Box<crate::tls::Session>>,
    pub(crate) role: Role,
    pub(crate) binding: Binding,
    state: WsiState,
    pub(crate) flags: Flags,
    pub(crate) vhost: Option<VhostId>,
    /// Received, not yet taken by the role. Bounded: nothing is read while it can not be taken.
    pub(crate) rest: Vec<u8>,
    /// Heads that go out before the next payload, in one write with it.
    pub(crate) front: Vec<u8>,
    /// What the socket did not take, from `unsent_at` on.
    pub(crate) unsent: Vec<u8>,
    pub(crate) unsent_at: usize,
    pub(crate) deadline: Deadline,
    pub(crate) validity: Option<Box<ValidityClock>>,
    pub(crate) rare: Option<Box<Rare>>,
}

/// What only some connections have.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    pub(crate) connecting: Option<Box<Connecting>>,
    pub(crate) pool_key: Option<PoolKey>,
    pub(crate) peer: Option<Address>,
    pub(crate) closing: Option<Closing>,
    /// With what the message ended that lies in `rest`, where what carried it is gone.
    #[cfg(feature = "h2")]
    pub(crate) trailers: Option<Box<Head>>,
    /// Of client connections.
    pub(crate) timings: Option<Box<Timings>>,
    /// The connection whose payload this one's bytes are.
    #[cfg(all(feature = "mqtt", feature = "ws"))]
    pub(crate) lower: Option<WsiId>,
    /// What a client has asked a server to speak from then on.
    #[cfg(feature = "ws")]
    pub(crate) upgrade: Option<Box<crate::role::WsAsked>>,
}

impl Wsi {
    pub(crate) fn new(socket: Option<Socket>, role: Role, binding: Binding, state: WsiState) -> Self {
        Self {
            socket,
            #[cfg(feature = "tls")]
            tls: None,
            role,
            binding,
            state,
            flags: Flags::default(),
            vhost: None,
            rest: Vec::new(),
            front: Vec::new(),
            unsent: Vec::new(),
            unsent_at: 0,
            deadline: Deadline::default(),
            validity: None,
            rare: None,
        }
    }

    pub(crate) fn state(&self) -> WsiState {
        self.state
    }

    /// The only writer of a state.
    pub(crate) fn enter(&mut self, id: WsiId, next: WsiState) {
        debug_assert!(next.may_follow(self.state), "{id}: {:?} -> {next:?}", self.state);
        log::trace!(target: "millstream::wsi", "{id}: {:?} -> {next:?}", self.state);
        self.state = next;
    }

    /// Somebody has it, or is about to; not what only sends its last bytes, or waits for the next user.
    pub(crate) fn is_in_use(&self) -> bool {
        self.binding != Binding::Pooled && !matches!(self.state, WsiState::Flushing | WsiState::Lingering)
    }

    pub(crate) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// TLS has decrypted something that nobody has taken.
    #[cfg(feature = "tls")]
    pub(crate) fn has_plain(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.has_plain())
    }

    #[cfg(not(feature = "tls"))]
    #[allow(clippy::unused_self)]
    pub(crate) fn has_plain(&self) -> bool {
        false
    }

    #[cfg(feature = "tls")]
    pub(crate) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    #[cfg(not(feature = "tls"))]
    #[allow(clippy::unused_self)]
    pub(crate) fn is_tls(&self) -> bool {
        false
    }

    /// Both sides have agreed by TLS on HTTP/2 (RFC 9113 3.2). Without TLS there is nothing to agree on.
    #[cfg(all(feature = "h2", feature = "tls"))]
    pub(crate) fn has_agreed_on_h2(&mut self) -> bool {
        self.tls.as_mut().is_none_or(|tls| tls.alpn() == Some(b"h2"))
    }

    #[cfg(all(feature = "h2", not(feature = "tls")))]
    #[allow(clippy::unused_self)]
    pub(crate) fn has_agreed_on_h2(&mut self) -> bool {
        true
    }

    /// There is something to send, or somebody to ask for it.
    pub(crate) fn has_to_write(&self) -> bool {
        self.flags.any(Flags::WANT_TX | Flags::WANT_FLUSH)
            || !self.front.is_empty()
            || !self.unsent.is_empty()
    }

    /// The socket has not taken all that there was for it.
    pub(crate) fn has_unsent(&self) -> bool {
        !self.front.is_empty() || !self.unsent.is_empty() || self.flags.has(Flags::IN_BURST)
    }

    /// The role can take no bytes at present: somebody else has to move first.
    pub(crate) fn is_rx_paused(&self) -> bool {
        self.flags.has(Flags::RX_FLOW_OFF) || self.role.is_rx_paused()
    }
}
