//! What must hold for a cookie jar, whatever servers set and files hold: it stays within its bounds, nobody sets a cookie
//! for somebody else, a request has just the cookies that are for it, and a cookie file brings back what was written to it.
//!
//! Who takes this in has the jar beside it, as `cookies`.

use super::cookies::{CookieJar, RequestUri};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// RFC 6265 6.1, and the longest header.
const PER_DOMAIN: usize = 50;
const IN_TOTAL: usize = 3000;
const MAX_SIZE: usize = 4096;
const MAX_HEADER: usize = 8190;

/// Lines, each a step: `s URL SET-COOKIE`, `g URL`, `f LINE-OF-A-FILE`, `t SECONDS`, and `m URL` for more of a host than
/// there is room for. They are few, so that there are many runs; the bound of all hosts has a test of its own.
pub(crate) fn cookies(data: &[u8]) {
    let mut world = World { jar: CookieJar::default(), now: 1000, is_tabbed: false };
    for line in data.split(|byte| *byte == b'\n').take(32) {
        let Some((step, rest)) = line.split_first() else { continue };
        let rest = rest.strip_prefix(b" ").unwrap_or(rest);
        world.is_tabbed |= *step == b's' && rest.contains(&b'\t');
        match step {
            b's' => world.set(rest),
            b'g' => world.get(rest),
            b'f' => {
                // A file has lines of its own.
                let file: Vec<u8> =
                    rest.iter().map(|byte| if *byte == 0x0b { b'\n' } else { *byte }).collect();
                world.jar.import(&file, world.now);
            }
            b't' => world.now = world.now.saturating_add(number(rest)),
            b'm' => world.flood(rest),
            _ => {}
        }
    }
    world.check_bounds();
    world.check_file();
}

struct World {
    jar: CookieJar,
    now: u64,
    /// A cookie may have a tab inside: a file does not show it.
    is_tabbed: bool,
}

