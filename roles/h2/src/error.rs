//! What peers do wrong, with the code that tells them; and what callers may not ask for.

use core::fmt;

/// Why a stream or a connection ends: a code on the wire (RFC 9113 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Code(pub u32);

macro_rules! codes {
    ($($code:literal $name:ident $doc:literal)*) => {
        impl Code {
            $(
                #[doc = $doc]
                pub const $name: Self = Self($code);
            )*

            /// The name of RFC 9113 7; empty for codes that are not there.
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $($code => stringify!($name),)*
                    _ => "",
                }
            }
        }
    };
}

codes! {
    0x0 NO_ERROR "Nothing is wrong."
    0x1 PROTOCOL_ERROR "A rule was broken that has no code of its own."
    0x2 INTERNAL_ERROR "The one who says it is at fault."
    0x3 FLOW_CONTROL_ERROR "More was sent than was granted."
    0x4 SETTINGS_TIMEOUT "Settings were not acknowledged in time."
    0x5 STREAM_CLOSED "A frame for a stream that was over."
    0x6 FRAME_SIZE_ERROR "A frame of a wrong length."
    0x7 REFUSED_STREAM "Nothing was done: the request can be sent again."
    0x8 CANCEL "The stream is not wanted any more."
    0x9 COMPRESSION_ERROR "The header compression is out of step."
    0xa CONNECT_ERROR "What a tunnel leads to was lost."
    0xb ENHANCE_YOUR_CALM "The peer makes more work than it should."
    0xc INADEQUATE_SECURITY "The transport is not safe enough."
    0xd HTTP_1_1_REQUIRED "To be asked over HTTP/1.1."
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            "" => write!(f, "code {:#x}", self.0),
            name => f.write_str(name),
        }
    }
}

/// How a peer broke the rules: on the whole connection, which is of no use any more, or on one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The connection does not begin as HTTP/2 connections do (RFC 9113 3.4).
    Preface,
    /// The first frame is not SETTINGS (RFC 9113 3.4).
    FirstFrame,
    /// A frame of a length that its type does not have, or longer than was allowed (RFC 9113 4.2).
    FrameSize,
    /// A frame on stream 0 that belongs to a stream, or the reverse.
    StreamZero,
    /// A stream identifier that the peer may not begin, or that is smaller than one it has used (RFC 9113 5.1.1).
    StreamId,
    /// A frame on a stream that nobody has begun (RFC 9113 5.1).
    IdleStream,
    /// A frame on a stream that is over, or that the peer has ended (RFC 9113 5.1).
    ClosedStream,
    /// More padding than there is frame (RFC 9113 6.1).
    Padding,
    /// A header block that is interrupted, or a CONTINUATION of none (RFC 9113 6.10).
    Continuation,
    /// A header block that is too long, or in too many pieces.
    HeaderBlock,
    /// A header block that cannot be read.
    Compression(hpack::Error),
    /// A setting with a value that it cannot have (RFC 9113 6.5.2).
    Setting,
    /// An acknowledgement of settings that nobody sent.
    SettingsAck,
    /// A push, which was never allowed (RFC 9113 8.4).
    Push,
    /// A window that grows by nothing (RFC 9113 6.9).
    WindowUpdate,
    /// A window that grows beyond 2^31-1 bytes (RFC 9113 6.9.1).
    WindowOverflow,
    /// More data than was granted (RFC 9113 6.9.1).
    Overrun,
    /// A head or trailers that are none (RFC 9113 8.1.1), or that stand in a wrong place.
    Malformed,
    /// A body that is not as long as its Content-Length says (RFC 9113 8.1.1).
    ContentLength,
    /// A header list beyond the limit.
    HeaderList,
    /// A method that is not known here.
    Method,
    /// More interim responses than anybody needs.
    Interim,
    /// Streams that are begun to be reset, or requests that make the engine reset them.
    Resets,
    /// Frames that are only work: pings, settings, empty data.
    Flood,
    /// Questions whose answers are not taken.
    Output,
    /// The connection ended in the middle of a frame, or before its streams did.
    Truncated,
}

