//! Heads and data on their way out: heads into a buffer of the caller's, data framed in place.

use crate::control::Ending;
use crate::frame::{FrameHead, HEAD, Kind, flag, put, put_window_update};
use crate::input::Receiving;
use crate::message::is_scheme_like;
use crate::settings::MAX_WINDOW;
use crate::stream::{Outgoing, Step, Stream};
use crate::{EncodeError, Engine, StreamId};
use alloc::vec::Vec;
use http::field::{is_authority, is_target, is_token, is_trailer, is_value};
use http::{BodyLength, Digits, Method, Status};

/// What is asked, and of whom.
///
/// ```
/// use http::Method;
/// use millstream_h2::Request;
///
/// let request = Request::new(Method::Post, b"https", b"example.com", b"/upload");
/// // The peer may send 4,000 bytes, and no more until it is granted.
/// let by_hand = Request { credit: Some(4000), ..request };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// What is to be done.
    pub method: Method,
    /// `https`, or `http`.
    pub scheme: &'a [u8],
    /// Host and perhaps port.
    pub authority: &'a [u8],
    /// Path and perhaps query.
    pub target: &'a [u8],
    /// The protocol of an extended CONNECT (RFC 8441), as `websocket`.
    pub protocol: Option<&'a [u8]>,
    /// What the response may have before more is granted by [`Engine::add_credit`]. `None`: it is granted as it arrives.
    pub credit: Option<u32>,
}

impl<'a> Request<'a> {
    /// A request of no special kind.
    pub const fn new(method: Method, scheme: &'a [u8], authority: &'a [u8], target: &'a [u8]) -> Self {
        Self { method, scheme, authority, target, protocol: None, credit: None }
    }

    /// Asks for another protocol to be spoken on a stream of its own (RFC 8441 4).
    pub const fn connect(
        protocol: &'a [u8],
        scheme: &'a [u8],
        authority: &'a [u8],
        target: &'a [u8],
    ) -> Self {
        Self { protocol: Some(protocol), ..Self::new(Method::Connect, scheme, authority, target) }
    }

    fn check(&self) -> Result<(), EncodeError> {
        let is_whole_server = self.method == Method::Options && self.target == b"*";
        let legal = is_scheme_like(self.scheme)
            && !self.authority.is_empty()
            && is_authority(self.authority)
            && is_target(self.target)
            && (self.target.starts_with(b"/") || is_whole_server)
            && self.protocol.is_none_or(is_token);
        if legal { Ok(()) } else { Err(EncodeError::Target) }
    }
}

/// What goes before a piece of payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    prefix: [u8; HEAD],
    is_empty: bool,
    is_suppressed: bool,
}

impl Frame {
    const NOTHING: Self = Self { prefix: [0; HEAD], is_empty: true, is_suppressed: false };

    /// Directly before the payload.
    pub fn prefix(&self) -> &[u8] {
        if self.is_empty { &[] } else { &self.prefix }
    }

    /// The message may have no body, or has ended: nothing of this is sent.
    pub fn is_suppressed(&self) -> bool {
        self.is_suppressed
    }
}

/// Fields of a head that is being written, checked and in lower case: once compression has begun, nothing may go wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Staging {
    text: Vec<u8>,
    /// Lengths of names and values.
    fields: Vec<(u32, u32)>,
    size: usize,
}

/// What a list of fields is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Request,
    Response,
    Trailers,
}

impl Staging {
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.fields.clear();
        self.size = 0;
    }

    /// Takes the caller's fields, or says which rule they break.
    fn fill<'f>(
        &mut self,
        part: Part,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    ) -> Result<(), EncodeError> {
        self.clear();
        for (name, value) in fields {
            let start = self.text.len();
            self.push(name, value);
            let lower = self.text.get(start..start + name.len()).unwrap_or_default();
            if !is_token(lower) || !is_value(value) || !is_allowed(part, lower, value) {
                return Err(EncodeError::Field);
            }
        }
        Ok(())
    }

    fn push(&mut self, name: &[u8], value: &[u8]) {
        self.text.extend(name.iter().map(u8::to_ascii_lowercase));
        self.text.extend_from_slice(value);
        self.fields.push((name.len() as u32, value.len() as u32));
        self.count(name, value);
    }

    /// RFC 9113 6.5.2.
    fn count(&mut self, name: &[u8], value: &[u8]) {
        self.size += name.len() + value.len() + 32;
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = &self.text[..];
        self.fields.iter().map_while(move |(name, value)| {
            let (name, behind) = rest.split_at_checked(*name as usize)?;
            let (value, behind) = behind.split_at_checked(*value as usize)?;
            rest = behind;
            Some((name, value))
        })
    }
}

