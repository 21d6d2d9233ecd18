//! Names as they stand in messages: labels, each behind its length (RFC 1035 3.1), letters in lower case.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

/// Bytes of a label (RFC 1035 2.3.4).
pub(crate) const MAX_LABEL: usize = 63;
/// Bytes of a name with all its lengths and the root's zero (RFC 1035 2.3.4).
pub(crate) const MAX_NAME: usize = 255;

/// A domain name, from the leaf to the root. Names that differ in case alone are equal (RFC 4343). A clone is cheap.
///
/// ```
/// use millstream_dns::Name;
///
/// let name = Name::from_text("WWW.Example.com").unwrap();
/// assert_eq!(name, Name::from_text("www.example.com.").unwrap());
/// assert_eq!(name.to_string(), "www.example.com");
/// assert!(Name::from_text("two..dots").is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<[u8]>);

/// A text that cannot be a host's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing but the root, or nothing at all.
    Empty,
    /// Two dots in a row, or one in front.
    EmptyLabel,
    /// A label of more than 63 bytes.
    LabelTooLong,
    /// More than 255 bytes in a message.
    TooLong,
    /// Something else than letters, digits, `-` and `_`; names of other scripts come in their ASCII form (RFC 5890).
    Character,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "an empty name",
            Self::EmptyLabel => "a name with an empty label",
            Self::LabelTooLong => "a label of more than 63 bytes",
            Self::TooLong => "a name of more than 255 bytes",
            Self::Character => "a character that is none of a host name",
        })
    }
}

impl core::error::Error for NameError {}

impl Name {
    /// Reads a host's name, with or without the dot of the root at its end.
    ///
    /// # Errors
    /// It is none: see [`NameError`].
    pub fn from_text(text: &str) -> Result<Self, NameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        let mut wire = Vec::with_capacity(text.len() + 2);
        for label in text.split('.') {
            let len = match label.len() {
                0 => return Err(NameError::EmptyLabel),
                len @ 1..=MAX_LABEL => len,
                _ => return Err(NameError::LabelTooLong),
            };
            // Underscores are no part of a host name (RFC 952), and stand in many.
            if !label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
                return Err(NameError::Character);
            }
            wire.push(len as u8);
            wire.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
        }
        wire.push(0);
        if wire.len() > MAX_NAME { Err(NameError::TooLong) } else { Ok(Self(wire.into())) }
    }

    /// From labels that were read from a message, the root's zero included, in lower case and within the limits.
    pub(crate) fn from_wire(wire: &[u8]) -> Self {
        Self(wire.into())
    }

    /// The labels, each behind its length; the last is the root's zero.
    pub(crate) fn wire(&self) -> &[u8] {
        &self.0
    }

    /// The labels from the leaf on, without the root's.
    pub(crate) fn labels(&self) -> impl Iterator<Item = &[u8]> {
        Labels(&self.0)
    }

    /// This name under a domain; `None` when that is longer than a name may be.
    pub(crate) fn under(&self, domain: &Self) -> Option<Self> {
        let (_, own) = self.0.split_last()?;
        let wire: Vec<u8> = own.iter().chain(domain.wire()).copied().collect();
        (wire.len() <= MAX_NAME).then(|| Self(wire.into()))
    }

    /// This name is `domain`, or below it.
    pub(crate) fn is_within(&self, domain: &Self) -> bool {
        let mut rest = self.wire();
        loop {
            if rest == domain.wire() {
                return true;
            }
            let Some((&len, tail)) = rest.split_first() else { return false };
            let Some(parent) = tail.get(usize::from(len)..) else { return false };
            rest = parent;
        }
    }
}

struct Labels<'a>(&'a [u8]);

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (&len, rest) = self.0.split_first()?;
        let (label, rest) = rest.split_at_checked(usize::from(len)).filter(|_| len > 0)?;
        self.0 = rest;
        Some(label)
    }
}

/// With dots between the labels and none at the end; what is not printable in a label, or a dot, as `\DDD`
/// (RFC 1035 5.1).
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, label) in self.labels().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            for &byte in label {
                match byte {
                    b'.' | b'\\' => write!(f, "\\{}", char::from(byte))?,
                    b'!'..=b'~' => write!(f, "{}", char::from(byte))?,
                    _ => write!(f, "\\{byte:03}")?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::{format, vec};

    fn name(text: &str) -> Name {
        Name::from_text(text).unwrap()
    }

    #[test]
    fn a_name_is_read_and_written_and_case_is_lost() {
        assert_eq!(name("A.bC-d._x.").wire(), b"\x01a\x04bc-d\x02_x\x00");
        assert_eq!(name("A.bC-d._x.").to_string(), "a.bc-d._x");
        assert_eq!(format!("{:?}", name("a")), "Name(a)");
        assert_eq!(Name::from_wire(b"\x04a.\x07\\\x00").to_string(), "a\\.\\007\\\\");
    }

    #[test]
    fn what_is_no_host_name_is_refused() {
        let long = vec!["a".repeat(63); 4].join(".");
        for (text, error) in [
            ("", NameError::Empty),
            (".", NameError::Empty),
            ("..", NameError::EmptyLabel),
            (".a", NameError::EmptyLabel),
            ("a..b", NameError::EmptyLabel),
            ("a b", NameError::Character),
            ("a/b", NameError::Character),
            ("a\0", NameError::Character),
            ("b\u{fc}cher.example", NameError::Character),
            ("fe80::1%eth0", NameError::Character),
            (&"a".repeat(64), NameError::LabelTooLong),
            (&long, NameError::TooLong),
        ] {
            assert_eq!(Name::from_text(text), Err(error), "{text}");
        }
        // 255 bytes in all: three labels of 63, one of 61, five lengths.
        let longest = format!("{}.{}", vec!["a".repeat(63); 3].join("."), "b".repeat(61));
        assert_eq!(name(&longest).wire().len(), MAX_NAME);
        assert!(Name::from_text(&format!("{longest}b")).is_err());
    }

    #[test]
    fn a_name_goes_under_a_domain_while_it_fits() {
        assert_eq!(name("a").under(&name("b.c")), Some(name("a.b.c")));
        let long = name(&vec!["a".repeat(63); 3].join("."));
        assert_eq!(long.under(&long), None);
    }

    #[test]
    fn within_a_domain_is_told_by_labels() {
        assert!(name("a.b.c").is_within(&name("b.c")));
        assert!(name("b.c").is_within(&name("b.c")));
        assert!(name("b.c").is_within(&Name::from_wire(b"\0")));
        assert!(!name("ab.c").is_within(&name("b.c")));
        assert!(!name("c").is_within(&name("b.c")));
    }
}
