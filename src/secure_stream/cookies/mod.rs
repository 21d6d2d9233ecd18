//! The cookie jar of a context (`http_cookies`, RFC 6265): what servers set, and which of it goes with a request.
//!
//! All streams of the context whose type has `http_cookies` share it. It lives in memory, holds at most [`PER_DOMAIN`]
//! cookies of a domain and [`IN_TOTAL`] of all, each of at most [`MAX_SIZE`] bytes, and drops those first that were not
//! used for longest. Expiry is by the wall clock, when a domain is looked at: there is no timer.
//!
//! There is no list of public suffixes. A Domain attribute without a dot inside (`com`, `localhost`) is taken for one, and
//! so refused, or without effect where it is the host's own name (RFC 6265 5.3). Suffixes of more labels (`co.uk`) are not
//! known: a server there can set cookies for all of its neighbours.

mod date;
mod netscape;
mod set_cookie;
#[cfg(test)]
mod tests;

use set_cookie::SetCookie;
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The most cookies of one domain (RFC 6265 6.1).
const PER_DOMAIN: usize = 50;

/// The most cookies of all domains (RFC 6265 6.1).
const IN_TOTAL: usize = 3000;

/// The most bytes of a cookie: name, value, domain and path (RFC 6265 6.1). What is longer is not kept.
const MAX_SIZE: usize = 4096;

/// The longest Cookie header. What does not fit is left out, so that a neighbour under the same domain cannot make requests
/// too long for their server by cookies of its own.
const MAX_HEADER: usize = 8190;

/// What a request is for, as far as cookies are concerned.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestUri<'a> {
    /// Without brackets, where it is an IPv6 address.
    pub(super) host: &'a str,
    /// Without the query.
    pub(super) path: &'a [u8],
    /// Over TLS.
    pub(super) is_secure: bool,
}

/// A cookie, but for the domain that it is kept under (RFC 6265 5.3).
#[derive(Debug)]
struct Cookie {
    name: Box<[u8]>,
    value: Box<[u8]>,
    path: Box<[u8]>,
    /// In seconds since 1970; `None` for as long as the context lives.
    expires: Option<u64>,
    host_only: bool,
    secure: bool,
    http_only: bool,
    /// When it was first set, and last set or sent: by the jar's own count, which no clock turns back.
    created: u64,
    used: u64,
}

impl Cookie {
    fn is_expired(&self, now: u64) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    fn is_for(&self, uri: &RequestUri<'_>, is_own_host: bool) -> bool {
        (is_own_host || !self.host_only)
            && (uri.is_secure || !self.secure)
            && path_matches(uri.path, &self.path)
    }
}

/// A cookie that goes with a request, in the order in which it does (RFC 6265 5.4).
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    path: Reverse<usize>,
    created: u64,
    /// Where its domain begins in the host's name, and its place among the domain's cookies.
    domain: usize,
    nth: usize,
    len: usize,
}

/// Every cookie of a context.
#[derive(Debug, Default)]
pub(crate) struct CookieJar {
    domains: BTreeMap<Box<str>, Vec<Cookie>>,
    len: usize,
    count: u64,
    /// The cookies of the request at hand.
    found: Vec<Found>,
}

impl CookieJar {
    /// Keeps what a Set-Cookie header of the answer to a request says, if it may say so (RFC 6265 5.3). `now` is in seconds
    /// since 1970.
    pub(super) fn set(&mut self, from: &RequestUri<'_>, header: &[u8], now: u64) {
        let Some(parsed) = SetCookie::parse(header, now) else { return };
        let host = canonical(from.host);
        let host_only = match &parsed.domain {
            None => true,
            Some(domain) if domain.as_slice() == host.as_bytes() => !is_shareable(&host),
            Some(domain) if domain_matches(&host, domain) => false,
            Some(_) => return,
        };
        let Ok(domain) = str::from_utf8(parsed.domain.as_deref().unwrap_or(host.as_bytes())) else { return };
        if !host_only && !is_shareable(domain) {
            return;
        }
        let cookie = Cookie {
            name: parsed.name.into(),
            value: parsed.value.into(),
            path: parsed.path.unwrap_or_else(|| default_path(from.path)).into(),
            expires: parsed.expires,
            host_only,
            secure: parsed.secure,
            http_only: parsed.http_only,
            created: 0,
            used: 0,
        };
        self.insert(domain, cookie, now);
    }

