//! HTTP/1.1 as a sans-IO engine: bytes in, events out; heads and framing out, into buffers of the caller's (RFC 9110,
//! RFC 9112). No socket, no clock, no allocation per message.
//!
//! | file | what |
//! |---|---|
//! | `lib.rs` | the engine: whose turn it is, and what each call may do |
//! | `parse.rs` | heads: bytes to start line, fields, framing facts |
//! | `body.rs` | bodies on their way in: by length, by chunks, until the end |
//! | `encode.rs` | heads on their way out |
//! | `error.rs` | what peers do wrong, and what callers may not ask for |
#![no_std]
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

extern crate alloc;

mod body;
mod encode;
mod error;
mod output;
mod parse;

pub use error::{EncodeError, Error};
pub use output::Frame;

use body::{Body, Step};
use core::ops::Range;
use http::Head;
use output::Sending;
use parse::Facts;

/// How much a peer may send of what. The defaults are those of large public servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a head. 16,384.
    pub head: u32,
    /// Bytes of a request's target. 8,192.
    pub target: u32,
    /// Fields of a head; never more than 128. 100.
    pub fields: u16,
    /// Bytes of a line that gives a chunk's size, extensions included. 256.
    pub chunk_line: u16,
    /// Bytes of trailers. 8,192.
    pub trailers: u32,
    /// Bytes of a request's body that are read and dropped after it was answered, so that the connection can be kept.
    /// 65,536.
    pub discard: u32,
    /// Bytes of a body. No limit.
    pub body: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: 16_384,
            target: 8192,
            fields: 100,
            chunk_line: 256,
            trailers: 8192,
            discard: 65_536,
            body: u64::MAX,
        }
    }
}

/// Interim responses before the one that counts.
const INTERIM: u8 = 16;

/// What has arrived. Payload is named by its place in the input that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request's head, in the head that was lent.
    Request,
    /// The head of an interim response (1xx).
    Informational,
    /// A response's head.
    Response,
    /// A piece of the body: these bytes of the input.
    Body(Range<usize>),
    /// The message is complete; its trailers, if any, are in the head that was lent.
    End,
    /// The peer switches protocols: bytes from here on are not HTTP.
    Upgraded,
}

/// Where the message that arrives is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receiving {
    /// A client that has not asked for anything.
    Nothing,
    Head,
    Body(Body),
    /// Its end is to be told.
    End,
    /// It is complete.
    Done,
    Upgraded,
    Failed(Error),
}

/// One connection's side of HTTP/1.1. Made by [`Engine::server`] or [`Engine::client`].
///
/// A server reads a request ([`Engine::input`]), answers it ([`Engine::encode_response`], [`Engine::frame`]), and reads
/// the next when both are done: what is behind in the input waits. A client asks ([`Engine::encode_request`]), then
/// reads.
///
/// ```
/// use http::{BodyLength, Head, Status};
/// use millstream_h1::{Engine, Event, Limits};
///
/// let (mut engine, mut head) = (Engine::server(Limits::default()), Head::new());
/// let input = b"GET /a HTTP/1.1\r\nHost: b\r\n\r\n";
/// assert_eq!(engine.input(input, &mut head), Ok((input.len(), Some(Event::Request))));
/// assert_eq!(head.path(), b"/a");
/// let mut out = Vec::new();
/// engine.encode_response(Status::OK, [].into_iter(), BodyLength::Known(2), &mut out).unwrap();
/// let frame = engine.frame(2, true).unwrap();
/// out.extend_from_slice(frame.prefix());
/// out.extend_from_slice(b"hi");
/// out.extend_from_slice(frame.suffix());
/// assert_eq!(out, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
/// ```
#[derive(Clone, Debug)]
pub struct Engine {
    limits: Limits,
    receiving: Receiving,
    sending: Sending,
    /// How far into a head, or into trailers, the bytes that were not taken have been looked at.
    scanned: u32,
    discarded: u32,
    interim: u8,
    flags: Flags,
}

/// One bit each.
#[derive(Clone, Copy, Debug, Default)]

struct Flags {
    is_server: bool,
    /// The peer's side of the connection can be used again.
    peer_keeps: bool,
    /// Ours can.
    we_keep: bool,
    is_http10: bool,
    expects_continue: bool,
    /// The request offers, or asks for, another protocol.
    upgrade: bool,
    /// The next request is to.
    asks_upgrade: bool,
    /// The request is a HEAD: the response has no body.
    is_head: bool,
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

    fn new(limits: Limits, is_server: bool) -> Self {
        Self {
            limits,
            receiving: if is_server { Receiving::Head } else { Receiving::Nothing },
            sending: Sending::Nothing,
            scanned: 0,
            discarded: 0,
            interim: 0,
            flags: Flags { is_server, peer_keeps: true, we_keep: true, ..Flags::default() },
        }
    }

