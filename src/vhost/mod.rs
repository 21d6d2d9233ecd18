//! Vhosts: names to serve. Each has a listener, alone or with others, a TLS identity if it is to have one, and a user for
//! what it accepts.

mod accept;
mod leave;
mod listen;
mod peers;
mod select;

#[cfg(feature = "tls")]
pub use listen::ClientCerts;
pub(crate) use listen::Listener;
pub use listen::{ListenInfo, ServerRole};
pub(crate) use peers::Peers;

use crate::context::Core;
use crate::context::arena::id;
use crate::plat::Address;
use crate::role::Role;
use crate::secure_stream::StreamId;
use crate::wsi::{Validity, WsiId};

id! {
    /// A name that is served: `lws_vhost` of libwebsockets.
    VhostId, "vhost"
}

/// Who takes the connections of a vhost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VhostUser {
    /// Nobody yet: a server stream whose endpoint is `!name` may.
    Nobody,
    /// The acceptor that lies beside it in the context's handlers.
    Protocol,
    Stream(StreamId),
}

#[derive(Debug)]
pub(crate) struct Vhost {
    /// By which clients ask for it, in lower case; and policies, with a `!`.
    pub(crate) name: Option<Box<str>>,
    pub(crate) listener: WsiId,
    /// Connections that have come for it.
    pub(crate) connections: usize,
    /// It listens no more, and goes with the last of them.
    pub(crate) is_leaving: bool,
    pub(crate) address: Address,
    pub(crate) role: ServerRole,
    pub(crate) user: VhostUser,
    pub(crate) validity: Option<Validity>,
    /// What clients may send in each request before its user grants more; `None` where the library does.
    pub(crate) tx_credit: Option<u32>,
    pub(crate) websockets: bool,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<crate::tls::ServerConfig>,
}

impl Core {
    pub(crate) fn vhost_by_name(&self, name: &str) -> Option<VhostId> {
        let is_it = |vhost: &Vhost| {
            !vhost.is_leaving && vhost.name.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(name))
        };
        self.vhosts.iter().find(|(_, vhost)| is_it(vhost)).map(|(id, _)| id)
    }

    /// Closes the listener, unless it listens for others as well; what was accepted lives on.
    pub(crate) fn vhost_destroy(&mut self, id: VhostId) {
        let Some(vhost) = self.vhosts.remove(id) else { return };
        log::info!(target: "millstream::vhost", "{id}: no longer listens on {}", vhost.address);
        self.dead_vhosts.push(id);
        self.stop_listening(vhost.listener, id);
    }

    fn stop_listening(&mut self, listener: WsiId, id: VhostId) {
        let Some(Role::Listen(row)) = self.wsis.get_mut(listener).map(|wsi| &mut wsi.role) else { return };
        row.vhosts.retain(|other| *other != id);
        if row.vhosts.is_empty() {
            self.remove(listener);
        }
    }
}
