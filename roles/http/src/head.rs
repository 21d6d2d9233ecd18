//! Heads: what stands before a body.

use crate::{Method, Status, Version};
use alloc::vec::Vec;
use core::fmt;

/// A head of a request or a response, or the trailers behind a body: self-contained, and made to be used again, so that
/// reading a head allocates nothing once the first few have been read.
///
/// ```
/// use millstream_http::{Head, Method};
///
/// let mut head = Head::new();
/// head.set_request(Method::Get, b"/a/b?c=d");
/// head.push(b"Host", b"example.com");
/// assert_eq!(head.path(), b"/a/b");
/// assert_eq!(head.query(), Some(&b"c=d"[..]));
/// assert_eq!(head.get("host"), Some(&b"example.com"[..]));
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// The target, then names and values, one behind the other.
    text: Vec<u8>,
    fields: Vec<Field>,
    target: usize,
    method: Option<Method>,
    status: Option<Status>,
    version: Version,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Field {
    at: usize,
    name: usize,
    value: usize,
}

impl Head {
    /// An empty head, without heap.
    pub const fn new() -> Self {
        Self {
            text: Vec::new(),
            fields: Vec::new(),
            target: 0,
            method: None,
            status: None,
            version: Version::Http11,
        }
    }

    /// Forgets everything but the memory it was in.
    pub fn clear(&mut self) {
        self.text.clear();
        self.fields.clear();
        self.target = 0;
        self.method = None;
        self.status = None;
        self.version = Version::Http11;
    }

    /// Begins a request: what the head held before is gone.
    pub fn set_request(&mut self, method: Method, target: &[u8]) {
        self.clear();
        self.method = Some(method);
        self.text.extend_from_slice(target);
        self.target = target.len();
    }

    /// Lets `write` make the target of the request that has just been begun, in place; the `/` that an origin form begins
    /// with (RFC 9112 3.2.1) is added where it is missing.
    pub fn write_target<R>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        self.fields.clear();
        self.text.clear();
        let result = write(&mut self.text);
        if !self.text.starts_with(b"/") {
            self.text.insert(0, b'/');
        }
        self.target = self.text.len();
        result
    }

    /// Begins a response: what the head held before is gone.
    pub fn set_response(&mut self, status: Status) {
        self.clear();
        self.status = Some(status);
    }

    /// Sets the version that the message was sent in.
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// Adds a field.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.fields.push(Field { at: self.text.len(), name: name.len(), value: value.len() });
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(value);
    }

    /// Adds a field whose value `write` appends to what it is given.
    pub fn push_with(&mut self, name: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        let at = self.text.len();
        self.text.extend_from_slice(name);
        write(&mut self.text);
        let value = self.text.len().saturating_sub(at + name.len());
        self.fields.push(Field { at, name: name.len(), value });
    }

    /// The value of the first field of this name; case does not count.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// The values of all fields of this name, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let matches = move |(known, value): (&'a [u8], &'a [u8])| {
            known.eq_ignore_ascii_case(name.as_bytes()).then_some(value)
        };
        self.iter().filter_map(matches)
    }

    /// Names and values, in order, as they came.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| {
            let value = field.at + field.name;
            let name = self.text.get(field.at..value).unwrap_or_default();
            (name, self.text.get(value..value + field.value).unwrap_or_default())
        })
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// There are no fields.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The method of a request.
    pub fn method(&self) -> Option<Method> {
        self.method
    }

    /// The status of a response.
    pub fn status(&self) -> Option<Status> {
        self.status
    }

    /// The version that the message was sent in.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The target of a request, as it was sent.
    pub fn target(&self) -> &[u8] {
        self.text.get(..self.target).unwrap_or_default()
    }

    /// The path of a request, without the query; of `http://host/path` too (RFC 9112 3.2.2).
    pub fn path(&self) -> &[u8] {
        let path = self.origin_form().split(|byte| *byte == b'?').next().unwrap_or_default();
        if path.is_empty() { b"/" } else { path }
    }

    /// What follows the `?` of a request's target.
    pub fn query(&self) -> Option<&[u8]> {
        let target = self.origin_form();
        let mark = target.iter().position(|byte| *byte == b'?')?;
        target.get(mark + 1..)
    }

    /// Whom a request is for: the target's authority where it has one (RFC 9112 3.2.2), else the Host field.
    pub fn authority(&self) -> Option<&[u8]> {
        match self.absolute_form() {
            Some((authority, _)) => Some(authority),
            None => self.get("host"),
        }
    }

    fn origin_form(&self) -> &[u8] {
        match self.absolute_form() {
            Some((_, rest)) => rest,
            None => self.target(),
        }
    }

    /// Authority and rest of a target in absolute form.
    fn absolute_form(&self) -> Option<(&[u8], &[u8])> {
        let target = self.target();
        let is_scheme = |scheme: &[u8]| {
            target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        };
        let scheme = [&b"http://"[..], b"https://"].into_iter().find(|scheme| is_scheme(scheme))?;
        let rest = target.get(scheme.len()..)?;
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
        rest.split_at_checked(end)
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        if let Some(method) = self.method {
            map.entry(&method.as_str(), &alloc::string::String::from_utf8_lossy(self.target()));
        }
        if let Some(status) = self.status {
            map.entry(&"status", &status.code());
        }
        for (name, value) in self.iter() {
            let (name, value) =
                (alloc::string::String::from_utf8_lossy(name), alloc::string::String::from_utf8_lossy(value));
            map.entry(&name, &value);
        }
        map.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_in_absolute_form_has_an_authority_of_its_own() {
        let mut head = Head::new();
        head.set_request(Method::Get, b"HTTP://a.example:81?x");
        head.push(b"Host", b"b.example");
        assert_eq!(head.authority(), Some(&b"a.example:81"[..]));
        assert_eq!(head.path(), b"/");
        assert_eq!(head.query(), Some(&b"x"[..]));
        head.set_request(Method::Options, b"*");
        assert_eq!((head.path(), head.query(), head.authority()), (&b"*"[..], None, None));
    }

    #[test]
    fn a_cleared_head_holds_nothing_of_the_last() {
        let mut head = Head::new();
        head.set_response(Status::OK);
        head.push(b"Set-Cookie", b"a");
        head.push(b"set-cookie", b"b");
        assert_eq!(head.get_all("SET-COOKIE").count(), 2);
        head.clear();
        assert_eq!(head, Head::new());
        assert_eq!(head.iter().count(), 0);
    }
}
