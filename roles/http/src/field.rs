//! What field names and values may consist of (RFC 9110 5). Encoders check by this, so that a value which comes from
//! outside can never add a line to a head.

/// What a byte may be part of, one bit each: every byte of every head is looked up here.
static CLASSES: [u8; 256] = classes();

const TOKEN: u8 = 1;
const VALUE: u8 = 2;
const TARGET: u8 = 4;
const HOST: u8 = 8;

// Runs in the compiler, which is where an index out of bounds would be found.
#[allow(clippy::indexing_slicing)]
const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < classes.len() {
        classes[byte] = class_of(byte as u8);
        byte += 1;
    }
    classes
}

const fn class_of(byte: u8) -> u8 {
    let is_common = byte.is_ascii_alphanumeric();
    // RFC 9110 5.6.2, tchar.
    let is_token = is_common
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~');
    let is_value = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    // RFC 3986 3.2.2: unreserved, percent-encoded, sub-delims.
    let is_host = is_common
        || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&'..=b',' | b';' | b'=');
    (is_token as u8) * TOKEN
        + (is_value as u8) * VALUE
        + (byte.is_ascii_graphic() as u8) * TARGET
        + (is_host as u8) * HOST
}

fn is_in(byte: u8, class: u8) -> bool {
    CLASSES.get(usize::from(byte)).is_some_and(|classes| classes & class != 0)
}

fn all_in(text: &[u8], class: u8) -> bool {
    text.iter().all(|byte| is_in(*byte, class))
}

/// A character of a token (RFC 9110 5.6.2).
pub fn is_token_byte(byte: u8) -> bool {
    is_in(byte, TOKEN)
}

/// A field name, or a method.
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && all_in(text, TOKEN)
}

/// A field value: visible characters, blanks and tabs between them, and what is beyond ASCII (RFC 9110 5.5).
pub fn is_value(text: &[u8]) -> bool {
    let is_edge = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    !is_edge(text.first()) && !is_edge(text.last()) && all_in(text, VALUE)
}

/// A request target: visible ASCII (RFC 3986 2; what is beyond that is percent-encoded).
pub fn is_target(text: &[u8]) -> bool {
    !text.is_empty() && all_in(text, TARGET)
}

/// `host[:port]` (RFC 3986 3.2, without user information); empty where there is no authority (RFC 9112 3.2).
pub fn is_authority(text: &[u8]) -> bool {
    let (host, port) = match text.iter().rposition(|byte| *byte == b':') {
        Some(colon) if !text.get(colon..).unwrap_or_default().contains(&b']') => {
            (text.get(..colon).unwrap_or_default(), text.get(colon + 1..).unwrap_or_default())
        }
        _ => (text, &[][..]),
    };
    if !port.iter().all(u8::is_ascii_digit) || port.len() > 5 {
        return false;
    }
    if let [b'[', inner @ .., b']'] = host {
        return !inner.is_empty()
            && inner.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
    }
    all_in(host, HOST)
}

/// A field of this name may stand behind a body: it means nothing for framing, routing, or how the content is read (RFC
/// 9110 6.5.1).
pub fn is_trailer(name: &[u8]) -> bool {
    const HEAD_ONLY: [&str; 14] = [
        "content-length",
        "transfer-encoding",
        "host",
        "connection",
        "upgrade",
        "trailer",
        "te",
        "authorization",
        "content-encoding",
        "content-type",
        "content-range",
        "set-cookie",
        "cache-control",
        "expect",
    ];
    !HEAD_ONLY.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// A number of digits alone, as Content-Length is (RFC 9110 8.6).
pub fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// `value` without the blanks around it (RFC 9110 5.6.3).
pub fn trim(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let Some(start) = value.iter().position(|byte| !blank(byte)) else { return &[] };
    let end = value.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    value.get(start..end).unwrap_or_default()
}

/// The members of a comma-separated list, without blanks and without empty members (RFC 9110 5.6.1).
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim).filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_carry_another_line() {
        assert!(is_value(b"text/plain; charset=utf-8") && is_value(b"") && is_value("\u{e9}".as_bytes()));
        for bad in [&b"a\r\nb: c"[..], b"a\nb", b"a\rb", b"a\0b", b" a", b"a ", b"\x7f"] {
            assert!(!is_value(bad), "{bad:?}");
        }
        assert!(is_token(b"x-a_b") && !is_token(b"") && !is_token(b"a b") && !is_token(b"a:"));
        assert!(is_target(b"/a?b=c%20") && !is_target(b"/a b") && !is_target(b"") && !is_target(b"/\r"));
    }

    #[test]
    fn authorities_lengths_and_trailers_are_told_from_what_is_none() {
        for good in ["", "a", "a.example:81", "[::1]:80", "10.0.0.1"] {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in ["a b", "user@a", "a:b", "a:123456", "[]", "[::1", "a/b"] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
        assert_eq!((decimal(b"012"), decimal(b""), decimal(b"+1")), (Some(12), None, None));
        assert!(is_trailer(b"x-sum") && !is_trailer(b"Content-Length"));
    }

    #[test]
    fn lists_are_split_at_commas_without_blanks_and_empty_members() {
        let members: alloc::vec::Vec<&[u8]> = list(b" close, ,\tUpgrade ,").collect();
        assert_eq!(members, [&b"close"[..], b"Upgrade"]);
    }
}
