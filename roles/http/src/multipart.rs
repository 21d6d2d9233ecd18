//! Multipart bodies (RFC 2046 5.1): a parser that takes them apart as they stream, and the frame of a form with one part
//! (RFC 7578).
//!
//! Nothing of a part's content is kept or copied: what is told of it are ranges of the input, or bytes of the delimiter that
//! the last input ended in the midst of.

mod form;

pub use form::Form;

use crate::{Head, field};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// The longest boundary (RFC 2046 5.1.1).
const MAX_BOUNDARY: usize = 70;

/// The bytes that the header fields of a part may have, where nobody says otherwise.
pub const DEFAULT_HEAD_LIMIT: usize = 4096;

/// Takes a multipart body apart, whatever pieces it comes in.
///
/// ```
/// use millstream_http::multipart::{DEFAULT_HEAD_LIMIT, Event, Parser};
///
/// let mut parser = Parser::of_content_type(b"multipart/mixed; boundary=x", DEFAULT_HEAD_LIMIT)?.expect("it is multipart");
/// let body = b"--x\r\nContent-Type: text/plain\r\n\r\nhello\r\n--x--";
/// let (used, event) = parser.input(body)?;
/// assert_eq!(event, Some(Event::Part));
/// assert_eq!(parser.head().get("content-type"), Some(&b"text/plain"[..]));
/// let rest = &body[used..];
/// let (_, event) = parser.input(rest)?;
/// assert_eq!(event.map(|event| parser.content(&event, rest)), Some(&b"hello"[..]));
/// # Ok::<(), millstream_http::multipart::Error>(())
/// ```
#[derive(Debug)]
pub struct Parser {
    /// CRLF, `--`, the boundary, and the `--` of the last delimiter.
    delimiter: Vec<u8>,
    /// So much of the delimiter has come last.
    matched: usize,
    /// So much of that is no content, whatever follows: the CRLF of a line before the content.
    foreign: usize,
    state: State,
    /// The header fields of a part as they come.
    block: Vec<u8>,
    limit: usize,
    head: Head,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// What stands before the first delimiter is nobody's.
    Preamble,
    /// Behind a delimiter, to the end of its line; whether that has begun.
    Line { has_cr: bool },
    /// Header fields of a part.
    Head,
    /// Content of a part.
    Content,
    /// What stands behind the last delimiter is nobody's.
    Epilogue,
}

/// What a byte more says of bytes that might be a delimiter.
enum Verdict {
    MayBe,
    IsNot,
    Next,
    Last,
}

/// What the input has brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A part begins; its header fields are in [`Parser::head`].
    Part,
    /// Content of the part: this range of the bytes that were consumed.
    Content(Range<usize>),
    /// Content of the part that looked like a delimiter when the last input ended: this range of the delimiter.
    Held(Range<usize>),
    /// The part is complete.
    PartEnd,
}

/// Why a body cannot be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The Content-Type is multipart and has no boundary that can be (RFC 2046 5.1.1).
    Boundary,
    /// A delimiter has something else than blanks behind it on its line.
    Delimiter,
    /// What stands before a part's content are no header fields.
    Field,
    /// The header fields of a part have more bytes than are allowed.
    HeadTooLong,
    /// The body has ended before its last delimiter.
    Truncated,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boundary => "multipart without a usable boundary",
            Self::Delimiter => "multipart: a delimiter that does not end its line",
            Self::Field => "multipart: a part without valid header fields",
            Self::HeadTooLong => "multipart: the header fields of a part are too long",
            Self::Truncated => "multipart: the body ends before its last delimiter",
        })
    }
}

impl core::error::Error for Error {}

impl Event {
    fn behind(self, base: usize) -> Self {
        match self {
            Self::Content(range) => Self::Content(range.start + base..range.end + base),
            other => other,
        }
    }
}

