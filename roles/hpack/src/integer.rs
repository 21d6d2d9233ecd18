//! Integers whose first bits share an octet with something else (RFC 7541 5.1).

use crate::Error;
use alloc::vec::Vec;

/// Octets behind the prefix: enough for 28 bits, far beyond any limit here.
const CONTINUATIONS: u32 = 4;

/// Takes an integer with a prefix of `bits` from the start of `input`.
pub(crate) fn take(input: &mut &[u8], bits: u32) -> Result<u32, Error> {
    let (first, mut rest) = input.split_first().ok_or(Error::Truncated)?;
    let mask = (1_u32 << bits) - 1;
    let mut value = u32::from(*first) & mask;
    if value == mask {
        for continuation in 0..=CONTINUATIONS {
            let (octet, behind) = rest.split_first().ok_or(Error::Truncated)?;
            rest = behind;
            if continuation == CONTINUATIONS {
                return Err(Error::Integer);
            }
            value += u32::from(octet & 0x7f) << (7 * continuation);
            if octet & 0x80 == 0 {
                break;
            }
        }
    }
    *input = rest;
    Ok(value)
}

/// Appends `value` with a prefix of `bits`; `flags` are the bits before it.
pub(crate) fn put(out: &mut Vec<u8>, flags: u8, bits: u32, value: u64) {
    let mask = (1_u64 << bits) - 1;
    let Some(mut rest) = value.checked_sub(mask) else {
        out.push(flags | value as u8);
        return;
    };
    out.push(flags | mask as u8);
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_the_examples_of_rfc_7541_c_1() {
        for (value, bits, code) in [(10, 5, &[0x0a][..]), (1337, 5, &[0x1f, 0x9a, 0x0a]), (42, 8, &[0x2a])] {
            let mut out = Vec::new();
            put(&mut out, 0, bits, value);
            assert_eq!(out, code);
            assert_eq!(take(&mut &out[..], bits), Ok(value as u32));
        }
    }

    #[test]
    fn what_was_written_is_read_at_every_prefix() {
        for bits in 4..=7 {
            for value in [0, 1, 14, 15, 16, 126, 127, 128, 254, 255, 256, 16_383, 16_384, (1 << 28) - 1] {
                let mut out = Vec::new();
                put(&mut out, 0, bits, value);
                let mut input = &out[..];
                assert_eq!((take(&mut input, bits), input.len()), (Ok(value as u32), 0));
                for end in 0..out.len() {
                    assert_eq!(take(&mut &out[..end], bits), Err(Error::Truncated));
                }
            }
        }
    }

    #[test]
    fn an_integer_of_many_octets_is_refused() {
        assert_eq!(take(&mut &[0x7f, 0x80, 0x80, 0x80, 0x80, 0x00][..], 7), Err(Error::Integer));
        assert_eq!(take(&mut &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..], 7), Err(Error::Integer));
    }
}
