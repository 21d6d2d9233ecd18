//! Header lists that arrive: which fields may stand where, and what they mean (RFC 9113 8.2, 8.3).

use crate::{Error, Limits};
use alloc::vec::Vec;
use core::ops::Range;
use http::field::{decimal, is_authority, is_target, is_token_byte, is_trailer, is_value};
use http::{Head, Method, Status, Version};

/// What a header list is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Response,
    Trailers,
}

/// What a head says beside what is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) content_length: Option<u64>,
    pub(crate) expects_continue: bool,
    /// Extended CONNECT (RFC 8441): what follows is a protocol of its own.
    pub(crate) is_tunnel: bool,
}

/// Text that has to wait for its place in a head; kept, so that its memory is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scratch {
    pseudo: Vec<u8>,
    cookies: Vec<u8>,
}

/// Pseudo-header fields (RFC 9113 8.3, RFC 8441 4).
#[derive(Clone, Debug, Default)]
struct Pseudo {
    method: Option<Range<usize>>,
    scheme: Option<Range<usize>>,
    authority: Option<Range<usize>>,
    path: Option<Range<usize>>,
    protocol: Option<Range<usize>>,
    status: Option<Range<usize>>,
}

/// Takes the fields of a list, one by one.
pub(crate) struct Fields<'a> {
    kind: Kind,
    allows_connect: bool,
    head: &'a mut Head,
    scratch: &'a mut Scratch,
    pseudo: Pseudo,
    /// The pseudo-header fields are behind us.
    is_regular: bool,
    has_authority: bool,
    /// The scheme is one whose requests name a host (RFC 9113 8.3.1).
    wants_authority: bool,
    size_left: u32,
    count_left: u16,
    facts: Facts,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(kind: Kind, limits: &Limits, head: &'a mut Head, scratch: &'a mut Scratch) -> Self {
        head.clear();
        scratch.pseudo.clear();
        scratch.cookies.clear();
        Self {
            kind,
            allows_connect: limits.connect_protocol,
            head,
            scratch,
            pseudo: Pseudo::default(),
            is_regular: false,
            has_authority: false,
            wants_authority: false,
            size_left: limits.header_list,
            count_left: limits.fields,
            facts: Facts::default(),
        }
    }

    /// The next field.
    pub(crate) fn push(&mut self, name: &[u8], value: &[u8]) -> Result<(), Error> {
        // RFC 9113 6.5.2: a field counts 32 octets beside its text.
        let size = u32::try_from(name.len() + value.len() + 32).unwrap_or(u32::MAX);
        self.size_left = self.size_left.checked_sub(size).ok_or(Error::HeaderList)?;
        self.count_left = self.count_left.checked_sub(1).ok_or(Error::HeaderList)?;
        if let [b':', pseudo @ ..] = name {
            return self.pseudo(pseudo, value);
        }
        // RFC 9113 8.2.1: upper case is malformed as well.
        let legal = |byte: &u8| is_token_byte(*byte) && !byte.is_ascii_uppercase();
        if name.is_empty() || !name.iter().all(legal) || !is_value(value) {
            return Err(Error::Malformed);
        }
        if !self.is_regular {
            self.begin()?;
        }
        self.regular(name, value)
    }

    /// The list is complete.
    pub(crate) fn finish(mut self) -> Result<Facts, Error> {
        if !self.is_regular {
            self.begin()?;
        }
        if self.wants_authority && !self.has_authority {
            return Err(Error::Malformed);
        }
        if !self.scratch.cookies.is_empty() {
            self.head.push(b"cookie", &self.scratch.cookies);
        }
        Ok(self.facts)
    }

    fn pseudo(&mut self, name: &[u8], value: &[u8]) -> Result<(), Error> {
        let place = match (self.kind, name) {
            // RFC 9113 8.3: never behind a regular field, never in trailers.
            _ if self.is_regular => return Err(Error::Malformed),
            (Kind::Request, b"method") => &mut self.pseudo.method,
            (Kind::Request, b"scheme") => &mut self.pseudo.scheme,
            (Kind::Request, b"authority") => &mut self.pseudo.authority,
            (Kind::Request, b"path") => &mut self.pseudo.path,
            (Kind::Request, b"protocol") if self.allows_connect => &mut self.pseudo.protocol,
            (Kind::Response, b"status") => &mut self.pseudo.status,
            _ => return Err(Error::Malformed),
        };
        let start = self.scratch.pseudo.len();
        self.scratch.pseudo.extend_from_slice(value);
        match place.replace(start..self.scratch.pseudo.len()) {
            None => Ok(()),
            Some(_) => Err(Error::Malformed),
        }
    }

    /// Turns the pseudo-header fields into what a head begins with.
    fn begin(&mut self) -> Result<(), Error> {
        self.is_regular = true;
        match self.kind {
            Kind::Request => self.request_line(),
            Kind::Response => self.status_line(),
            Kind::Trailers => Ok(()),
        }
    }

    fn status_line(&mut self) -> Result<(), Error> {
        let text = self.pseudo.status.clone().and_then(|range| self.scratch.pseudo.get(range));
        let Some([a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9']) = text else {
            return Err(Error::Malformed);
        };
        let digit = |byte: &u8| u16::from(byte - b'0');
        let status = Status::new(digit(a) * 100 + digit(b) * 10 + digit(c)).ok_or(Error::Malformed)?;
        // RFC 9113 8.6: there is no such thing in HTTP/2.
        if status == Status::SWITCHING_PROTOCOLS {
            return Err(Error::Malformed);
        }
        self.head.set_response(status);
        self.head.set_version(Version::Http2);
        Ok(())
    }

    fn request_line(&mut self) -> Result<(), Error> {
        let text =
            |range: &Option<Range<usize>>| -> Option<&[u8]> { self.scratch.pseudo.get(range.clone()?) };
        let pseudo = &self.pseudo;
        let (scheme, path, protocol) = (text(&pseudo.scheme), text(&pseudo.path), text(&pseudo.protocol));
        let authority = text(&pseudo.authority);
        let name =
            text(&pseudo.method).filter(|name| name.iter().copied().all(is_token_byte) && !name.is_empty());
        let method = Method::from_bytes(name.ok_or(Error::Malformed)?);
        if authority.is_some_and(|authority| authority.is_empty() || !is_authority(authority)) {
            return Err(Error::Malformed);
        }
        match (method, protocol) {
            // RFC 9113 8.5: an authority and nothing else. A tunnel is nothing that this engine could carry.
            (Some(Method::Connect), None) if scheme.is_none() && path.is_none() && authority.is_some() => {
                return Err(Error::Method);
            }
            // RFC 8441 4: all of them.
            (Some(Method::Connect), Some(protocol)) if is_scheme_like(protocol) && authority.is_some() => {}
            (Some(Method::Connect), _) | (_, Some(_)) => return Err(Error::Malformed),
            _ => {}
        }
        let (Some(scheme), Some(path)) = (scheme, path) else { return Err(Error::Malformed) };
        let is_whole_server = path == b"*" && method == Some(Method::Options);
        if !is_scheme_like(scheme) || !is_target(path) || !(path.starts_with(b"/") || is_whole_server) {
            return Err(Error::Malformed);
        }
        self.head.set_request(method.ok_or(Error::Method)?, path);
        self.head.set_version(Version::Http2);
        if let Some(authority) = authority {
            self.head.push(b"host", authority);
        }
        if let Some(protocol) = protocol {
            self.head.push(b":protocol", protocol);
        }
        self.has_authority = authority.is_some();
        self.wants_authority = scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"https");
        self.facts.is_tunnel = protocol.is_some();
        Ok(())
    }

    fn regular(&mut self, name: &[u8], value: &[u8]) -> Result<(), Error> {
        match name {
            // RFC 9113 8.2.2: the connection is none of a message's business.
            b"connection" | b"proxy-connection" | b"keep-alive" | b"transfer-encoding" | b"upgrade" => {
                return Err(Error::Malformed);
            }
            b"te" if value != b"trailers" => return Err(Error::Malformed),
            _ if self.kind == Kind::Trailers && !is_trailer(name) => return Ok(()),
            b"content-length" => {
                let length = decimal(value).ok_or(Error::Malformed)?;
                if self.facts.content_length.is_some_and(|known| known != length) {
                    return Err(Error::Malformed);
                }
                if self.facts.content_length.replace(length).is_some() {
                    return Ok(());
                }
            }
            b"host" if self.kind == Kind::Request => return self.host(value),
            // RFC 9113 8.2.3: crumbs are one cookie to whoever reads them.
            b"cookie" if self.kind == Kind::Request => {
                if !self.scratch.cookies.is_empty() {
                    self.scratch.cookies.extend_from_slice(b"; ");
                }
                self.scratch.cookies.extend_from_slice(value);
                return Ok(());
            }
            b"expect" if self.kind == Kind::Request => {
                self.facts.expects_continue = value.eq_ignore_ascii_case(b"100-continue");
            }
            _ => {}
        }
        self.head.push(name, value);
        Ok(())
    }

    /// RFC 9113 8.3.1: a Host that is not the authority makes the request malformed; one that is says nothing new.
    fn host(&mut self, value: &[u8]) -> Result<(), Error> {
        if self.has_authority {
            let same = self.head.get("host").is_some_and(|known| known.eq_ignore_ascii_case(value));
            return if same { Ok(()) } else { Err(Error::Malformed) };
        }
        if value.is_empty() || !is_authority(value) {
            return Err(Error::Malformed);
        }
        self.has_authority = true;
        self.head.push(b"host", value);
        Ok(())
    }
}

/// A scheme (RFC 3986 3.1), or the name of a protocol.
pub(crate) fn is_scheme_like(text: &[u8]) -> bool {
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    text.first().is_some_and(u8::is_ascii_alphabetic) && text.iter().all(legal)
}
