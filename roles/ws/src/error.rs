//! What peers do wrong, with the close code that says so; and what callers may not ask for.

use crate::CloseCode;
use core::fmt;

/// How a peer broke the rules. The connection is of no use any more; the engine says goodbye with [`Error::code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A reserved bit that no extension has given a meaning, or not here (RFC 6455 5.2, RFC 7692 6).
    ReservedBit,
    /// A reserved opcode.
    Opcode,
    /// A client that does not mask, or a server that does (RFC 6455 5.1).
    Mask,
    /// A length that is not in its shortest form, or has its highest bit set.
    Length,
    /// A control frame in fragments, or with more than 125 bytes (RFC 6455 5.5).
    Control,
    /// A continuation of nothing, or a new message within another (RFC 6455 5.4).
    Continuation,
    /// A frame longer than the limit.
    FrameTooLong,
    /// A message longer than the limit.
    MessageTooLong,
    /// A message that was deflated from far more than it is long itself.
    Bomb,
    /// Text, or a reason to close, that is not UTF-8.
    Utf8,
    /// A close frame with half a code.
    CloseFrame,
    /// A close code that may not stand in a frame.
    CloseCode,
    /// Payload that cannot be inflated.
    Deflate,
    /// The connection ended without a goodbye.
    Truncated,
}

impl Error {
    /// What the peer is told.
    pub const fn code(self) -> CloseCode {
        match self {
            Self::FrameTooLong | Self::MessageTooLong | Self::Bomb => CloseCode::TOO_BIG,
            Self::Utf8 | Self::Deflate => CloseCode::INVALID_PAYLOAD,
            Self::Truncated => CloseCode::ABNORMAL,
            _ => CloseCode::PROTOCOL,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReservedBit => "a reserved bit that means nothing here",
            Self::Opcode => "a reserved opcode",
            Self::Mask => "a frame of a client without a mask, or of a server with one",
            Self::Length => "a length that is not in its shortest form",
            Self::Control => "a control frame that is too long or in fragments",
            Self::Continuation => "a fragment that does not belong where it is",
            Self::FrameTooLong => "a frame that is too long",
            Self::MessageTooLong => "a message that is too long",
            Self::Bomb => "a message that inflates to suspiciously much",
            Self::Utf8 => "text that is not UTF-8",
            Self::CloseFrame => "a malformed close frame",
            Self::CloseCode => "a close code that may not be sent",
            Self::Deflate => "payload that cannot be inflated",
            Self::Truncated => "the connection ended without a close frame",
        })
    }
}

impl core::error::Error for Error {}

/// Why a frame was not made; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// A first piece while a message is under way, a further one while none is, or one of another kind than the first.
    Turn,
    /// The close frame is sent: nothing may follow (RFC 6455 5.5.1).
    Closed,
    /// Text, or a reason to close, that is not UTF-8.
    Utf8,
    /// More than 125 bytes for a control frame, 123 for a reason.
    TooLong,
    /// A close code that may not stand in a frame.
    CloseCode,
    /// Compression was not agreed on.
    Deflate,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Turn => "a piece that does not follow the last one",
            Self::Closed => "nothing may follow the close frame",
            Self::Utf8 => "text that is not UTF-8",
            Self::TooLong => "too long for a control frame",
            Self::CloseCode => "a close code that may not be sent",
            Self::Deflate => "compression was not agreed on",
        })
    }
}

impl core::error::Error for EncodeError {}
