//! The server's side: requests to `SERVER_TXN`, metadata and payload; the answer from what the application said.

use super::{Incoming, push_mapped, take_mapped};
use crate::cause::Cause;
use crate::context::{Context, Core, WsiEvent};
use crate::http::{BodyLength, Head, Status};
use crate::secure_stream::metadata::{DEFAULT_VALUE_LIMIT, Key};
use crate::secure_stream::transaction::Transaction;
use crate::secure_stream::{StreamId, StreamState};
use crate::wsi::WsiId;
use std::rc::Rc;

impl Context {
    pub(in crate::secure_stream::transport) fn h1_server_event(
        &mut self,
        id: StreamId,
        wsi: WsiId,
        event: WsiEvent<'_>,
    ) {
        match event {
            #[cfg(feature = "ws")]
            WsiEvent::Request(head) if self.core.ws_server_request(id, wsi, head) => {}
            WsiEvent::Request(head) => self.core.h1_request(id, wsi, head),
            WsiEvent::Rx(payload) => self.h1_rx(id, wsi, payload),
            WsiEvent::End(_) => {
                let has_body = self.core.live(id).is_ok_and(|stream| stream.txn.has_body);
                if has_body {
                    self.h1_rx_end(id, wsi);
                }
            }
            _ => {}
        }
    }
}

impl Core {
    /// A new transaction: what the last one left is gone before its handler hears of this one.
    fn h1_request(&mut self, id: StreamId, wsi: WsiId, head: &Head) {
        let is_to_come = self.http_has_body(wsi);
        let Ok(stream) = self.live_mut(id) else { return };
        let has_body =
            is_to_come || head.get("content-length").is_some() || head.get("transfer-encoding").is_some();
        stream.txn = Transaction { asked: true, has_body, ..Transaction::default() };
        stream.wants_tx = false;
        match Incoming::of(head, &stream.stream_type) {
            Ok(incoming) => stream.txn.incoming = incoming.filter(|_| has_body),
            Err(error) => return self.h1_multipart_failed(id, wsi, error),
        }
        self.h1_take_request(id, head);
        self.tell(id, StreamState::ServerTxn);
    }

    /// What a request says becomes metadata, and nothing of what was there before remains.
    pub(in crate::secure_stream::transport) fn h1_take_request(&mut self, id: StreamId, head: &Head) {
        let Ok(stream) = self.live_mut(id) else { return };
        let stream_type = Rc::clone(&stream.stream_type);
        stream.metadata.clear();
        take_mapped(head, &stream_type, &mut stream.metadata);
        let method = head.method().map_or("", http::Method::as_str);
        let own = [
            ("method", method.as_bytes()),
            ("path", head.path()),
            ("query", head.query().unwrap_or_default()),
        ];
        for (name, value) in own {
            let declared =
                stream_type.metadata.iter().position(|def| def.name == name && def.header.is_none());
            if let Some(index) = declared {
                let _ = stream.metadata.set_from_peer(Key::Declared(index), value, DEFAULT_VALUE_LIMIT);
            }
        }
        stream.ordinal = stream.ordinal.wrapping_add(1);
    }

    pub(super) fn h1_server_wants_tx(&mut self, id: StreamId, wsi: WsiId) {
        let Ok(stream) = self.live_mut(id) else { return };
        if !stream.txn.asked || stream.txn.tx_ended {
            return;
        }
        if stream.txn.tx_len == Some(0) && !stream.txn.answered {
            stream.txn.tx_ended = true;
            stream.wants_tx = false;
            self.h1_answer(id, wsi, 0, true);
        } else {
            self.wsi_request_tx(wsi);
        }
    }

    /// Queues the head of an answer whose payload has no room yet, and is wanted all the same.
    #[cfg(feature = "h2")]
    pub(crate) fn h1_answer_alone(&mut self, id: StreamId, wsi: WsiId) {
        let Ok(stream) = self.live(id) else { return };
        if stream.parent.is_some() && stream.txn.asked && stream.wants_tx && !stream.txn.answered {
            self.h1_answer(id, wsi, 0, false);
        }
    }

    /// Queues the head of the answer, which goes out with its first piece of `first` bytes. False when what the
    /// application said makes no valid head: then the peer is told 500, and the cause is logged.
    pub(super) fn h1_answer(&mut self, id: StreamId, wsi: WsiId, first: u64, is_whole: bool) -> bool {
        let mut head = std::mem::take(&mut self.out_head);
        let Ok(stream) = self.live_mut(id) else { return false };
        stream.txn.answered = true;
        let stream_type = Rc::clone(&stream.stream_type);
        let status = match stream.txn.nack {
            0 => Status::OK,
            nack => Status::new(nack)
                .filter(|status| status.code() >= 400 && status.code() < 600)
                .unwrap_or(Status::NOT_FOUND),
        };
        let body = match stream.txn.tx_len {
            Some(len) => BodyLength::Known(len),
            None if is_whole => BodyLength::Known(first),
            None => BodyLength::Unknown,
        };
        head.clear();
        push_mapped(&mut head, &stream_type, &stream.metadata, &stream.txn);
        // "mime" is what servers call it, whether or not the policy maps it to a header.
        let mime = stream_type.metadata.iter().position(|def| def.name == "mime" && def.header.is_none());
        let mime = mime.and_then(|index| stream.metadata.own(Key::Declared(index)));
        let mime = mime.or_else(|| stream_type.http.mime_content_type.as_deref().map(str::as_bytes));
        if let Some(mime) = mime
            && head.get("content-type").is_none()
        {
            head.push(b"content-type", mime);
        }
        let answered = self.http_respond(wsi, status, head.iter(), body);
        self.out_head = head;
        let Err(error) = answered else { return true };
        log::warn!(target: "millstream::stream", "{id}: no valid answer: {error}");
        let fallback =
            self.http_respond(wsi, Status::INTERNAL_SERVER_ERROR, std::iter::empty(), BodyLength::Known(0));
        if fallback.is_err() {
            self.close(wsi, Some(Cause::policy(&error.to_string())));
        }
        false
    }
}
