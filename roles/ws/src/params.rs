//! What permessage-deflate may do on a connection.

/// The four parameters of permessage-deflate (RFC 7692 7.1): what a client offers, how far a server goes, then what both agreed
/// on. Either side may narrow what the other wants, and neither can widen it.
///
/// The default asks for no context takeover in both directions: then memory is used while a message is under way, and
/// none between messages. With context takeover a direction that was used keeps its memory: 11 KB and the window to
/// inflate, 160 KB and four times the window to deflate. Messages that are alike get much shorter by it.
///
/// ```
/// use millstream_ws::Deflate;
///
/// // Both sides may refer to earlier messages, the server no further back than 4 KiB.
/// let deflate = Deflate { server_max_window_bits: 12, ..Deflate::TAKEOVER };
/// assert!(!deflate.server_no_context_takeover && deflate.client_max_window_bits == 15);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflate {
    /// The server forgets its window after each message.
    pub server_no_context_takeover: bool,
    /// The client does.
    pub client_no_context_takeover: bool,
    /// The server refers no further back than 2 to the power of this, 8 to 15; what is beyond is taken as the nearest. 15.
    pub server_max_window_bits: u8,
    /// The client does not. 15.
    pub client_max_window_bits: u8,
}

impl Default for Deflate {
    fn default() -> Self {
        Self {
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            server_max_window_bits: 15,
            client_max_window_bits: 15,
        }
    }
}

/// What concerns one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Direction {
    pub(crate) bits: u8,
    pub(crate) keeps: bool,
}

impl Deflate {
    /// All that the protocol has: context takeover in both directions, and the largest windows.
    pub const TAKEOVER: Self = Self {
        server_no_context_takeover: false,
        client_no_context_takeover: false,
        server_max_window_bits: 15,
        client_max_window_bits: 15,
    };

    /// With windows of the sizes that there are.
    pub(crate) fn clamped(self) -> Self {
        Self {
            server_max_window_bits: self.server_max_window_bits.clamp(8, 15),
            client_max_window_bits: self.client_max_window_bits.clamp(8, 15),
            ..self
        }
    }

    /// What a server, or a client, sends.
    pub(crate) fn sent_by(self, is_server: bool) -> Direction {
        let own = self.clamped();
        let (bits, forgets) = if is_server {
            (own.server_max_window_bits, own.server_no_context_takeover)
        } else {
            (own.client_max_window_bits, own.client_no_context_takeover)
        };
        Direction { bits, keeps: !forgets }
    }
}
