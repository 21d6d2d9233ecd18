//! Numbers as heads spell them.

/// Digits of a number, without allocating.
#[derive(Clone, Copy, Debug)]
pub struct Digits {
    text: [u8; 20],
    start: usize,
}

impl Digits {
    /// Those of `number` in radix 10, without leading zeros.
    pub fn decimal(number: u64) -> Self {
        Self::new(number, 10)
    }

    /// Those in radix 16, in lower case.
    pub fn hex(number: u64) -> Self {
        Self::new(number, 16)
    }

    fn new(mut number: u64, radix: u64) -> Self {
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

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        self.text.get(self.start..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_leading_zeros() {
        assert_eq!(Digits::decimal(0).as_bytes(), b"0");
        assert_eq!(Digits::decimal(u64::MAX).as_bytes(), b"18446744073709551615");
        assert_eq!(Digits::hex(0x5dc).as_bytes(), b"5dc");
    }
}
