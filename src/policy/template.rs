//! Text with `${name}` in it, cut up once and filled in at each connection attempt.

use std::fmt;
use std::ops::Range;

/// What a metadata name stands for when a [`Template`] is filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup<'a> {
    /// The name has this value.
    Value(&'a [u8]),
    /// The stream type declares the name, and nobody has set it yet: it stands for nothing.
    Unset,
    /// The stream type does not declare the name.
    Unknown,
}

/// Why a [`Template`] could not be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpandError {
    /// The text uses a name that the stream type does not declare in `metadata`.
    Unknown(String),
    /// The result would be longer than the caller's limit, in bytes.
    TooLong {
        /// The limit that was given.
        limit: usize,
    },
}

impl fmt::Display for ExpandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(f, "${{{}}} is not declared in metadata", name.escape_debug()),
            Self::TooLong { limit } => {
                write!(f, "the text is longer than {limit} bytes once its metadata is filled in")
            }
        }
    }
}

impl std::error::Error for ExpandError {}

/// Policy text in which `${name}` stands for the stream's metadata of that name.
///
/// The text is cut up once, when the policy is parsed; filling it in searches nothing and, into a
/// buffer that is large enough, allocates nothing. A `$` that no `{` follows, and a `${` that no
/// `}` follows, stand for themselves.
///
/// ```
/// use millstream::policy::{Lookup, Template};
///
/// let url = Template::parse("/firmware/${variant}/${file}");
/// let mut out = Vec::new();
/// url.expand(
///     |name| match name {
///         "variant" => Lookup::Value(b"wrover"),
///         "file" => Lookup::Unset,
///         _ => Lookup::Unknown,
///     },
///     &mut out,
///     1024,
/// )?;
/// assert_eq!(out, b"/firmware/wrover/");
/// # Ok::<(), millstream::policy::ExpandError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
    unterminated: bool,
}

/// A piece of a template, by its place in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Range<usize>),
    Name(Range<usize>),
}

impl Template {
    /// Cuts `text` up. Every text is a template.
    pub fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut unterminated = false;
        let mut literal = 0;
        let mut from = 0;
        while let Some(open) = find(text, "${", from) {
            let name = open.saturating_add(2);
            let Some(close) = find(text, "}", name) else {
                unterminated = true;
                break;
            };
            if literal < open {
                parts.push(Part::Literal(literal..open));
            }
            parts.push(Part::Name(name..close));
            from = close.saturating_add(1);
            literal = from;
        }
        if literal < text.len() {
            parts.push(Part::Literal(literal..text.len()));
        }
        Self { text: text.to_owned(), parts, unterminated }
    }

    /// The text as the policy has it.
    pub fn source(&self) -> &str {
        &self.text
    }

    /// The names it uses, in order, each as often as it stands there.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Name(range) => self.text.get(range.clone()),
            Part::Literal(_) => None,
        })
    }

    /// True when the text holds no `${name}`: it is the same for every stream.
    pub fn is_literal(&self) -> bool {
        self.names().next().is_none()
    }

    /// True when a `${` has no `}` after it; it stands for itself, which is hardly what was meant.
    pub fn is_unterminated(&self) -> bool {
        self.unterminated
    }

    /// Appends the text to `out`, with each `${name}` replaced by what `lookup` gives for it.
    ///
    /// What is put in is not looked at again, so a value that holds `${` comes out as it is.
    ///
    /// # Errors
    /// [`ExpandError::Unknown`] when `lookup` does not know a name, [`ExpandError::TooLong`] when
    /// more than `limit` bytes would be appended. `out` is then as it was before.
    pub fn expand<'a>(
        &self,
        mut lookup: impl FnMut(&str) -> Lookup<'a>,
        out: &mut Vec<u8>,
        limit: usize,
    ) -> Result<(), ExpandError> {
        let start = out.len();
        let result = self.append(&mut lookup, out, limit);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn append<'a>(
        &self,
        lookup: &mut impl FnMut(&str) -> Lookup<'a>,
        out: &mut Vec<u8>,
        limit: usize,
    ) -> Result<(), ExpandError> {
        let mut room = limit;
        for part in &self.parts {
            let piece = match part {
                Part::Literal(range) => self.text.get(range.clone()).unwrap_or_default().as_bytes(),
                Part::Name(range) => {
                    let name = self.text.get(range.clone()).unwrap_or_default();
                    match lookup(name) {
                        Lookup::Value(value) => value,
                        Lookup::Unset => b"",
                        Lookup::Unknown => return Err(ExpandError::Unknown(name.to_owned())),
                    }
                }
            };
            room = room.checked_sub(piece.len()).ok_or(ExpandError::TooLong { limit })?;
            out.extend_from_slice(piece);
        }
        Ok(())
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.text).finish()
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn find(text: &str, needle: &str, from: usize) -> Option<usize> {
    text.get(from..)?.find(needle)?.checked_add(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str, limit: usize) -> Result<String, ExpandError> {
        let mut out = b"kept:".to_vec();
        let result = Template::parse(text).expand(
            |name| match name {
                "a" => Lookup::Value(b"AA"),
                "nested" => Lookup::Value(b"${a}"),
                "unset" => Lookup::Unset,
                _ => Lookup::Unknown,
            },
            &mut out,
            limit,
        );
        match result {
            Ok(()) => Ok(String::from_utf8(out.split_off(5)).unwrap()),
            Err(error) => {
                assert_eq!(out, b"kept:", "a failure leaves the buffer as it was");
                Err(error)
            }
        }
    }

    #[test]
    fn names_are_replaced_and_everything_else_stands_for_itself() {
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("${a}", "AA"),
            ("x${a}y${unset}z", "xAAyz"),
            ("${a}${a}", "AAAA"),
            ("$", "$"),
            ("a$b", "a$b"),
            ("$${a}", "$AA"),
            ("cost: 5$ {a}", "cost: 5$ {a}"),
            ("${", "${"),
            ("x${a", "x${a"),
            ("${a}${a", "AA${a"),
            ("}{${a}}", "}{AA}"),
            ("é${a}é", "éAAé"),
            ("${nested}", "${a}"),
        ] {
            assert_eq!(expand(text, 64).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_unknown_name_is_an_error_that_says_which() {
        assert_eq!(expand("${b}", 64), Err(ExpandError::Unknown("b".to_owned())));
        assert_eq!(expand("x${}", 64), Err(ExpandError::Unknown(String::new())));
        assert_eq!(expand("${${a}", 64), Err(ExpandError::Unknown("${a".to_owned())));
        assert_eq!(ExpandError::Unknown("b\n".to_owned()).to_string(), "${b\\n} is not declared in metadata");
    }

    #[test]
    fn the_limit_counts_what_is_appended() {
        assert_eq!(expand("x${a}y", 4).as_deref(), Ok("xAAy"));
        assert_eq!(expand("x${a}y", 3), Err(ExpandError::TooLong { limit: 3 }));
        assert_eq!(expand("", 0).as_deref(), Ok(""));
    }

    #[test]
    fn the_names_in_use_can_be_listed() {
        let template = Template::parse("${a}/${b}/${a}");
        assert_eq!(template.names().collect::<Vec<_>>(), ["a", "b", "a"]);
        assert!(!template.is_literal() && !template.is_unterminated());
        assert!(Template::parse("${a").is_unterminated());
        assert!(Template::parse("${a").is_literal());
    }
}
