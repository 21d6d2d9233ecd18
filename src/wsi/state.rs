//! The phases of a network connection, and which may follow which.

/// What a wsi is at. Its role, once started, has a state of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WsiState {
    /// Waiting for the addresses of a name.
    Resolving,
    /// Waiting for the socket to connect.
    Connecting,
    /// Waiting for TLS.
    Handshaking,
    /// Carries its role's payload; a listener listens.
    Open,
    /// Unbound; what was left to send is still on its way.
    Flushing,
    /// Unbound and shut down for sending; the peer's last bytes are read and dropped, so that the closing does not
    /// reset what it has not read yet (RFC 9112 9.6).
    Lingering,
}

impl WsiState {
    pub(crate) const fn may_follow(self, previous: Self) -> bool {
        use WsiState::{Connecting, Flushing, Handshaking, Lingering, Open, Resolving};
        match self {
            Resolving => false,
            // The next address of a list is a connecting anew.
            Connecting => matches!(previous, Resolving | Connecting | Handshaking),
            Handshaking => matches!(previous, Connecting),
            Open => matches!(previous, Connecting | Handshaking),
            Flushing => matches!(previous, Open | Handshaking),
            Lingering => matches!(previous, Flushing),
        }
    }
}
