//! Named values of a stream: what `${name}` expands to, and what headers carry both ways.
//!
//! The stream type declares the names. With `direct_proto_str` a name that ends in `:` is a header's, declared or not.
//! A name may have two values: the application's, and the one that the peer's last message brought. The peer's is read
//! while it is there; [`Metadata::clear_from_peer`] drops it before the next transaction, so that nothing leaks from one
//! to the next, and the application's is read again.

use std::fmt;

use crate::cause::Words;

/// The longest value, in bytes, where the stream has no limit of its own.
pub const DEFAULT_VALUE_LIMIT: usize = 4096;

/// The longest name of an undeclared header, its `:` included.
pub const MAX_DIRECT_NAME: usize = 128;

/// How many undeclared headers a stream remembers.
pub const MAX_DIRECT: usize = 64;

/// Which value is meant: found by name once, then used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// The position in the stream type's declaration.
    Declared(usize),
    /// A header that is not declared, its name with the `:`.
    Direct(&'a str),
}

/// The values of one stream: a pointer's size until the first is set.
///
/// ```
/// use millstream::secure_stream::metadata::{DEFAULT_VALUE_LIMIT, Key, Metadata};
///
/// let declared = ["region", "ctype"];
/// let ctype = Key::find("ctype", declared, false).unwrap();
/// let mut metadata = Metadata::default();
/// metadata.set(ctype, b"text/plain", DEFAULT_VALUE_LIMIT)?;
/// metadata.set_from_peer(ctype, b"text/html", DEFAULT_VALUE_LIMIT)?;
/// assert_eq!(metadata.get(ctype), Some(&b"text/html"[..]));
/// metadata.clear_from_peer();
/// assert_eq!(metadata.get(ctype), Some(&b"text/plain"[..]));
/// # Ok::<(), millstream::secure_stream::metadata::MetadataError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata(Option<Box<Values>>);

/// Why a value was not set.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetadataError {
    /// The stream type does not declare this name.
    Unknown {
        /// The name.
        name: Words,
        /// The declared name that it may be a slip of.
        nearest: Option<String>,
    },
    /// The value has more bytes than are allowed.
    TooLong {
        /// The bytes it has.
        len: usize,
        /// The bytes it may have.
        limit: usize,
    },
    /// The stream has [`MAX_DIRECT`] undeclared headers already.
    TooMany,
    /// This cannot be the name of a header: empty, over [`MAX_DIRECT_NAME`], or with a character that RFC 9110 5.1
    /// does not allow.
    BadHeaderName,
    /// This cannot be the value of a header: CR, LF and NUL would end it (RFC 9110 5.5).
    BadHeaderValue,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Values {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: Name,
    application: Option<Box<[u8]>>,
    peer: Option<Box<[u8]>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Declared(usize),
    Direct(Box<str>),
}

#[derive(Clone, Copy)]
enum Origin {
    Application,
    Peer,
}

impl<'a> Key<'a> {
    /// The key for `name` among those `declared`, in their order. `direct`: a name ending in `:` needs no declaration.
    pub fn find<'d>(
        name: &'a str,
        declared: impl IntoIterator<Item = &'d str>,
        direct: bool,
    ) -> Option<Self> {
        let position = declared.into_iter().position(|known| known == name);
        let undeclared = (direct && name.ends_with(':')).then_some(Self::Direct(name));
        position.map(Self::Declared).or(undeclared)
    }
}

impl Metadata {
    /// The value to use now: the peer's if its message brought one, else the application's.
    pub fn get(&self, key: Key<'_>) -> Option<&[u8]> {
        self.entries().iter().find(|entry| entry.name.is(key)).and_then(Entry::value)
    }

    /// Sets the application's value, which stays until it is set again or [unset](Self::unset). What the peer's message
    /// brought under this name is gone.
    ///
    /// # Errors
    ///
    /// The value is longer than `limit`, or the key is of a header that cannot be; nothing has changed then.
    pub fn set(&mut self, key: Key<'_>, value: &[u8], limit: usize) -> Result<(), MetadataError> {
        self.put(key, value, limit, Origin::Application)
    }

    /// Sets the value that the peer's message brought; it stays until [`Metadata::clear_from_peer`].
    ///
    /// # Errors
    ///
    /// As for [`Metadata::set`].
    pub fn set_from_peer(&mut self, key: Key<'_>, value: &[u8], limit: usize) -> Result<(), MetadataError> {
        self.put(key, value, limit, Origin::Peer)
    }

    /// Forgets the value, whoever set it. Says whether there was one.
    pub fn unset(&mut self, key: Key<'_>) -> bool {
        let had = self.get(key).is_some();
        self.retain(|entry| !entry.name.is(key));
        had
    }

