//! Streams over WebSockets: what a handler sends from SOM to EOM is a message, each piece a fragment of it.
//!
//! A client of protocol `ws` asks with the head that an h1 stream would: `http_url`, metadata, `http_auth_header` and all. A
//! server of protocol `h1` with `ws_subprotocol` answers plain requests as ever and grants upgrades; one of protocol `ws` grants
//! upgrades alone. Over HTTP/2 an extended CONNECT is what an upgrade is over HTTP/1.1 (RFC 8441): servers of protocol `h2` grant
//! it, and with `ws_over_h2` clients ask for it and servers of protocol `ws` take it. Compression is granted by servers to clients that offer it, as browsers do; our
//! clients do not offer it unless `StreamInfo::ws_deflate` asks for it: the policy has no word for it, and what it costs and
//! gives away is not to be had unasked.

use super::h1::take_mapped;
use crate::cause::Cause;
use crate::context::{Context, Core, WsiEvent};
use crate::http::{BodyLength, Head, Status, Version};
use crate::policy::{Protocol, StreamType};
use crate::role::{Role, WsDeflate, WsInfo, ws_answer};
use crate::secure_stream::stream::{Doing, SecureStream};
use crate::secure_stream::transaction::Transaction;
use crate::secure_stream::{StreamId, StreamState, Tx, TxFlow};
use crate::wsi::WsiId;
use std::rc::Rc;

/// A request of which nobody knows whether it arrived may be sent again: it changes nothing.
pub(super) fn is_repeatable(stream: &SecureStream) -> bool {
    stream.doing == Doing::Attempting
}

fn info_of(stream_type: &StreamType, deflate: Option<WsDeflate>) -> WsInfo<'_> {
    let ws = &stream_type.ws;
    WsInfo {
        protocols: ws.subprotocol.as_deref().unwrap_or_default(),
        is_binary: ws.binary,
        prioritize_reads: ws.prioritize_reads,
        deflate,
    }
}

impl Context {
    /// A client's connection, before and after its upgrade.
    pub(super) fn ws_client_event(&mut self, id: StreamId, wsi: WsiId, event: WsiEvent<'_>) {
        match event {
            WsiEvent::Established => self.core.ws_send_request(id, wsi),
            WsiEvent::Response(head) if self.core.speaks_ws(wsi) => self.core.ws_connected(id, wsi, head),
            WsiEvent::Response(head) => self.core.ws_refused(id, wsi, head),
            WsiEvent::Message(payload, flags) => self.call_rx(id, payload, flags),
            WsiEvent::End(_) if self.core.live(id).is_ok_and(|stream| stream.txn.redirecting) => {
                self.h1_response_end(id, wsi);
            }
            // The body of a refusal is nobody's.
            _ => {}
        }
    }

    /// Asks the handler for the next piece of the message that goes out.
    pub(super) fn ws_stream_tx(&mut self, id: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let Ok(stream) = self.core.live_mut(id) else { return TxFlow::DontSend };
        stream.wants_tx = false;
        // What the handler declares meanwhile is the next message's.
        let declared = stream.txn.tx_len.take();
        tx.describe(declared.unwrap_or(u64::MAX), !stream.txn.tx_begun, stream.ordinal);
        let flow = self.call_tx(id, tx);
        let Ok(stream) = self.core.live_mut(id) else { return TxFlow::DontSend };
        let left = declared.map(|len| len.saturating_sub(tx.so_far().len as u64));
        if flow == TxFlow::Send && left == Some(0) {
            tx.end_message();
        }
        if flow == TxFlow::Send && tx.so_far().is_eom {
            stream.txn.tx_begun = false;
            stream.ordinal = stream.ordinal.wrapping_add(1);
            return flow;
        }
        let is_sent = flow == TxFlow::Send && !tx.is_empty();
        stream.txn.tx_len = left.or(stream.txn.tx_len);
        stream.txn.tx_begun |= is_sent;
        if flow == TxFlow::Send && !is_sent { TxFlow::DontSend } else { flow }
    }
}

impl Core {
    pub(crate) fn speaks_ws(&self, wsi: WsiId) -> bool {
        matches!(self.wsis.get(wsi).map(|wsi| &wsi.role), Some(Role::Ws(_)))
    }

    /// A connection is there: the request for an upgrade goes out.
    fn ws_send_request(&mut self, id: StreamId, wsi: WsiId) {
        let Ok(stream) = self.live(id) else { return };
        let (stream_type, deflate) = (Rc::clone(&stream.stream_type), stream.ws_deflate);
        let mut head = std::mem::take(&mut self.out_head);
        let sent = self.h1_build_request(id, &mut head).and_then(|(endpoint, _)| {
            let (target, host) = (head.target(), endpoint.authority.as_bytes());
            self.ws_request(wsi, target, host, head.iter(), &info_of(&stream_type, deflate))
                .map_err(|error| Cause::policy(&error.to_string()))
        });
        self.out_head = head;
        if let Err(cause) = sent {
            if let Ok(stream) = self.live_mut(id) {
                stream.wsi = None;
            }
            self.unbind_stream(wsi);
            self.attempt_failed(id, cause, None);
        }
    }

    /// The server has granted it.
    fn ws_connected(&mut self, id: StreamId, wsi: WsiId, head: &Head) {
        self.note_response(wsi);
        self.h1_keep_cookies(id, head);
        let Ok(stream) = self.live_mut(id) else { return };
        let stream_type = Rc::clone(&stream.stream_type);
        take_mapped(head, &stream_type, &mut stream.metadata);
        let wants_tx = stream.wants_tx;
        self.stream_connected(id);
        self.report_performance(id);
        if wants_tx {
            self.wsi_request_tx(wsi);
        }
    }

