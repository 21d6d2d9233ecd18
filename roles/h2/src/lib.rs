//! HTTP/2 as a sans-IO engine: bytes in, events out; heads and framing out, into buffers of the caller's (RFC 9113, RFC
//! 8441). No socket, no clock, no allocation per message. Heads are those of `http`, as over HTTP/1.1: the authority
//! stands in `host`, the protocol of an extended CONNECT in `:protocol`.
//!
//! | file | what |
//! |---|---|
//! | `lib.rs` | the engine: what it is made of, and what it tells |
//! | `input.rs` | bytes to frames, in pieces of any size |
//! | `headers.rs` | header blocks: which stream they are for, and what they do to it |
//! | `message.rs` | header lists: which fields may stand where |
//! | `control.rs` | frames about streams and the connection, and our answers to them |
//! | `output.rs` | heads and data on their way out |
//! | `stream.rs` | streams and their states |
//! | `flow.rs`, `credit.rs` | windows; streams that are granted by hand |
//! | `memory.rs` | what engines share that are at rest |
//! | `guard.rs` | how much work a peer may make |
//! | `settings.rs`, `frame.rs` | what both sides agree on; the frame layer |
//! | `error.rs` | what peers do wrong, and what callers may not ask for |
//!
//! A connection ends after an [`Error`] from [`Engine::input`]: the goodbye that tells the peer why is in
//! [`Engine::poll_output`]. What is wrong with one stream ends that stream alone, as [`Event::Failed`].
#![no_std]
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

extern crate alloc;

mod control;
mod credit;
mod error;
mod flow;
mod frame;
mod guard;
mod headers;
mod input;
mod memory;
mod message;
mod output;
mod settings;
mod stream;

pub use error::{Code, EncodeError, Error};
pub use guard::Rate;
pub use memory::Memory;
pub use output::{Frame, Request};
pub use stream::StreamId;

use alloc::vec::Vec;
use control::Ending;
use core::ops::Range;
use credit::Beginning;
use flow::{Credit, Window};
use frame::PREFACE;
use guard::Allowance;
use headers::OpenBlock;
use hpack::{Decoder, Encoder};
use input::Receiving;
use message::Scratch;
use output::Staging;
use settings::{DEFAULT_WINDOW, Peer, put_own};
use stream::{Incoming, State, Stream, Streams};

/// How much a peer may send of what. The defaults are those of large public servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Streams that a client may have open at once. 100.
    pub streams: u32,
    /// Streams that a client begins in all, before it asks for another connection. 2^30: as many as there are numbers for
    /// (RFC 9113 5.1.1).
    pub requests: u32,
    /// Bytes of a header list, 32 more for each field (RFC 9113 6.5.2). 16,384.
    pub header_list: u32,
    /// Fields of a header list. 100.
    pub fields: u16,
    /// Bytes of a header block as it is sent. 32,768.
    pub header_block: u32,
    /// CONTINUATION frames of a header block. 16.
    pub continuations: u16,
    /// Bytes of the table that the peer compresses with. 4,096.
    pub header_table: u32,
    /// Bytes of the table that we compress with, where the peer allows it. 4,096.
    pub encoder_table: u32,
    /// Bytes that a stream may receive before anything is granted: what all streams begin with. 131,072. A client whose
    /// first [`Request::credit`] is less lets streams begin with 0 from there on. A server that has less here makes uploads
    /// wait for a round trip.
    pub initial_window: u32,
    /// A server grants nothing on a stream by itself before [`Engine::release_credit`]: what a request's body may have is
    /// [`Engine::add_credit`]'s to say. Needs an `initial_window` of 0 to be of use, and even then clients may send 65,535
    /// bytes on each stream that they begin before they have seen our settings (RFC 9113 6.9.2). False.
    pub by_hand: bool,
    /// Bytes that a stream is kept at: as much can be on its way, or be kept by whoever holds it. 131,072.
    pub window: u32,
    /// The same of all streams together. 1,048,576; never less than 65,535 (RFC 9113 6.9.2).
    pub connection_window: u32,
    /// Bytes of a frame's payload. 16,384, and never less (RFC 9113 4.2).
    pub frame: u32,
    /// Bytes of our own answers that the peer does not take, and still asks for more. 16,384.
    pub output: u32,
    /// Frames that carry nothing: pings, settings, priorities, empty data, windows, goodbyes. 1,000 at once, 100 a second; those
    /// that belong to data do not count.
    pub frames: Rate,
    /// Streams that a client begins and resets, or makes us reset. 200 at once, 33 a second; each that is served to its
    /// end gives one back.
    pub resets: Rate,
    /// A server takes extended CONNECT (RFC 8441). False.
    pub connect_protocol: bool,
    /// A window that grows beyond 2^31-1 stays there, instead of being an error (RFC 9113 6.9.1): some servers grant
    /// that much at first, and then more. False.
    pub saturates: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            streams: 100,
            requests: 1 << 30,
            header_list: 16_384,
            fields: 100,
            header_block: 32_768,
            continuations: 16,
            header_table: hpack::DEFAULT_TABLE_SIZE,
            encoder_table: hpack::DEFAULT_TABLE_SIZE,
            initial_window: 131_072,
            by_hand: false,
            window: 131_072,
            connection_window: 1 << 20,
            frame: settings::MIN_FRAME,
            output: 16_384,
            frames: Rate { burst: 1000, per_second: 100 },
            resets: Rate { burst: 200, per_second: 33 },
            connect_protocol: false,
            saturates: false,
        }
    }
}