    /// The application's value, whatever the peer's message brought.
    pub fn own(&self, key: Key<'_>) -> Option<&[u8]> {
        self.entries().iter().find(|entry| entry.name.is(key))?.application.as_deref()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.retain(|_| false);
    }

    /// Forgets what the peer's message brought, before the next transaction.
    pub fn clear_from_peer(&mut self) {
        self.retain(|entry| {
            entry.peer = None;
            entry.application.is_some()
        });
    }

    /// The undeclared headers that the application set, in the order in which it did: `("x-tag:", b"7")`.
    pub fn direct(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.entries().iter().filter_map(|entry| match &entry.name {
            Name::Direct(name) => Some((&**name, entry.application.as_deref()?)),
            Name::Declared(_) => None,
        })
    }

    fn put(&mut self, key: Key<'_>, value: &[u8], limit: usize, origin: Origin) -> Result<(), MetadataError> {
        if value.len() > limit {
            return Err(MetadataError::TooLong { len: value.len(), limit });
        }
        if let Key::Direct(name) = key {
            check_header(name, value)?;
            let count = self.entries().iter().filter(|entry| matches!(entry.name, Name::Direct(_))).count();
            if count >= MAX_DIRECT && self.get(key).is_none() {
                return Err(MetadataError::TooMany);
            }
        }
        let entries = &mut self.0.get_or_insert_default().entries;
        let value = Some(Box::from(value));
        let (application, peer) = match origin {
            Origin::Application => (value, None),
            Origin::Peer => (None, value),
        };
        match entries.iter_mut().find(|entry| entry.name.is(key)) {
            Some(entry) => {
                if application.is_some() {
                    entry.application = application;
                }
                entry.peer = peer;
            }
            None => entries.push(Entry { name: key.into(), application, peer }),
        }
        Ok(())
    }

    fn entries(&self) -> &[Entry] {
        self.0.as_ref().map_or(&[], |values| &values.entries)
    }

    /// Keeps what `keep` says, and gives the memory back with the last.
    fn retain(&mut self, keep: impl FnMut(&mut Entry) -> bool) {
        if let Some(values) = &mut self.0 {
            values.entries.retain_mut(keep);
            if values.entries.is_empty() {
                self.0 = None;
            }
        }
    }
}

impl Entry {
    fn value(&self) -> Option<&[u8]> {
        self.peer.as_deref().or(self.application.as_deref())
    }
}

impl Name {
    /// Header names are the same in any case (RFC 9110 5.1); declared names have been told apart already.
    fn is(&self, key: Key<'_>) -> bool {
        match (self, key) {
            (Self::Declared(mine), Key::Declared(other)) => *mine == other,
            (Self::Direct(mine), Key::Direct(other)) => mine.eq_ignore_ascii_case(other),
            _ => false,
        }
    }
}

impl From<Key<'_>> for Name {
    fn from(key: Key<'_>) -> Self {
        match key {
            Key::Declared(position) => Self::Declared(position),
            Key::Direct(name) => Self::Direct(name.into()),
        }
    }
}

fn check_header(name: &str, value: &[u8]) -> Result<(), MetadataError> {
    let token = name.strip_suffix(':').unwrap_or_default();
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if token.is_empty() || name.len() > MAX_DIRECT_NAME || !token.bytes().all(is_tchar) {
        return Err(MetadataError::BadHeaderName);
    }
    if value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return Err(MetadataError::BadHeaderValue);
    }
    Ok(())
}

impl MetadataError {
    /// `name` is not declared; `nearest` is the declared name that it may be a slip of.
    pub fn unknown(name: &str, nearest: Option<String>) -> Self {
        Self::Unknown { name: name.into(), nearest }
    }
}

impl fmt::Display for MetadataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name, nearest: None } => write!(f, "metadata \"{name}\" is not declared"),
            Self::Unknown { name, nearest: Some(nearest) } => {
                write!(f, "metadata \"{name}\" is not declared; is \"{nearest}\" meant?")
            }
            Self::TooLong { len, limit } => {
                write!(f, "metadata value of {len} bytes; at most {limit} are allowed")
            }
            Self::TooMany => write!(f, "more than {MAX_DIRECT} undeclared headers"),
            Self::BadHeaderName => f.write_str("not a header name followed by ':'"),
            Self::BadHeaderValue => f.write_str("a header value has no CR, LF or NUL"),
        }
    }
}

