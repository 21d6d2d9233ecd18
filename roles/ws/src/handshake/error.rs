//! Why there is no connection.

use core::fmt;
use http::Status;

/// What is wrong with the other side's half of the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The request's method is neither GET nor, over HTTP/2, CONNECT.
    Method,
    /// No Upgrade to websocket.
    Upgrade,
    /// No Connection that says upgrade.
    Connection,
    /// The request's version is not 13, or said twice.
    Version,
    /// Not exactly one key that is the base64 of 16 bytes.
    Key,
    /// The response's status does not grant it: to be treated as any response of that status (RFC 6455 4.1).
    Status(Status),
    /// The response does not accept the key that was sent.
    Accept,
    /// A subprotocol that is none, or one that was not asked for.
    Protocol,
    /// Extensions that are malformed, or were not offered in this way.
    Extension,
}

impl HandshakeError {
    /// What a server answers.
    pub const fn status(self) -> Status {
        match self {
            Self::Method => Status::METHOD_NOT_ALLOWED,
            Self::Version => Status::UPGRADE_REQUIRED,
            _ => Status::BAD_REQUEST,
        }
    }

    /// The fields that go with that: what a client may try instead (RFC 6455 4.4, RFC 9110 15.5.6 and 15.5.22). Over
    /// HTTP/1.1 `Connection: Upgrade` belongs to an Upgrade.
    pub fn fields(self) -> impl Iterator<Item = (&'static [u8], &'static [u8])> {
        const ALLOW: &[(&[u8], &[u8])] = &[(b"Allow", b"GET")];
        const VERSION: &[(&[u8], &[u8])] =
            &[(b"Upgrade", super::WEBSOCKET), (b"Sec-WebSocket-Version", super::THIRTEEN)];
        let fields = match self {
            Self::Method => ALLOW,
            Self::Version => VERSION,
            _ => &[],
        };
        fields.iter().copied()
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Method => "a method that does not lead to a websocket",
            Self::Upgrade => "no upgrade to websocket",
            Self::Connection => "no connection option upgrade",
            Self::Version => "a version other than 13",
            Self::Key => "not exactly one valid key",
            Self::Status(status) => return write!(f, "status {status}"),
            Self::Accept => "the key is not accepted",
            Self::Protocol => "a subprotocol that was not asked for",
            Self::Extension => "extensions that are malformed or were not offered",
        })
    }
}

impl core::error::Error for HandshakeError {}