impl Parser {
    /// For a body with this Content-Type; `None` if that is not multipart. The header fields of a part may have
    /// `head_limit` bytes, the empty line behind them included.
    ///
    /// # Errors
    ///
    /// [`Error::Boundary`].
    pub fn of_content_type(value: &[u8], head_limit: usize) -> Result<Option<Self>, Error> {
        const TYPE: &[u8] = b"multipart/";
        let value = field::trim(value);
        if !value.get(..TYPE.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(TYPE)) {
            return Ok(None);
        }
        let boundary = parameter(value, b"boundary").ok_or(Error::Boundary)?;
        // RFC 2046 5.1.1 allows a blank, but not as the last.
        let is_good = boundary.iter().all(|byte| matches!(byte, b' '..=b'~')) && !boundary.ends_with(b" ");
        if boundary.is_empty() || boundary.len() > MAX_BOUNDARY || !is_good {
            return Err(Error::Boundary);
        }
        let delimiter = [b"\r\n--", &boundary[..], b"--"].concat();
        // The first delimiter may stand at the very beginning, where no CRLF is.
        Ok(Some(Self {
            delimiter,
            matched: 2,
            foreign: 2,
            state: State::Preamble,
            block: Vec::new(),
            limit: head_limit,
            head: Head::new(),
        }))
    }

    /// Consumes bytes of the body: how many, and at most one event. `None` comes only with all of them.
    ///
    /// # Errors
    ///
    /// The body is no multipart; the parser is of no more use then.
    pub fn input(&mut self, bytes: &[u8]) -> Result<(usize, Option<Event>), Error> {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            let (len, event) = match self.state {
                State::Preamble | State::Content => self.scan(rest),
                State::Line { has_cr } => self.end_line(rest, has_cr)?,
                State::Head => self.collect(rest)?,
                State::Epilogue => (rest.len(), None),
            };
            let base = used;
            used += len;
            if let Some(event) = event {
                return Ok((used, Some(event.behind(base))));
            }
        }
        Ok((used, None))
    }

    /// The body has ended.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`].
    pub fn finish(&self) -> Result<(), Error> {
        if self.state == State::Epilogue { Ok(()) } else { Err(Error::Truncated) }
    }

    /// The header fields of the part at hand.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// What an event says is content; `consumed` are the bytes that it came with. Empty for other events.
    pub fn content<'a>(&'a self, event: &Event, consumed: &'a [u8]) -> &'a [u8] {
        match event {
            Event::Content(range) => consumed.get(range.clone()).unwrap_or_default(),
            Event::Held(range) => self.delimiter.get(range.clone()).unwrap_or_default(),
            Event::Part | Event::PartEnd => &[],
        }
    }

    /// Content, or preamble, up to where a delimiter is or may be.
    fn scan(&mut self, rest: &[u8]) -> (usize, Option<Event>) {
        let is_content = self.state == State::Content;
        if self.matched == 0 {
            let content = self.find(rest);
            if content > 0 {
                return (content, is_content.then_some(Event::Content(0..content)));
            }
        }
        let (len, verdict) = self.extend(rest);
        let state = match verdict {
            Verdict::MayBe => return (len, None),
            Verdict::IsNot => {
                let held = self.foreign..self.matched;
                (self.matched, self.foreign) = (0, 0);
                return (len, (is_content && !held.is_empty()).then_some(Event::Held(held)));
            }
            Verdict::Next => State::Line { has_cr: false },
            Verdict::Last => State::Epilogue,
        };
        self.state = state;
        (len, is_content.then_some(Event::PartEnd))
    }

    /// Where the first delimiter begins, or what may become one with more input.
    fn find(&mut self, rest: &[u8]) -> usize {
        let mut from = 0;
        while let Some(tail) = rest.get(from..) {
            let Some(cr) = tail.iter().position(|byte| *byte == b'\r') else { break };
            let (len, verdict) = self.extend(tail.get(cr..).unwrap_or_default());
            self.matched = 0;
            if !matches!(verdict, Verdict::IsNot) {
                return from + cr;
            }
            // CR is the first byte of a delimiter alone, so none begins within what looked like one.
            from += cr + len;
        }
        rest.len()
    }

    /// Goes on with a delimiter that may have begun: the bytes that belong to it so far.
    fn extend(&mut self, rest: &[u8]) -> (usize, Verdict) {
        let full = self.delimiter.len().saturating_sub(2);
        for (at, byte) in rest.iter().enumerate() {
            // RFC 2046 5.1.1: blanks may follow on the line of a delimiter, and nothing else.
            if self.matched == full && matches!(byte, b' ' | b'\t' | b'\r') {
                return (at, Verdict::Next);
            }
            if self.delimiter.get(self.matched) != Some(byte) {
                return (at, Verdict::IsNot);
            }
            self.matched += 1;
            if self.matched == self.delimiter.len() {
                return (at + 1, Verdict::Last);
            }
        }
        (rest.len(), Verdict::MayBe)
    }

    fn end_line(&mut self, rest: &[u8], has_cr: bool) -> Result<(usize, Option<Event>), Error> {
        self.state = match (rest.first(), has_cr) {
            (Some(b' ' | b'\t'), false) => State::Line { has_cr },
            (Some(b'\r'), false) => State::Line { has_cr: true },
            (Some(b'\n'), true) => {
                self.block.clear();
                State::Head
            }
            _ => return Err(Error::Delimiter),
        };
        Ok((1, None))
    }

    fn collect(&mut self, rest: &[u8]) -> Result<(usize, Option<Event>), Error> {
        let len = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |lf| lf + 1);
        if len > self.limit.saturating_sub(self.block.len()) {
            return Err(Error::HeadTooLong);
        }
        self.block.extend_from_slice(rest.get(..len).unwrap_or_default());
        if self.block != b"\r\n" && !self.block.ends_with(b"\r\n\r\n") {
            return Ok((len, None));
        }
        self.take_fields()?;
        self.state = State::Content;
        // A part without content may end with the empty line behind its header fields.
        (self.matched, self.foreign) = (2, 2);
        Ok((len, Some(Event::Part)))
    }

    fn take_fields(&mut self) -> Result<(), Error> {
        unfold(&mut self.block);
        self.head.clear();
        let lines = self.block.strip_suffix(b"\r\n\r\n").unwrap_or_default();
        if lines.is_empty() {
            return Ok(());
        }
        for line in lines.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let mut halves = line.splitn(2, |byte| *byte == b':');
            let (Some(name), Some(value)) = (halves.next(), halves.next()) else { return Err(Error::Field) };
            let value = field::trim(value);
            if !field::is_token(name) || !field::is_value(value) {
                return Err(Error::Field);
            }
            self.head.push(name, value);
        }
        Ok(())
    }
}