/// What has arrived. Payload is named by its place in the input that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A client has begun a stream: its request is in the head that was lent.
    Request {
        /// The new stream.
        stream: StreamId,
    },
    /// The head of an interim response (1xx).
    Informational {
        /// Whose.
        stream: StreamId,
    },
    /// A response's head.
    Response {
        /// Whose.
        stream: StreamId,
    },
    /// A piece of the body: these bytes of the input.
    Body {
        /// Whose.
        stream: StreamId,
        /// Where it is.
        range: Range<usize>,
    },
    /// The message is complete; its trailers, if any, are in the head that was lent.
    End {
        /// Whose.
        stream: StreamId,
    },
    /// The peer has ended the stream before its time. After a complete response, [`Code::NO_ERROR`] says no more than
    /// that the rest of the request is not wanted (RFC 9113 8.1).
    Reset {
        /// Which.
        stream: StreamId,
        /// Why. [`Code::REFUSED_STREAM`]: nothing was done, the request can be sent again.
        code: Code,
    },
    /// The peer broke a rule on a stream, which has been reset for it.
    Failed {
        /// Which.
        stream: StreamId,
        /// How.
        error: Error,
    },
    /// There is room to send where there was none: on one stream, or on the connection, for whoever waits.
    Window {
        /// Which; `None` for the connection.
        stream: Option<StreamId>,
    },
    /// The peer's settings: how many streams may be begun, and how large their windows are, may have changed.
    Settings,
    /// The answer to [`Engine::ping`].
    Pong {
        /// What was sent.
        payload: [u8; 8],
    },
    /// The peer takes no new streams. Those above `last` it has not looked at: they are gone, and their requests can be
    /// sent on another connection.
    GoAway {
        /// The last stream that it may have acted on.
        last: u32,
        /// Why.
        code: Code,
    },
}

/// One connection's side of HTTP/2. Made by [`Engine::server`] or [`Engine::client`].
///
/// Four kinds of calls: [`Self::input`] takes bytes and tells one event at a time; `encode_*` append heads to a buffer
/// that is sent in the order of the calls; [`Self::frame`] makes the nine bytes before a piece of a body;
/// [`Self::poll_output`] appends what the protocol itself has to say, and is called when there is nothing more to read.
/// Whatever is appended is sent whole and in that order.
///
/// ```
/// use http::{BodyLength, Head, Method, Status};
/// use millstream_h2::{Engine, Event, Limits, Request};
///
/// let (mut client, mut server) = (Engine::client(Limits::default()), Engine::server(Limits::default()));
/// let mut wire = Vec::new();
/// let request = Request::new(Method::Get, b"https", b"example.com", b"/a");
/// let asked = client.encode_request(&request, [].into_iter(), BodyLength::None, &mut wire).unwrap();
///
/// let (mut head, mut answer, mut at) = (Head::new(), Vec::new(), 0);
/// loop {
///     match server.input(0, &wire[at..], &mut head).unwrap() {
///         (0, None) => break,
///         (used, event) => {
///             at += used;
///             if let Some(Event::Request { stream }) = event {
///                 assert_eq!((head.path(), head.authority()), (&b"/a"[..], Some(&b"example.com"[..])));
///                 let body = BodyLength::Known(2);
///                 server.encode_response(stream, Status::OK, [].into_iter(), body, &mut answer).unwrap();
///                 assert!(server.tx_room(stream) >= 2);
///                 let frame = server.frame(stream, 2, true).unwrap();
///                 answer.extend_from_slice(frame.prefix());
///                 answer.extend_from_slice(b"hi");
///             }
///         }
///     }
/// }
/// server.poll_output(&mut answer);
///
/// let (mut body, mut at) = (Vec::new(), 0);
/// loop {
///     match client.input(0, &answer[at..], &mut head).unwrap() {
///         (0, None) => break,
///         (used, event) => {
///             match event {
///                 Some(Event::Response { stream }) => assert_eq!((stream, head.status()), (asked, Some(Status::OK))),
///                 Some(Event::Body { range, .. }) => body.extend_from_slice(&answer[at..][range]),
///                 _ => {}
///             }
///             at += used;
///         }
///     }
/// }
/// assert_eq!(body, b"hi");
/// assert!(client.is_idle() && server.is_idle());
/// ```
#[derive(Clone, Debug)]
pub struct Engine {
    limits: Limits,
    is_server: bool,
    receiving: Receiving,
    streams: Streams,
    /// What the peer has told, as of its last whole SETTINGS.
    peer: Peer,
    /// The peer's SETTINGS have come.
    has_settings: bool,
    /// How far it follows ours.
    beginning: Beginning,
    /// Of the connection.
    window: Window,
    credit: Credit,
    decoder: Decoder,
    encoder: Encoder,
    /// The header block that is being collected.
    open: Option<OpenBlock>,
    block: Vec<u8>,
    scratch: Scratch,
    staging: Staging,
    /// What the engine itself has to say.
    control: Vec<u8>,
    frames: Allowance,
    resets: Allowance,
    ending: Ending,
    /// The peer takes no new streams.
    is_leaving: bool,
}

