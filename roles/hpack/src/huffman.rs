//! The Huffman code of RFC 7541 Appendix B. The code is canonical: shorter codes are smaller numbers, and codes of one
//! length count up with the symbols. So the lengths alone say it, and all tables are made of them by the compiler.

use crate::Error;
use alloc::vec::Vec;

/// Bits of each octet's code; the last is that of EOS.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28,
    28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6,
    6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7,
    8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7,
    15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24,
    23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23,
    23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26,
    26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20,
    21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27,
    27, 27, 26, 30,
];

const LONGEST: usize = 30;

/// Code and length of every octet.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const CODES: [(u32, u8); 256] = {
    let mut codes = [(0, 0); 256];
    let (mut code, mut bits) = (0, 5);
    while bits <= LONGEST as u8 {
        let mut symbol = 0;
        while symbol < 256 {
            if LENGTHS[symbol] == bits {
                codes[symbol] = (code, bits);
                code += 1;
            }
            symbol += 1;
        }
        code <<= 1;
        bits += 1;
    }
    codes
};

/// Codes up to this length are looked up in one step: all letters, digits and most punctuation.
const SHORT_BITS: u32 = 10;

/// What these bits begin with: an octet and its length, or length 0 for longer codes.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const SHORT: [(u8, u8); 1 << SHORT_BITS] = {
    let mut short = [(0, 0); 1 << SHORT_BITS];
    let mut symbol = 0;
    while symbol < 256 {
        let (code, bits) = CODES[symbol];
        if bits as u32 <= SHORT_BITS {
            let free = SHORT_BITS - bits as u32;
            let mut next = 0;
            while next < 1 << free {
                short[((code as usize) << free) + next] = (symbol as u8, bits);
                next += 1;
            }
        }
        symbol += 1;
    }
    short
};

/// Of the codes of one length.
#[derive(Clone, Copy)]
struct Length {
    bits: u8,
    /// The first code, at the left of 32 bits.
    first: u32,
    /// Where its octet is in `SORTED`.
    at: u16,
    count: u16,
}

/// Lengths that take more than one step, shortest first.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const LONG: [Length; LONGEST - SHORT_BITS as usize] = {
    let mut lengths = [Length { bits: 0, first: 0, at: 0, count: 0 }; LONGEST - SHORT_BITS as usize];
    let mut row = 0;
    let mut at = 0;
    while row < lengths.len() {
        let bits = SHORT_BITS as u8 + 1 + row as u8;
        lengths[row].bits = bits;
        lengths[row].at = at;
        let mut symbol = 0;
        while symbol < 256 {
            if CODES[symbol].1 == bits {
                if lengths[row].count == 0 {
                    lengths[row].first = CODES[symbol].0 << (32 - bits);
                }
                lengths[row].count += 1;
                at += 1;
            }
            symbol += 1;
        }
        row += 1;
    }
    lengths
};

/// Octets with long codes, in the order of their codes.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const SORTED: [u8; 256] = {
    let mut sorted = [0; 256];
    let (mut at, mut bits) = (0, SHORT_BITS as u8 + 1);
    while bits <= LONGEST as u8 {
        let mut symbol = 0;
        while symbol < 256 {
            if CODES[symbol].1 == bits {
                sorted[at] = symbol as u8;
                at += 1;
            }
            symbol += 1;
        }
        bits += 1;
    }
    sorted
};

/// The octet that 32 bits begin with, and how many of them are its code. None for EOS.
fn long(window: u32) -> Option<(u8, u8)> {
    LONG.iter().find_map(|length| {
        let place = window.checked_sub(length.first)? >> (32 - u32::from(length.bits));
        let is_code = place < u32::from(length.count);
        let octet = SORTED.get(usize::from(length.at) + place as usize)?;
        is_code.then_some((*octet, length.bits))
    })
}

/// Octets that the code of `text` takes.
pub(crate) fn encoded_len(text: &[u8]) -> usize {
    let bits: u64 = text.iter().map(|octet| u64::from(code_of(*octet).1)).sum();
    bits.div_ceil(8) as usize
}

fn code_of(octet: u8) -> (u32, u8) {
    CODES.get(usize::from(octet)).copied().unwrap_or_default()
}

