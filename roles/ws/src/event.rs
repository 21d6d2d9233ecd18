//! What arrives.

use crate::{CloseCode, Scratch};
use core::ops::Range;

/// What has arrived. Payload is named by its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A piece of a message.
    Payload(Payload),
    /// The peer asks for a sign of life with these bytes of the input. The engine answers by itself.
    Ping(Range<usize>),
    /// The answer to a ping, or a sign of life unasked: these bytes of the input.
    Pong(Range<usize>),
    /// The peer says goodbye, and sends nothing more. The engine answers by itself, if that is still to be done.
    Close(CloseCode, Range<usize>),
}

/// Where payload is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// These bytes of the input, unmasked.
    Input(Range<usize>),
    /// These bytes of the scratch, inflated.
    Scratch(Range<usize>),
}

/// A piece of a message as it arrived. A character of a text may begin in one piece and end in the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Its bytes; there may be none in the first and last piece of a message, and in an empty fragment.
    pub place: Place,
    /// Binary, otherwise text.
    pub is_binary: bool,
    /// The message begins with it.
    pub is_first: bool,
    /// The message ends with it.
    pub is_last: bool,
    /// A frame ends with it, which is what the sender made of a fragment.
    pub ends_frame: bool,
}

impl Payload {
    /// Its bytes, given what [`crate::Engine::input`] was.
    pub fn bytes<'a>(&self, input: &'a [u8], scratch: &'a Scratch) -> &'a [u8] {
        match &self.place {
            Place::Input(range) => input.get(range.clone()).unwrap_or_default(),
            Place::Scratch(range) => scratch.get(range.clone()),
        }
    }
}

/// What a piece to send is to its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Binary, otherwise text. The same in all pieces of a message.
    pub is_binary: bool,
    /// The message begins with it.
    pub is_first: bool,
    /// The message ends with it.
    pub is_last: bool,
}

impl Piece {
    /// A whole message of text.
    pub const TEXT: Self = Self { is_binary: false, is_first: true, is_last: true };
    /// A whole binary message.
    pub const BINARY: Self = Self { is_binary: true, ..Self::TEXT };
}
