//! Messages on their way out: heads into a buffer of the caller's, bodies framed in place.

use crate::encode::{push_fields, push_own};
use crate::{EncodeError, Engine, Error, Receiving};
use alloc::vec::Vec;
use http::field::{is_target, is_value};
use http::{BodyLength, Digits, Method, Status};

/// Where the message that goes out is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    Nothing,
    /// This many bytes were announced and are to come.
    Known(u64),
    Chunked,
    /// The end of the connection is its end.
    UntilEof,
    Done,
}

/// What goes around a piece of payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    prefix: [u8; 18],
    prefix_len: u8,
    suffix: &'static [u8],
    is_suppressed: bool,
}

impl Frame {
    const BARE: Self = Self { prefix: [0; 18], prefix_len: 0, suffix: &[], is_suppressed: false };

    /// Directly before the payload.
    pub fn prefix(&self) -> &[u8] {
        self.prefix.get(..usize::from(self.prefix_len)).unwrap_or_default()
    }

    /// Directly behind it.
    pub fn suffix(&self) -> &'static [u8] {
        self.suffix
    }

    /// The message may have no body (HEAD, 204, 304): nothing of this is sent.
    pub fn is_suppressed(&self) -> bool {
        self.is_suppressed
    }
}

impl Engine {
    /// Appends the head of a request.
    ///
    /// # Errors
    /// The last exchange is not over, or something in the head is malformed: nothing was appended.
    pub fn encode_request<'a>(
        &mut self,
        method: Method,
        target: &[u8],
        host: &[u8],
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        body: BodyLength,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let asks_upgrade = core::mem::take(&mut self.flags.asks_upgrade);
        let fresh = self.receiving == Receiving::Nothing && self.sending == Sending::Nothing;
        if self.flags.is_server || !(fresh || (self.is_idle() && self.may_reuse())) {
            return Err(EncodeError::Turn);
        }
        if !is_target(target) || !is_value(host) || host.iter().any(|byte| *byte <= b' ') {
            return Err(EncodeError::Target);
        }
        let start = out.len();
        out.extend_from_slice(method.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(target);
        out.extend_from_slice(b" HTTP/1.1\r\n");
        push_own(out, "Host", host);
        if let Err(error) = push_fields(out, fields, true) {
            out.truncate(start);
            return Err(error);
        }
        match (self.flags.we_keep, asks_upgrade) {
            (_, true) => push_own(out, "Connection", b"Upgrade"),
            (false, false) => push_own(out, "Connection", b"close"),
            (true, false) => {}
        }
        self.flags.is_head = method == Method::Head;
        self.flags.upgrade = asks_upgrade;
        self.interim = 0;
        self.receiving = Receiving::Head;
        self.sending = self.announce(body, false, out);
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// The next request asks for another protocol: the caller's fields say which (RFC 9110 7.8). One that is refused by
    /// [`Self::encode_request`] was the next.
    pub fn ask_upgrade(&mut self) {
        self.flags.asks_upgrade = true;
    }

    /// Appends the head of the response to the request at hand.
    ///
    /// # Errors
    /// There is no request to answer, or it is answered already, or something in the head is malformed: nothing was
    /// appended.
    pub fn encode_response<'a>(
        &mut self,
        status: Status,
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        body: BodyLength,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        self.check_turn()?;
        if status.is_informational() {
            return Err(EncodeError::Status);
        }
        let start = out.len();
        push_status(out, status);
        if let Err(error) = push_fields(out, fields, false) {
            out.truncate(start);
            return Err(error);
        }
        let until_eof = self.flags.is_http10 && body == BodyLength::Unknown && !status.is_bodiless();
        if until_eof {
            self.flags.we_keep = false;
        }
        match (self.flags.peer_keeps && self.flags.we_keep, self.flags.is_http10) {
            (false, _) => push_own(out, "Connection", b"close"),
            (true, true) => push_own(out, "Connection", b"keep-alive"),
            (true, false) => {}
        }
        // RFC 9110 8.6: a 204 has no Content-Length; 304 and the answer to HEAD may say that of the whole.
        self.sending = if status.code() == 204 { Sending::Done } else { self.announce(body, until_eof, out) };
        if self.flags.is_head || status.is_bodiless() {
            self.sending = Sending::Done;
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// Appends an interim response; the one that counts is still to come.
    ///
    /// # Errors
    /// There is no request that waits, the status is not 1xx, or the client speaks HTTP/1.0 and would not understand.
    pub fn encode_informational(&mut self, status: Status, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.check_turn()?;
        if !status.is_informational() || status == Status::SWITCHING_PROTOCOLS || self.flags.is_http10 {
            return Err(EncodeError::Status);
        }
        if status == Status::CONTINUE {
            self.flags.expects_continue = false;
        }
        push_status(out, status);
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// Grants the upgrade that the request asks for: bytes after this are the next protocol's, both ways.
    ///
    /// # Errors
    /// No upgrade is asked for, or a field is malformed: nothing was appended.
    pub fn encode_upgrade<'a>(
        &mut self,
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        self.check_turn()?;
        if !self.flags.upgrade || matches!(self.receiving, Receiving::Body(_)) {
            return Err(EncodeError::Turn);
        }
        let start = out.len();
        push_status(out, Status::SWITCHING_PROTOCOLS);
        push_own(out, "Connection", b"Upgrade");
        if let Err(error) = push_fields(out, fields, false) {
            out.truncate(start);
            return Err(error);
        }
        out.extend_from_slice(b"\r\n");
        self.receiving = Receiving::Upgraded;
        self.sending = Sending::Done;
        Ok(())
    }

    /// Frames `len` bytes of payload; `last` says that the message ends with them.
    ///
    /// # Errors
    /// More than was announced, or the end before that; no message has been begun. Nothing has changed then.
    pub fn frame(&mut self, len: usize, last: bool) -> Result<Frame, EncodeError> {
        match self.sending {
            Sending::Nothing => Err(EncodeError::Turn),
            Sending::Done => Ok(Frame { is_suppressed: true, ..Frame::BARE }),
            Sending::UntilEof => {
                if last {
                    self.sending = Sending::Done;
                }
                Ok(Frame::BARE)
            }
            Sending::Known(left) => {
                let left = left.checked_sub(len as u64).ok_or(EncodeError::TooMuch)?;
                if last && left > 0 {
                    return Err(EncodeError::TooLittle);
                }
                self.sending = if left == 0 { Sending::Done } else { Sending::Known(left) };
                Ok(Frame::BARE)
            }
            Sending::Chunked => Ok(self.chunk(len, last)),
        }
    }

    fn chunk(&mut self, len: usize, last: bool) -> Frame {
        if last {
            self.sending = Sending::Done;
        }
        let mut frame = Frame::BARE;
        frame.suffix = match (len, last) {
            (0, false) => return frame,
            (0, true) => b"0\r\n\r\n",
            (_, false) => b"\r\n",
            (_, true) => b"\r\n0\r\n\r\n",
        };
        if len > 0 {
            let digits = Digits::hex(len as u64);
            for (place, byte) in frame.prefix.iter_mut().zip(digits.as_bytes().iter().chain(b"\r\n")) {
                *place = *byte;
                frame.prefix_len += 1;
            }
        }
        frame
    }

    /// Ends a chunked message with trailers, appended to `out`.
    ///
    /// # Errors
    /// The message is not chunked, or a field is malformed: nothing was appended.
    pub fn encode_trailers<'a>(
        &mut self,
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        if self.sending != Sending::Chunked {
            return Err(EncodeError::Turn);
        }
        let start = out.len();
        out.extend_from_slice(b"0\r\n");
        if let Err(error) = push_fields(out, fields, true) {
            out.truncate(start);
            return Err(error);
        }
        out.extend_from_slice(b"\r\n");
        self.sending = Sending::Done;
        Ok(())
    }

    /// How much of an announced length is still to come.
    pub fn tx_left(&self) -> Option<u64> {
        match self.sending {
            Sending::Known(left) => Some(left),
            _ => None,
        }
    }

    /// A whole response that tells the client what it did wrong, and that this was the last on this connection. False
    /// when a response has begun: there is no way to take it back. `date` is the Date field's text, where there is a
    /// clock (RFC 9110 6.6.1).
    pub fn error_response(&mut self, error: Error, date: Option<&[u8]>, out: &mut Vec<u8>) -> bool {
        self.flags.we_keep = false;
        if !self.flags.is_server || self.sending != Sending::Nothing {
            return false;
        }
        push_status(out, error.status());
        if let Some(date) = date {
            push_own(out, "Date", date);
        }
        push_own(out, "Connection", b"close");
        push_own(out, "Content-Length", b"0");
        out.extend_from_slice(b"\r\n");
        self.sending = Sending::Done;
        true
    }

    fn check_turn(&self) -> Result<(), EncodeError> {
        let asked = matches!(self.receiving, Receiving::Body(_) | Receiving::End | Receiving::Done);
        if self.flags.is_server && asked && self.sending == Sending::Nothing {
            Ok(())
        } else {
            Err(EncodeError::Turn)
        }
    }

    /// Says how long the body is.
    fn announce(&self, body: BodyLength, until_eof: bool, out: &mut Vec<u8>) -> Sending {
        match body {
            BodyLength::Unknown if until_eof => Sending::UntilEof,
            BodyLength::Unknown => {
                push_own(out, "Transfer-Encoding", b"chunked");
                Sending::Chunked
            }
            BodyLength::Known(len) => {
                push_own(out, "Content-Length", Digits::decimal(len).as_bytes());
                if len == 0 { Sending::Done } else { Sending::Known(len) }
            }
            BodyLength::None => {
                // Without any, a response would last until the end of the connection (RFC 9112 6.3).
                if self.flags.is_server && !self.flags.is_head {
                    push_own(out, "Content-Length", b"0");
                }
                Sending::Done
            }
        }
    }
}

fn push_status(out: &mut Vec<u8>, status: Status) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(Digits::decimal(u64::from(status.code())).as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.reason().as_bytes());
    out.extend_from_slice(b"\r\n");
}