/// Fields that the engine writes itself, or that HTTP/2 does not have (RFC 9113 8.2.2).
fn is_allowed(part: Part, name: &[u8], value: &[u8]) -> bool {
    match name {
        b"content-length" | b"connection" | b"proxy-connection" | b"keep-alive" | b"transfer-encoding"
        | b"upgrade" => false,
        b"host" => part == Part::Response,
        b"te" => part == Part::Request && value == b"trailers",
        _ => part != Part::Trailers || is_trailer(name),
    }
}

impl Engine {
    /// Whether a request can be sent now.
    ///
    /// # Errors
    /// Why not: [`EncodeError::Full`] passes, [`EncodeError::Ending`] asks for another connection.
    pub fn can_open(&self) -> Result<(), EncodeError> {
        let is_used_up = self.requests_left() == 0;
        let is_failed = matches!(self.receiving, Receiving::Failed(_));
        if self.is_server {
            Err(EncodeError::Turn)
        } else if is_used_up || is_failed || self.is_leaving || self.ending != Ending::No {
            Err(EncodeError::Ending)
        } else if self.streams.len() >= self.peer.streams as usize {
            Err(EncodeError::Full)
        } else {
            Ok(())
        }
    }

    /// How many requests can be sent before one that is open is over.
    pub fn places(&self) -> usize {
        let most = self.peer.streams as usize;
        let places = self.can_open().map_or(0, |()| most.saturating_sub(self.streams.len()));
        places.min(self.requests_left() as usize)
    }

    /// How many streams a client may still begin: their identifiers are odd (RFC 9113 5.1.1).
    fn requests_left(&self) -> u32 {
        let begun = self.streams.last().div_ceil(2);
        self.limits.requests.saturating_sub(begun)
    }

