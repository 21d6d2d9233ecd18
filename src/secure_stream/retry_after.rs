//! The `Retry-After` header of a 429 or 503 (RFC 9110 10.2.3): seconds, or a date.

use std::time::Duration;

/// The longest wait that a peer may ask for. What is longer is cut to this, so that one answer cannot silence a stream
/// for good.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(86_400);

/// How long the peer asks to be left alone, at most [`MAX_RETRY_AFTER`]; `None` when the value is neither seconds nor a
/// date. `now` is the wall clock's time since 1970, for the dates. A date that has passed asks for no wait.
///
/// ```
/// use std::time::Duration;
/// use millstream::secure_stream::retry_after::retry_after;
///
/// let now = Duration::from_secs(784_111_777);
/// assert_eq!(retry_after(b"120", now), Some(Duration::from_secs(120)));
/// assert_eq!(retry_after(b"Sun, 06 Nov 1994 08:50:07 GMT", now), Some(Duration::from_secs(30)));
/// assert_eq!(retry_after(b"soon", now), None);
/// ```
pub fn retry_after(value: &[u8], now: Duration) -> Option<Duration> {
    let value = str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Only too many digits can fail here, and they mean a long time.
        value.parse().map_or(MAX_RETRY_AFTER, Duration::from_secs)
    } else {
        http::date::parse(value, now)?.saturating_sub(now)
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(784_111_777);

    #[test]
    fn seconds_are_taken_as_they_are_up_to_a_day() {
        for (value, seconds) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 120\t", Some(120)),
            ("86400", Some(86400)),
            ("86401", Some(86400)),
            ("18446744073709551615", Some(86400)),
            ("99999999999999999999999999", Some(86400)),
            ("", None),
            (" ", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1 2", None),
            ("0x10", None),
        ] {
            assert_eq!(retry_after(value.as_bytes(), NOW), seconds.map(Duration::from_secs), "{value:?}");
        }
        assert_eq!(retry_after(b"\xff", NOW), None);
    }

    #[test]
    fn a_date_asks_for_the_time_until_it_up_to_a_day() {
        let wait = |date: &str| retry_after(date.as_bytes(), NOW).map(|wait| wait.as_secs());
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:07 GMT"), Some(30));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:07 GMT"), Some(0));
        assert_eq!(wait("Fri, 31 Dec 9999 23:59:59 GMT"), Some(86400));
    }
}