    /// The server takes no websockets over HTTP/2: the attempt goes on over HTTP/1.1. False when that is not it.
    #[cfg(feature = "h2")]
    pub(in crate::secure_stream) fn ws_falls_back(&mut self, id: StreamId) -> bool {
        let Ok(stream) = self.live(id) else { return false };
        let stream_type = Rc::clone(&stream.stream_type);
        if stream_type.protocol != Some(Protocol::Ws) || stream.doing != Doing::Attempting {
            return false;
        }
        let from = match stream.txn.redirect.clone().or_else(|| stream.endpoint.clone()) {
            Some(from) => Ok(from),
            None => self.h1_endpoint_now(id).map(Rc::new),
        };
        match from.and_then(|from| self.endpoint_over_h1(&stream_type, &from)) {
            Ok(endpoint) => {
                if let Ok(stream) = self.live_mut(id) {
                    stream.txn.redirect = Some(Rc::new(endpoint));
                }
                self.bind(id);
            }
            Err(cause) => self.attempt_failed(id, cause, None),
        }
        true
    }

    /// Any other response is what it is to a plain request (RFC 6455 4.1), but for one thing: none is a good one.
    fn ws_refused(&mut self, id: StreamId, wsi: WsiId, head: &Head) {
        let Some(status) = head.status().filter(|status| !status.is_informational()) else { return };
        self.h1_keep_cookies(id, head);
        let Ok(stream) = self.live(id) else { return };
        let http = &stream.stream_type.http;
        let moved = matches!(status.code(), 301 | 302 | 303 | 307 | 308) && head.get("location").is_some();
        let is_followed = moved && stream.stream_type.allow_redirects && !http.fail_redirect;
        let has_resp = http.resp_map.iter().find(|(from, _)| *from == status.code()).map(|(_, state)| *state);
        let is_auth = matches!(status.code(), 401 | 407) && http.auth_header.is_some();
        if is_followed {
            return self.h1_redirect(id, wsi, status, head);
        }
        if let Some(state) = has_resp {
            self.tell(id, StreamState::User(state));
        }
        if is_auth {
            if let Ok(stream) = self.live_mut(id) {
                stream.wsi = None;
            }
            self.unbind_stream(wsi);
            return self.auth_failed(id, Cause::http_status(status.code()));
        }
        let after = self.h1_retry_after(status, head);
        self.h1_fail_try(id, wsi, Cause::http_status(status.code()), after);
    }

    /// A server's request at hand may ask for an upgrade. True when it has been dealt with here.
    pub(super) fn ws_server_request(&mut self, id: StreamId, wsi: WsiId, head: &Head) -> bool {
        let Ok(stream) = self.live(id) else { return false };
        let stream_type = Rc::clone(&stream.stream_type);
        let is_alone = stream_type.protocol == Some(Protocol::Ws);
        let is_h2 = head.version() == Version::Http2;
        // Over HTTP/2 no other protocol comes so far.
        let asks = head.get(if is_h2 { ":protocol" } else { "upgrade" });
        let asks = http::field::list(asks.unwrap_or_default())
            .any(|protocol| protocol.eq_ignore_ascii_case(b"websocket"));
        let is_granted = asks && stream_type.ws.subprotocol.is_some();
        if !is_alone && !is_granted {
            return false;
        }
        let server = stream.parent.and_then(|server| self.streams.get(server));
        let deflate = server.and_then(|server| server.ws_deflate).unwrap_or_default();
        let info = info_of(&stream_type, Some(deflate));
        let refusal = match ws_answer(head, &info) {
            Ok(answer) => match self.ws_accept(wsi, &answer, &info) {
                Ok(()) => {
                    self.ws_upgrade_stream(id, wsi, head);
                    return true;
                }
                Err(error) => {
                    log::info!(target: "millstream::stream", "{id}: no upgrade: {error}");
                    None
                }
            },
            Err(error) => {
                log::info!(target: "millstream::stream", "{id}: no upgrade: {error}");
                Some(error)
            }
        };
        // RFC 9110 15.5.22: what has to be asked for here. HTTP/2 has no Upgrade (RFC 9113 8.6).
        let status = match refusal {
            _ if !asks && is_h2 => Status::METHOD_NOT_ALLOWED,
            _ if !asks => Status::UPGRADE_REQUIRED,
            Some(error) if !is_h2 => error.status(),
            _ => Status::BAD_REQUEST,
        };
        let needed: (&[u8], &[u8]) = if is_h2 { (b"Allow", b"CONNECT") } else { (b"Upgrade", b"websocket") };
        let fields = Some(needed).into_iter().filter(|_| !asks);
        let fields = fields.chain(refusal.filter(|_| asks).into_iter().flat_map(|error| error.fields()));
        let fields = fields.filter(|(name, _)| !(is_h2 && name.eq_ignore_ascii_case(b"upgrade")));
        if let Err(error) = self.http_respond(wsi, status, fields, BodyLength::Known(0)) {
            self.close(wsi, Some(Cause::policy(&error.to_string())));
        }
        true
    }

    /// The transactions of an accepted stream are over; from here on it has messages.
    fn ws_upgrade_stream(&mut self, id: StreamId, wsi: WsiId, head: &Head) {
        let Ok(stream) = self.live_mut(id) else { return };
        stream.txn = Transaction::default();
        // What was asked for before was meant for the answer to a request, where there are such.
        stream.wants_tx &= stream.stream_type.protocol == Some(Protocol::Ws);
        let wants_tx = stream.wants_tx;
        self.h1_take_request(id, head);
        self.tell(id, StreamState::ServerUpgrade);
        if wants_tx {
            self.wsi_request_tx(wsi);
        }
    }
}
