//! `"perf": true`: a stream is told how its connection performed, as JSON beside its payload.

use super::{RxFlags, StreamId};
use crate::context::{Context, Core, Effect};
use crate::plat::Address;
use crate::wsi::{Timings, WsiId};
use serde_json::json;

/// The members that lws writes (`secure-streams-readme.md`, "perf"). Steps that a connection did not need, because it was
/// there already or has no TLS, took 0.
fn to_json(peer: Option<&Address>, timings: &Timings) -> String {
    let peer = match peer {
        Some(Address::Ip(address)) => address.ip().to_string(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let addresses: Vec<_> = timings.addresses.iter().map(ToString::to_string).collect();
    json!({
        "peer": peer,
        "dns_us": timings.dns_us,
        "sockconn_us": timings.connect_us,
        "tls_us": timings.tls_us,
        "txn_resp_us": timings.response_us,
        "dns": addresses,
    })
    .to_string()
}

impl Core {
    /// The connection of a stream has shown how it performs.
    pub(super) fn report_performance(&mut self, id: StreamId) {
        if self.live(id).is_ok_and(|stream| stream.stream_type.perf) {
            self.effects.push_back(Effect::Performance(id));
        }
    }

    /// The peer has answered.
    pub(super) fn note_response(&mut self, wsi: WsiId) {
        let now = self.now;
        if let Some(timings) = self.wsis.get_mut(wsi).and_then(|wsi| wsi.rare.as_mut()?.timings.as_mut()) {
            timings.responded(now);
        }
    }
}

impl Context {
    pub(crate) fn tell_performance(&mut self, id: StreamId) {
        let Ok(stream) = self.core.live(id) else { return };
        let Some(wsi) = stream.wsi.and_then(|wsi| self.core.wsis.get(wsi)) else { return };
        let Some(rare) = &wsi.rare else { return };
        let unmeasured = Timings::default();
        let timings = rare.timings.as_deref().unwrap_or(&unmeasured);
        let text = to_json(rare.peer.as_ref(), timings);
        self.call_rx(id, text.as_bytes(), RxFlags::PERF_JSON);
    }
}
