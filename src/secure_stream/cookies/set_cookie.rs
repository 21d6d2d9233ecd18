//! What a Set-Cookie header says (RFC 6265 5.2).

use super::date;

/// A Set-Cookie header, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SetCookie<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
    /// In lower case, without the dot in front.
    pub(super) domain: Option<Vec<u8>>,
    /// `None` for the default path.
    pub(super) path: Option<&'a [u8]>,
    /// In seconds since 1970. Max-Age has precedence over Expires (5.3).
    pub(super) expires: Option<u64>,
    pub(super) secure: bool,
    pub(super) http_only: bool,
}

impl<'a> SetCookie<'a> {
    /// `None` where there is no cookie in it. `now` is in seconds since 1970.
    pub(super) fn parse(header: &'a [u8], now: u64) -> Option<Self> {
        let mut parts = header.split(|byte| *byte == b';');
        let (name, value) = pair(parts.next()?);
        let mut cookie = Self { name, value: value?, ..Self::default() };
        if cookie.name.is_empty() {
            return None;
        }
        let (mut expires, mut max_age) = (None, None);
        for (name, value) in parts.map(pair) {
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            let value = value.unwrap_or_default();
            if is("expires") {
                expires = date::parse(value).or(expires);
            } else if is("max-age") {
                max_age = expiry(value, now).or(max_age);
            } else if is("domain") && !value.is_empty() {
                cookie.domain = Some(value.strip_prefix(b".").unwrap_or(value).to_ascii_lowercase());
            } else if is("path") {
                cookie.path = value.starts_with(b"/").then_some(value);
            } else if is("secure") {
                cookie.secure = true;
            } else if is("httponly") {
                cookie.http_only = true;
            }
        }
        cookie.expires = max_age.or(expires);
        Some(cookie)
    }
}

/// What stands before and behind the first `=`, without the blanks around.
fn pair(part: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut sides = part.splitn(2, |byte| *byte == b'=').map(http::field::trim);
    (sides.next().unwrap_or_default(), sides.next())
}

/// When a Max-Age ends (5.2.2).
fn expiry(value: &[u8], now: u64) -> Option<u64> {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    if value.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // Only too many digits are no number here; a lone `-` is none either, and as good as 0.
    let seconds = if digits.is_empty() { 0 } else { http::field::decimal(digits).unwrap_or(u64::MAX) };
    if value.starts_with(b"-") || seconds == 0 { Some(0) } else { Some(now.saturating_add(seconds)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1000;

    fn parse(header: &str) -> SetCookie<'_> {
        SetCookie::parse(header.as_bytes(), NOW).unwrap()
    }

    #[test]
    fn rfc6265_5_2_a_name_and_a_value_are_trimmed_and_kept_as_they_are() {
        for (header, name, value) in [
            ("a=b", "a", "b"),
            (" a \t= b ;x", "a", "b"),
            ("a=", "a", ""),
            ("a=b=c; Path=/", "a", "b=c"),
            ("a=\"b c\"", "a", "\"b c\""),
        ] {
            let cookie = parse(header);
            assert_eq!((cookie.name, cookie.value), (name.as_bytes(), value.as_bytes()), "{header}");
        }
        for junk in ["", "a", "=b", " =b", ";a=b", "a;b=c"] {
            assert_eq!(SetCookie::parse(junk.as_bytes(), NOW), None, "{junk}");
        }
    }

    #[test]
    fn rfc6265_5_2_1_and_2_max_age_has_precedence_and_what_is_malformed_is_ignored() {
        let expires = |header: &str| parse(header).expires;
        assert_eq!(expires("a=b"), None);
        assert_eq!(expires("a=b; expires=Thu, 01 Jan 1970 00:10:00 GMT"), Some(600));
        assert_eq!(expires("a=b; Max-Age=5; Expires=Thu, 01 Jan 1970 00:10:00 GMT"), Some(1005));
        assert_eq!(expires("a=b; MAX-AGE=5; max-age=7"), Some(1007));
        assert_eq!(expires("a=b; Max-Age=7; Max-Age=x"), Some(1007));
        assert_eq!(expires("a=b; Max-Age=99999999999999999999999"), Some(u64::MAX));
        for past in ["0", "-1", "-99999999999999999999999", "-"] {
            assert_eq!(expires(&format!("a=b; Max-Age={past}")), Some(0), "{past}");
        }
        for junk in ["", "+1", "1.5", "1s", "--1"] {
            assert_eq!(expires(&format!("a=b; Max-Age={junk}; Expires=x")), None, "{junk}");
        }
    }

    #[test]
    fn rfc6265_5_2_3_to_6_the_other_attributes_are_read_and_the_last_one_counts() {
        let cookie = parse("a=b; Domain=.Example.COM ;PATH = /x/ ; secure=no; HttpOnly; SameSite=Lax");
        assert_eq!(cookie.domain.as_deref(), Some(&b"example.com"[..]));
        assert_eq!(cookie.path, Some(&b"/x/"[..]));
        assert!(cookie.secure && cookie.http_only);
        let cookie = parse("a=b; Domain=a.example; Domain=b.example; Domain=; Path=/x; Path=y");
        assert_eq!((cookie.domain.as_deref(), cookie.path), (Some(&b"b.example"[..]), None));
        assert!(!cookie.secure && !cookie.http_only);
    }
}
