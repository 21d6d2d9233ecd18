//! Multipart: a message that goes out as a form of one part, and one that arrives as a message for each of its parts.

use super::take_mapped;
use crate::cause::Cause;
use crate::context::{Context, Core};
use crate::http::multipart::{DEFAULT_HEAD_LIMIT, Error, Event, Form, Parser};
use crate::http::{BodyLength, Head, Status};
use crate::policy::StreamType;
use crate::secure_stream::metadata::Key;
use crate::secure_stream::stream::SecureStream;
use crate::secure_stream::{RxFlags, StreamId, Tx, TxFlow};
use crate::wsi::WsiId;
use std::rc::Rc;

/// A message on its way out within a form (`http_multipart_name`).
#[derive(Debug)]
pub(crate) struct Outgoing {
    form: Form,
    /// The bytes of its front, then of its back, that are sent.
    front: usize,
    back: usize,
    /// How much the handler is still to give, where it said so.
    left: Option<u64>,
    /// The handler has given something, or all.
    begun: bool,
    ended: bool,
}

/// A message that arrives in parts (`http_multipart_ss_in`).
#[derive(Debug)]
pub(crate) struct Incoming {
    parser: Parser,
    /// The handler knows that parts follow.
    announced: bool,
    /// It has had a piece of the part at hand.
    begun: bool,
}

/// What RFC 2046 5.1 gives a meaning in the head of a part; a part says nothing of the message as a whole.
fn is_of_part(header: &str) -> bool {
    header.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("content-"))
}

impl Outgoing {
    /// The Content-Type of the message as a whole, in place of any other.
    pub(super) fn push_type(&self, head: &mut Head) {
        head.push_with(b"content-type", |value| {
            value.extend_from_slice(b"multipart/form-data; boundary=");
            value.extend_from_slice(self.form.boundary());
        });
    }

    /// How long the whole is, if what is in it is `len` bytes.
    pub(super) fn body(&self, len: Option<u64>) -> BodyLength {
        match len.and_then(|len| len.checked_add(self.form.overhead())) {
            Some(len) => BodyLength::Known(len),
            None => BodyLength::Unknown,
        }
    }

    fn front_left(&self) -> &[u8] {
        self.form.front().get(self.front..).unwrap_or_default()
    }

    /// Writes as much of the front as there is room for.
    fn write_front(&mut self, tx: &mut Tx<'_>) {
        self.front += tx.write(self.front_left());
    }

    /// Writes as much of the back as there is room for; true when that was the last of it.
    fn write_back(&mut self, tx: &mut Tx<'_>) -> bool {
        let back = self.form.back();
        self.back += tx.write(back.get(self.back..).unwrap_or_default());
        self.back >= back.len()
    }

    /// The handler has given a piece of `len` bytes.
    fn count(&mut self, len: usize, is_eom: bool) {
        self.begun = true;
        self.left = self.left.map(|left| left.saturating_sub(len as u64));
        self.ended = is_eom || self.left == Some(0);
    }
}

impl Incoming {
    /// For a message with this head; `None` for one that is to pass as it is.
    pub(super) fn of(head: &Head, stream_type: &StreamType) -> Result<Option<Box<Self>>, Error> {
        if !stream_type.http.multipart_ss_in {
            return Ok(None);
        }
        let Some(kind) = head.get("content-type") else { return Ok(None) };
        let parser = Parser::of_content_type(kind, DEFAULT_HEAD_LIMIT)?;
        Ok(parser.map(|parser| Box::new(Self { parser, announced: false, begun: false })))
    }

    /// Makes the head of the part at hand metadata, in place of the last part's.
    fn take_head(&self, stream: &mut SecureStream) {
        let stream_type = Rc::clone(&stream.stream_type);
        stream.metadata.retain_from_peer(|key| match key {
            Key::Declared(index) => {
                let header = stream_type.metadata.get(index).and_then(|def| def.header.as_deref());
                !header.is_some_and(is_of_part)
            }
            Key::Direct(name) => !is_of_part(name),
        });
        take_mapped(self.parser.head(), &stream_type, &mut stream.metadata);
    }
}

impl Context {
    /// A piece of a message that may be multipart.
    pub(super) fn h1_rx_parts(&mut self, id: StreamId, wsi: WsiId, mut payload: &[u8]) {
        let Some(mut incoming) = self.core.h1_incoming(id, wsi).and_then(Option::take) else { return };
        if !std::mem::replace(&mut incoming.announced, true) {
            self.call_rx(id, &[], RxFlags::RELATED_START);
        }
        loop {
            let (used, event) = match incoming.parser.input(payload) {
                Ok(step) => step,
                Err(error) => return self.core.h1_multipart_failed(id, wsi, error),
            };
            let Some(event) = event else { break };
            let (consumed, rest) = payload.split_at_checked(used).unwrap_or((payload, &[]));
            payload = rest;
            self.h1_rx_part(id, &mut incoming, &event, consumed);
            // What a piece leads to comes before the next.
            self.settle();
            if self.core.h1_incoming(id, wsi).is_none() {
                return;
            }
        }
        if let Some(place) = self.core.h1_incoming(id, wsi) {
            *place = Some(incoming);
        }
    }

