//! Streams over HTTP/1.1 and HTTP/2: a transaction is a request and its response; metadata are headers.

mod client;
mod cookies;
mod multipart;
mod server;

pub(super) use client::{check, is_repeatable};
pub(in crate::secure_stream) use cookies::Asked;
pub(in crate::secure_stream) use multipart::{Incoming, Outgoing};

use crate::context::{Context, Core};
use crate::http::Head;
use crate::policy::StreamType;
use crate::secure_stream::metadata::{DEFAULT_VALUE_LIMIT, Key, MAX_DIRECT_NAME, Metadata};
use crate::secure_stream::transaction::Transaction;
use crate::secure_stream::{RxFlags, StreamId, Tx, TxFlow};
use crate::wsi::WsiId;

/// What lets a client in, or says who it is (RFC 9110 11.6, 11.7; RFC 6265 4.2).
const CREDENTIALS: [&str; 3] = ["authorization", "proxy-authorization", "cookie"];

/// Puts the headers to which the policy maps metadata into `head`, with the values that are set. Of a form
/// the Content-Type is not theirs to say, and credentials are for the server that the policy names.
fn push_mapped(head: &mut Head, stream_type: &StreamType, metadata: &Metadata, txn: &Transaction) {
    let is = |header: &str, name: &str| header.eq_ignore_ascii_case(name);
    let may_say = |header: &str| {
        let is_said = txn.outgoing.is_some() && is(header, "content-type");
        let is_secret = txn.is_elsewhere && CREDENTIALS.iter().any(|name| is(header, name));
        !is_said && !is_secret
    };
    for (index, def) in stream_type.metadata.iter().enumerate() {
        if let (Some(header), Some(value)) = (&def.header, metadata.own(Key::Declared(index)))
            && !value.is_empty()
            && may_say(header)
        {
            head.push(header.as_bytes(), value);
        }
    }
    for (name, value) in metadata.direct() {
        let header = name.trim_end_matches(':');
        if may_say(header) {
            head.push(header.as_bytes(), value);
        }
    }
}

/// Sets the metadata to which the policy maps headers, from a head of the peer's. What is too long to keep is as if the
/// peer had not said it.
pub(super) fn take_mapped(head: &Head, stream_type: &StreamType, metadata: &mut Metadata) {
    for (index, def) in stream_type.metadata.iter().enumerate() {
        if let Some(value) = def.header.as_ref().and_then(|header| head.get(header)) {
            let _ = metadata.set_from_peer(Key::Declared(index), value, DEFAULT_VALUE_LIMIT);
        }
    }
    if !stream_type.direct_proto_str {
        return;
    }
    let mut direct = String::with_capacity(MAX_DIRECT_NAME);
    for (name, value) in head.iter() {
        direct.clear();
        direct.extend(name.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
        direct.push(':');
        let _ = metadata.set_from_peer(Key::Direct(&direct), value, DEFAULT_VALUE_LIMIT);
    }
}

impl Context {
    /// A piece of the peer's message.
    fn h1_rx(&mut self, id: StreamId, wsi: WsiId, payload: &[u8]) {
        let Ok(stream) = self.core.live_mut(id) else { return };
        if stream.txn.incoming.is_some() {
            return self.h1_rx_parts(id, wsi, payload);
        }
        let som = !std::mem::replace(&mut stream.txn.rx_begun, true);
        self.call_rx(id, payload, RxFlags::new(som, false));
    }

    /// The end of the peer's message. False when it was not to end here, and the transaction has failed.
    fn h1_rx_end(&mut self, id: StreamId, wsi: WsiId) -> bool {
        let Ok(stream) = self.core.live_mut(id) else { return false };
        if stream.txn.incoming.is_some() {
            return self.h1_rx_parts_end(id, wsi);
        }
        let som = !std::mem::replace(&mut stream.txn.rx_begun, true);
        self.call_rx(id, &[], RxFlags::new(som, true));
        true
    }

    /// Asks the handler for the next piece of the message that goes out.
    pub(super) fn h1_tx(&mut self, id: StreamId, wsi: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        let Ok(stream) = self.core.live_mut(id) else { return TxFlow::DontSend };
        let is_server = stream.parent.is_some();
        if stream.txn.tx_ended || (is_server && !stream.txn.asked) {
            return TxFlow::DontSend;
        }
        if let Some(outgoing) = stream.txn.outgoing.take() {
            return self.h1_tx_form(id, wsi, tx, outgoing);
        }
        let declared = stream.txn.tx_len.filter(|_| !stream.txn.tx_begun);
        tx.describe(declared.unwrap_or(u64::MAX), !stream.txn.tx_begun, stream.ordinal);
        stream.wants_tx = false;
        let flow = self.call_tx(id, tx);
        let Ok(stream) = self.core.live_mut(id) else { return TxFlow::DontSend };
        let sent = tx.so_far();
        if flow != TxFlow::Send || (tx.is_empty() && !sent.is_eom) {
            return if flow == TxFlow::Send { TxFlow::DontSend } else { flow };
        }
        if is_server && !stream.txn.answered && !self.core.h1_answer(id, wsi, sent.len as u64, sent.is_eom) {
            return TxFlow::DontSend;
        }
        let is_done = self.core.http_tx_done(wsi);
        let Ok(stream) = self.core.live_mut(id) else { return TxFlow::DontSend };
        stream.txn.tx_begun = true;
        // The answer to HEAD is over with its head, whatever else there would be.
        stream.txn.tx_ended = sent.is_eom || is_done;
        TxFlow::Send
    }
}

impl Core {
    pub(super) fn h1_wants_tx(&mut self, id: StreamId, wsi: WsiId) {
        let Ok(stream) = self.live(id) else { return };
        if stream.parent.is_some() {
            self.h1_server_wants_tx(id, wsi);
        } else {
            self.h1_client_wants_tx(id, wsi);
        }
    }
}
