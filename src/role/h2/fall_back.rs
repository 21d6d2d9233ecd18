//! Servers that choose HTTP/1.1 by ALPN, or know no ALPN, where HTTP/2 was offered beside it (RFC 7301).

use crate::cause::Cause;
use crate::context::{Core, Effect};
use crate::role::Role;
use crate::secure_stream::StreamId;
use crate::wsi::{Binding, ClientRole, WsiId};

impl Core {
    /// Who has waited longest for the connection gets it, for HTTP/1.1; the other streams make their own. User code that has
    /// asked for HTTP/2 gets nothing else.
    pub(super) fn h2_fall_back(&mut self, id: WsiId) {
        #[cfg(feature = "ws")]
        self.h2_takes_no_ws(id);
        self.carrier_hides(id);
        let cause = Cause::protocol("the server does not speak HTTP/2 (ALPN)");
        let waiting = self.h2_mut(id).map(|h2| std::mem::take(&mut h2.waiting)).unwrap_or_default();
        let Some(heir) = waiting.iter().find_map(|child| self.stream_behind(*child)) else {
            return self.close(id, Some(cause));
        };
        if let Some(wsi) = self.wsis.get_mut(id) {
            wsi.role = Role::for_client(ClientRole::H1);
            wsi.binding = Binding::Stream(heir);
        }
        self.families.disperse(id);
        // Nobody asks this role for signs of life.
        self.validity_start(id);
        let mut socket = Some(id);
        for child in waiting {
            let Some(stream) = self.stream_behind(child) else {
                self.close(child, Some(cause.clone()));
                continue;
            };
            if let Some(wsi) = self.wsis.get_mut(child) {
                wsi.binding = Binding::None;
            }
            self.effects.push_back(Effect::FellBack { stream, from: child, to: socket.take() });
            self.remove(child);
        }
    }

    /// Websockets have a way of their own to be asked for over HTTP/1.1: they are told that this connection carries none.
    fn stream_behind(&self, child: WsiId) -> Option<StreamId> {
        match self.wsis.get(child)?.binding {
            Binding::Stream(stream) if self.may_fall_back(stream) => Some(stream),
            _ => None,
        }
    }
}
