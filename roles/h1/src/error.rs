//! What peers do wrong, with the status that says so; and what callers may not ask for.

use core::fmt;
use http::Status;

/// How a peer broke the rules. The connection is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A line feed without a carriage return before it, or the reverse (RFC 9112 2.2).
    LineEnd,
    /// NUL in a head (RFC 9110 5.5).
    Nul,
    /// The request line, or the status line, is not one.
    StartLine,
    /// The target is in no form that its method allows (RFC 9112 3.2).
    Target,
    /// The target is longer than the limit.
    TargetTooLong,
    /// The method is not known here.
    Method,
    /// The version is neither HTTP/1.0 nor HTTP/1.1.
    Version,
    /// A field that is none: folded, without a name, with blanks before the colon or controls in the value.
    Field,
    /// The head is longer than the limit, or has more fields.
    HeadTooLong,
    /// No Host, more than one, or one that is no authority (RFC 9112 3.2).
    Host,
    /// Content-Length is not one decimal number, said once (RFC 9112 6.3).
    ContentLength,
    /// Transfer-Encoding beside Content-Length, in HTTP/1.0, or without `chunked` at its end (RFC 9112 6.1).
    TransferEncoding,
    /// A transfer coding that is not known here.
    Coding,
    /// The body is longer than the limit.
    BodyTooLong,
    /// A chunk size that is no hexadecimal number, too large, or whose line is too long (RFC 9112 7.1).
    ChunkSize,
    /// A chunk's data is not followed by its line end.
    ChunkEnd,
    /// Trailers that are none, or longer than the limit.
    Trailers,
    /// The connection ended in the middle of a message.
    Truncated,
    /// Bytes that nobody asked for.
    Unexpected,
    /// More interim responses than anybody needs.
    Interim,
    /// 101 without having been asked.
    Upgrade,
    /// A message that does not come to its end in the time that the caller gives it.
    TimedOut,
    /// A request that the server of this connection is not the right one for (RFC 9110 15.5.20): the caller says so.
    Misdirected,
}

impl Error {
    /// What a server answers.
    pub const fn status(self) -> Status {
        match self {
            Self::TargetTooLong => Status::URI_TOO_LONG,
            Self::Method | Self::Coding => Status::NOT_IMPLEMENTED,
            Self::Version => Status::VERSION_NOT_SUPPORTED,
            Self::HeadTooLong => Status::HEADER_FIELDS_TOO_LARGE,
            Self::BodyTooLong => Status::CONTENT_TOO_LARGE,
            Self::TimedOut => Status::REQUEST_TIMEOUT,
            Self::Misdirected => Status::MISDIRECTED_REQUEST,
            _ => Status::BAD_REQUEST,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LineEnd => "a line that does not end in CR LF",
            Self::Nul => "NUL in a head",
            Self::StartLine => "a malformed start line",
            Self::Target => "a target in a form that the method does not allow",
            Self::TargetTooLong => "a target that is too long",
            Self::Method => "an unknown method",
            Self::Version => "a version other than HTTP/1.0 and HTTP/1.1",
            Self::Field => "a malformed field",
            Self::HeadTooLong => "a head that is too long",
            Self::Host => "not exactly one valid Host",
            Self::ContentLength => "not exactly one valid Content-Length",
            Self::TransferEncoding => "a Transfer-Encoding that leaves the body's length in doubt",
            Self::Coding => "an unknown transfer coding",
            Self::BodyTooLong => "a body that is too long",
            Self::ChunkSize => "a malformed chunk size",
            Self::ChunkEnd => "a chunk without its line end",
            Self::Trailers => "malformed trailers",
            Self::Truncated => "the connection ended within a message",
            Self::Unexpected => "bytes that were not asked for",
            Self::Interim => "too many interim responses",
            Self::TimedOut => "a message that took too long",
            Self::Misdirected => "a request for somebody else",
            Self::Upgrade => "an upgrade that was not asked for",
        })
    }
}

impl core::error::Error for Error {}

/// Why a message was not written; nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// It is not this side's turn: no request is there to answer, or the last exchange is not over.
    Turn,
    /// A field whose name or value would break the head, or that the engine itself writes: Content-Length,
    /// Transfer-Encoding, Connection, a client's Host.
    Field,
    /// A target, or a host, with characters that end it.
    Target,
    /// A status that cannot stand here.
    Status,
    /// More payload than was announced.
    TooMuch,
    /// The end of the message before what was announced.
    TooLittle,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Turn => "it is not this side's turn to send",
            Self::Field => "a field that is malformed, or that the engine writes itself",
            Self::Target => "a malformed target or host",
            Self::Status => "a status that cannot stand here",
            Self::TooMuch => "more payload than was announced",
            Self::TooLittle => "the message ends before what was announced",
        })
    }
}

impl core::error::Error for EncodeError {}