    /// Looks at `input`: how much of it is done with, and what it was. `(0, None)` asks for more; the next call begins
    /// with the same bytes. At most one event a call, because what it leads to may end the connection. `head` is filled
    /// when the event is a head, or the end of a message.
    ///
    /// # Errors
    /// The peer has broken a rule. The connection is of no use after that: the same error again and again.
    pub fn input(&mut self, input: &[u8], head: &mut Head) -> Result<(usize, Option<Event>), Error> {
        let result = self.step(input, head);
        if let Err(error) = result {
            self.receiving = Receiving::Failed(error);
        }
        result
    }

    /// The peer has closed its side: all that it sent has been taken. A body without another end ends so.
    ///
    /// # Errors
    /// [`Error::Truncated`]: it was in the middle of a message.
    pub fn input_eof(&mut self) -> Result<Option<Event>, Error> {
        self.flags.peer_keeps = false;
        match self.receiving {
            Receiving::Nothing | Receiving::Done | Receiving::Upgraded => Ok(None),
            Receiving::Head if self.flags.is_server && self.scanned == 0 => Ok(None),
            Receiving::End | Receiving::Body(Body::UntilEof) => {
                self.receiving = Receiving::Done;
                Ok(Some(Event::End))
            }
            Receiving::Head | Receiving::Body(_) => {
                self.receiving = Receiving::Failed(Error::Truncated);
                Err(Error::Truncated)
            }
            Receiving::Failed(error) => Err(error),
        }
    }

    fn step(&mut self, input: &[u8], head: &mut Head) -> Result<(usize, Option<Event>), Error> {
        match self.receiving {
            Receiving::Failed(error) => Err(error),
            Receiving::Upgraded => Ok((0, None)),
            Receiving::Nothing if input.is_empty() => Ok((0, None)),
            Receiving::Nothing => Err(Error::Unexpected),
            Receiving::Done => self.next_message(input, head),
            Receiving::Head => self.head(input, head),
            Receiving::Body(body) => self.body(body, input, head),
            Receiving::End => {
                head.clear();
                self.receiving = Receiving::Done;
                Ok((0, Some(Event::End)))
            }
        }
    }

    /// A server goes on to the next request when the last exchange is over and the connection can be used again.
    fn next_message(&mut self, input: &[u8], head: &mut Head) -> Result<(usize, Option<Event>), Error> {
        if !self.flags.is_server {
            return if input.is_empty() { Ok((0, None)) } else { Err(Error::Unexpected) };
        }
        if self.sending != Sending::Done || !self.may_reuse() {
            return Ok((0, None));
        }
        self.receiving = Receiving::Head;
        self.sending = Sending::Nothing;
        self.head(input, head)
    }

    fn head(&mut self, input: &[u8], head: &mut Head) -> Result<(usize, Option<Event>), Error> {
        // RFC 9112 2.2: an empty line before a request is what a careless client left behind its last body.
        if self.flags.is_server && self.scanned == 0 && input.starts_with(b"\r\n") {
            return Ok((2, None));
        }
        let limit = self.limits.head as usize;
        let window = input.get(..limit).unwrap_or(input);
        self.check_target(window)?;
        let Some(end) = parse::find_end(window, self.scanned as usize)? else {
            if input.len() >= limit {
                return Err(Error::HeadTooLong);
            }
            // The last byte is looked at again, with what follows it.
            self.scanned = window.len().saturating_sub(1) as u32;
            return Ok((0, None));
        };
        self.scanned = 0;
        let text = window.get(..end).unwrap_or_default();
        let event = if self.flags.is_server { self.request(text, head)? } else { self.response(text, head)? };
        Ok((end, Some(event)))
    }

    /// A request line that cannot end within the target's limit any more: judged by the same bytes however they arrive.
    fn check_target(&self, window: &[u8]) -> Result<(), Error> {
        // Beside the target a request line has a method and a version.
        let longest = self.limits.target as usize + 32;
        match window.get(..=longest) {
            Some(line) if self.flags.is_server && !line.contains(&b'\n') => {
                parse::find_end(line, self.scanned as usize)?;
                Err(Error::TargetTooLong)
            }
            _ => Ok(()),
        }
    }

    fn request(&mut self, text: &[u8], head: &mut Head) -> Result<Event, Error> {
        let facts = parse::request(text, &self.limits, head)?;
        self.flags.peer_keeps = facts.keeps_alive;
        self.flags.is_http10 = head.version() == http::Version::Http10;
        self.flags.is_head = head.method() == Some(http::Method::Head);
        // RFC 9110 7.8: not for HTTP/1.0.
        self.flags.upgrade = facts.upgrades && !self.flags.is_http10;
        self.discarded = 0;
        self.receiving = match self.framing(&facts)? {
            Some(body) => Receiving::Body(body),
            None => Receiving::End,
        };
        self.flags.expects_continue = facts.expects_continue && matches!(self.receiving, Receiving::Body(_));
        Ok(Event::Request)
    }