impl std::error::Error for MetadataError {}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["region", "ctype", "x-known:"];
    const LIMIT: usize = DEFAULT_VALUE_LIMIT;

    fn key(name: &str) -> Key<'_> {
        Key::find(name, NAMES, true).unwrap()
    }

    #[test]
    fn names_are_found_where_they_are_declared() {
        assert_eq!(Key::find("ctype", NAMES, false), Some(Key::Declared(1)));
        assert_eq!(Key::find("x-known:", NAMES, true), Some(Key::Declared(2)));
        assert_eq!(Key::find("Ctype", NAMES, true), None);
        assert_eq!(Key::find("x-new:", NAMES, false), None);
        assert_eq!(Key::find("x-new:", NAMES, true), Some(Key::Direct("x-new:")));
    }

    #[test]
    fn what_the_application_set_stays_and_what_the_peer_sent_does_not() {
        let mut metadata = Metadata::default();
        metadata.set(key("region"), b"uk", LIMIT).unwrap();
        metadata.set_from_peer(key("region"), b"us", LIMIT).unwrap();
        metadata.set_from_peer(key("ctype"), b"text/html", LIMIT).unwrap();
        metadata.set_from_peer(key("x-new:"), b"1", LIMIT).unwrap();
        assert_eq!(metadata.get(key("region")), Some(&b"us"[..]));
        assert_eq!(metadata.get(key("X-New:")), Some(&b"1"[..]));
        metadata.clear_from_peer();
        assert_eq!(metadata.get(key("region")), Some(&b"uk"[..]));
        assert_eq!(metadata.get(key("ctype")), None);
        assert_eq!(metadata.get(key("x-new:")), None);
    }

    #[test]
    fn what_the_application_sets_replaces_what_the_peer_sent() {
        let mut metadata = Metadata::default();
        metadata.set_from_peer(key("ctype"), b"text/html", LIMIT).unwrap();
        metadata.set(key("ctype"), b"", LIMIT).unwrap();
        assert_eq!(metadata.get(key("ctype")), Some(&b""[..]));
    }

    #[test]
    fn nothing_is_held_when_nothing_is_set() {
        assert_eq!(size_of::<Metadata>(), size_of::<usize>());
        let mut metadata = Metadata::default();
        metadata.set(key("region"), b"uk", LIMIT).unwrap();
        assert!(metadata.unset(key("region")));
        assert!(!metadata.unset(key("region")));
        metadata.set_from_peer(key("ctype"), b"a", LIMIT).unwrap();
        metadata.clear_from_peer();
        assert_eq!(metadata, Metadata(None));
    }

    #[test]
    fn a_refused_value_changes_nothing() {
        let mut metadata = Metadata::default();
        metadata.set(key("region"), b"uk", 2).unwrap();
        let error = metadata.set(key("region"), b"ukx", 2).unwrap_err();
        assert_eq!(error, MetadataError::TooLong { len: 3, limit: 2 });
        assert_eq!(error.to_string(), "metadata value of 3 bytes; at most 2 are allowed");
        for (name, value, expected) in [
            (":", "a", MetadataError::BadHeaderName),
            ("a b:", "a", MetadataError::BadHeaderName),
            ("a:b:", "a", MetadataError::BadHeaderName),
            ("a\r\nb:", "a", MetadataError::BadHeaderName),
            ("a:", "b\r\nc: d", MetadataError::BadHeaderValue),
            ("a:", "b\0", MetadataError::BadHeaderValue),
        ] {
            assert_eq!(metadata.set(Key::Direct(name), value.as_bytes(), LIMIT), Err(expected), "{name:?}");
        }
        let long = format!("{}:", "n".repeat(MAX_DIRECT_NAME));
        assert_eq!(metadata.set(Key::Direct(&long), b"", LIMIT), Err(MetadataError::BadHeaderName));
        assert_eq!(metadata.get(key("region")), Some(&b"uk"[..]));
        assert_eq!(metadata.direct().count(), 0);
    }

    #[test]
    fn undeclared_headers_are_bounded_and_keep_their_order() {
        let mut metadata = Metadata::default();
        for nth in 0..MAX_DIRECT {
            metadata.set(Key::Direct(&format!("x-{nth}:")), b"1", LIMIT).unwrap();
        }
        assert_eq!(metadata.set(Key::Direct("x-more:"), b"1", LIMIT), Err(MetadataError::TooMany));
        metadata.set(Key::Direct("X-0:"), b"2", LIMIT).unwrap();
        assert_eq!(metadata.direct().next(), Some(("x-0:", &b"2"[..])));
        assert_eq!(metadata.direct().count(), MAX_DIRECT);
    }

    #[test]
    fn an_unknown_name_is_told_with_the_one_that_may_be_meant() {
        let error = MetadataError::unknown("regoin", Some("region".into()));
        assert_eq!(error.to_string(), "metadata \"regoin\" is not declared; is \"region\" meant?");
        assert_eq!(MetadataError::unknown("x", None).to_string(), "metadata \"x\" is not declared");
    }
}
