//! Dates as Expires has them: read by an algorithm of its own, which takes much that is no HTTP-date (RFC 6265 5.1.1).

/// The seconds since 1970 of a date, 0 for one before that; `None` where it is no date.
pub(super) fn parse(text: &[u8]) -> Option<u64> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for token in text.split(|byte| is_delimiter(*byte)).filter(|token| !token.is_empty()) {
        if time.is_none()
            && let Some(found) = time_of(token)
        {
            time = Some(found);
        } else if day.is_none()
            && let Some(found) = number(token, 1, 2)
        {
            day = Some(found);
        } else if month.is_none()
            && let Some(found) = month_of(token)
        {
            month = Some(found);
        } else if year.is_none()
            && let Some(found) = number(token, 2, 4)
        {
            year = Some(found);
        }
    }
    let year = match year? {
        year @ 70..=99 => year + 1900,
        year @ 0..=69 => year + 2000,
        year => year,
    };
    let (month, day, [hour, minute, second]) = (month?, day?, time?);
    if year < 1601 || second > 59 {
        return None;
    }
    // The calendar repeats itself every 400 years: what of an earlier year is a date, is one of a later.
    let is_early = year < 1970;
    let year = if is_early { year + 400 } else { year };
    let moment = http::date::since_1970([year, month, day], [hour, minute, second])?.as_secs();
    Some(if is_early { 0 } else { moment })
}

fn is_delimiter(byte: u8) -> bool {
    matches!(byte, 0x09 | 0x20..=0x2f | 0x3b..=0x40 | 0x5b..=0x60 | 0x7b..=0x7e)
}

/// A number of so many digits, and whatever follows that is no digit.
fn number(token: &[u8], least: usize, most: usize) -> Option<u64> {
    let digits = token.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let digits = token.get(..digits).filter(|digits| (least..=most).contains(&digits.len()))?;
    http::field::decimal(digits)
}

fn time_of(token: &[u8]) -> Option<[u64; 3]> {
    let mut parts = token.splitn(3, |byte| *byte == b':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    let whole = |part: &[u8]| part.iter().all(u8::is_ascii_digit).then(|| number(part, 1, 2)).flatten();
    Some([whole(hour)?, whole(minute)?, number(second, 1, 2)?])
}

fn month_of(token: &[u8]) -> Option<u64> {
    let name = token.get(..3)?;
    (1..)
        .zip(http::date::MONTHS)
        .find(|(_, known)| name.eq_ignore_ascii_case(known.as_bytes()))
        .map(|(nth, _)| nth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6265_5_1_1_dates_are_read_in_any_order_and_with_what_surrounds_them() {
        let moment = Some(784_111_777);
        for date in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "06 November 1994 8:49:37",
            "8:49:37 6 nov 94",
            "1994 08:49:37x 6th NOV",
            "Nov;6@94 8:49:37 (and so on)",
        ] {
            assert_eq!(parse(date.as_bytes()), moment, "{date}");
        }
        assert_eq!(parse(b"Tue, 01 Jan 2069 00:00:00 GMT"), parse(b"1 Jan 69 00:00:00"));
        assert_eq!(parse(b"1 Jan 70 00:00:01"), Some(1));
    }

    #[test]
    fn rfc6265_5_1_1_what_is_before_1970_is_0_and_what_is_no_date_is_nothing() {
        assert_eq!(parse(b"Thu, 01 Jan 1601 00:00:00 GMT"), Some(0));
        assert_eq!(parse(b"29 Feb 1968 00:00:00"), Some(0));
        for junk in [
            "",
            "0",
            "06 Nov 1994",
            "06 Nov 08:49:37",
            "Nov 1994 08:49:37",
            "06 1994 08:49:37",
            "31 Dec 1600 23:59:59",
            "00 Nov 1994 08:49:37",
            "32 Nov 1994 08:49:37",
            "31 Nov 1994 08:49:37",
            "29 Feb 1967 00:00:00",
            "06 Nov 1994 24:00:00",
            "06 Nov 1994 08:60:00",
            "06 Nov 1994 08:49:60",
            "06 Nov 1994 08:49",
            "06 Nov 1994 008:49:37",
            "06 Nov 19941 08:49:37",
            "06 No 1994 08:49:37",
        ] {
            assert_eq!(parse(junk.as_bytes()), None, "{junk}");
        }
    }
}
