//! Frame headers (RFC 6455 5.2): tungstenite's, and the rules that it leaves to its users.

use crate::{Error, mask};
use alloc::vec::Vec;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// What a control frame can carry.
pub(crate) const CONTROL: usize = 125;

/// A header that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) is_final: bool,
    /// RSV1: the message that begins with this frame is compressed (RFC 7692 6).
    pub(crate) is_deflated: bool,
    pub(crate) opcode: OpCode,
    pub(crate) mask: Option<[u8; 4]>,
    /// Bytes of payload.
    pub(crate) len: u64,
    /// Bytes of the header itself.
    pub(crate) size: usize,
}

impl Header {
    /// The header at the start of `input`; `None` if it is not complete.
    pub(crate) fn parse(input: &[u8]) -> Result<Option<Self>, Error> {
        let Some(([first, second], rest)) = input.split_first_chunk() else { return Ok(None) };
        let (len, least, rest) = match second & 0x7f {
            126 => match rest.split_first_chunk() {
                Some((len, rest)) => (u64::from(u16::from_be_bytes(*len)), 126, rest),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk() {
                Some((len, rest)) => (u64::from_be_bytes(*len), 0x1_0000, rest),
                None => return Ok(None),
            },
            short => (u64::from(short), 0, rest),
        };
        let (mask, rest) = match rest.split_first_chunk() {
            _ if second & 0x80 == 0 => (None, rest),
            Some((mask, rest)) => (Some(*mask), rest),
            None => return Ok(None),
        };
        let opcode = opcode(first & 0x0f).ok_or(Error::Opcode)?;
        if len < least || len >> 63 != 0 {
            return Err(Error::Length);
        }
        let (is_final, is_deflated) = (first & 0x80 != 0, first & 0x40 != 0);
        let is_control = matches!(opcode, OpCode::Control(_));
        if first & 0x30 != 0 || (is_deflated && is_control) {
            return Err(Error::ReservedBit);
        }
        if is_control && (!is_final || len > CONTROL as u64) {
            return Err(Error::Control);
        }
        let size = input.len().saturating_sub(rest.len());
        Ok(Some(Self { is_final, is_deflated, opcode, mask, len, size }))
    }
}

/// RFC 6455 11.8: those that mean something.
fn opcode(number: u8) -> Option<OpCode> {
    Some(match number {
        0 => OpCode::Data(Data::Continue),
        1 => OpCode::Data(Data::Text),
        2 => OpCode::Data(Data::Binary),
        8 => OpCode::Control(Control::Close),
        9 => OpCode::Control(Control::Ping),
        10 => OpCode::Control(Control::Pong),
        _ => return None,
    })
}

/// What goes directly before a frame's payload: at most 14 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    bytes: [u8; Self::LONGEST],
    len: u8,
}

impl Prefix {
    /// The most bytes that there are, which a caller may leave room for: two, a length of eight, a mask of four.
    pub const LONGEST: usize = 14;

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    pub(crate) fn new(header: &FrameHeader, len: usize) -> Self {
        let first = u8::from(header.is_final) << 7 | u8::from(header.rsv1) << 6 | u8::from(header.opcode);
        let masked = if header.mask.is_some() { 0x80 } else { 0 };
        let mut bytes = [0; Self::LONGEST];
        let [to_first, to_len, long @ ..] = &mut bytes;
        *to_first = first;
        let (short, size) = match len {
            0..126 => (len as u8, 2),
            126..0x1_0000 => (126, 4),
            _ => (127, 10),
        };
        *to_len = masked | short;
        match size {
            2 => {}
            4 => long[..2].copy_from_slice(&(len as u16).to_be_bytes()),
            _ => long[..8].copy_from_slice(&(len as u64).to_be_bytes()),
        }
        let Some(mask) = header.mask else { return Self { bytes, len: size } };
        if let Some(place) = bytes.get_mut(usize::from(size)..).and_then(<[u8]>::first_chunk_mut) {
            *place = mask;
        }
        Self { bytes, len: size + 4 }
    }
}

/// A header to send.
pub(crate) fn header(
    opcode: OpCode,
    is_final: bool,
    is_deflated: bool,
    mask: Option<[u8; 4]>,
) -> FrameHeader {
    FrameHeader { is_final, rsv1: is_deflated, rsv2: false, rsv3: false, opcode, mask }
}

