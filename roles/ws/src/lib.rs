//! The WebSocket protocol as a sans-IO engine: bytes in, events out; frames around payload of the caller's (RFC 6455, RFC 7692). No
//! socket, no clock, no random numbers; payload is passed on as it arrives, in place.
//!
//! | file | what |
//! |---|---|
//! | `lib.rs` | the engine, and frames on their way in |
//! | `inbound.rs` | payload on its way in, plain or inflated |
//! | `output.rs` | frames on their way out |
//! | `event.rs` | what arrives; what a piece to send is |
//! | `frame.rs`, `mask.rs`, `utf8.rs`, `close.rs` | headers; masks; text across fragments; close codes |
//! | `params.rs`, `inflate.rs`, `deflate.rs`, `scratch.rs` | permessage-deflate, and the memory that it needs |
//! | `handshake/` | header fields of the way in, for a client and a server |
//! | `error.rs` | what peers do wrong, and what callers may not ask for |
#![no_std]
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

extern crate alloc;

mod close;
mod deflate;
mod error;
mod event;
mod frame;
pub mod handshake;
mod inbound;
mod inflate;
mod mask;
mod output;
mod params;
mod scratch;
mod utf8;

pub use close::CloseCode;
pub use error::{EncodeError, Error};
pub use event::{Event, Payload, Piece, Place};
pub use frame::Prefix;
pub use params::Deflate;
pub use scratch::Scratch;

use alloc::boxed::Box;
use core::ops::Range;
use frame::Header;
use output::Sending;
use scratch::{Held, Pong};
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use utf8::Utf8;

/// How much a peer may send of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a frame's payload. 16 MiB. Judged by the header.
    pub frame: u64,
    /// Bytes of a message, inflated. 64 MiB. Judged by the header of a frame that is not compressed.
    pub message: u64,
    /// To how many times its length a compressed message may inflate, once that is more than 1 MiB. 200; what is
    /// possible is 1,032. The length is what frame headers have announced, so that it does not matter how bytes arrive:
    /// a peer gets one message of the other limit ahead, and no further until it has sent what it announced.
    pub ratio: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Self { frame: 16 << 20, message: 64 << 20, ratio: 200 }
    }
}

/// What any compressed message may inflate to, however short it is.
const UNSUSPICIOUS: u64 = 1 << 20;

/// What comes next from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receiving {
    Header,
    Payload {
        is_final: bool,
    },
    /// The payload of a compressed message is complete; this much of what belongs behind it has been inflated too.
    Tail(u8),
    /// Nothing: it has said goodbye.
    Closed,
    Failed(Error),
}

/// The message that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Message {
    is_binary: bool,
    is_deflated: bool,
    /// Nothing of it has been told.
    is_first: bool,
}

/// One connection's side of the protocol after the handshake. Made by [`Engine::server`] or [`Engine::client`].
///
/// 64 bytes, and nothing on the heap between messages, but for the windows of context takeover where that was agreed on.
///
/// ```
/// use millstream_ws::{Engine, Event, Limits, Piece, Scratch};
///
/// let (mut client, mut server) = (Engine::client(Limits::default(), None), Engine::server(Limits::default(), None));
/// let mut payload = *b"Hello";
/// let prefix = client.frame(&mut payload, Piece::TEXT, [0x37, 0xfa, 0x21, 0x3d]).unwrap();
/// let mut wire = [prefix.as_bytes(), &payload].concat();
/// assert_eq!(wire, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
///
/// let mut scratch = Scratch::default();
/// let (used, event) = server.input(&mut wire, &mut scratch).unwrap();
/// let Some(Event::Payload(piece)) = event else { panic!("no payload") };
/// assert_eq!((used, piece.is_first, piece.is_last), (11, true, true));
/// assert_eq!(piece.bytes(&wire, &scratch), b"Hello");
/// ```
#[derive(Debug)]
pub struct Engine {
    /// Bytes of the frame at hand that have not been taken.
    frame_left: u64,
    /// Bytes of the message so far: announced, or inflated.
    message_len: u64,
    frame_limit: u64,
    message_limit: u64,
    held: Option<Box<Held>>,
    /// The mask as it stands for the next byte.
    mask: [u8; 4],
    deflate: Option<Deflate>,
    /// What is to be said last; [`CloseCode::NO_STATUS`] is a goodbye without a code.
    goodbye: Option<CloseCode>,
    ratio: u16,
    receiving: Receiving,
    message: Option<Message>,
    rx_text: Utf8,
    sending: Sending,
    tx_text: Utf8,
    is_server: bool,
}