    /// The cookies that go with a request (RFC 6265 5.4), if there are any.
    pub(super) fn matching<'h>(&mut self, uri: &RequestUri<'h>, now: u64) -> Option<Matching<'_, 'h>> {
        self.found.clear();
        if self.len == 0 {
            return None;
        }
        let host = canonical(uri.host);
        self.count += 1;
        let is_name = host.parse::<IpAddr>().is_err();
        let parents = host.match_indices('.').map(|(dot, _)| dot + 1).filter(|_| is_name);
        for start in std::iter::once(0).chain(parents) {
            let domain = host.get(start..).unwrap_or_default();
            self.forget_expired(domain, now);
            let Some(cookies) = self.domains.get_mut(domain) else { continue };
            for (nth, cookie) in cookies.iter_mut().enumerate().filter(|(_, c)| c.is_for(uri, start == 0)) {
                cookie.used = self.count;
                let (path, len) = (Reverse(cookie.path.len()), cookie.name.len() + cookie.value.len() + 3);
                self.found.push(Found { path, created: cookie.created, domain: start, nth, len });
            }
        }
        self.found.sort_unstable();
        let mut room = MAX_HEADER + 2;
        self.found.retain(|found| {
            let left = room.checked_sub(found.len);
            room = left.unwrap_or(room);
            left.is_some()
        });
        if self.found.is_empty() { None } else { Some(Matching { jar: self, host }) }
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes a cookie in, in place of the one of the same name, domain and path. One that has expired leaves nothing there.
    /// False when it is too long, has what no header can hold, or is for no name: a cookie file would give one that begins
    /// with a dot to another.
    fn insert(&mut self, domain: &str, mut cookie: Cookie, now: u64) -> bool {
        let size = cookie.name.len() + cookie.value.len() + cookie.path.len() + domain.len();
        let is_sendable = http::field::is_value(&cookie.name) && http::field::is_value(&cookie.value);
        if size > MAX_SIZE || !is_sendable || domain.starts_with('.') {
            return false;
        }
        self.count += 1;
        (cookie.created, cookie.used) = (self.count, self.count);
        self.forget_expired(domain, now);
        if let Some(cookies) = self.domains.get_mut(domain) {
            if let Some(old) = cookies.iter_mut().find(|c| c.name == cookie.name && c.path == cookie.path) {
                cookie.created = old.created;
                *old = cookie;
                self.forget_expired(domain, now);
                return true;
            }
            if cookies.len() >= PER_DOMAIN {
                self.forget_least_used(|known| known == domain);
            }
        }
        if cookie.is_expired(now) {
            return true;
        }
        if self.len >= IN_TOTAL {
            self.forget_all_expired(now);
        }
        if self.len >= IN_TOTAL {
            self.forget_least_used(|_| true);
        }
        self.domains.entry(domain.into()).or_default().push(cookie);
        self.len += 1;
        true
    }

    fn forget_expired(&mut self, domain: &str, now: u64) {
        let Some(cookies) = self.domains.get_mut(domain) else { return };
        let before = cookies.len();
        cookies.retain(|cookie| !cookie.is_expired(now));
        self.len = self.len.saturating_sub(before - cookies.len());
        if cookies.is_empty() {
            self.domains.remove(domain);
        }
    }

    fn forget_all_expired(&mut self, now: u64) {
        self.domains.retain(|_, cookies| {
            cookies.retain(|cookie| !cookie.is_expired(now));
            !cookies.is_empty()
        });
        self.len = self.domains.values().map(Vec::len).sum();
    }

    /// RFC 6265 5.3: excess cookies go in the order of their last access.
    fn forget_least_used(&mut self, among: impl Fn(&str) -> bool) {
        let candidates =
            self.domains.iter_mut().filter(|(domain, _)| among(domain)).filter_map(|(_, cookies)| {
                let oldest = (0..).zip(cookies.iter()).map(|(nth, c)| ((c.used, c.created), nth)).min();
                oldest.map(|(age, nth)| (age, nth, cookies))
            });
        if let Some((_, nth, cookies)) = candidates.min_by_key(|(age, ..)| *age) {
            cookies.remove(nth);
            self.len = self.len.saturating_sub(1);
        }
        self.domains.retain(|_, cookies| !cookies.is_empty());
    }
}

/// The cookies of a request.
#[derive(Debug)]
pub(super) struct Matching<'j, 'h> {
    jar: &'j CookieJar,
    host: Cow<'h, str>,
}

impl Matching<'_, '_> {
    /// Writes the value of the Cookie header (RFC 6265 5.4, the cookie-string).
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut separator: &[u8] = b"";
        for found in &self.jar.found {
            let cookies = self.host.get(found.domain..).and_then(|domain| self.jar.domains.get(domain));
            let Some(cookie) = cookies.and_then(|cookies| cookies.get(found.nth)) else { continue };
            for part in [separator, &cookie.name, b"=", &cookie.value] {
                out.extend_from_slice(part);
            }
            separator = b"; ";
        }
    }
}

/// RFC 6265 5.1.2. Names are ASCII here: the resolver takes no others.
fn canonical(host: &str) -> Cow<'_, str> {
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

/// RFC 6265 5.1.3, but for the case where both are the same.
fn domain_matches(host: &str, domain: &[u8]) -> bool {
    let rest = host.as_bytes().strip_suffix(domain);
    rest.is_some_and(|rest| rest.ends_with(b".")) && host.parse::<IpAddr>().is_err()
}

/// A domain that hosts below it may share cookies by: one label alone is taken for a public suffix, an address has none below.
fn is_shareable(domain: &str) -> bool {
    domain.trim_end_matches('.').contains('.') && domain.parse::<IpAddr>().is_err()
}

/// RFC 6265 5.1.4.
fn path_matches(path: &[u8], cookie_path: &[u8]) -> bool {
    match path.strip_prefix(cookie_path) {
        Some(rest) => rest.is_empty() || cookie_path.ends_with(b"/") || rest.starts_with(b"/"),
        None => false,
    }
}

/// RFC 6265 5.1.4.
fn default_path(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(last) if last > 0 && path.starts_with(b"/") => path.get(..last).unwrap_or(b"/"),
        _ => b"/",
    }
}
