//! Named values of a stream: what `${name}` expands to, and what headers carry both ways.
//!
//! The stream type declares the names. With `direct_proto_str` a name that ends in `:` is a header's, declared or not.
//! A name may have two values: the application's, and the one that the peer's last message brought. The peer's is read
//! while it is there; [`Metadata::clear_from_peer`] drops it before the next transaction, so that nothing leaks from one
//! to the next, and the application's is read again.

use std::fmt;
use std::ops::Range;

use crate::cause::Words;

/// The longest value, in bytes, where the stream has no limit of its own.
pub const DEFAULT_VALUE_LIMIT: usize = 4096;

/// The longest name of an undeclared header, its `:` included.
pub const MAX_DIRECT_NAME: usize = 128;

/// How many undeclared headers a stream remembers.
pub const MAX_DIRECT: usize = 64;

/// Bytes that are kept for the next values when the last are gone.
const KEPT: usize = 512;

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

/// What streams that are gone had allocated for their values: over HTTP/2 each request to a server is a stream of its own.
#[derive(Debug, Default)]
pub(crate) struct SpareMetadata(Vec<Metadata>);

impl SpareMetadata {
    /// Kept for the next streams that need one.
    const MOST: usize = 128;

    /// Nothing, with room for something if there is some to spare.
    pub(crate) fn lend(&mut self) -> Metadata {
        self.0.pop().unwrap_or_default()
    }

    pub(crate) fn take_back(&mut self, mut metadata: Metadata) {
        if self.0.len() < Self::MOST && metadata.0.is_some() {
            metadata.clear();
            self.0.push(metadata);
        }
    }
}

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

/// All values lie one behind the other in one buffer, which is kept from transaction to transaction: setting a value
/// that fits allocates nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Values {
    entries: Vec<Entry>,
    bytes: Vec<u8>,
    /// How many of the bytes belong to nobody any more.
    garbage: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: Name,
    application: Option<Range<usize>>,
    peer: Option<Range<usize>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Declared(usize),
    Direct(Range<usize>),
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
        let (values, entry) = self.entry(key)?;
        Some(values.text(entry.peer.as_ref().or(entry.application.as_ref())?))
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
        let Some(values) = &mut self.0 else { return false };
        let Some(at) = values.position(key) else { return false };
        values.remove(at);
        true
    }

    /// The application's value, whatever the peer's message brought.
    pub fn own(&self, key: Key<'_>) -> Option<&[u8]> {
        let (values, entry) = self.entry(key)?;
        Some(values.text(entry.application.as_ref()?))
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        if let Some(values) = &mut self.0 {
            values.entries.clear();
            values.settle();
        }
    }

    /// Forgets what the peer's message brought, before the next transaction.
    pub fn clear_from_peer(&mut self) {
        self.retain_from_peer(|_| false);
    }

    /// Forgets what the peer's message brought, but for what `keep` says.
    pub(crate) fn retain_from_peer(&mut self, keep: impl Fn(Key<'_>) -> bool) {
        let Some(values) = &mut self.0 else { return };
        for at in (0..values.entries.len()).rev() {
            let stays = values.entries.get(at).is_none_or(|entry| match &entry.name {
                Name::Declared(position) => keep(Key::Declared(*position)),
                Name::Direct(name) => {
                    keep(Key::Direct(std::str::from_utf8(values.text(name)).unwrap_or_default()))
                }
            });
            if !stays {
                values.forget_from_peer(at);
            }
        }
        values.settle();
    }

    /// The undeclared headers that the application set, in the order in which it did: `("x-tag:", b"7")`.
    pub fn direct(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let values = self.0.as_deref();
        let entries = values.map_or(&[][..], |values| &values.entries);
        entries.iter().filter_map(move |entry| match &entry.name {
            Name::Direct(name) => {
                let name = std::str::from_utf8(values?.text(name)).ok()?;
                Some((name, values?.text(entry.application.as_ref()?)))
            }
            Name::Declared(_) => None,
        })
    }

    fn entry(&self, key: Key<'_>) -> Option<(&Values, &Entry)> {
        let values = self.0.as_deref()?;
        Some((values, values.entries.get(values.position(key)?)?))
    }

    fn put(&mut self, key: Key<'_>, value: &[u8], limit: usize, origin: Origin) -> Result<(), MetadataError> {
        if value.len() > limit {
            return Err(MetadataError::TooLong { len: value.len(), limit });
        }
        let values = self.0.get_or_insert_default();
        let known = values.position(key);
        if let Key::Direct(name) = key {
            check_header(name, value)?;
            let is_direct = |entry: &&Entry| matches!(entry.name, Name::Direct(_));
            if known.is_none() && values.entries.iter().filter(is_direct).count() >= MAX_DIRECT {
                return Err(MetadataError::TooMany);
            }
        }
        let at = known.unwrap_or_else(|| values.add(key));
        values.put(at, value, origin);
        Ok(())
    }
}

impl Values {
    fn text(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }

