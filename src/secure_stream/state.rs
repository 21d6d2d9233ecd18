//! The states of a stream, and the one table of which may follow which.
//!
//! A stream reports its life to its handler as a sequence of [`StreamState`]. What may follow what is
//! [`StreamState::may_follow`], and nothing else knows: it is asked at every delivery, `docs/stream-states.md` is drawn
//! from it, and the tests below hold it against a literal matrix, cell by cell.
//!
//! # Settled and passing states
//!
//! Most states are *settled*: they say where the stream is, and the next state is checked against them. Four kinds are
//! *passing*: `TIMEOUT`, `EVENT_WAIT_CANCELLED`, `UPSTREAM_LINK_RETRY` and the user states of `http_resp_map` tell of
//! something that happened while the stream stays where it is. A passing state has rows of its own in the table
//! (when may it come?) and is never the `previous` of another: [`StreamState::settled`] says what is.
//!
//! # Where the table is not that of lws
//!
//! lws grew its table by hand, and users met the pairs that were missing in it: a stream that could not be reached
//! twice, or was asked to try again after `ALL_RETRIES_FAILED`, was destroyed for it. Ours is drawn from five sentences,
//! so that every pair is there for a reason, and a handler may rely on them:
//!
//! 1. `CREATING` comes first, `DESTROYING` last; an attempt starts with `CONNECTING` and ends in exactly one of
//!    `CONNECTED`, `UNREACHABLE`, `AUTH_FAILED`, unless it is given up by the application.
//! 2. `CONNECTED` follows `CONNECTING`, and only that.
//! 3. What was `CONNECTED` ends with `DISCONNECTED` or `DESTROYING`, and only then is there a `DISCONNECTED`. So
//!    [`StreamState::is_connected`] is a function of the state, and nobody keeps a flag beside it.
//! 4. An answer (`QOS_*`, `SERVER_*`) needs a connection. Several may follow each other, because transactions may be
//!    in flight together.
//! 5. An accepted stream is `CREATING`, `CONNECTING`, `CONNECTED`, serves any number of transactions, may be upgraded
//!    once, and does not come back.

use std::fmt;

/// The smallest number of a user state, as named by `http_resp_map`.
pub const USER_BASE: u32 = 1000;

/// What a stream tells its handler about itself, in the words and with the numbers of lws.
///
/// ```
/// use millstream::secure_stream::state::StreamState;
///
/// assert_eq!(StreamState::Connected.to_string(), "CONNECTED");
/// assert!(StreamState::Connected.may_follow(Some(StreamState::Connecting)));
/// assert!(!StreamState::Connected.may_follow(Some(StreamState::Disconnected)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamState {
    /// The stream exists. Always the first state.
    Creating,
    /// A connection that was `CONNECTED` is gone.
    Disconnected,
    /// An attempt failed before `CONNECTED`.
    Unreachable,
    /// An attempt failed before `CONNECTED` because the peer refused the credentials.
    AuthFailed,
    /// The transport can carry payload.
    Connected,
    /// An attempt to connect starts.
    Connecting,
    /// The stream is going away. Always the last state, and given once.
    Destroying,
    /// A stream without a connection was asked to send, or a retry is due: an attempt is about to be made.
    Poll,
    /// The retries that the policy conceals are used up; the stream is idle until it is asked again.
    AllRetriesFailed,
    /// The peer acknowledged the transaction.
    QosAckRemote,
    /// The peer refused the transaction.
    QosNackRemote,
    /// The proxy took charge of the transaction. Reserved.
    QosAckLocal,
    /// The proxy refused the transaction. Reserved.
    QosNackLocal,
    /// The stream's own timeout ran out. Nothing else changes.
    Timeout,
    /// A peer's request is here with its headers: given for each transaction of an accepted stream.
    ServerTxn,
    /// This accepted stream speaks websocket from now on.
    ServerUpgrade,
    /// Another thread woke the loop.
    EventWaitCancelled,
    /// The link to the proxy is being tried again.
    UpstreamLinkRetry,
    /// A stream joined this sink.
    SinkJoin,
    /// A stream left this sink.
    SinkPart,
    /// The peer's HTTP status was mapped to this number, [`USER_BASE`] or more, by `http_resp_map`.
    User(u32),
}

/// What a stream is, which decides the states that it can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// Connects to a peer.
    Client,
    /// Owns a listening socket.
    Server,
    /// Stands for one connection that a server stream accepted.
    Accepted,
    /// Is the local end of every stream of its type in this process.
    Sink,
}

