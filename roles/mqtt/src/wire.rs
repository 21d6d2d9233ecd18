//! Numbers, strings and packets as they stand in bytes (MQTT 5, 1.5).

use crate::{EncodeError, Error};
use alloc::vec::Vec;

/// The largest number of variable length, and so the longest that a packet can be behind its fixed header.
pub(crate) const LONGEST: u32 = 268_435_455;

/// The largest packet: [`LONGEST`] and its fixed header.
pub(crate) const LARGEST: u32 = LONGEST + 5;

/// The high half of a packet's first byte.
pub(crate) mod kind {
    pub(crate) const CONNECT: u8 = 1;
    pub(crate) const CONNACK: u8 = 2;
    pub(crate) const PUBLISH: u8 = 3;
    pub(crate) const PUBACK: u8 = 4;
    pub(crate) const PUBREC: u8 = 5;
    pub(crate) const PUBREL: u8 = 6;
    pub(crate) const PUBCOMP: u8 = 7;
    pub(crate) const SUBSCRIBE: u8 = 8;
    pub(crate) const SUBACK: u8 = 9;
    pub(crate) const UNSUBSCRIBE: u8 = 10;
    pub(crate) const UNSUBACK: u8 = 11;
    pub(crate) const PINGREQ: u8 = 12;
    pub(crate) const PINGRESP: u8 = 13;
    pub(crate) const DISCONNECT: u8 = 14;
    pub(crate) const AUTH: u8 = 15;
}

/// A number of variable length at the front of `bytes` and the bytes it takes. None asks for more.
pub(crate) fn variable(bytes: &[u8]) -> Result<Option<(u32, usize)>, Error> {
    let mut value = 0;
    for (place, byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            // [MQTT-1.5.5-1]: the fewest bytes that are needed.
            let needless = place > 0 && *byte == 0;
            return if needless { Err(Error::VariableLength) } else { Ok(Some((value, place + 1))) };
        }
    }
    if bytes.len() >= 4 { Err(Error::VariableLength) } else { Ok(None) }
}

/// Bytes that `value` takes.
pub(crate) const fn variable_len(value: u32) -> usize {
    match value {
        0..128 => 1,
        128..16_384 => 2,
        16_384..2_097_152 => 3,
        _ => 4,
    }
}

pub(crate) fn push_variable(mut value: u32, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Binary data: its length, itself.
pub(crate) fn push_binary(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let len = u16::try_from(bytes.len()).map_err(|_| EncodeError::Text)?;
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

/// A string. That it is UTF-8 without surrogates is in its type; U+0000 is not ([MQTT-1.5.4-2]).
pub(crate) fn push_string(text: &str, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if text.contains('\0') {
        return Err(EncodeError::Text);
    }
    push_binary(text.as_bytes(), out)
}

/// Writes a packet: its fixed header goes before what `body` appends, and counts `payload` bytes that follow. A packet
/// larger than `largest`, or whose body cannot be written, leaves `out` as it was.
pub(crate) fn packet(
    out: &mut Vec<u8>,
    first: u8,
    payload: u32,
    largest: u32,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    let result = body(out).and_then(|()| {
        let len = out.len().saturating_sub(start) as u64 + u64::from(payload);
        let len = u32::try_from(len).ok().filter(|len| *len <= LONGEST).ok_or(EncodeError::TooLarge)?;
        let header = 1 + variable_len(len);
        if u64::from(len) + header as u64 > u64::from(largest) {
            return Err(EncodeError::TooLarge);
        }
        out.push(first);
        push_variable(len, out);
        if let Some(packet) = out.get_mut(start..) {
            packet.rotate_right(header);
        }
        Ok(())
    });
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// The rest of a packet that is there as a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Error::Length)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Error::Length)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Error> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn short(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn long(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn variable(&mut self) -> Result<u32, Error> {
        let (value, len) = variable(self.0)?.ok_or(Error::Length)?;
        self.bytes(len)?;
        Ok(value)
    }

    pub(crate) fn binary(&mut self) -> Result<&'a [u8], Error> {
        let len = self.short()?;
        self.bytes(usize::from(len))
    }

    /// [MQTT-1.5.4-1], [MQTT-1.5.4-2]: UTF-8 without surrogates (which Rust's is) and without U+0000.
    pub(crate) fn string(&mut self) -> Result<&'a str, Error> {
        let text = core::str::from_utf8(self.binary()?).map_err(|_| Error::Utf8)?;
        if text.contains('\0') { Err(Error::Utf8) } else { Ok(text) }
    }

    pub(crate) fn packet_id(&mut self) -> Result<crate::PacketId, Error> {
        crate::PacketId::new(self.short()?).ok_or(Error::PacketId)
    }

    /// Everything was read.
    pub(crate) fn end(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mqtt_1_5_5_1_variable_numbers_take_the_fewest_bytes() {
        for (value, len) in
            [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (2_097_152, 4), (LONGEST, 4)]
        {
            let mut out = Vec::new();
            push_variable(value, &mut out);
            assert_eq!(out.len(), len);
            assert_eq!(variable_len(value), len);
            assert_eq!(variable(&out), Ok(Some((value, len))));
            for cut in 0..len {
                assert_eq!(variable(&out[..cut]), Ok(None));
            }
        }
        for needless in [&[0x80, 0][..], &[0xff, 0x80, 0], &[0x80, 0x80, 0x80, 0]] {
            assert_eq!(variable(needless), Err(Error::VariableLength));
        }
        assert_eq!(variable(&[0xff, 0xff, 0xff, 0xff]), Err(Error::VariableLength));
    }

    #[test]
    fn mqtt_1_5_4_1_strings_are_utf_8_without_surrogates_or_nul() {
        for bad in [
            &b"\0\x03\xed\xa0\x80"[..],
            b"\0\x02\xc0\x80",
            b"\0\x01\xff",
            b"\0\x03a\0b",
            b"\0\x04\xf4\x90\x80\x80",
        ] {
            assert_eq!(Reader(bad).string(), Err(Error::Utf8));
        }
        // [MQTT-1.5.4-3]: a byte order mark is a character as any other.
        assert_eq!(Reader(b"\0\x03\xef\xbb\xbf").string(), Ok("\u{feff}"));
        assert_eq!(Reader(b"\0\x05abc").string(), Err(Error::Length));
    }

    #[test]
    fn a_packet_that_cannot_be_leaves_nothing_behind() {
        let mut out = b"before".to_vec();
        assert_eq!(
            packet(&mut out, 0x30, LONGEST, u32::MAX, |out| push_string("a", out)),
            Err(EncodeError::TooLarge)
        );
        assert_eq!(packet(&mut out, 0x30, 0, 4, |out| push_string("a", out)), Err(EncodeError::TooLarge));
        assert_eq!(packet(&mut out, 0x30, 0, 99, |out| push_string("a\0", out)), Err(EncodeError::Text));
        assert_eq!(out, b"before");
        assert_eq!(packet(&mut out, 0x30, 0, 5, |out| push_string("a", out)), Ok(()));
        assert_eq!(out, b"before\x30\x03\0\x01a");
    }
}