impl Error {
    /// What the peer is told.
    pub const fn code(self) -> Code {
        match self {
            Self::FrameSize => Code::FRAME_SIZE_ERROR,
            Self::ClosedStream => Code::STREAM_CLOSED,
            Self::Compression(hpack::Error::ListTooLong | hpack::Error::StringTooLong)
            | Self::HeaderBlock
            | Self::HeaderList
            | Self::Interim
            | Self::Resets
            | Self::Flood
            | Self::Output => Code::ENHANCE_YOUR_CALM,
            Self::Compression(_) => Code::COMPRESSION_ERROR,
            Self::WindowOverflow | Self::Overrun => Code::FLOW_CONTROL_ERROR,
            _ => Code::PROTOCOL_ERROR,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Preface => "a connection that does not begin as HTTP/2",
            Self::FirstFrame => "a first frame other than SETTINGS",
            Self::FrameSize => "a frame of a wrong length",
            Self::StreamZero => "a frame on the wrong kind of stream",
            Self::StreamId => "a stream identifier that the peer may not use",
            Self::IdleStream => "a frame on a stream that has not begun",
            Self::ClosedStream => "a frame on a stream that is over",
            Self::Padding => "more padding than frame",
            Self::Continuation => "an interrupted header block",
            Self::HeaderBlock => "a header block that is too long",
            Self::Compression(error) => return error.fmt(f),
            Self::Setting => "a setting with an impossible value",
            Self::SettingsAck => "an acknowledgement of no settings",
            Self::Push => "a push that was not allowed",
            Self::WindowUpdate => "a window that grows by nothing",
            Self::WindowOverflow => "a window that grows too large",
            Self::Overrun => "more data than was granted",
            Self::Malformed => "a malformed message",
            Self::ContentLength => "a body that is not as long as announced",
            Self::HeaderList => "a header list that is too long",
            Self::Method => "an unknown method",
            Self::Interim => "too many interim responses",
            Self::Resets => "too many streams that end early",
            Self::Flood => "too many frames without use",
            Self::Output => "too many questions whose answers are not taken",
            Self::Truncated => "the connection ended within a message",
        })
    }
}

impl core::error::Error for Error {}

/// Why something was not sent; nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The stream is over, or never was.
    Stream,
    /// It is not this side's turn on the stream: no request is there to answer, or it is answered.
    Turn,
    /// A field whose name or value is none, or that HTTP/2 does not have, or that the engine itself writes:
    /// Content-Length, Host.
    Field,
    /// A target, a scheme or an authority with characters that it cannot have.
    Target,
    /// A status that cannot stand here.
    Status,
    /// More payload than was announced.
    TooMuch,
    /// The end of the message before what was announced.
    TooLittle,
    /// More than there is room for: payload beyond [`crate::Engine::tx_room`], or credit beyond what a window can be.
    Room,
    /// A header list longer than the peer takes (RFC 9113 6.5.2).
    HeaderList,
    /// As many streams are open as the peer takes: to be asked again when one is over.
    Full,
    /// The connection takes no new streams: it is shutting down, has failed, or has used up its identifiers.
    Ending,
    /// The peer does not know extended CONNECT (RFC 8441 3).
    Unsupported,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stream => "the stream is over",
            Self::Turn => "it is not this side's turn to send",
            Self::Field => "a field that is malformed, or that the engine writes itself",
            Self::Target => "a malformed target, scheme or authority",
            Self::Status => "a status that cannot stand here",
            Self::TooMuch => "more payload than was announced",
            Self::TooLittle => "the message ends before what was announced",
            Self::Room => "more than there is room for",
            Self::HeaderList => "a header list that is longer than the peer takes",
            Self::Full => "as many streams as the peer takes are open",
            Self::Ending => "the connection takes no new streams",
            Self::Unsupported => "the peer does not know extended CONNECT",
        })
    }
}

impl core::error::Error for EncodeError {}
