//! The client's side: the request from policy and metadata, the response to states and payload.

use super::{Incoming, push_mapped, take_mapped};
use crate::cause::Cause;
use crate::context::{Context, Core, WsiEvent};
use crate::http::{BodyLength, Head, Method, Status};
use crate::policy::{Protocol, StreamType};
use crate::secure_stream::endpoint::expand;
use crate::secure_stream::retry_after::retry_after;
use crate::secure_stream::stream::{Doing, SecureStream};
use crate::secure_stream::{StreamId, StreamState};
use crate::system::Blob;
use crate::wsi::WsiId;
use std::rc::Rc;

/// Redirects that are followed in a row (RFC 9110 15.4: a client should detect loops).
const REDIRECTS: u8 = 5;

/// What must hold of a stream type before a stream of it exists.
pub(in crate::secure_stream::transport) fn check(stream_type: &StreamType) -> Result<(), &'static str> {
    let http = &stream_type.http;
    let is_described = http.multipart_filename.is_some() || http.multipart_content_type.is_some();
    if stream_type.server {
        return Ok(());
    }
    // RFC 7578 4.2: a part must have a name.
    if is_described && http.multipart_name.is_none() {
        return Err("http_multipart_filename and http_multipart_content_type need http_multipart_name");
    }
    if http.multipart_name.is_some() && !has_body(method_of(stream_type, false)) {
        return Err("http_multipart_name needs an http_method whose request has a body");
    }
    Ok(())
}

/// What the server cannot have acted upon may be sent again: a request without side effects, or one of whose body
/// nothing has left though there is one (RFC 9110 9.2.2).
pub(in crate::secure_stream::transport) fn is_repeatable(stream: &SecureStream) -> bool {
    let method = method_of(&stream.stream_type, stream.txn.as_get);
    let is_whole = stream.txn.tx_len == Some(0);
    !stream.txn.tx_begun && (method.is_idempotent() || (has_body(method) && !is_whole))
}

fn method_of(stream_type: &StreamType, as_get: bool) -> Method {
    // RFC 6455 4.1: a websocket begins with a GET.
    if as_get || stream_type.protocol == Some(Protocol::Ws) {
        return Method::Get;
    }
    let name = stream_type.http.method.as_deref().unwrap_or("GET");
    Method::from_bytes(name.as_bytes()).unwrap_or(Method::Get)
}

/// Methods whose request carries what `tx` gives.
fn has_body(method: Method) -> bool {
    matches!(method, Method::Post | Method::Put | Method::Patch)
}

