//! UTF-8 that arrives in pieces (RFC 6455 8.1, RFC 3629 4).

/// What the next byte may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Utf8 {
    /// The first of a character.
    #[default]
    Start,
    /// This many more, each of them any continuation.
    One,
    Two,
    Three,
    /// The second after these: not all continuations are legal there (overlong, surrogates, beyond U+10FFFF).
    AfterE0,
    AfterEd,
    AfterF0,
    AfterF4,
}

impl Utf8 {
    /// Takes in `text`. The error is the place of the first byte that cannot stand where it does.
    pub(crate) fn check(&mut self, text: &[u8]) -> Result<(), usize> {
        let begun = self.finish_character(text)?;
        let rest = text.get(begun..).unwrap_or_default();
        let Err(error) = core::str::from_utf8(rest) else { return Ok(()) };
        let valid = begun.saturating_add(error.valid_up_to());
        for (index, byte) in text.iter().enumerate().skip(valid) {
            *self = self.next(*byte).ok_or(index)?;
        }
        Ok(())
    }

    /// The text may end here.
    pub(crate) fn is_complete(self) -> bool {
        self == Self::Start
    }

    /// The bytes at the head of `text` that belong to the last character of what came before.
    fn finish_character(&mut self, text: &[u8]) -> Result<usize, usize> {
        for (index, byte) in text.iter().enumerate() {
            if self.is_complete() {
                return Ok(index);
            }
            *self = self.next(*byte).ok_or(index)?;
        }
        Ok(text.len())
    }

    fn next(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Start, 0..=0x7f) | (Self::One, 0x80..=0xbf) => Self::Start,
            (Self::Start, 0xc2..=0xdf)
            | (Self::Two, 0x80..=0xbf)
            | (Self::AfterE0, 0xa0..=0xbf)
            | (Self::AfterEd, 0x80..=0x9f) => Self::One,
            (Self::Start, 0xe0) => Self::AfterE0,
            (Self::Start, 0xed) => Self::AfterEd,
            (Self::Start, 0xe1..=0xef)
            | (Self::Three, 0x80..=0xbf)
            | (Self::AfterF0, 0x90..=0xbf)
            | (Self::AfterF4, 0x80..=0x8f) => Self::Two,
            (Self::Start, 0xf0) => Self::AfterF0,
            (Self::Start, 0xf4) => Self::AfterF4,
            (Self::Start, 0xf1..=0xf3) => Self::Three,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the standard library says, in the same words: the first byte that is wrong, or whether it may end.
    fn expected(text: &[u8]) -> Result<bool, usize> {
        match core::str::from_utf8(text) {
            Ok(_) => Ok(true),
            Err(error) if error.error_len().is_none() => Ok(false),
            Err(error) => Err(error.valid_up_to() + error.error_len().unwrap()),
        }
    }

    fn bytewise(text: &[u8]) -> Result<bool, usize> {
        let mut utf8 = Utf8::default();
        for (index, byte) in text.iter().enumerate() {
            utf8.check(&[*byte]).map_err(|_| index)?;
        }
        Ok(utf8.is_complete())
    }

    fn whole(text: &[u8]) -> Result<bool, usize> {
        let mut utf8 = Utf8::default();
        utf8.check(text).map(|()| utf8.is_complete())
    }

    /// `error_len` counts what may be skipped, which is one byte where the very first is wrong.
    fn agree(text: &[u8]) {
        let (ours, std) = (whole(text), expected(text));
        assert_eq!(bytewise(text), ours, "{text:x?}");
        match (ours, std) {
            (Ok(ours), Ok(std)) => assert_eq!(ours, std, "{text:x?}"),
            (Err(ours), Err(std)) => assert!(ours == std || ours + 1 == std, "{text:x?}: {ours} {std}"),
            _ => panic!("{text:x?}: {ours:?} against {std:?}"),
        }
    }

    #[test]
    fn every_scalar_value_is_valid_at_every_cut() {
        let mut bytes = [0; 4];
        for character in '\0'..=char::MAX {
            let text = character.encode_utf8(&mut bytes).as_bytes();
            for cut in 0..=text.len() {
                let (first, second) = text.split_at(cut);
                let mut utf8 = Utf8::default();
                assert!(utf8.check(first).is_ok() && utf8.check(second).is_ok() && utf8.is_complete());
            }
        }
    }

    #[test]
    fn every_sequence_of_up_to_three_bytes_is_judged_as_the_standard_library_does() {
        for first in 0..=255 {
            agree(&[first]);
            for second in 0..=255 {
                agree(&[first, second]);
                for third in (0..=255u8).filter(|third| (0xc2..=0xf4).contains(&first) || third % 64 < 2) {
                    agree(&[first, second, third]);
                }
            }
        }
    }

    #[test]
    fn the_edges_of_four_byte_sequences_are_judged_as_the_standard_library_does() {
        let edges = [0, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xe0, 0xf0, 0xff];
        for first in 0xc0..=255 {
            for second in edges {
                for third in edges {
                    for fourth in edges {
                        agree(&[first, second, third, fourth]);
                        agree(&[b'a', first, second, third, fourth, b'a']);
                    }
                }
            }
        }
    }
}
