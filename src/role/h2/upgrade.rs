//! From HTTP/1.1 to HTTP/2 in one request, where there is no TLS to agree by (`h2c`, RFC 7540 3.2): the request becomes
//! stream 1.

use crate::context::scratch::Scratch;
use crate::context::{Context, Core};
use crate::http::{Head, Method, Version, field};
use crate::role::Role;
use crate::wsi::{Binding, WsiId, WsiState};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use h2::{Engine, StreamId};

const SETTINGS: &str = "http2-settings";

/// What belongs to the connection over HTTP/1.1, and not to the request (RFC 9113 8.2.2).
const OF_THE_CONNECTION: [&str; 5] = ["connection", "upgrade", "keep-alive", "proxy-connection", SETTINGS];

/// The client's settings, where a request asks for HTTP/2 in a way that can be granted: both protocols' fields are named in
/// Connection, and there is one HTTP2-Settings that is base64url (RFC 7540 3.2.1). Otherwise it is a request like any other.
fn settings(head: &Head) -> Option<Vec<u8>> {
    let has = |name: &str, member: &[u8]| {
        head.get_all(name).flat_map(field::list).any(|one| one.eq_ignore_ascii_case(member))
    };
    if !has("upgrade", b"h2c") || has("upgrade", b"websocket") || !has("connection", SETTINGS.as_bytes()) {
        return None;
    }
    let mut values = head.get_all(SETTINGS);
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    URL_SAFE_NO_PAD.decode(field::trim(value)).ok()
}

/// The request as it would have come over HTTP/2.
fn translated(head: &Head) -> Head {
    let mut request = Head::new();
    request.set_request(head.method().unwrap_or(Method::Get), head.target());
    request.set_version(Version::Http2);
    let is_own = |name: &[u8]| OF_THE_CONNECTION.iter().any(|own| name.eq_ignore_ascii_case(own.as_bytes()));
    for (name, value) in head.iter().filter(|(name, _)| !is_own(name)) {
        request.push(name, value);
    }
    request
}

impl Core {
    /// Grants the upgrade that the request in `head` asks for, if it does: the first one on its connection, and one without
    /// a body, of which HTTP/2 could be begun only after its end. What cannot be granted is ignored (RFC 9110 7.8).
    fn h2_switch(&mut self, id: WsiId, head: &Head) -> Option<StreamId> {
        let wsi = self.wsis.get(id).filter(|wsi| wsi.binding == Binding::None && !wsi.is_tls())?;
        wsi.vhost.filter(|vhost| self.vhost_speaks_h2(*vhost))?;
        let Role::H1(engine) = &wsi.role else { return None };
        if wsi.state() != WsiState::Open || !engine.wants_upgrade() || !engine.has_event() {
            return None;
        }
        let is_head = head.method() == Some(Method::Head);
        let limits = self.h2_limits(id);
        let (h2, stream) = Engine::server_upgraded(limits, &settings(head)?, is_head).ok()?;
        let wsi = self.wsis.get_mut(id)?;
        let Role::H1(engine) = &mut wsi.role else { return None };
        self.spares.lend(&mut wsi.front);
        engine.encode_upgrade([(&b"Upgrade"[..], &b"h2c"[..])].into_iter(), &mut wsi.front).ok()?;
        self.h2_begin(id, h2);
        Some(stream)
    }
}

impl Context {
    /// Goes on in HTTP/2, if the request at hand asks for that. What the client sends behind it is HTTP/2 already.
    pub(in crate::role) fn h2_upgrade(&mut self, id: WsiId, scratch: &Scratch) -> bool {
        let Some(stream) = self.core.h2_switch(id, &scratch.head) else { return false };
        self.h2_request_event(id, stream, &translated(&scratch.head));
        if let Some(child) = self.core.h2_child(id, stream) {
            self.h2_end(id, child, &Head::new());
        }
        self.core.h2_greet(id);
        self.core.schedule(id);
        true
    }
}
