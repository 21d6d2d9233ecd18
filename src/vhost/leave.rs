//! Leaving: a vhost that listens no more, and what becomes of those who have come for it.

use super::{VhostId, VhostUser};
use crate::context::Core;
use crate::role::Role;
use crate::wsi::{Flags, Wait, WsiId};

impl Core {
    /// A connection is for this vhost, whichever it was for before.
    pub(super) fn vhost_assign(&mut self, id: WsiId, vhost: VhostId) {
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        let before = wsi.vhost.replace(vhost);
        if let Some(row) = self.vhosts.get_mut(vhost) {
            row.connections += 1;
        }
        if let Some(before) = before {
            self.vhost_lost_one(before);
        }
    }

    /// A connection of a vhost is gone: with the last one goes a server that is leaving.
    pub(crate) fn vhost_lost_one(&mut self, id: VhostId) {
        let Some(vhost) = self.vhosts.get_mut(id) else { return };
        vhost.connections = vhost.connections.saturating_sub(1);
        self.vhost_end_if_left(id);
    }

    fn vhost_end_if_left(&mut self, id: VhostId) {
        let Some(vhost) = self.vhosts.get(id).filter(|vhost| vhost.is_leaving && vhost.connections == 0)
        else {
            return;
        };
        if let VhostUser::Stream(server) = vhost.user {
            // It may have been destroyed in between.
            let _ = self.destroy(server);
        }
    }

    /// Listens no more, and tells those who have come.
    pub(crate) fn vhost_leave(&mut self, id: VhostId) {
        let Some(vhost) = self.vhosts.get_mut(id) else { return };
        vhost.is_leaving = true;
        let listener = vhost.listener;
        self.stop_listening(listener, id);
        let is_one = |wsi: &crate::wsi::Wsi| {
            (wsi.flags.has(Flags::ACCEPTED) || wsi.role.says_goodbye()) && wsi.vhost == Some(id)
        };
        let here: Vec<_> = self.wsis.iter().filter(|(_, wsi)| is_one(wsi)).map(|(id, _)| id).collect();
        for connection in here {
            self.take_leave(connection);
        }
        self.vhost_end_if_left(id);
    }

    fn take_leave(&mut self, id: WsiId) {
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        match &mut wsi.role {
            #[cfg(feature = "h2")]
            Role::H2(_) => self.h2_shut_down(id),
            #[cfg(feature = "h1")]
            Role::H1(engine) => {
                engine.close_after_this();
                if wsi.deadline.is(Wait::KeepAlive) {
                    self.close_flushed(id, None);
                }
            }
            #[cfg(feature = "ws")]
            Role::Ws(_) => self.ws_leave(id),
            // Their clients say themselves when they are done.
            _ => {}
        }
    }

    /// The vhost that a connection has come for is leaving.
    #[cfg(any(feature = "h2", feature = "ws"))]
    pub(crate) fn vhost_is_leaving(&self, id: WsiId) -> bool {
        let vhost = self.wsis.get(id).and_then(|wsi| self.vhosts.get(wsi.vhost?));
        vhost.is_some_and(|vhost| vhost.is_leaving)
    }
}
