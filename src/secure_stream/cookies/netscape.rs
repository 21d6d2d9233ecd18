//! The jar as text, in the format of Netscape's cookie files, which browsers, curl and lws (`http_nsc_filepath`) read and
//! write: a cookie a line, seven fields with tabs between.

use super::{Cookie, CookieJar, is_shareable};

const TITLE: &[u8] = b"# Netscape HTTP Cookie File\n";
const HTTP_ONLY: &[u8] = b"#HttpOnly_";

impl CookieJar {
    /// All that has not expired, oldest first. A cookie with a tab inside has no place in this format.
    pub(crate) fn export(&self, now: u64) -> Vec<u8> {
        let mut cookies: Vec<(&str, &Cookie)> = self
            .domains
            .iter()
            .flat_map(|(domain, cookies)| cookies.iter().map(|cookie| (&**domain, cookie)))
            .filter(|(_, cookie)| !cookie.is_expired(now))
            .filter(|(_, cookie)| {
                ![&cookie.name, &cookie.value, &cookie.path].iter().any(|t| t.contains(&b'\t'))
            })
            .collect();
        cookies.sort_by_key(|(_, cookie)| cookie.created);
        let mut out = TITLE.to_vec();
        for (domain, cookie) in cookies {
            write_line(domain, cookie, &mut out);
        }
        out
    }

    /// Takes in what such text holds; how many cookies there were. What is no cookie, or has expired, is passed over.
    pub(crate) fn import(&mut self, text: &[u8], now: u64) -> usize {
        let mut taken = 0;
        for line in text.split(|byte| *byte == b'\n') {
            if let Some((domain, cookie)) = read_line(line.strip_suffix(b"\r").unwrap_or(line))
                && !cookie.is_expired(now)
                && self.insert(&domain, cookie, now)
            {
                taken += 1;
            }
        }
        taken
    }
}

fn write_line(domain: &str, cookie: &Cookie, out: &mut Vec<u8>) {
    let word = |is: bool| if is { &b"TRUE"[..] } else { b"FALSE" };
    if cookie.http_only {
        out.extend_from_slice(HTTP_ONLY);
    }
    if !cookie.host_only {
        out.push(b'.');
    }
    let expires = http::Digits::decimal(cookie.expires.unwrap_or(0));
    for field in
        [domain.as_bytes(), word(!cookie.host_only), &cookie.path, word(cookie.secure), expires.as_bytes()]
    {
        out.extend_from_slice(field);
        out.push(b'\t');
    }
    out.extend_from_slice(&cookie.name);
    out.push(b'\t');
    out.extend_from_slice(&cookie.value);
    out.push(b'\n');
}

fn read_line(line: &[u8]) -> Option<(String, Cookie)> {
    let (http_only, line) = match line.strip_prefix(HTTP_ONLY) {
        Some(line) => (true, line),
        None => (false, line),
    };
    if line.starts_with(b"#") {
        return None;
    }
    let mut fields = line.split(|byte| *byte == b'\t');
    let domain = str::from_utf8(fields.next()?).ok()?;
    let host_only = !flag(fields.next()?)?;
    let (path, secure, expires, name) =
        (fields.next()?, flag(fields.next()?)?, fields.next()?, fields.next()?);
    // An empty value may have lost its tab.
    let value = fields.next().unwrap_or_default();
    let domain = domain.strip_prefix('.').unwrap_or(domain).to_ascii_lowercase();
    let is_wrong = domain.is_empty() || !path.starts_with(b"/") || name.is_empty() || fields.next().is_some();
    let has_separators = name.iter().any(|byte| matches!(byte, b'=' | b';')) || value.contains(&b';');
    if is_wrong || has_separators || (!host_only && !is_shareable(&domain)) {
        return None;
    }
    // 0 is that of a session.
    let expires = Some(http::field::decimal(expires)?).filter(|secs| *secs != 0);
    let (name, value, path) = (name.into(), value.into(), path.into());
    Some((domain, Cookie { name, value, path, expires, host_only, secure, http_only, created: 0, used: 0 }))
}

fn flag(field: &[u8]) -> Option<bool> {
    let is = |word: &str| field.eq_ignore_ascii_case(word.as_bytes());
    if is("TRUE") { Some(true) } else { is("FALSE").then_some(false) }
}