fn hexify(token: &[u8], out: &mut Vec<u8>) {
    let digit =
        |nibble: u8| char::from_digit(u32::from(nibble), 16).map_or(0, |c| c.to_ascii_uppercase() as u8);
    out.extend(token.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
}

impl Context {
    pub(in crate::secure_stream::transport) fn h1_client_event(
        &mut self,
        id: StreamId,
        wsi: WsiId,
        event: WsiEvent<'_>,
    ) {
        match event {
            WsiEvent::Established => self.core.h1_send_request(id, wsi),
            WsiEvent::Response(head) => self.core.h1_response(id, wsi, head),
            // The body of a redirect is nobody's.
            WsiEvent::Rx(payload) if self.core.live(id).is_ok_and(|stream| !stream.txn.redirecting) => {
                self.h1_rx(id, wsi, payload);
            }
            WsiEvent::End(_) => self.h1_response_end(id, wsi),
            _ => {}
        }
    }

    /// The response is complete: the transaction is acknowledged, the connection is free, the stream disconnected.
    pub(in crate::secure_stream::transport) fn h1_response_end(&mut self, id: StreamId, wsi: WsiId) {
        let Ok(stream) = self.core.live_mut(id) else { return };
        if std::mem::take(&mut stream.txn.redirecting) {
            stream.wsi = None;
            self.core.release(wsi);
            return self.core.bind(id);
        }
        if stream.doing == Doing::Connected && !self.h1_rx_end(id, wsi) {
            return;
        }
        let Ok(stream) = self.core.live_mut(id) else { return };
        if stream.wsi != Some(wsi) {
            return;
        }
        stream.wsi = None;
        let good = stream.txn.is_good;
        let was_connected = stream.doing == Doing::Connected;
        self.core.release(wsi);
        if was_connected {
            self.core.tell(id, if good { StreamState::QosAckRemote } else { StreamState::QosNackRemote });
            if let Ok(stream) = self.core.live_mut(id) {
                stream.ordinal = stream.ordinal.wrapping_add(1);
            }
            self.core.disconnected(id);
        }
    }
}

impl Core {
    /// A connection is there: the request goes out, or at least its head does.
    fn h1_send_request(&mut self, id: StreamId, wsi: WsiId) {
        let Ok(stream) = self.live(id) else { return };
        let has_body_to_come = has_body(method_of(&stream.stream_type, stream.txn.as_get));
        self.h1_begin_form(id, has_body_to_come);
        let mut head = std::mem::take(&mut self.out_head);
        let built = self.h1_build_request(id, &mut head);
        #[cfg(feature = "h2")]
        if let Ok(stream) = self.live(id) {
            let wish = stream.h2_wish();
            self.h2_wish(wsi, wish);
        }
        let sent = built.and_then(|(authority, body)| {
            let method = head.method().unwrap_or(Method::Get);
            self.http_request(wsi, method, head.target(), authority.authority.as_bytes(), head.iter(), body)
                .map_err(|error| Cause::policy(&error.to_string()))
                .map(|()| (has_body(method), body == BodyLength::Known(0)))
        });
        self.out_head = head;
        let (has_body, is_whole) = match sent {
            Ok(sent) => sent,
            Err(cause) => {
                if let Ok(stream) = self.live_mut(id) {
                    stream.wsi = None;
                }
                self.unbind_stream(wsi);
                return self.attempt_failed(id, cause, None);
            }
        };
        // What `request_tx` asked for is on its way.
        if (!has_body || is_whole)
            && let Ok(stream) = self.live_mut(id)
        {
            stream.wants_tx = false;
        }
        if !has_body {
            return;
        }
        self.stream_connected(id);
        if self.live(id).is_ok_and(|stream| stream.wants_tx) {
            self.h1_client_wants_tx(id, wsi);
        }
    }

    pub(super) fn h1_client_wants_tx(&mut self, id: StreamId, wsi: WsiId) {
        let Ok(stream) = self.live_mut(id) else { return };
        let method = method_of(&stream.stream_type, stream.txn.as_get);
        if has_body(method) && !stream.txn.tx_ended {
            self.wsi_request_tx(wsi);
        }
    }

    pub(in crate::secure_stream::transport) fn h1_build_request(
        &mut self,
        id: StreamId,
        head: &mut Head,
    ) -> Result<(Rc<crate::secure_stream::endpoint::Endpoint>, BodyLength), Cause> {
        let Ok(stream) = self.live(id) else { return Err(Cause::by_us()) };
        let stream_type = Rc::clone(&stream.stream_type);
        let method = method_of(&stream_type, stream.txn.as_get);
        let endpoint = stream.txn.redirect.clone().or_else(|| stream.endpoint.clone());
        let endpoint = match endpoint {
            Some(endpoint) => endpoint,
            None => Rc::new(self.h1_endpoint_now(id)?),
        };
        let Ok(stream) = self.live(id) else { return Err(Cause::by_us()) };
        head.set_request(method, b"");
        let expanded = head.write_target(|target| match (&endpoint.path, &stream_type.http.url) {
            (Some(path), _) => {
                target.extend_from_slice(path);
                Ok(())
            }
            (None, Some(url)) => expand(url, "http_url", &stream_type, &stream.metadata, target),
            (None, None) => Ok(()),
        });
        expanded?;
        push_mapped(head, &stream_type, &stream.metadata, &stream.txn);
        // RFC 9110 15.4: what was meant for the one server is not another's to know.
        if !stream.txn.is_elsewhere {
            self.h1_push_auth(head, &stream_type);
        }
        if stream_type.http.cookies {
            self.h1_push_cookies(id, head, &endpoint);
        }
        let Ok(stream) = self.live(id) else { return Err(Cause::by_us()) };
        let body = if has_body(method) { self.h1_body(head, stream, &stream_type) } else { BodyLength::None };
        Ok((endpoint, body))
    }

    /// The endpoint of a stream whose metadata may have changed it; what the connection was made to.
    pub(in crate::secure_stream::transport) fn h1_endpoint_now(
        &mut self,
        id: StreamId,
    ) -> Result<crate::secure_stream::endpoint::Endpoint, Cause> {
        let Ok(stream) = self.live_mut(id) else { return Err(Cause::by_us()) };
        let stream_type = Rc::clone(&stream.stream_type);
        let metadata = std::mem::take(&mut stream.metadata);
        let endpoint = self.endpoint(&stream_type, &metadata);
        if let Ok(stream) = self.live_mut(id) {
            stream.metadata = metadata;
        }
        endpoint
    }

    #[allow(clippy::unused_self)]
    fn h1_body(&self, head: &mut Head, stream: &SecureStream, stream_type: &StreamType) -> BodyLength {
        let http = &stream_type.http;
        if let Some(outgoing) = &stream.txn.outgoing {
            outgoing.push_type(head);
            return outgoing.body(stream.txn.tx_len.filter(|_| !http.no_content_length));
        }
        let mime = match &http.mime_content_type {
            Some(mime) => Some(mime.as_str()),
            None if http.www_form_urlencoded => Some("application/x-www-form-urlencoded"),
            None => None,
        };
        if let Some(mime) = mime
            && head.get("content-type").is_none()
        {
            head.push(b"content-type", mime.as_bytes());
        }
        match stream.txn.tx_len {
            Some(len) if !http.no_content_length => BodyLength::Known(len),
            _ => BodyLength::Unknown,
        }
    }

    /// The headers whose values are the device's, not the stream's.
    fn h1_push_auth(&self, head: &mut Head, stream_type: &StreamType) {
        let http = &stream_type.http;
        let index = stream_type.use_auth.as_ref().map_or(0, |auth| auth.blob);
        if let (Some(header), Some(token)) = (&http.auth_header, self.blobs.get(Blob::Auth(index))) {
            head.push_with(header.trim_end_matches(':').as_bytes(), |value| {
                value.extend_from_slice(http.auth_preamble.as_deref().unwrap_or_default().as_bytes());
                if http.auth_hexify {
                    hexify(token, value);
                } else {
                    value.extend_from_slice(token);
                }
            });
        }
        for (header, blob) in [
            (&http.dsn_header, Blob::DeviceSerial),
            (&http.fwv_header, Blob::DeviceFirmwareVersion),
            (&http.devtype_header, Blob::DeviceType),
        ] {
            if let (Some(header), Some(value)) = (header, self.blobs.get(blob)) {
                head.push(header.trim_end_matches(':').as_bytes(), value);
            }
        }
    }

    /// The head of a response: what it means for the attempt, then states and metadata.
    fn h1_response(&mut self, id: StreamId, wsi: WsiId, head: &Head) {
        let Some(status) = head.status() else { return };
        if status.is_informational() {
            return;
        }
        self.note_response(wsi);
        self.h1_keep_cookies(id, head);
        let after = self.h1_retry_after(status, head);
        let Ok(stream) = self.live_mut(id) else { return };
        let stream_type = Rc::clone(&stream.stream_type);
        let http = &stream_type.http;
        let code = status.code();
        let is_attempt = stream.doing == Doing::Attempting;
        (stream.txn.exchanged, stream.txn.heard) = (true, true);
        stream.txn.is_good = match http.expect {
            Some(expect) => code == expect,
            None => status.is_success(),
        };
        let good = stream.txn.is_good;
        if status.is_redirect() && !good {
            if http.fail_redirect {
                return self.h1_fail_try(id, wsi, Cause::http_status(code), None);
            }
            if stream_type.allow_redirects && head.get("location").is_some() {
                return self.h1_redirect(id, wsi, status, head);
            }
        }
        if after.is_some() && !good {
            return self.h1_fail_try(id, wsi, Cause::http_status(code), after);
        }
        if matches!(code, 401 | 407) && !good && is_attempt && http.auth_header.is_some() {
            stream.wsi = None;
            self.unbind_stream(wsi);
            return self.auth_failed(id, Cause::http_status(code));
        }
        let has_body =
            method_of(&stream_type, stream.txn.as_get) != Method::Head && !matches!(code, 204 | 304);
        match Incoming::of(head, &stream_type) {
            Ok(incoming) => stream.txn.incoming = incoming.filter(|_| has_body),
            Err(error) => return self.h1_multipart_failed(id, wsi, error),
        }
        take_mapped(head, &stream_type, &mut stream.metadata);
        if let Some((_, state)) = http.resp_map.iter().find(|(from, _)| *from == code) {
            self.tell(id, StreamState::User(*state));
        }
        self.stream_connected(id);
        self.report_performance(id);
        if !good && let Ok(stream) = self.live_mut(id) {
            stream.cause = Some(Box::new(Cause::http_status(code)));
        }
    }

    /// How long a server that has too much to do wants us to wait at least; `None` for other responses.
    pub(in crate::secure_stream::transport) fn h1_retry_after(
        &self,
        status: Status,
        head: &Head,
    ) -> Option<std::time::Duration> {
        let wall = std::time::Duration::from_secs(self.wall_secs);
        let after = || head.get("retry-after").and_then(|value| retry_after(value, wall));
        matches!(status.code(), 503 | 429).then(|| after().unwrap_or_default())
    }

    /// The response makes this a failed try, whether the handler has been told CONNECTED or not.
    pub(in crate::secure_stream::transport) fn h1_fail_try(
        &mut self,
        id: StreamId,
        wsi: WsiId,
        cause: Cause,
        at_least: Option<std::time::Duration>,
    ) {
        let Ok(stream) = self.live_mut(id) else { return };
        stream.wsi = None;
        let was_connected = stream.doing == Doing::Connected;
        self.unbind_stream(wsi);
        if !was_connected {
            return self.attempt_failed(id, cause, at_least);
        }
        let Ok(stream) = self.live_mut(id) else { return };
        stream.cause = Some(Box::new(cause));
        stream.txn.failed_try = at_least;
        self.tell(id, StreamState::QosNackRemote);
        self.disconnected(id);
    }

    /// Follows a redirect: the body of this response is nobody's, then the request goes where it points.
    pub(in crate::secure_stream::transport) fn h1_redirect(
        &mut self,
        id: StreamId,
        wsi: WsiId,
        status: Status,
        head: &Head,
    ) {
        let Ok(stream) = self.live_mut(id) else { return };
        let stream_type = Rc::clone(&stream.stream_type);
        let method = method_of(&stream_type, stream.txn.as_get);
        stream.txn.redirects += 1;
        if stream.txn.redirects > REDIRECTS {
            return self.h1_fail_try(id, wsi, Cause::protocol("too many redirects in a row"), None);
        }
        // RFC 9110 15.4.2-4: what was a POST becomes a GET, as all clients do; 307 and 308 keep the method, and a
        // body that has been streamed is not there to send again.
        let becomes_get = match status.code() {
            303 => method != Method::Head,
            301 | 302 => has_body(method),
            307 | 308 if !has_body(method) => false,
            307 | 308 => {
                let cause = Cause::protocol("a redirect asks for the body again, which is gone");
                return self.h1_fail_try(id, wsi, cause, None);
            }
            _ => return self.stream_connected(id),
        };
        let location = head.get("location").unwrap_or_default().to_vec();
        let followed = self.h1_follow(id, &stream_type, &location);
        match followed {
            Ok((endpoint, is_elsewhere)) => {
                let Ok(stream) = self.live_mut(id) else { return };
                stream.txn.redirect = Some(Rc::new(endpoint));
                stream.txn.is_elsewhere |= is_elsewhere;
                stream.txn.redirecting = true;
                stream.txn.fell_back = false;
                stream.txn.as_get |= becomes_get;
            }
            Err(cause) => self.h1_fail_try(id, wsi, cause, None),
        }
    }

    fn h1_follow(
        &mut self,
        id: StreamId,
        stream_type: &StreamType,
        location: &[u8],
    ) -> Result<(crate::secure_stream::endpoint::Endpoint, bool), Cause> {
        let mut head = std::mem::take(&mut self.out_head);
        let built = self.h1_build_request(id, &mut head);
        let followed = built.and_then(|(from, _)| {
            let to = self.redirected(stream_type, &from, head.target(), location)?;
            let is_elsewhere = !to.has_origin_of(&from);
            Ok((to, is_elsewhere))
        });
        self.out_head = head;
        followed
    }
}
