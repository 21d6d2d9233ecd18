//! Bodies on their way in, passed on as they arrive.

use crate::{Error, Limits, parse};
use core::ops::Range;
use http::Head;

/// Where a body is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// This many bytes are to come.
    Length(u64),
    /// The line with the size of the next chunk; the chunks so far had `total` bytes.
    ChunkSize { total: u64 },
    /// This many bytes of a chunk are to come.
    Chunk { left: u64, total: u64 },
    /// The line end behind a chunk.
    ChunkEnd { total: u64 },
    /// What follows the last chunk.
    Trailers,
    /// As many bytes as come before the connection ends.
    UntilEof,
}

/// What some bytes came to.
#[derive(Debug)]
pub(crate) enum Step {
    /// More are needed.
    More,
    /// Only framing; the body is at this now.
    Next(Body),
    /// Payload, and where the body is at after it; `None` when that was all.
    Payload(Range<usize>, Option<Body>),
    /// The body is complete, and its trailers are in the head.
    End,
}

pub(crate) fn step(
    body: Body,
    input: &[u8],
    scanned: &mut u32,
    limits: &Limits,
    head: &mut Head,
) -> Result<(usize, Step), Error> {
    if input.is_empty() {
        return Ok((0, Step::More));
    }
    let available = input.len() as u64;
    match body {
        Body::UntilEof => Ok((input.len(), Step::Payload(0..input.len(), Some(Body::UntilEof)))),
        Body::Length(left) => {
            let used = available.min(left);
            let next = (left > used).then(|| Body::Length(left - used));
            Ok((used as usize, Step::Payload(0..used as usize, next)))
        }
        Body::Chunk { left, total } => {
            let used = available.min(left);
            let next = match left - used {
                0 => Body::ChunkEnd { total },
                left => Body::Chunk { left, total },
            };
            Ok((used as usize, Step::Payload(0..used as usize, Some(next))))
        }
        Body::ChunkEnd { total } => match input {
            [b'\r', b'\n', ..] => Ok((2, Step::Next(Body::ChunkSize { total }))),
            [b'\r'] => Ok((0, Step::More)),
            _ => Err(Error::ChunkEnd),
        },
        Body::ChunkSize { total } => chunk_size(input, total, limits),
        Body::Trailers => trailers(input, scanned, limits, head),
    }
}

fn chunk_size(input: &[u8], total: u64, limits: &Limits) -> Result<(usize, Step), Error> {
    let limit = usize::from(limits.chunk_line);
    let window = input.get(..limit).unwrap_or(input);
    // What cannot become a size any more need not be waited for.
    if window.first().is_some_and(|byte| !byte.is_ascii_hexdigit()) {
        return Err(Error::ChunkSize);
    }
    let Some(end) = window.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return if input.len() >= limit { Err(Error::ChunkSize) } else { Ok((0, Step::More)) };
    };
    match window.get(end..end + 2) {
        Some(b"\r\n") => {}
        None if window.get(end) == Some(&b'\r') && input.len() < limit => return Ok((0, Step::More)),
        _ => return Err(Error::ChunkSize),
    }
    let size = window.get(..end).and_then(parse::chunk_size).ok_or(Error::ChunkSize)?;
    let total = total.checked_add(size).filter(|total| *total <= limits.body).ok_or(Error::BodyTooLong)?;
    let next = match size {
        0 => Body::Trailers,
        left => Body::Chunk { left, total },
    };
    Ok((end + 2, Step::Next(next)))
}

fn trailers(
    input: &[u8],
    scanned: &mut u32,
    limits: &Limits,
    head: &mut Head,
) -> Result<(usize, Step), Error> {
    let limit = limits.trailers as usize;
    let window = input.get(..limit).unwrap_or(input);
    match parse::find_end(window, *scanned as usize)? {
        Some(end) => {
            *scanned = 0;
            head.clear();
            parse::trailers(window.get(..end).unwrap_or_default(), head)?;
            Ok((end, Step::End))
        }
        None if input.len() >= limit => Err(Error::Trailers),
        None => {
            *scanned = window.len().saturating_sub(1) as u32;
            Ok((0, Step::More))
        }
    }
}