/// Appends `text` to `out` in Huffman code, padded with ones (RFC 7541 5.2).
pub(crate) fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut held, mut count) = (0_u64, 0_u32);
    for &octet in text {
        let (code, bits) = code_of(octet);
        held = held << bits | u64::from(code);
        count += u32::from(bits);
        if count >= 32 {
            count -= 32;
            out.extend_from_slice(&((held >> count) as u32).to_be_bytes());
        }
    }
    while count >= 8 {
        count -= 8;
        out.push((held >> count) as u8);
    }
    if count > 0 {
        out.push((held << (8 - count)) as u8 | 0xff >> count);
    }
}

/// Appends what `code` stands for to `out`, up to `limit` octets.
pub(crate) fn decode(code: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), Error> {
    let start = out.len();
    // The shortest code has five bits.
    let longest = code.len().saturating_mul(8) / 5;
    out.resize(start.saturating_add(longest.min(limit)), 0);
    let mut places = out.iter_mut().skip(start);
    // Bits at the left, inverted: what is shifted in reads as ones, which padding has to be.
    let (mut held, mut count, mut rest) = (0_u64, 0_u32, code);
    let result = loop {
        if count <= 32 {
            (held, count, rest) = refill(held, count, rest);
        }
        let window = !((held >> 32) as u32);
        let short = SHORT.get((window >> (32 - SHORT_BITS)) as usize).copied().unwrap_or_default();
        let found = if short.1 > 0 { Some(short) } else { long(window) };
        match found {
            Some((octet, bits)) if u32::from(bits) <= count => {
                let Some(place) = places.next() else { break Err(Error::StringTooLong) };
                *place = octet;
                count -= u32::from(bits);
                held <<= bits;
            }
            // RFC 7541 5.2: padding is shorter than an octet, and all ones.
            _ if count < 8 && held == 0 => break Ok(()),
            _ => break Err(Error::Huffman),
        }
    };
    let unused = places.len();
    out.truncate(out.len() - unused);
    result
}

/// Adds the next bits of `rest`, of which there is room for 32.
fn refill(mut held: u64, mut count: u32, mut rest: &[u8]) -> (u64, u32, &[u8]) {
    if let Some((four, behind)) = rest.split_first_chunk::<4>() {
        held |= u64::from(!u32::from_be_bytes(*four)) << (32 - count);
        return (held, count + 32, behind);
    }
    while let Some((octet, behind)) = rest.split_first() {
        held |= u64::from(!octet) << (56 - count);
        count += 8;
        rest = behind;
    }
    (held, count, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_the_examples_of_rfc_7541_c_4() {
        let mut out = Vec::new();
        encode(b"www.example.com", &mut out);
        assert_eq!(out, [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff]);
        out.clear();
        encode(b"no-cache", &mut out);
        assert_eq!(out, [0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]);
        assert_eq!(encoded_len(b"no-cache"), 6);
    }

    #[test]
    fn decodes_every_pair_of_octets() {
        for first in 0..=255 {
            let text: Vec<u8> = (0..=255).flat_map(|second| [first, second]).collect();
            let (mut code, mut out) = (Vec::new(), Vec::new());
            encode(&text, &mut code);
            assert_eq!(code.len(), encoded_len(&text));
            assert_eq!(decode(&code, 512, &mut out), Ok(()));
            assert_eq!(out, text);
        }
    }

    #[test]
    fn refuses_padding_that_is_none_and_eos() {
        let mut out = Vec::new();
        assert_eq!(decode(&[], 0, &mut out), Ok(()));
        for bad in [&[0xff][..], &[0x00], &[0xff; 4], &[0xff; 9], &[0xf1, 0xe3, 0xff, 0xff], &[0x07, 0xff]] {
            assert_eq!(decode(bad, 100, &mut out), Err(Error::Huffman), "{bad:?}");
        }
    }

    #[test]
    fn stops_at_the_limit() {
        let (mut code, mut out) = (Vec::new(), Vec::new());
        encode(&[b'a'; 9], &mut code);
        assert_eq!(decode(&code, 8, &mut out), Err(Error::StringTooLong));
        assert_eq!(out.len(), 8);
    }
}