impl Engine {
    /// The side that answers.
    pub fn server(limits: Limits) -> Self {
        Self::new(limits, true)
    }

    /// The side that asks.
    pub fn client(limits: Limits) -> Self {
        Self::new(limits, false)
    }

    /// The side that answers a client which has asked over HTTP/1.1 to go on in HTTP/2 (RFC 7540 3.2), and has been
    /// told 101. `settings` is its `HTTP2-Settings`, decoded; the request, complete, is that of the stream which comes
    /// back. `is_head` says that it was a HEAD.
    ///
    /// # Errors
    /// The settings are none.
    pub fn server_upgraded(
        limits: Limits,
        settings: &[u8],
        is_head: bool,
    ) -> Result<(Self, StreamId), Error> {
        let mut engine = Self::server(limits);
        let (entries, rest) = settings.as_chunks::<6>();
        if !rest.is_empty() {
            return Err(Error::FrameSize);
        }
        let mut peer = engine.peer;
        for entry in entries {
            engine.setting(&mut peer, *entry)?;
        }
        engine.settle(peer)?;
        let id = 1;
        engine.streams.begin(id);
        let incoming = Incoming::Body { left: Some(0) };
        let stream = Stream { state: State::HalfClosedRemote, incoming, is_head, ..engine.new_stream(id) };
        engine.streams.insert(stream);
        Ok((engine, StreamId(id)))
    }

    fn new(limits: Limits, is_server: bool) -> Self {
        let limits = limits.in_range();
        let mut engine = Self {
            limits,
            is_server,
            receiving: if is_server { Receiving::Preface } else { Receiving::Frame },
            streams: Streams::default(),
            peer: Peer::new(),
            has_settings: false,
            beginning: Beginning::new(limits.initial_window),
            window: Window::new(DEFAULT_WINDOW),
            credit: Credit::new(limits.connection_window, limits.connection_window),
            decoder: Decoder::new(hpack::Limits::default()),
            encoder: Encoder::new(limits.encoder_table),
            open: None,
            block: Vec::new(),
            scratch: Scratch::default(),
            staging: Staging::default(),
            control: Vec::new(),
            frames: Allowance::new(limits.frames),
            resets: Allowance::new(limits.resets),
            ending: Ending::No,
            is_leaving: false,
        };
        if !is_server {
            engine.control.extend_from_slice(PREFACE);
        }
        put_own(&mut engine.control, &limits, is_server);
        let more = limits.connection_window.saturating_sub(DEFAULT_WINDOW);
        if more > 0 {
            frame::put_window_update(&mut engine.control, 0, more);
        }
        engine
    }

    /// Appends what the protocol itself has to say: the preface, settings, answers to pings, windows, goodbyes.
    pub fn poll_output(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.control);
    }

    /// There is something for [`Self::poll_output`] to append.
    pub fn has_output(&self) -> bool {
        !self.control.is_empty()
    }

    /// There is an event that needs no bytes: [`Self::input`] gives it, with or without any.
    pub fn has_event(&self) -> bool {
        matches!(self.receiving, Receiving::End { .. })
    }

    /// A head has begun to arrive, and is not complete: nothing else can come before it is (RFC 9113 4.3). How long that may
    /// take is for whoever has a clock.
    pub fn is_amid_head(&self) -> bool {
        self.open.is_some()
    }

    /// The peer has acknowledged our settings. One that does not is to be left with [`Code::SETTINGS_TIMEOUT`] (RFC 9113
    /// 6.5.3), by whoever has a clock.
    pub fn is_acknowledged(&self) -> bool {
        self.beginning.is_acknowledged()
    }

    /// No stream is open.
    pub fn is_idle(&self) -> bool {
        self.streams.is_empty()
    }

    /// How many streams are open.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// The peer takes extended CONNECT (RFC 8441 3); known once [`Event::Settings`] has been told.
    pub fn peer_takes_connect(&self) -> bool {
        self.peer.connect_protocol
    }

    /// The peer's message on this stream is complete, or the stream is gone.
    pub fn rx_done(&self, stream: StreamId) -> bool {
        self.streams.get(stream.0).is_none_or(|row| !row.state.may_receive())
    }

    /// Ours is, or the stream is gone.
    pub fn tx_done(&self, stream: StreamId) -> bool {
        self.streams.get(stream.0).is_none_or(|row| !row.state.may_send())
    }

    /// The client waits for leave to send its body, and has not got it (RFC 9110 10.1.1).
    pub fn expects_continue(&self, stream: StreamId) -> bool {
        self.streams.get(stream.0).is_some_and(|row| row.expects_continue)
    }
}
