//! Vhosts: names to serve. Each has a listener, a TLS identity if it is to have one, and a user for what it accepts.

mod listen;

pub use listen::{ListenInfo, ServerRole};

use crate::context::Core;
use crate::context::arena::id;
use crate::plat::Address;
use crate::secure_stream::StreamId;
use crate::wsi::WsiId;

id! {
    /// A name that is served: `lws_vhost` of libwebsockets.
    VhostId, "vhost"
}

/// Who takes the connections of a vhost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VhostUser {
    /// The acceptor that lies beside it in the context's handlers.
    Protocol,
    Stream(StreamId),
}

#[derive(Debug)]
pub(crate) struct Vhost {
    pub(crate) listener: WsiId,
    pub(crate) address: Address,
    pub(crate) role: ServerRole,
    pub(crate) user: VhostUser,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<crate::tls::ServerConfig>,
}

impl Core {
    /// Closes the listener; what it has accepted lives on.
    pub(crate) fn vhost_destroy(&mut self, id: VhostId) {
        let Some(vhost) = self.vhosts.remove(id) else { return };
        log::info!(target: "millstream::vhost", "{id}: no longer listens on {}", vhost.address);
        self.remove(vhost.listener);
        self.dead_vhosts.push(id);
    }
}