/// Makes one line of a field that goes on on the next (RFC 5322 2.2.3), as mail does.
fn unfold(block: &mut [u8]) {
    let mut from = 0;
    while let Some(fold) =
        block.get(from..).and_then(|tail| tail.windows(3).position(|at| matches!(at, b"\r\n " | b"\r\n\t")))
    {
        from += fold;
        if let Some(end_of_line) = block.get_mut(from..from + 2) {
            end_of_line.fill(b' ');
        }
    }
}

/// The value of a parameter behind a media type (RFC 9110 5.6.6), out of its quotes.
fn parameter(value: &[u8], wanted: &[u8]) -> Option<Vec<u8>> {
    let mut rest = value.get(value.iter().position(|byte| *byte == b';')?..)?;
    loop {
        let start = rest.iter().position(|byte| !matches!(byte, b';' | b' ' | b'\t'))?;
        rest = rest.get(start..)?;
        let name_end = rest.iter().position(|byte| matches!(byte, b'=' | b';'))?;
        let (name, behind) = rest.split_at_checked(name_end)?;
        rest = behind;
        let Some(text) = behind.strip_prefix(b"=") else { continue };
        let (text, behind) = if let Some(quoted) = text.strip_prefix(b"\"") {
            unquote(quoted)?
        } else {
            let end = text.iter().position(|byte| *byte == b';').unwrap_or(text.len());
            let (text, behind) = text.split_at_checked(end)?;
            (field::trim(text).to_vec(), behind)
        };
        rest = behind;
        if field::trim(name).eq_ignore_ascii_case(wanted) {
            return Some(text);
        }
    }
}

/// The text up to the closing quote (RFC 9110 5.6.4), and what follows.
fn unquote(quoted: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut text = Vec::new();
    let mut bytes = quoted.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some((text, quoted.get(at + 1..)?)),
            b'\\' => text.push(*bytes.next()?.1),
            byte => text.push(*byte),
        }
    }
    None
}
