//! Heads: from bytes to start line, fields, and what they mean for the body and the connection.

use crate::{Error, Limits};
use http::field::{decimal, is_authority, is_target, is_token, is_trailer, list, trim};
use http::{Head, Method, Status, Version};

/// Fields that a head may have, at the very most; and that most heads have at most: clearing room for all costs more than
/// reading a few.
const FIELDS: usize = 128;
const FEW: usize = 16;

/// What a head says about what follows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) content_length: Option<u64>,
    pub(crate) is_chunked: bool,
    pub(crate) keeps_alive: bool,
    pub(crate) expects_continue: bool,
    pub(crate) upgrades: bool,
}

/// Where a head ends: behind its empty line. Looks only at what it has not seen, so that a trickle costs no more than a
/// burst; line ends that are none are found as soon as they are there.
pub(crate) fn find_end(input: &[u8], scanned: usize) -> Result<Option<usize>, Error> {
    let rest = input.get(scanned..).unwrap_or_default();
    for (offset, byte) in rest.iter().enumerate() {
        // Nothing else can end a line, or is never allowed.
        if *byte > b'\r' {
            continue;
        }
        let at = scanned + offset;
        match byte {
            b'\n' => {
                let before = |back: usize| at.checked_sub(back).and_then(|index| input.get(index));
                if before(1) != Some(&b'\r') {
                    return Err(Error::LineEnd);
                }
                if before(2) == Some(&b'\n') || at == 1 {
                    return Ok(Some(at + 1));
                }
            }
            b'\r' if input.get(at + 1).is_some_and(|next| *next != b'\n') => return Err(Error::LineEnd),
            0 => return Err(Error::Nul),
            _ => {}
        }
    }
    Ok(None)
}

/// The first line of a head, and what follows its line end.
fn first_line(head: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = head.iter().position(|byte| *byte == b'\r')?;
    Some((head.get(..end)?, head.get(end + 2..)?))
}

fn version(text: &[u8]) -> Result<Version, Error> {
    match text {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Error::Version)
        }
        _ => Err(Error::StartLine),
    }
}

/// A whole request head, `input[..end]` of it.
pub(crate) fn request(head_text: &[u8], limits: &Limits, head: &mut Head) -> Result<Facts, Error> {
    let (line, fields) = first_line(head_text).ok_or(Error::StartLine)?;
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(number), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Error::StartLine);
    };
    if !is_token(method) || !is_target(target) {
        return Err(Error::StartLine);
    }
    let version = version(number)?;
    let method = Method::from_bytes(method).ok_or(Error::Method)?;
    if target.len() > limits.target as usize {
        return Err(Error::TargetTooLong);
    }
    let is_absolute = [&b"http://"[..], b"https://"]
        .iter()
        .any(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    match (method, target) {
        // A tunnel is nothing that this engine could carry.
        (Method::Connect, _) => return Err(Error::Method),
        (Method::Options, b"*") | (_, [b'/', ..]) => {}
        _ if is_absolute => {}
        _ => return Err(Error::Target),
    }
    head.set_request(method, target);
    head.set_version(version);
    let facts = fields_of(fields, limits, version, head)?;
    let mut hosts = head.get_all("host");
    let (host, second) = (hosts.next(), hosts.next());
    let must = version == Version::Http11;
    if second.is_some() || (must && host.is_none()) || host.is_some_and(|host| !is_authority(host)) {
        return Err(Error::Host);
    }
    if is_absolute
        && head.authority().is_none_or(|authority| authority.is_empty() || !is_authority(authority))
    {
        return Err(Error::Host);
    }
    Ok(facts)
}

/// A whole response head.
pub(crate) fn response(head_text: &[u8], limits: &Limits, head: &mut Head) -> Result<Facts, Error> {
    let (line, fields) = first_line(head_text).ok_or(Error::StartLine)?;
    let (number, rest) = line.split_at_checked(8).ok_or(Error::StartLine)?;
    let version = version(number)?;
    let [b' ', a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', reason @ ..] = rest else {
        return Err(Error::StartLine);
    };
    // The reason's blank is forgotten by many (RFC 9112 4 has it even before an empty reason).
    if !(reason.is_empty() || reason.first() == Some(&b' '))
        || reason.iter().any(|byte| *byte < b' ' && *byte != b'\t')
    {
        return Err(Error::StartLine);
    }
    let digit = |byte: &u8| u16::from(byte - b'0');
    let code = digit(a) * 100 + digit(b) * 10 + digit(c);
    head.set_response(Status::new(code).ok_or(Error::StartLine)?);
    head.set_version(version);
    fields_of(fields, limits, version, head)
}

