//! The `Retry-After` header of a 429 or 503 (RFC 9110 10.2.3): seconds, or a date.

use std::time::Duration;

/// The longest wait that a peer may ask for. What is longer is cut to this, so that one answer cannot silence a stream
/// for good.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(SECONDS_PER_DAY);

const SECONDS_PER_DAY: u64 = 86_400;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

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
        http_date(value, now)?.saturating_sub(now)
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// The time since 1970 of an HTTP-date in any of its three forms (RFC 9110 5.6.7).
fn http_date(text: &str, now: Duration) -> Option<Duration> {
    // No form is longer than `Wednesday, 06-Nov-94 08:49:37 GMT`.
    if text.len() > 33 {
        return None;
    }
    let mut words = text.split_ascii_whitespace();
    let parts: [Option<&str>; 7] = std::array::from_fn(|_| words.next());
    let (day, month, year, time) = match parts {
        // Sun, 06 Nov 1994 08:49:37 GMT
        [Some(_), Some(day), Some(month), Some(year), Some(time), Some("GMT"), None]
        // Sun Nov  6 08:49:37 1994
        | [Some(_), Some(month), Some(day), Some(time), Some(year), None, ..] => {
            (day, month, number(year, 4)?, time)
        }
        // Sunday, 06-Nov-94 08:49:37 GMT
        [Some(_), Some(date), Some(time), Some("GMT"), None, ..] => {
            let (day, rest) = date.split_once('-')?;
            let (month, year) = rest.split_once('-')?;
            (day, month, full_year(number(year, 2)?, now), time)
        }
        _ => return None,
    };
    let month = (1..).zip(MONTHS).find(|(_, name)| *name == month).map(|(nth, _)| nth)?;
    let (hour, rest) = time.split_once(':')?;
    let (minute, second) = rest.split_once(':')?;
    let (day, hour) = (number(day, day.len().clamp(1, 2))?, number(hour, 2)?);
    let (minute, second) = (number(minute, 2)?, number(second, 2)?);
    // 60: a leap second.
    if !(1..=days_in(month, year)).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = days_since_1970(year, month, day)?;
    let of_day = hour.checked_mul(3600)?.checked_add(minute.checked_mul(60)?)?.checked_add(second)?;
    Some(Duration::from_secs(days.checked_mul(SECONDS_PER_DAY)?.checked_add(of_day)?))
}

/// A number of exactly so many digits.
fn number(text: &str, digits: usize) -> Option<u64> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// The latest year with these two digits that is at most 50 years ahead of `now` (RFC 9110 5.6.7).
fn full_year(two_digits: u64, now: Duration) -> u64 {
    let this_year = 1970_u64.saturating_add(now.as_secs() / (SECONDS_PER_DAY * 1461 / 4));
    let latest = this_year.saturating_add(50);
    latest.saturating_sub((latest % 100).saturating_add(100).saturating_sub(two_digits) % 100)
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_in(month: u64, year: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// `None` before 1970: such a date is not an answer to anything.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let before = year.checked_sub(1)?;
    let leap_days = (before / 4).checked_sub(before / 100)?.checked_add(before / 400)?;
    // 477 leap days came before 1970.
    let of_years = year.checked_sub(1970)?.checked_mul(365)?.checked_add(leap_days.checked_sub(477)?)?;
    let of_months: u64 = (1..month).map(|month| days_in(month, year)).sum();
    of_years.checked_add(of_months)?.checked_add(day.checked_sub(1)?)
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
    fn the_three_forms_of_a_date_are_one_moment() {
        for date in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(http_date(date, NOW), Some(NOW), "{date}");
        }
    }

    #[test]
    fn dates_are_counted_through_leap_years() {
        for (date, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Thu, 31 Dec 1970 23:59:59 GMT", 31_535_999),
            ("Tue, 29 Feb 2000 12:00:00 GMT", 951_825_600),
            ("Wed, 01 Mar 2000 00:00:00 GMT", 951_868_800),
            ("Sun, 28 Feb 2100 23:59:59 GMT", 4_107_542_399),
            ("Mon, 01 Mar 2100 00:00:00 GMT", 4_107_542_400),
            ("Fri, 31 Dec 9999 23:59:60 GMT", 253_402_300_800),
        ] {
            assert_eq!(http_date(date, NOW), Some(Duration::from_secs(seconds)), "{date}");
        }
    }

    #[test]
    fn a_date_asks_for_the_time_until_it_up_to_a_day() {
        let wait = |date: &str| retry_after(date.as_bytes(), NOW).map(|wait| wait.as_secs());
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:07 GMT"), Some(30));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:07 GMT"), Some(0));
        assert_eq!(wait("Fri, 31 Dec 9999 23:59:59 GMT"), Some(86400));
    }

    #[test]
    fn two_digits_of_a_year_are_the_nearest_that_is_not_far_ahead() {
        let at = |year: u64| Duration::from_secs((year - 1970) * 31_556_952 + 1_000_000);
        for (now, digits, year) in [
            (1994, 94, 1994),
            (1994, 44, 2044),
            (1994, 45, 1945),
            (2026, 26, 2026),
            (2026, 76, 2076),
            (2026, 77, 1977),
        ] {
            assert_eq!(full_year(digits, at(now)), year, "{digits} in {now}");
        }
    }

    #[test]
    fn what_is_not_a_date_is_nothing() {
        for junk in [
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 GMT x",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:60:00 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 29 Feb 1994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 0000 08:49:37 GMT",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sun, 006 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov 08:49:37 GMT",
            "Sun, 06 Nov 19941994 08:49:37 GMT, and more of it",
        ] {
            assert_eq!(http_date(junk, NOW), None, "{junk}");
        }
    }
}