impl StreamState {
    /// Every state with a name of its own, in the order of their numbers.
    pub const ALL: [Self; 20] = [
        Self::Creating,
        Self::Disconnected,
        Self::Unreachable,
        Self::AuthFailed,
        Self::Connected,
        Self::Connecting,
        Self::Destroying,
        Self::Poll,
        Self::AllRetriesFailed,
        Self::QosAckRemote,
        Self::QosNackRemote,
        Self::QosAckLocal,
        Self::QosNackLocal,
        Self::Timeout,
        Self::ServerTxn,
        Self::ServerUpgrade,
        Self::EventWaitCancelled,
        Self::UpstreamLinkRetry,
        Self::SinkJoin,
        Self::SinkPart,
    ];

    /// The number that lws gives this state, on the proxy link too.
    pub const fn number(self) -> u32 {
        match self {
            Self::Creating => 1,
            Self::Disconnected => 2,
            Self::Unreachable => 3,
            Self::AuthFailed => 4,
            Self::Connected => 5,
            Self::Connecting => 6,
            Self::Destroying => 7,
            Self::Poll => 8,
            Self::AllRetriesFailed => 9,
            Self::QosAckRemote => 10,
            Self::QosNackRemote => 11,
            Self::QosAckLocal => 12,
            Self::QosNackLocal => 13,
            Self::Timeout => 14,
            Self::ServerTxn => 15,
            Self::ServerUpgrade => 16,
            Self::EventWaitCancelled => 17,
            Self::UpstreamLinkRetry => 18,
            Self::SinkJoin => 19,
            Self::SinkPart => 20,
            Self::User(number) => number,
        }
    }

    /// The state with this number, or `None` where lws has none: 0, and 21 up to [`USER_BASE`].
    pub fn from_number(number: u32) -> Option<Self> {
        if number >= USER_BASE {
            return Some(Self::User(number));
        }
        Self::ALL.into_iter().find(|state| state.number() == number)
    }

