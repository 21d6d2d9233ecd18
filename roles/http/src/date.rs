//! Dates, as HTTP writes them (RFC 9110 5.6.7).

use core::time::Duration;

const SECONDS_PER_DAY: u64 = 86_400;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// The names of the months, as dates have them.
pub const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The last second that an IMF-fixdate, whose year has four digits, can name.
const LATEST: u64 = 253_402_300_799;

/// The Date field of what is sent now: formatted once a second, however much is sent.
///
/// ```
/// use millstream_http::date::DateField;
///
/// let mut date = DateField::default();
/// assert_eq!(date.at(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
/// ```
#[derive(Clone, Debug)]
pub struct DateField {
    secs: u64,
    text: [u8; 29],
}

impl Default for DateField {
    fn default() -> Self {
        Self { secs: 0, text: *b"Thu, 01 Jan 1970 00:00:00 GMT" }
    }
}

impl DateField {
    /// The text for a time, in seconds since 1970.
    pub fn at(&mut self, secs: u64) -> &[u8] {
        let secs = secs.min(LATEST);
        if secs != self.secs {
            self.secs = secs;
            self.format();
        }
        &self.text
    }

    fn format(&mut self) {
        let (days, of_day) = (self.secs / SECONDS_PER_DAY, self.secs % SECONDS_PER_DAY);
        let (year, month, day) = civil(days);
        let mut at = self.text.iter_mut();
        let mut put = |bytes: &[u8]| bytes.iter().zip(at.by_ref()).for_each(|(byte, to)| *to = *byte);
        let name = |names: &[&'static str], nth: u64| {
            names.get(nth as usize).map_or(&b"   "[..], |name| name.as_bytes())
        };
        put(name(&DAYS, days % 7));
        put(b", ");
        put(&digits::<2>(day));
        put(b" ");
        put(name(&MONTHS, month - 1));
        put(b" ");
        put(&digits::<4>(year));
        put(b" ");
        put(&digits::<2>(of_day / 3600));
        put(b":");
        put(&digits::<2>(of_day / 60 % 60));
        put(b":");
        put(&digits::<2>(of_day % 60));
    }
}

fn digits<const N: usize>(mut number: u64) -> [u8; N] {
    let mut out = [b'0'; N];
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out
}

/// Year, month and day of a day since 1970, in the Gregorian calendar, counted from 1 March so that leap days come last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

/// The time since 1970 of an HTTP-date in any of its three forms (RFC 9110 5.6.7). `now` decides which century a year of
/// two digits means.
///
/// ```
/// use core::time::Duration;
///
/// let now = Duration::from_secs(784_111_777);
/// assert_eq!(millstream_http::date::parse("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(now));
/// ```
pub fn parse(text: &str, now: Duration) -> Option<Duration> {
    // No form is longer than `Wednesday, 06-Nov-94 08:49:37 GMT`.
    if text.len() > 33 {
        return None;
    }
    let mut words = text.split_ascii_whitespace();
    let parts: [Option<&str>; 7] = core::array::from_fn(|_| words.next());
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
    since_1970([year, month, day], [hour, minute, second])
}

/// The time since 1970 of a moment, as year, month and day, and hour, minute and second. `None` where there is no such
/// moment, or it came before 1970. A second of 60 is a leap second.
///
/// ```
/// use core::time::Duration;
///
/// let moment = millstream_http::date::since_1970([1994, 11, 6], [8, 49, 37]);
/// assert_eq!(moment, Some(Duration::from_secs(784_111_777)));
/// assert_eq!(millstream_http::date::since_1970([1994, 2, 29], [0, 0, 0]), None);
/// ```
pub fn since_1970([year, month, day]: [u64; 3], [hour, minute, second]: [u64; 3]) -> Option<Duration> {
    if !(1..=12).contains(&month) || !(1..=days_in(month, year)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
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
    use alloc::string::String;

    const NOW: Duration = Duration::from_secs(784_111_777);

    #[test]
    fn what_is_written_is_read_as_the_same_moment() {
        let mut field = DateField::default();
        let seconds = [0, 1, 951_825_600, 951_868_800, 4_107_542_399, 4_107_542_400, LATEST];
        let every_month = (0..4000_u64).map(|nth| nth * 2_629_746 + nth);
        for secs in seconds.into_iter().chain(every_month) {
            let text = String::from_utf8(field.at(secs).to_vec()).unwrap();
            assert_eq!(parse(&text, NOW), Some(Duration::from_secs(secs)), "{text}");
        }
        assert_eq!(field.at(951_825_600), b"Tue, 29 Feb 2000 12:00:00 GMT");
        assert_eq!(field.at(u64::MAX), b"Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn the_three_forms_of_a_date_are_one_moment() {
        for date in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(parse(date, NOW), Some(NOW), "{date}");
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
            assert_eq!(parse(date, NOW), Some(Duration::from_secs(seconds)), "{date}");
        }
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
            assert_eq!(parse(junk, NOW), None, "{junk}");
        }
    }
}
