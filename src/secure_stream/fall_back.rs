//! Streams of `"protocol": "h2"` whose server speaks HTTP/1.1 only: each has a connection of its own then, kept for the next
//! like any other of HTTP/1.1.

use super::StreamId;
use super::endpoint::Endpoint;
use crate::cause::Cause;
use crate::context::{Core, Effect};
use crate::policy::{Protocol, StreamType};
use crate::wsi::{ClientInfo, ClientRole, WsiId};
use std::rc::Rc;

impl Core {
    /// The same over HTTP/1.1, where a server may choose that by TLS instead of HTTP/2.
    pub(super) fn older(
        &mut self,
        stream_type: &StreamType,
        (host, port): (&str, u16),
        info: &ClientInfo,
    ) -> Result<Option<Rc<ClientInfo>>, Cause> {
        #[cfg(all(feature = "h2", feature = "tls"))]
        if stream_type.protocol == Some(Protocol::H2) && info.tls.is_some() {
            let mut older = ClientInfo { role: ClientRole::H1, instead_of_h2: true, ..info.clone() };
            self.add_tls(stream_type, host, port, &mut older)?;
            return Ok(Some(Rc::new(older)));
        }
        Ok(None)
    }

    /// What a stream connects to: its endpoint, or the same over HTTP/1.1 where the server was heard to want that. A
    /// connection that is kept is such news, and saves asking once more; one over HTTP/2 is newer.
    pub(super) fn info_for(&self, id: StreamId, endpoint: &Endpoint) -> Rc<ClientInfo> {
        let Some(older) = &endpoint.fall_back else { return Rc::clone(&endpoint.info) };
        let Ok(stream) = self.live(id) else { return Rc::clone(&endpoint.info) };
        let is_kept = !stream.txn.fresh
            && self.pool.get(older).is_some_and(|kept| !kept.is_empty())
            && !self.carriers.contains_key(&endpoint.info);
        Rc::clone(if stream.txn.fell_back || is_kept { older } else { &endpoint.info })
    }

    /// The stream goes on over HTTP/1.1 where that is all that its server speaks.
    pub(crate) fn may_fall_back(&self, id: StreamId) -> bool {
        self.live(id).is_ok_and(|stream| stream.stream_type.protocol == Some(Protocol::H2))
    }

    /// The connection that a stream was to share is none that can be shared: it is the stream's own now (`to`), or the
    /// stream makes another.
    pub(crate) fn stream_fell_back(&mut self, id: StreamId, from: WsiId, to: Option<WsiId>) {
        let stream = self.live_mut(id).ok().filter(|stream| stream.wsi == Some(from));
        let Some(stream) = stream else {
            // It has left meanwhile.
            return to.into_iter().for_each(|wsi| self.unbind_stream(wsi));
        };
        stream.txn.fell_back = true;
        stream.wsi = to;
        let Some(wsi) = to else { return self.bind(id) };
        let older = self.find_endpoint(id).ok().and_then(|endpoint| endpoint.fall_back.clone());
        if let (Some(row), Some(older)) = (self.wsis.get_mut(wsi), older) {
            row.rare().pool_key = Some(older);
        }
        self.effects.push_back(Effect::Established(wsi));
    }
}