    /// The name in lws' words, without a user state's number: `"CONNECTED"`, `"USER"`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Disconnected => "DISCONNECTED",
            Self::Unreachable => "UNREACHABLE",
            Self::AuthFailed => "AUTH_FAILED",
            Self::Connected => "CONNECTED",
            Self::Connecting => "CONNECTING",
            Self::Destroying => "DESTROYING",
            Self::Poll => "POLL",
            Self::AllRetriesFailed => "ALL_RETRIES_FAILED",
            Self::QosAckRemote => "QOS_ACK_REMOTE",
            Self::QosNackRemote => "QOS_NACK_REMOTE",
            Self::QosAckLocal => "QOS_ACK_LOCAL",
            Self::QosNackLocal => "QOS_NACK_LOCAL",
            Self::Timeout => "TIMEOUT",
            Self::ServerTxn => "SERVER_TXN",
            Self::ServerUpgrade => "SERVER_UPGRADE",
            Self::EventWaitCancelled => "EVENT_WAIT_CANCELLED",
            Self::UpstreamLinkRetry => "UPSTREAM_LINK_RETRY",
            Self::SinkJoin => "SINK_JOIN",
            Self::SinkPart => "SINK_PART",
            Self::User(_) => "USER",
        }
    }

    /// Whether a stream in this state has a connection that can carry payload.
    pub const fn is_connected(self) -> bool {
        matches!(
            self,
            Self::Connected
                | Self::QosAckRemote
                | Self::QosNackRemote
                | Self::QosAckLocal
                | Self::QosNackLocal
                | Self::ServerTxn
                | Self::ServerUpgrade
        )
    }

    /// Whether this tells of an event while the stream stays in the state that it was in.
    pub const fn is_passing(self) -> bool {
        matches!(self, Self::Timeout | Self::EventWaitCancelled | Self::UpstreamLinkRetry | Self::User(_))
    }

    /// The state that the one after this is checked against: this one, or `previous` when this is only passing.
    #[must_use]
    pub const fn settled(self, previous: Option<Self>) -> Option<Self> {
        if self.is_passing() { previous } else { Some(self) }
    }

    /// Whether a stream of any kind may be given this state after the settled state `previous` (`None`: it has had no
    /// state yet). [`StreamKind::permits`] is the same question for one kind.
    pub const fn may_follow(self, previous: Option<Self>) -> bool {
        let Some(previous) = previous else { return matches!(self, Self::Creating) };
        if previous.is_passing() {
            return false;
        }
        match self {
            Self::Creating => false,
            Self::Destroying | Self::Timeout | Self::EventWaitCancelled => {
                !matches!(previous, Self::Destroying)
            }
            // A redirect, or a request repeated on a new connection, is a second attempt without a failure.
            Self::Connecting => {
                previous.can_start_attempt() || matches!(previous, Self::Connecting | Self::Poll)
            }
            // The application may give up an attempt, and ask again.
            Self::Poll => previous.can_start_attempt() || matches!(previous, Self::Connecting),
            Self::Connected | Self::Unreachable | Self::AuthFailed => matches!(previous, Self::Connecting),
            Self::Disconnected => previous.is_connected(),
            // DISCONNECTED: a transaction that the peer refuses again and again (503) counts as failed tries.
            Self::AllRetriesFailed => {
                matches!(previous, Self::Disconnected | Self::Unreachable | Self::AuthFailed)
            }
            Self::QosAckRemote | Self::QosNackRemote => {
                matches!(previous, Self::Connected | Self::QosAckRemote | Self::QosNackRemote)
            }
            Self::QosAckLocal | Self::QosNackLocal => matches!(previous, Self::Connected),
            // A kept h1 connection may be upgraded after any number of transactions; ws has none.
            Self::ServerTxn | Self::ServerUpgrade => matches!(previous, Self::Connected | Self::ServerTxn),
            Self::UpstreamLinkRetry => {
                previous.can_start_attempt() || matches!(previous, Self::Connecting | Self::Poll)
            }
            Self::SinkJoin => matches!(previous, Self::Creating | Self::SinkJoin | Self::SinkPart),
            Self::SinkPart => matches!(previous, Self::SinkJoin | Self::SinkPart),
            // GET: the status is known before CONNECTED. With a body to send, after it.
            Self::User(_) => matches!(previous, Self::Connecting | Self::Connected),
        }
    }

    /// The states of a client that rests between two attempts.
    const fn can_start_attempt(self) -> bool {
        matches!(
            self,
            Self::Creating
                | Self::Disconnected
                | Self::Unreachable
                | Self::AuthFailed
                | Self::AllRetriesFailed
        )
    }

    /// Whether a stream of this kind can have this state at all.
    pub const fn occurs_for(self, kind: StreamKind) -> bool {
        match kind {
            StreamKind::Client => {
                !matches!(self, Self::ServerTxn | Self::ServerUpgrade | Self::SinkJoin | Self::SinkPart)
            }
            StreamKind::Server => matches!(self, Self::Creating | Self::Destroying | Self::Timeout),
            StreamKind::Accepted => matches!(
                self,
                Self::Creating
                    | Self::Connecting
                    | Self::Connected
                    | Self::Disconnected
                    | Self::Destroying
                    | Self::Timeout
                    | Self::ServerTxn
                    | Self::ServerUpgrade
            ),
            StreamKind::Sink => {
                matches!(
                    self,
                    Self::Creating | Self::Destroying | Self::Timeout | Self::SinkJoin | Self::SinkPart
                )
            }
        }
    }
}

impl StreamKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Client, Self::Server, Self::Accepted, Self::Sink];

    /// Whether a stream of this kind, in the settled state `previous`, may be given `next`.
    ///
    /// ```
    /// use millstream::secure_stream::state::{StreamKind, StreamState};
    ///
    /// let gone = Some(StreamState::Disconnected);
    /// assert!(StreamKind::Client.permits(gone, StreamState::Connecting));
    /// // An accepted connection does not come back.
    /// assert!(!StreamKind::Accepted.permits(gone, StreamState::Connecting));
    /// ```
    pub const fn permits(self, previous: Option<StreamState>, next: StreamState) -> bool {
        let has_previous = match previous {
            Some(previous) => previous.occurs_for(self),
            None => true,
        };
        let comes_back = matches!((self, next), (Self::Accepted, StreamState::Connecting))
            && !matches!(previous, Some(StreamState::Creating));
        has_previous && next.occurs_for(self) && next.may_follow(previous) && !comes_back
    }
}

/// In lws' words, as the log prints them: `ALL_RETRIES_FAILED`, `USER_1530`.
impl fmt::Display for StreamState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(number) => write!(f, "USER_{number}"),
            named => f.pad(named.name()),
        }
    }
}

/// One word: `client`, `server`, `accepted`, `sink`.
impl fmt::Display for StreamKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Accepted => "accepted",
            Self::Sink => "sink",
        })
    }
}

#[cfg(test)]
mod tests;