/// A line of a cookie file, taken apart.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shown {
    domain: String,
    is_shared: bool,
    path: Vec<u8>,
    is_secure: bool,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl World {
    fn set(&mut self, rest: &[u8]) {
        let mut parts = rest.splitn(2, |byte| *byte == b' ');
        let (url, header) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        // What comes with a message is a field value.
        let Some(uri) = uri(url).filter(|_| http::field::is_value(header)) else { return };
        let before = BTreeSet::from_iter(self.shown());
        self.jar.set(&uri, header, self.now);
        let host = uri.host.to_ascii_lowercase();
        for new in self.shown().iter().filter(|cookie| !before.contains(cookie)) {
            assert!(host == new.domain || (new.is_shared && is_below(&host, &new.domain)), "{host}: {new:?}");
            assert!(!new.is_shared || new.domain.trim_end_matches('.').contains('.'), "{new:?}");
            for part in [&new.name, &new.value] {
                assert!(header.windows(part.len().max(1)).any(|at| at == &part[..]) || part.is_empty());
            }
        }
    }

    fn get(&mut self, url: &[u8]) {
        let Some(uri) = uri(url) else { return };
        let mut due: Vec<_> = self.shown().into_iter().filter(|cookie| is_for(cookie, &uri)).collect();
        due.sort_by_key(|cookie| usize::MAX - cookie.path.len());
        let pairs = due.iter().map(|cookie| [&cookie.name[..], b"=", &cookie.value].concat());
        let wanted = pairs.collect::<Vec<_>>().join(&b"; "[..]);
        let got = written(&mut self.jar, &uri, self.now);
        assert!(got.len() <= MAX_HEADER && http::field::is_value(&got));
        if wanted.len() <= MAX_HEADER && !self.is_tabbed {
            assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(&wanted), "{uri:?}");
        }
    }

    /// More cookies than a domain has room for.
    fn flood(&mut self, url: &[u8]) {
        let Some(uri) = uri(url) else { return };
        for nth in 0..=PER_DOMAIN {
            self.jar.set(&uri, format!("{nth}=many").as_bytes(), self.now);
        }
    }

    fn check_bounds(&self) {
        let shown = self.shown();
        let mut domains = BTreeMap::<&str, usize>::new();
        let mut known = BTreeSet::new();
        for cookie in &shown {
            *domains.entry(&cookie.domain).or_default() += 1;
            let size = cookie.domain.len() + cookie.path.len() + cookie.name.len() + cookie.value.len();
            assert!(size <= MAX_SIZE);
            assert!(known.insert((&cookie.domain, &cookie.path, &cookie.name)), "twice: {cookie:?}");
        }
        assert!(shown.len() <= IN_TOTAL && domains.values().all(|many| *many <= PER_DOMAIN));
    }

    /// A file is taken in as it was written, and written again as it was.
    fn check_file(&self) {
        let file = self.jar.export(self.now);
        let mut next = CookieJar::default();
        assert_eq!(next.import(&file, self.now), self.shown().len());
        assert_eq!(String::from_utf8_lossy(&next.export(self.now)), String::from_utf8_lossy(&file));
    }

    fn shown(&self) -> Vec<Shown> {
        let file = self.jar.export(self.now);
        let mut lines = file.split(|byte| *byte == b'\n');
        assert!(lines.next().is_some_and(|title| title.starts_with(b"# ")));
        let is = |word: &[u8]| word == b"TRUE";
        lines
            .filter(|line| !line.is_empty())
            .map(|line| {
                let line = line.strip_prefix(b"#HttpOnly_").unwrap_or(line);
                let fields: Vec<_> = line.split(|byte| *byte == b'\t').collect();
                let [domain, is_shared, path, is_secure, _, name, value] = fields[..] else {
                    panic!("a line of {} fields", fields.len())
                };
                let domain = str::from_utf8(domain).unwrap();
                let domain = domain.strip_prefix('.').unwrap_or(domain).to_owned();
                let (is_shared, is_secure) = (is(is_shared), is(is_secure));
                Shown {
                    domain,
                    is_shared,
                    path: path.into(),
                    is_secure,
                    name: name.into(),
                    value: value.into(),
                }
            })
            .collect()
    }
}

fn written(jar: &mut CookieJar, uri: &RequestUri<'_>, now: u64) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(matching) = jar.matching(uri, now) {
        matching.write(&mut out);
        assert!(!out.is_empty());
    }
    out
}

/// RFC 6265 5.1.3, 5.1.4 and 5.4, said once more and in other words.
fn is_for(cookie: &Shown, uri: &RequestUri<'_>) -> bool {
    let host = uri.host.to_ascii_lowercase();
    let mut below = cookie.path.clone();
    if !below.ends_with(b"/") {
        below.push(b'/');
    }
    (host == cookie.domain || (cookie.is_shared && is_below(&host, &cookie.domain)))
        && (uri.path == cookie.path || uri.path.starts_with(&below))
        && (uri.is_secure || !cookie.is_secure)
}

fn is_below(host: &str, domain: &str) -> bool {
    host.parse::<IpAddr>().is_err() && host.ends_with(&format!(".{domain}"))
}

/// `HOST/PATH`, with a `+` in front where it is over TLS.
fn uri(url: &[u8]) -> Option<RequestUri<'_>> {
    let (is_secure, url) = match url.strip_prefix(b"+") {
        Some(url) => (true, url),
        None => (false, url),
    };
    let slash = url.iter().position(|byte| *byte == b'/').unwrap_or(url.len());
    let (host, path) = url.split_at(slash);
    // What else no name may have in it, no connection is made to.
    let is_host = |byte: &u8| byte.is_ascii_alphanumeric() || b".-:_".contains(byte);
    let host =
        str::from_utf8(host).ok().filter(|host| !host.is_empty() && host.bytes().all(|b| is_host(&b)))?;
    Some(RequestUri { host, path: if path.is_empty() { b"/" } else { path }, is_secure })
}

fn number(text: &[u8]) -> u64 {
    str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1)
}