    fn h1_rx_part(&mut self, id: StreamId, incoming: &mut Incoming, event: &Event, consumed: &[u8]) {
        if *event == Event::Part {
            incoming.begun = false;
            if let Ok(stream) = self.core.live_mut(id) {
                incoming.take_head(stream);
            }
            return;
        }
        let som = !std::mem::replace(&mut incoming.begun, true);
        let flags = RxFlags::new(som, *event == Event::PartEnd);
        self.call_rx(id, incoming.parser.content(event, consumed), flags);
    }

    /// The end of a multipart message. False when it ended too early, and the transaction has failed.
    pub(super) fn h1_rx_parts_end(&mut self, id: StreamId, wsi: WsiId) -> bool {
        let Some(incoming) = self.core.h1_incoming(id, wsi).and_then(Option::take) else { return true };
        match incoming.parser.finish() {
            Ok(()) => self.call_rx(id, &[], RxFlags::RELATED_END),
            Err(error) => {
                self.core.h1_multipart_failed(id, wsi, error);
                return false;
            }
        }
        true
    }

    /// Asks the handler for the next piece of a message that goes out within a form.
    pub(super) fn h1_tx_form(
        &mut self,
        id: StreamId,
        wsi: WsiId,
        tx: &mut Tx<'_>,
        mut outgoing: Box<Outgoing>,
    ) -> TxFlow {
        let flow = self.h1_fill_form(id, tx, &mut outgoing);
        let Ok(stream) = self.core.live_mut(id) else { return TxFlow::DontSend };
        if flow == TxFlow::Send {
            stream.txn.tx_begun = true;
            stream.txn.tx_ended = tx.so_far().is_eom;
        }
        // The front alone had room, or the back had none.
        let goes_on = flow == TxFlow::Send && outgoing.begun == outgoing.ended && !stream.txn.tx_ended;
        stream.txn.outgoing = Some(outgoing);
        if goes_on {
            self.core.wsi_request_tx(wsi);
        }
        flow
    }

    fn h1_fill_form(&mut self, id: StreamId, tx: &mut Tx<'_>, outgoing: &mut Outgoing) -> TxFlow {
        if outgoing.left == Some(0) {
            outgoing.count(0, true);
        }
        let gap = outgoing.front_left().len();
        if outgoing.ended {
            outgoing.write_front(tx);
        } else if gap >= tx.room() {
            outgoing.write_front(tx);
            return TxFlow::Send;
        } else {
            let Ok(stream) = self.core.live_mut(id) else { return TxFlow::DontSend };
            stream.wants_tx = false;
            let (limit, is_som, ordinal) =
                (outgoing.left.unwrap_or(u64::MAX), !outgoing.begun, stream.ordinal);
            let (flow, piece) = tx.behind(gap, |tx| {
                tx.describe(limit, is_som, ordinal);
                self.call_tx(id, tx)
            });
            if flow != TxFlow::Send {
                return flow;
            }
            if piece.len == 0 && !piece.is_eom {
                return TxFlow::DontSend;
            }
            tx.fill_gap(gap, outgoing.front_left(), piece.len);
            outgoing.front += gap;
            outgoing.count(piece.len, piece.is_eom);
        }
        if outgoing.ended && outgoing.front_left().is_empty() && outgoing.write_back(tx) {
            tx.end_message();
        }
        TxFlow::Send
    }
}

impl Core {
    /// Where a stream keeps what takes its peer's message apart, as long as it has this connection.
    fn h1_incoming(&mut self, id: StreamId, wsi: WsiId) -> Option<&mut Option<Box<Incoming>>> {
        let stream = self.live_mut(id).ok().filter(|stream| stream.wsi == Some(wsi))?;
        Some(&mut stream.txn.incoming)
    }

    /// Makes a form of what the stream is about to send, if its policy says so.
    pub(super) fn h1_begin_form(&mut self, id: StreamId, has_body: bool) {
        let Ok(stream) = self.live(id) else { return };
        let stream_type = Rc::clone(&stream.stream_type);
        let http = &stream_type.http;
        // A redirect may have made a request without a body of it.
        let Some(name) = http.multipart_name.as_ref().filter(|_| has_body) else {
            return self.live_mut(id).map_or((), |stream| stream.txn.outgoing = None);
        };
        let random = [self.plat.random(), self.plat.random()];
        let filename = http.multipart_filename.as_ref().map(String::as_bytes);
        let kind = http.multipart_content_type.as_ref().map(String::as_bytes);
        let form = Form::new(random, name.as_bytes(), filename, kind);
        let Ok(stream) = self.live_mut(id) else { return };
        let left = stream.txn.tx_len;
        let outgoing = Outgoing { form, front: 0, back: 0, left, begun: false, ended: false };
        stream.txn.outgoing = Some(Box::new(outgoing));
    }

    /// What the peer sends is no multipart message, though it says so. A client is told 400 (RFC 9110 15.5.1), unless it has
    /// an answer already.
    pub(super) fn h1_multipart_failed(&mut self, id: StreamId, wsi: WsiId, error: Error) {
        let cause = Cause::protocol(&error.to_string());
        let Ok(stream) = self.live_mut(id) else { return };
        if stream.parent.is_none() {
            stream.txn.is_good = false;
            return self.h1_fail_try(id, wsi, cause, None);
        }
        if !std::mem::replace(&mut stream.txn.answered, true) {
            let _ = self.http_respond(wsi, Status::BAD_REQUEST, std::iter::empty(), BodyLength::Known(0));
        }
        self.close_flushed(wsi, Some(cause));
    }
}