/// Appends a control frame whose payload is `parts`, one after the other.
pub(crate) fn push_control(kind: Control, parts: [&[u8]; 2], mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    let len = parts.iter().map(|part| part.len()).sum();
    out.extend_from_slice(Prefix::new(&header(OpCode::Control(kind), true, false, mask), len).as_bytes());
    let start = out.len();
    for part in parts {
        out.extend_from_slice(part);
    }
    if let (Some(key), Some(payload)) = (mask, out.get_mut(start..)) {
        mask::apply(key, payload);
    }
}

/// The opcode of a piece.
pub(crate) fn data(is_first: bool, is_binary: bool) -> OpCode {
    OpCode::Data(match (is_first, is_binary) {
        (false, _) => Data::Continue,
        (true, false) => Data::Text,
        (true, true) => Data::Binary,
    })
}

/// Leaves room in `out` for a header that is not known yet; gives the place.
pub(crate) fn reserve(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; Prefix::LONGEST]);
    start.saturating_add(Prefix::LONGEST)
}

/// Writes the header of the payload that is at `at` and to the end of `out`, and closes the gap between the two.
pub(crate) fn close_up(out: &mut Vec<u8>, at: usize, header: &FrameHeader) {
    let prefix = Prefix::new(header, out.len().saturating_sub(at));
    let len = prefix.as_bytes().len();
    if let (Some(key), Some(payload)) = (header.mask, out.get_mut(at..)) {
        mask::apply(key, payload);
    }
    let start = at.saturating_sub(Prefix::LONGEST);
    if let Some(room) = out.get_mut(start..start.saturating_add(len)) {
        room.copy_from_slice(prefix.as_bytes());
    }
    out.drain(start.saturating_add(len)..at);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(len: usize, mask: Option<[u8; 4]>) -> Prefix {
        Prefix::new(&header(data(true, true), true, false, mask), len)
    }

    #[test]
    fn every_length_is_written_in_its_shortest_form_and_read_again() {
        for (len, size) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10), (usize::MAX >> 1, 10)] {
            for mask in [None, Some([1, 2, 3, 4])] {
                let prefix = written(len, mask);
                let header = Header::parse(prefix.as_bytes()).unwrap().unwrap();
                assert_eq!(header.size, prefix.as_bytes().len());
                assert_eq!(
                    (header.len, header.size),
                    (len as u64, size + if mask.is_some() { 4 } else { 0 })
                );
                assert_eq!((header.mask, header.is_final, header.is_deflated), (mask, true, false));
                for cut in 0..header.size {
                    assert_eq!(Header::parse(&prefix.as_bytes()[..cut]), Ok(None), "{len}, cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn lengths_in_longer_forms_than_needed_and_with_the_highest_bit_are_refused() {
        for bad in [
            &b"\x82\x7e\x00\x7d"[..],
            b"\x82\x7e\0\0",
            b"\x82\x7f\0\0\0\0\0\0\xff\xff",
            b"\x82\x7f\x80\0\0\0\0\0\0\0",
        ] {
            assert_eq!(Header::parse(bad), Err(Error::Length), "{bad:x?}");
        }
        assert!(matches!(Header::parse(b"\x82\x7e\x00\x7e"), Ok(Some(_))));
        assert!(matches!(Header::parse(b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"), Ok(Some(_))));
    }

    #[test]
    fn reserved_bits_and_opcodes_are_refused_wherever_they_mean_nothing() {
        for first in 0..=255u8 {
            let (opcode, is_final) = (first & 0x0f, first & 0x80 != 0);
            let expected = if matches!(opcode, 3..=7 | 11..=15) {
                Err(Error::Opcode)
            } else if first & 0x30 != 0 || (first & 0x40 != 0 && opcode >= 8) {
                Err(Error::ReservedBit)
            } else if opcode >= 8 && !is_final {
                Err(Error::Control)
            } else {
                Ok(())
            };
            assert_eq!(
                Header::parse(&[first, 0]).map(|header| assert!(header.is_some())),
                expected,
                "{first:x}"
            );
        }
        assert_eq!(Header::parse(b"\x89\x7e\x00\x7e"), Err(Error::Control));
    }

    #[test]
    fn a_header_that_is_written_last_stands_directly_before_its_payload() {
        for len in [0, 5, 200, 70_000] {
            let mut out = b"before".to_vec();
            let at = reserve(&mut out);
            out.resize(at + len, 7);
            close_up(&mut out, at, &header(data(true, false), true, true, None));
            let head = Header::parse(&out[6..]).unwrap().unwrap();
            assert_eq!((head.len, out.len(), head.is_deflated), (len as u64, 6 + head.size + len, true));
            assert!(out.starts_with(b"before") && out[6 + head.size..].iter().all(|byte| *byte == 7));
        }
    }
}
