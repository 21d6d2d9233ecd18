//! Heads on their way out.

use crate::EncodeError;
use alloc::vec::Vec;
use http::field::{is_token, is_value};

/// Fields that say how the body is framed or the connection is used: the engine's own to write.
const OWN: [&str; 4] = ["content-length", "transfer-encoding", "connection", "keep-alive"];

/// Appends a field that the engine has no reason to doubt.
pub(crate) fn push_own(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends the caller's fields, or says which rule they break.
pub(crate) fn push_fields<'a>(
    out: &mut Vec<u8>,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    is_client: bool,
) -> Result<(), EncodeError> {
    for (name, value) in fields {
        let is = |own: &str| name.eq_ignore_ascii_case(own.as_bytes());
        if !is_token(name) || !is_value(value) || OWN.iter().any(|own| is(own)) || (is_client && is("host")) {
            return Err(EncodeError::Field);
        }
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    Ok(())
}

/// Digits of a number, without allocating.
pub(crate) struct Digits {
    text: [u8; 20],
    start: usize,
}

impl Digits {
    pub(crate) fn new(mut number: u64, radix: u64) -> Self {
        let mut digits = Self { text: [b'0'; 20], start: 20 };
        for place in digits.text.iter_mut().rev() {
            let digit = (number % radix) as u8;
            *place = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
            digits.start -= 1;
            number /= radix;
            if number == 0 {
                break;
            }
        }
        digits
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.text.get(self.start..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_leading_zeros() {
        assert_eq!(Digits::new(0, 10).as_bytes(), b"0");
        assert_eq!(Digits::new(u64::MAX, 10).as_bytes(), b"18446744073709551615");
        assert_eq!(Digits::new(0x5dc, 16).as_bytes(), b"5dc");
    }
}