/// Trailers, up to and with their empty line. Those that would have meant something in the head are dropped (RFC 9110
/// 6.5.1).
pub(crate) fn trailers(text: &[u8], head: &mut Head) -> Result<(), Error> {
    let mut parsed = [httparse::EMPTY_HEADER; FIELDS];
    let Ok(httparse::Status::Complete((_, fields))) = httparse::parse_headers(text, &mut parsed) else {
        return Err(Error::Trailers);
    };
    for field in fields {
        if is_trailer(field.name.as_bytes()) {
            head.push(field.name.as_bytes(), trim(field.value));
        }
    }
    Ok(())
}

/// Reads the fields, and what they say about body and connection.
fn fields_of(text: &[u8], limits: &Limits, version: Version, head: &mut Head) -> Result<Facts, Error> {
    let (mut few, mut many) = ([httparse::EMPTY_HEADER; FEW], None);
    let mut parsed = httparse::parse_headers(text, &mut few);
    if parsed == Err(httparse::Error::TooManyHeaders) {
        parsed = httparse::parse_headers(text, many.insert([httparse::EMPTY_HEADER; FIELDS]));
    }
    let fields = match parsed {
        Ok(httparse::Status::Complete((_, fields))) => fields,
        Err(httparse::Error::TooManyHeaders) => return Err(Error::HeadTooLong),
        Ok(httparse::Status::Partial) | Err(_) => return Err(Error::Field),
    };
    if fields.len() > usize::from(limits.fields) {
        return Err(Error::HeadTooLong);
    }
    let mut facts = Facts { keeps_alive: version == Version::Http11, ..Facts::default() };
    let (mut closes, mut connection_upgrade, mut upgrade) = (false, false, false);
    let mut coding_fields = 0;
    for field in fields {
        let value = trim(field.value);
        head.push(field.name.as_bytes(), value);
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            if facts.content_length.is_some() {
                return Err(Error::ContentLength);
            }
            facts.content_length = Some(decimal(value).ok_or(Error::ContentLength)?);
        } else if is("transfer-encoding") {
            coding_fields += 1;
            facts.is_chunked = value.eq_ignore_ascii_case(b"chunked");
            if !facts.is_chunked {
                let ends_chunked =
                    list(value).last().is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
                let known = list(value).all(is_token);
                return Err(if ends_chunked && known { Error::Coding } else { Error::TransferEncoding });
            }
        } else if is("connection") {
            for option in list(value) {
                closes |= option.eq_ignore_ascii_case(b"close");
                connection_upgrade |= option.eq_ignore_ascii_case(b"upgrade");
                facts.keeps_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        } else if is("upgrade") {
            upgrade = !value.is_empty();
        } else if is("expect") {
            facts.expects_continue =
                value.eq_ignore_ascii_case(b"100-continue") && version == Version::Http11;
        }
    }
    // RFC 9112 6.1: two ways to say the length are a way to be misunderstood.
    if coding_fields > 1
        || (coding_fields > 0 && (facts.content_length.is_some() || version == Version::Http10))
    {
        return Err(Error::TransferEncoding);
    }
    facts.keeps_alive &= !closes;
    facts.upgrades = connection_upgrade && upgrade;
    Ok(facts)
}

/// The size at the start of a chunk's line: 1*HEXDIG, then nothing or an extension (RFC 9112 7.1.1).
pub(crate) fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, extension) = line.split_at_checked(digits)?;
    if !(1..=16).contains(&digits) || !is_extensions(extension) {
        return None;
    }
    size.iter().try_fold(0_u64, |number, byte| {
        let digit = char::from(*byte).to_digit(16)?;
        number.checked_mul(16)?.checked_add(u64::from(digit))
    })
}

/// `;name`, `;name=value`, `;name="text"`, any number of them (RFC 9112 7.1.1).
fn is_extensions(mut text: &[u8]) -> bool {
    while let [b';', rest @ ..] = text {
        let (name, rest) = token(trim_start(rest));
        if name.is_empty() {
            return false;
        }
        text = match rest {
            [b'=', b'"', quoted @ ..] => match end_of_quoted(quoted) {
                Some(rest) => rest,
                None => return false,
            },
            [b'=', value @ ..] => match token(value) {
                ([], _) => return false,
                (_, rest) => rest,
            },
            rest => rest,
        };
    }
    text.is_empty()
}

fn trim_start(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    text.get(blanks..).unwrap_or_default()
}

/// The token at the start of a text, and what follows it.
fn token(text: &[u8]) -> (&[u8], &[u8]) {
    let len = text.iter().take_while(|byte| http::field::is_token_byte(**byte)).count();
    text.split_at_checked(len).unwrap_or((text, &[]))
}

/// What follows a quoted string whose opening quote is gone (RFC 9110 5.6.4).
fn end_of_quoted(text: &[u8]) -> Option<&[u8]> {
    let mut escaped = false;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return text.get(at + 1..),
            b'\t' | b' '..=b'~' | 0x80.. => {}
            _ => return None,
        }
    }
    None
}