    fn position(&self, key: Key<'_>) -> Option<usize> {
        self.entries.iter().position(|entry| match (&entry.name, key) {
            (Name::Declared(mine), Key::Declared(other)) => *mine == other,
            // Header names are the same in any case (RFC 9110 5.1).
            (Name::Direct(mine), Key::Direct(other)) => {
                self.text(mine).eq_ignore_ascii_case(other.as_bytes())
            }
            _ => false,
        })
    }

    fn append(&mut self, value: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(value);
        start..self.bytes.len()
    }

    fn add(&mut self, key: Key<'_>) -> usize {
        let name = match key {
            Key::Declared(position) => Name::Declared(position),
            Key::Direct(name) => Name::Direct(self.append(name.as_bytes())),
        };
        // Many streams have one value, and there may be many streams.
        if self.entries.is_empty() {
            self.entries.reserve_exact(1);
        }
        self.entries.push(Entry { name, application: None, peer: None });
        self.entries.len() - 1
    }

    fn put(&mut self, at: usize, value: &[u8], origin: Origin) {
        let new = self.append(value);
        let Some(entry) = self.entries.get_mut(at) else { return };
        let old = match origin {
            Origin::Application => [entry.application.replace(new), entry.peer.take()],
            Origin::Peer => [entry.peer.replace(new), None],
        };
        self.garbage += old.into_iter().flatten().map(|range| range.len()).sum::<usize>();
        self.settle();
    }

    fn forget_from_peer(&mut self, at: usize) {
        let Some(entry) = self.entries.get_mut(at) else { return };
        self.garbage += entry.peer.take().map_or(0, |range| range.len());
        if entry.application.is_none() {
            self.remove(at);
        }
    }

    fn remove(&mut self, at: usize) {
        let entry = self.entries.remove(at);
        let name = match entry.name {
            Name::Direct(name) => name.len(),
            Name::Declared(_) => 0,
        };
        let values = [entry.application, entry.peer].into_iter().flatten().map(|range| range.len());
        self.garbage += name + values.sum::<usize>();
        self.settle();
    }

    /// Keeps what belongs to nobody within bounds, and gives a large buffer back with the last that was in it.
    fn settle(&mut self) {
        if self.entries.is_empty() {
            self.bytes.clear();
            self.garbage = 0;
            self.bytes.shrink_to(KEPT);
        } else if self.garbage > KEPT.max(self.bytes.len() / 2) {
            self.compact();
        }
    }

    /// Moves what is in use to the front, in place: whatever lies first goes first.
    fn compact(&mut self) {
        let (mut from, mut to) = (0, 0);
        while let Some(range) = Self::next_range(&mut self.entries, from) {
            let (start, len) = (range.start, range.len());
            *range = to..to + len;
            self.bytes.copy_within(start..start + len, to);
            from = start + len;
            to += len;
        }
        self.bytes.truncate(to);
        self.garbage = 0;
    }

    /// The first range in use at or behind `from` that is not empty.
    fn next_range(entries: &mut [Entry], from: usize) -> Option<&mut Range<usize>> {
        let ranges = entries.iter_mut().flat_map(|entry| {
            let name = match &mut entry.name {
                Name::Direct(name) => Some(name),
                Name::Declared(_) => None,
            };
            [name, entry.application.as_mut(), entry.peer.as_mut()].into_iter().flatten()
        });
        ranges.filter(|range| range.start >= from && range.end > range.start).min_by_key(|range| range.start)
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
    fn little_is_held_when_nothing_is_set() {
        assert_eq!(size_of::<Metadata>(), size_of::<usize>());
        let mut metadata = Metadata::default();
        metadata.set(key("region"), b"uk", LIMIT).unwrap();
        assert!(metadata.unset(key("region")));
        assert!(!metadata.unset(key("region")));
        metadata.set_from_peer(key("ctype"), &[b'a'; LIMIT], LIMIT).unwrap();
        metadata.clear_from_peer();
        assert!(metadata.0.as_ref().is_some_and(|values| values.bytes.capacity() <= KEPT));
    }

    #[test]
    fn values_that_are_set_for_ever_do_not_pile_up() {
        let mut metadata = Metadata::default();
        metadata.set(key("x-new:"), b"stays", LIMIT).unwrap();
        for turn in 0..10_000_u32 {
            let value = turn.to_string();
            metadata.set(key("region"), value.as_bytes(), LIMIT).unwrap();
            metadata.set_from_peer(key("ctype"), value.as_bytes(), LIMIT).unwrap();
            metadata.set_from_peer(key("x-other:"), value.as_bytes(), LIMIT).unwrap();
            for name in ["region", "ctype", "x-other:"] {
                assert_eq!(metadata.get(key(name)), Some(value.as_bytes()));
            }
            metadata.clear_from_peer();
        }
        assert_eq!(metadata.get(key("x-new:")), Some(&b"stays"[..]));
        assert_eq!(metadata.direct().collect::<Vec<_>>(), [("x-new:", &b"stays"[..])]);
        assert!(metadata.0.unwrap().bytes.capacity() <= 4 * KEPT);
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