const _: () = assert!(size_of::<Engine>() <= 64, "thousands of these are idle");

impl Engine {
    /// The side that was connected to. `deflate` is what the handshake agreed on.
    pub fn server(limits: Limits, deflate: Option<Deflate>) -> Self {
        Self::new(limits, deflate, true)
    }

    /// The side that connected. `deflate` is what the handshake agreed on.
    pub fn client(limits: Limits, deflate: Option<Deflate>) -> Self {
        Self::new(limits, deflate, false)
    }

    fn new(limits: Limits, deflate: Option<Deflate>, is_server: bool) -> Self {
        Self {
            frame_left: 0,
            message_len: 0,
            frame_limit: limits.frame,
            message_limit: limits.message,
            held: None,
            mask: [0; 4],
            deflate,
            goodbye: None,
            ratio: limits.ratio,
            receiving: Receiving::Header,
            message: None,
            rx_text: Utf8::default(),
            sending: Sending::Nothing,
            tx_text: Utf8::default(),
            is_server,
        }
    }

    /// Looks at `input`: how much of it is done with, and what it was. Payload is unmasked where it is. `(0, None)` asks
    /// for more; the next call begins with the same bytes, at most 130 of them. At most one event a call, because what
    /// it leads to may end the connection. Inflated payload goes to `scratch`, and may take several calls that use no
    /// input.
    ///
    /// # Errors
    /// The peer has broken a rule. What it sends is of no use after that: the same error again and again.
    /// [`Self::poll_output`] tells the peer.
    pub fn input(
        &mut self,
        input: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<(usize, Option<Event>), Error> {
        let result = match self.receiving {
            Receiving::Failed(error) => return Err(error),
            Receiving::Closed => Ok((input.len(), None)),
            Receiving::Header => self.header(input, scratch),
            Receiving::Payload { .. } | Receiving::Tail(_) => self.payload(input, 0, scratch),
        };
        if let Err(error) = result {
            self.fail(error);
        }
        result
    }

    /// The peer has closed its side of the connection: all that it sent has been taken.
    ///
    /// # Errors
    /// [`Error::Truncated`]: it has not said goodbye (RFC 6455 7.1.5: the code to report is 1006).
    pub fn input_eof(&mut self) -> Result<(), Error> {
        match self.receiving {
            Receiving::Closed => Ok(()),
            Receiving::Failed(error) => Err(error),
            _ => {
                self.fail(Error::Truncated);
                Err(Error::Truncated)
            }
        }
    }

    fn fail(&mut self, error: Error) {
        self.receiving = Receiving::Failed(error);
        self.held = None;
        if error == Error::Truncated {
            // Nobody waits for a goodbye who has said none.
            self.sending = Sending::Closed;
        }
        if self.sending == Sending::Closed {
            self.goodbye = None;
        } else {
            self.goodbye = Some(error.code());
        }
    }

    fn header(&mut self, input: &mut [u8], scratch: &mut Scratch) -> Result<(usize, Option<Event>), Error> {
        let Some(header) = Header::parse(input)? else { return Ok((0, None)) };
        // RFC 6455 5.1: clients mask, servers do not.
        if header.mask.is_some() != self.is_server {
            return Err(Error::Mask);
        }
        match header.opcode {
            OpCode::Data(kind) => {
                self.begin_frame(&header, kind, scratch)?;
                self.payload(input, header.size, scratch)
            }
            OpCode::Control(kind) => {
                let end = header.size.saturating_add(header.len as usize);
                let Some(payload) = input.get_mut(header.size..end) else { return Ok((0, None)) };
                mask::apply(header.mask.unwrap_or_default(), payload);
                let event = self.control(kind, header.size..end, payload, scratch)?;
                Ok((end, Some(event)))
            }
        }
    }

    fn begin_frame(&mut self, header: &Header, kind: Data, scratch: &mut Scratch) -> Result<(), Error> {
        let message = match (kind, self.message) {
            // RFC 7692 6.1: the bit is the first fragment's.
            (Data::Continue, Some(_)) if header.is_deflated => return Err(Error::ReservedBit),
            (Data::Continue, Some(message)) => message,
            (Data::Text | Data::Binary, None) => {
                if header.is_deflated && self.deflate.is_none() {
                    return Err(Error::ReservedBit);
                }
                self.message_len = 0;
                Message { is_binary: kind == Data::Binary, is_deflated: header.is_deflated, is_first: true }
            }
            _ => return Err(Error::Continuation),
        };
        if header.len > self.frame_limit {
            return Err(Error::FrameTooLong);
        }
        if let (true, Some(deflate)) = (message.is_deflated, self.deflate) {
            let direction = deflate.sent_by(!self.is_server);
            scratch.lend_inflater(&mut self.held, direction).announce(header.len);
        } else {
            self.message_len = self.message_len.saturating_add(header.len);
            if self.message_len > self.message_limit {
                return Err(Error::MessageTooLong);
            }
        }
        self.message = Some(message);
        self.mask = header.mask.unwrap_or_default();
        self.frame_left = header.len;
        self.receiving = Receiving::Payload { is_final: header.is_final };
        Ok(())
    }

    fn control(
        &mut self,
        kind: Control,
        range: Range<usize>,
        payload: &[u8],
        scratch: &mut Scratch,
    ) -> Result<Event, Error> {
        match kind {
            Control::Ping => {
                // RFC 6455 5.5.3: the answer to the most recent ping stands for all.
                if self.sending != Sending::Closed {
                    scratch.lend_held(&mut self.held).pong = Some(Pong::new(payload));
                }
                Ok(Event::Ping(range))
            }
            Control::Pong => Ok(Event::Pong(range)),
            Control::Close => self.close(range, payload),
            Control::Reserved(_) => Err(Error::Opcode),
        }
    }

    fn close(&mut self, range: Range<usize>, payload: &[u8]) -> Result<Event, Error> {
        let (code, reason) = match payload {
            [] => (CloseCode::NO_STATUS, payload),
            [_] => return Err(Error::CloseFrame),
            [high, low, reason @ ..] => {
                let code = CloseCode::new(u16::from_be_bytes([*high, *low])).ok_or(Error::CloseCode)?;
                (code, reason)
            }
        };
        core::str::from_utf8(reason).map_err(|_| Error::Utf8)?;
        self.receiving = Receiving::Closed;
        if let Some(held) = &mut self.held {
            (held.pong, held.inflater) = (None, None);
        }
        self.tidy();
        if self.sending != Sending::Closed {
            // RFC 6455 5.5.1: the answer repeats the code.
            self.goodbye = Some(code);
        }
        Ok(Event::Close(code, range.end.saturating_sub(reason.len())..range.end))
    }

    /// Lets go of what is not needed any more.
    fn tidy(&mut self) {
        if self.held.as_ref().is_some_and(|held| held.is_empty()) {
            self.held = None;
        }
    }

    /// There is an event, or an error, that needs no more bytes: [`Self::input`] gives it, with or without any.
    pub fn has_event(&self) -> bool {
        let inflater = || self.held.as_ref().and_then(|held| held.inflater.as_ref());
        match self.receiving {
            Receiving::Tail(_) | Receiving::Failed(_) => true,
            Receiving::Payload { .. } => {
                self.frame_left == 0 || inflater().is_some_and(|inflater| inflater.has_more())
            }
            _ => false,
        }
    }

    /// A message has begun to arrive and is not complete.
    pub fn is_receiving(&self) -> bool {
        self.message.is_some()
    }

    /// No more events will come: the peer has said goodbye, or broken a rule.
    pub fn rx_done(&self) -> bool {
        matches!(self.receiving, Receiving::Closed | Receiving::Failed(_))
    }

    /// Nothing more may be sent: the close frame has been.
    pub fn tx_done(&self) -> bool {
        self.sending == Sending::Closed
    }

    /// Both sides have said goodbye. A server closes the connection then; a client leaves that to the server for a
    /// while (RFC 6455 7.1.1).
    pub fn is_closed(&self) -> bool {
        self.rx_done() && self.tx_done()
    }

    /// What was agreed on in the handshake.
    pub fn deflate(&self) -> Option<Deflate> {
        self.deflate
    }
}