    /// Appends the head of a request, and begins its stream.
    ///
    /// # Errors
    /// There is no place for another stream, or something in the head is malformed: nothing was appended.
    pub fn encode_request<'f>(
        &mut self,
        request: &Request<'_>,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
        body: BodyLength,
        out: &mut Vec<u8>,
    ) -> Result<StreamId, EncodeError> {
        self.can_open()?;
        request.check()?;
        let is_tunnel = request.protocol.is_some();
        if is_tunnel != (request.method == Method::Connect) || (is_tunnel && !self.peer.connect_protocol) {
            return Err(EncodeError::Unsupported);
        }
        self.staging.fill(Part::Request, fields)?;
        let body = if is_tunnel { BodyLength::Unknown } else { body };
        self.stage_length(body);
        let protocol = request.protocol.unwrap_or_default();
        let pseudo = [
            (&b":method"[..], request.method.as_str().as_bytes()),
            (b":scheme", request.scheme),
            (b":authority", request.authority),
            (b":path", request.target),
            (b":protocol", protocol),
        ];
        let pseudo = pseudo.get(..if is_tunnel { 5 } else { 4 }).unwrap_or_default();
        self.check_size(pseudo)?;

        if request.credit.is_some_and(|credit| credit < self.beginning.told()) {
            self.begin_with_nothing();
        }
        let id = if self.streams.last() == 0 { 1 } else { self.streams.last() + 2 };
        self.streams.begin(id);
        let mut stream = Stream { is_head: request.method == Method::Head, is_tunnel, ..self.new_stream(id) };
        let kept_at = self.limits.window.max(self.limits.initial_window);
        let credit = request.credit.unwrap_or(kept_at).min(MAX_WINDOW);
        let more = credit.saturating_sub(self.beginning.told());
        let is_granted = more > 0 && stream.credit.grant(more).is_ok();
        stream.credit.is_held = request.credit.is_some();
        self.streams.insert(stream);
        let ends = self.begin_body(id, body);
        self.put_headers(id, ends, pseudo, out);
        if is_granted {
            put_window_update(out, id, more);
        }
        Ok(StreamId(id))
    }

    /// Appends the head of the response to a request.
    ///
    /// # Errors
    /// The stream is over, it has its response already, or something in the head is malformed: nothing was appended.
    pub fn encode_response<'f>(
        &mut self,
        stream: StreamId,
        status: Status,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
        body: BodyLength,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let row = *self.check_turn(stream)?;
        if status.is_informational() {
            return Err(EncodeError::Status);
        }
        self.staging.fill(Part::Response, fields)?;
        let is_tunnel = row.is_tunnel && status.is_success();
        let body = if is_tunnel { BodyLength::Unknown } else { body };
        // RFC 9110 8.6: a 204 has no Content-Length; 304 and the answer to HEAD may say that of the whole.
        if status.code() != 204 {
            self.stage_length(body);
        }
        self.check_size(&[(b":status", b"200")])?;
        let body = if row.is_head || status.is_bodiless() { BodyLength::None } else { body };
        if let Some(row) = self.streams.get_mut(stream.0) {
            row.is_tunnel = is_tunnel;
        }
        let ends = self.begin_body(stream.0, body);
        self.put_status(stream.0, status, ends, out);
        // A client may have granted this stream more than all have: that is no idle talk.
        self.frames.give(1);
        Ok(())
    }

    /// Appends an interim response; the one that counts is still to come.
    ///
    /// # Errors
    /// There is no request that waits, or the status is not one of those: 1xx, without 101.
    pub fn encode_informational(
        &mut self,
        stream: StreamId,
        status: Status,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        self.check_turn(stream)?;
        if !status.is_informational() || status == Status::SWITCHING_PROTOCOLS {
            return Err(EncodeError::Status);
        }
        if let Some(row) = self.streams.get_mut(stream.0).filter(|_| status == Status::CONTINUE) {
            row.expects_continue = false;
        }
        self.staging.clear();
        self.put_status(stream.0, status, false, out);
        Ok(())
    }

    /// Ends a message with trailers, appended to `out`.
    ///
    /// # Errors
    /// The stream is over, no message of unknown length has begun, it is a tunnel, or a field is malformed: nothing was
    /// appended.
    pub fn encode_trailers<'f>(
        &mut self,
        stream: StreamId,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let row = self.streams.get(stream.0).ok_or(EncodeError::Stream)?;
        if row.outgoing != (Outgoing::Body { left: None }) || !row.state.may_send() || row.is_tunnel {
            return Err(EncodeError::Turn);
        }
        self.staging.fill(Part::Trailers, fields)?;
        self.check_size(&[])?;
        self.put_headers(stream.0, true, &[], out);
        self.send_end(stream.0);
        Ok(())
    }

    /// What the peer lets us send: on a stream, or on the connection, by all of its streams together.
    pub fn tx_window(&self, stream: Option<StreamId>) -> u32 {
        match stream {
            Some(stream) => self.streams.get(stream.0).map_or(0, |row| row.window.size()),
            None => self.window.size(),
        }
    }

    /// How many bytes of payload a frame on this stream can have now. 0: not before [`crate::Event::Window`], or
    /// [`crate::Event::Settings`].
    pub fn tx_room(&self, stream: StreamId) -> usize {
        self.tx_window(Some(stream)).min(self.tx_window(None)).min(self.peer.frame) as usize
    }

    /// How much of an announced length is still to come.
    pub fn tx_left(&self, stream: StreamId) -> Option<u64> {
        match self.streams.get(stream.0)?.outgoing {
            Outgoing::Body { left } => left,
            Outgoing::Head => None,
        }
    }

    /// Frames `len` bytes of payload; `last`, or the last byte of an announced length, ends the message.
    ///
    /// # Errors
    /// The stream is over, or there is no room, or this is not what was announced. Nothing has changed then.
    pub fn frame(&mut self, stream: StreamId, len: usize, last: bool) -> Result<Frame, EncodeError> {
        let room = self.tx_room(stream);
        let row = self.streams.get_mut(stream.0).ok_or(EncodeError::Stream)?;
        if !row.state.may_send() {
            return Ok(Frame { is_suppressed: true, ..Frame::NOTHING });
        }
        let Outgoing::Body { left } = &mut row.outgoing else { return Err(EncodeError::Turn) };
        if len > room {
            return Err(EncodeError::Room);
        }
        let mut ends = last;
        if let Some(left) = left {
            let behind = left.checked_sub(len as u64).ok_or(EncodeError::TooMuch)?;
            if last && behind > 0 {
                return Err(EncodeError::TooLittle);
            }
            *left = behind;
            ends = behind == 0;
        }
        if len == 0 && !ends {
            return Ok(Frame::NOTHING);
        }
        let (len, flags) = (len as u32, if ends { flag::END_STREAM } else { 0 });
        // There is room in both: it was asked for above.
        let _ = row.window.take(len).and_then(|()| self.window.take(len));
        // Each piece is answered with windows: those are not idle talk.
        self.frames.give(2);
        if ends {
            self.send_end(stream.0);
        }
        let head = FrameHead { len, kind: Kind::Data, flags, stream: stream.0 };
        Ok(Frame { prefix: head.bytes(), is_empty: false, is_suppressed: false })
    }

    fn check_turn(&self, stream: StreamId) -> Result<&Stream, EncodeError> {
        let row = self.streams.get(stream.0).ok_or(EncodeError::Stream)?;
        if self.is_server && row.outgoing == Outgoing::Head { Ok(row) } else { Err(EncodeError::Turn) }
    }

    fn stage_length(&mut self, body: BodyLength) {
        if let BodyLength::Known(len) = body {
            self.staging.push(b"content-length", Digits::decimal(len).as_bytes());
        }
    }

    fn check_size(&mut self, pseudo: &[(&[u8], &[u8])]) -> Result<(), EncodeError> {
        for (name, value) in pseudo {
            self.staging.count(name, value);
        }
        if self.staging.size > self.peer.header_list as usize {
            return Err(EncodeError::HeaderList);
        }
        Ok(())
    }

    /// A head is on its way: what follows it. True when nothing does.
    fn begin_body(&mut self, stream: u32, body: BodyLength) -> bool {
        let left = match body {
            BodyLength::None => Some(0),
            BodyLength::Known(len) => Some(len),
            BodyLength::Unknown => None,
        };
        if let Some(row) = self.streams.get_mut(stream) {
            row.outgoing = Outgoing::Body { left };
            row.expects_continue = false;
        }
        if left == Some(0) {
            self.send_end(stream);
        }
        left == Some(0)
    }

    fn send_end(&mut self, stream: u32) {
        if let Some(state) = self.streams.step(stream, Step::SendEnd) {
            self.note(state);
        }
    }

    pub(crate) fn put_status(&mut self, stream: u32, status: Status, ends: bool, out: &mut Vec<u8>) {
        let code = Digits::decimal(u64::from(status.code()));
        self.put_headers(stream, ends, &[(b":status", code.as_bytes())], out);
    }

    /// Appends a header block of these fields and the staged ones. What the engine has to say goes first: the peer may
    /// only decompress this block after it has been told that its settings are known.
    fn put_headers(&mut self, stream: u32, ends: bool, pseudo: &[(&[u8], &[u8])], out: &mut Vec<u8>) {
        self.poll_output(out);
        let start = out.len();
        out.extend_from_slice(&[0; HEAD]);
        let mut block = self.encoder.block(out);
        for (name, value) in pseudo.iter().copied().chain(self.staging.iter()) {
            block.field(name, value);
        }
        let behind = start + HEAD;
        let len = out.len() - behind;
        let first = len.min(self.peer.frame as usize);
        // More than a frame is rare enough to be moved (RFC 9113 4.3).
        let rest = if len > first { out.split_off(behind + first) } else { Vec::new() };
        let end_stream = if ends { flag::END_STREAM } else { 0 };
        let end_headers = if rest.is_empty() { flag::END_HEADERS } else { 0 };
        let head =
            FrameHead { len: first as u32, kind: Kind::Headers, flags: end_stream | end_headers, stream };
        if let Some(place) = out.get_mut(start..behind) {
            place.copy_from_slice(&head.bytes());
        }
        let mut chunks = rest.chunks(self.peer.frame as usize).peekable();
        while let Some(chunk) = chunks.next() {
            let flags = if chunks.peek().is_none() { flag::END_HEADERS } else { 0 };
            put(out, Kind::Continuation, flags, stream, chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;
    use crate::settings::MAX_WINDOW;

    #[test]
    fn a_client_that_has_used_up_its_identifiers_asks_for_another_connection() {
        let mut engine = Engine::client(Limits::default());
        engine.streams.begin(MAX_WINDOW - 2);
        let (request, mut out) = (Request::new(Method::Get, b"https", b"a", b"/"), Vec::new());
        let last = engine.encode_request(&request, [].into_iter(), BodyLength::None, &mut out);
        assert_eq!(last, Ok(StreamId(MAX_WINDOW)));
        let next = engine.encode_request(&request, [].into_iter(), BodyLength::None, &mut out);
        assert_eq!(next, Err(EncodeError::Ending));
    }
}
