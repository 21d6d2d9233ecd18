//! The frame layer (RFC 9113 4, 6): nine octets of head, and what each type's head has to obey whatever the state.

use crate::Error;
use alloc::vec::Vec;

/// Octets of a frame's head.
pub(crate) const HEAD: usize = 9;
/// What a client says first (RFC 9113 3.4).
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) mod flag {
    pub(crate) const END_STREAM: u8 = 0x1;
    pub(crate) const ACK: u8 = 0x1;
    pub(crate) const END_HEADERS: u8 = 0x4;
    pub(crate) const PADDED: u8 = 0x8;
    pub(crate) const PRIORITY: u8 = 0x20;
}

/// A frame's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Data = 0,
    Headers = 1,
    Priority = 2,
    RstStream = 3,
    Settings = 4,
    PushPromise = 5,
    Ping = 6,
    GoAway = 7,
    WindowUpdate = 8,
    Continuation = 9,
    /// To be ignored (RFC 9113 4.1).
    Unknown,
}

impl Kind {
    const fn new(octet: u8) -> Self {
        match octet {
            0 => Self::Data,
            1 => Self::Headers,
            2 => Self::Priority,
            3 => Self::RstStream,
            4 => Self::Settings,
            5 => Self::PushPromise,
            6 => Self::Ping,
            7 => Self::GoAway,
            8 => Self::WindowUpdate,
            9 => Self::Continuation,
            _ => Self::Unknown,
        }
    }
}

/// A frame's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub(crate) len: u32,
    pub(crate) kind: Kind,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

impl FrameHead {
    /// The head that `input` begins with; `None` when not all of it is there.
    pub(crate) fn parse(input: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, stream @ ..] = input.first_chunk::<HEAD>()?;
        Some(Self {
            len: u32::from_be_bytes([0, *a, *b, *c]),
            kind: Kind::new(*kind),
            flags: *flags,
            stream: id(*stream),
        })
    }

    pub(crate) fn bytes(self) -> [u8; HEAD] {
        let [_, len @ ..] = self.len.to_be_bytes();
        let octets = len.into_iter().chain([self.kind as u8, self.flags]).chain(self.stream.to_be_bytes());
        let mut bytes = [0; HEAD];
        for (place, octet) in bytes.iter_mut().zip(octets) {
            *place = octet;
        }
        bytes
    }

    pub(crate) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// What is wrong with a frame of this head in any state.
    pub(crate) fn check(self, max: u32) -> Result<(), Error> {
        if self.len > max {
            return Err(Error::FrameSize);
        }
        let zero = self.stream == 0;
        let misplaced = match self.kind {
            Kind::Data
            | Kind::Headers
            | Kind::Priority
            | Kind::RstStream
            | Kind::PushPromise
            | Kind::Continuation => zero,
            Kind::Settings | Kind::Ping | Kind::GoAway => !zero,
            Kind::WindowUpdate | Kind::Unknown => false,
        };
        if misplaced {
            return Err(Error::StreamZero);
        }
        let fits = match self.kind {
            Kind::RstStream | Kind::WindowUpdate => self.len == 4,
            Kind::Settings if self.has(flag::ACK) => self.len == 0,
            Kind::Settings => self.len.is_multiple_of(6),
            Kind::Ping => self.len == 8,
            Kind::GoAway => self.len >= 8,
            // Of the wrong length it is an error of its stream alone (RFC 9113 6.3).
            Kind::Priority | Kind::Continuation | Kind::PushPromise | Kind::Unknown => true,
            Kind::Data | Kind::Headers => self.len >= self.fixed(),
        };
        if fits { Ok(()) } else { Err(Error::FrameSize) }
    }

    /// Octets of payload that are read at once with the head.
    pub(crate) fn fixed(self) -> u32 {
        let padded = u32::from(self.has(flag::PADDED));
        match self.kind {
            Kind::Data => padded,
            Kind::Headers => padded + if self.has(flag::PRIORITY) { 5 } else { 0 },
            Kind::RstStream | Kind::WindowUpdate => 4,
            Kind::Ping | Kind::GoAway => 8,
            Kind::Settings | Kind::Priority | Kind::PushPromise | Kind::Continuation | Kind::Unknown => 0,
        }
    }
}

/// A stream identifier, or an increment, without its reserved bit.
pub(crate) fn id(octets: [u8; 4]) -> u32 {
    u32::from_be_bytes(octets) & 0x7fff_ffff
}

/// Appends a frame whose payload is short.
pub(crate) fn put(out: &mut Vec<u8>, kind: Kind, flags: u8, stream: u32, payload: &[u8]) {
    let head = FrameHead { len: payload.len() as u32, kind, flags, stream };
    out.extend_from_slice(&head.bytes());
    out.extend_from_slice(payload);
}

pub(crate) fn put_rst_stream(out: &mut Vec<u8>, stream: u32, code: crate::Code) {
    put(out, Kind::RstStream, 0, stream, &code.0.to_be_bytes());
}

pub(crate) fn put_window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    put(out, Kind::WindowUpdate, 0, stream, &increment.to_be_bytes());
}

pub(crate) fn put_go_away(out: &mut Vec<u8>, last: u32, code: crate::Code) {
    let payload = u64::from(last) << 32 | u64::from(code.0);
    put(out, Kind::GoAway, 0, 0, &payload.to_be_bytes());
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::path::Path;

    /// Frames of others (http2jp/http2-frame-test-case), read where they are; skipped where they are not.
    #[test]
    fn heads_that_others_wrote_are_read_and_written() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/h2-frames");
        let kinds =
            ["data", "headers", "priority", "rst_stream", "settings", "push_promise", "ping", "goaway"];
        let kinds = kinds.into_iter().chain(["window_update", "continuation"]);
        for (number, kind) in kinds.enumerate() {
            let Ok(text) = std::fs::read(dir.join(kind).join("normal.json")) else {
                std::println!("skipped: there is no {kind} at {}", dir.display());
                continue;
            };
            let case: serde_json::Value = serde_json::from_slice(&text).unwrap();
            let wire = case["wire"].as_str().unwrap();
            let wire: Vec<u8> =
                (0..18).step_by(2).map(|at| u8::from_str_radix(&wire[at..at + 2], 16).unwrap()).collect();
            let (head, expected) = (FrameHead::parse(&wire).unwrap(), &case["frame"]);
            assert_eq!(head.kind as usize, number);
            let of = |name: &str| expected[name].as_u64().unwrap();
            let found = [u64::from(head.len), u64::from(head.flags), u64::from(head.stream), number as u64];
            assert_eq!(found, [of("length"), of("flags"), of("stream_identifier"), of("type")]);
            assert_eq!(head.bytes()[..], wire);
            assert_eq!(FrameHead::parse(&wire[..8]), None);
        }
    }
}