    fn response(&mut self, text: &[u8], head: &mut Head) -> Result<Event, Error> {
        let facts = parse::response(text, &self.limits, head)?;
        let status = head.status().ok_or(Error::StartLine)?;
        if status == http::Status::SWITCHING_PROTOCOLS {
            if !(self.flags.upgrade && facts.upgrades) {
                return Err(Error::Upgrade);
            }
            self.receiving = Receiving::Upgraded;
            return Ok(Event::Upgraded);
        }
        if status.is_informational() {
            self.interim += 1;
            return if self.interim > INTERIM { Err(Error::Interim) } else { Ok(Event::Informational) };
        }
        self.flags.peer_keeps = facts.keeps_alive;
        let bodiless = self.flags.is_head || status.is_bodiless();
        let framing = self.framing(&facts)?;
        self.receiving = match framing {
            _ if bodiless => Receiving::End,
            Some(body) => Receiving::Body(body),
            None if facts.content_length == Some(0) => Receiving::End,
            None => {
                self.flags.peer_keeps = false;
                Receiving::Body(Body::UntilEof)
            }
        };
        Ok(Event::Response)
    }

    /// The body that a head announces (RFC 9112 6.3).
    fn framing(&self, facts: &Facts) -> Result<Option<Body>, Error> {
        match facts.content_length {
            _ if facts.is_chunked => Ok(Some(Body::ChunkSize { total: 0 })),
            Some(len) if len > self.limits.body => Err(Error::BodyTooLong),
            Some(len @ 1..) => Ok(Some(Body::Length(len))),
            Some(0) | None => Ok(None),
        }
    }

    fn body(&mut self, body: Body, input: &[u8], head: &mut Head) -> Result<(usize, Option<Event>), Error> {
        let (used, step) = body::step(body, input, &mut self.scanned, &self.limits, head)?;
        // Whoever has answered has no use for the rest of the question.
        let discards = self.flags.is_server && self.sending == Sending::Done;
        if discards {
            self.discarded = self.discarded.saturating_add(u32::try_from(used).unwrap_or(u32::MAX));
        }
        match step {
            Step::More => Ok((used, None)),
            Step::Next(next) => {
                self.receiving = Receiving::Body(next);
                Ok((used, None))
            }
            Step::Payload(range, next) => {
                self.receiving = next.map_or(Receiving::End, Receiving::Body);
                Ok((used, (!discards).then_some(Event::Body(range))))
            }
            Step::End => {
                self.receiving = Receiving::Done;
                Ok((used, Some(Event::End)))
            }
        }
    }

    /// There is an event that needs no bytes: [`Self::input`] gives it, with or without any.
    pub fn has_event(&self) -> bool {
        self.receiving == Receiving::End
    }

    /// A server that has to answer before it reads on.
    pub fn is_paused(&self) -> bool {
        self.flags.is_server && self.receiving == Receiving::Done && !(self.tx_done() && self.may_reuse())
    }

    /// Nothing has begun that is not over.
    pub fn is_idle(&self) -> bool {
        let received = match self.receiving {
            Receiving::Nothing | Receiving::Done => true,
            Receiving::Head => self.flags.is_server && self.scanned == 0,
            _ => false,
        };
        received && matches!(self.sending, Sending::Nothing | Sending::Done)
    }

    /// A message has begun to arrive and is not complete.
    pub fn is_receiving(&self) -> bool {
        match self.receiving {
            Receiving::Head => self.scanned > 0,
            Receiving::Body(_) => true,
            _ => false,
        }
    }

    /// The connection can carry another exchange after the one at hand.
    pub fn may_reuse(&self) -> bool {
        let failed = matches!(self.receiving, Receiving::Failed(_) | Receiving::Upgraded);
        self.flags.peer_keeps && self.flags.we_keep && !failed && self.discarded <= self.limits.discard
    }

    /// The message that arrives is complete.
    pub fn rx_done(&self) -> bool {
        self.receiving == Receiving::Done
    }

    /// The message that goes out is complete.
    pub fn tx_done(&self) -> bool {
        self.sending == Sending::Done
    }

    /// The client waits for leave to send its body, and has not got it (RFC 9110 10.1.1).
    pub fn expects_continue(&self) -> bool {
        self.flags.expects_continue && self.sending == Sending::Nothing
    }

    /// The request at hand asks for another protocol, which [`Self::encode_upgrade`] would grant.
    pub fn wants_upgrade(&self) -> bool {
        self.flags.upgrade
    }

    /// This is the last exchange on the connection: the next head says so.
    pub fn close_after_this(&mut self) {
        self.flags.we_keep = false;
    }
}
